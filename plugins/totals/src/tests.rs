use super::{add, handle};
use pelton_sdk::Message;
use std::collections::BTreeMap;

fn payment(key: &str, body: &str) -> Message {
    Message::builder().key(key).body(body).build()
}

#[test]
fn payments_are_added_up_by_account() {
    let mut totals = BTreeMap::new();
    for (account, cents) in [("a", 5), ("b", 7), ("a", 6)] {
        let body = format!(r#"{{"account": "{account}", "cents": {cents}}}"#);
        assert_eq!(add(&payment(account, &body), &mut totals), Ok(()));
    }
    let expected = BTreeMap::from([("a".to_owned(), (2, 11)), ("b".to_owned(), (1, 7))]);
    assert_eq!(totals, expected);
}

#[test]
fn a_bad_payment_fails_alone_but_for_those_behind_it_in_its_key() {
    let good = r#"{"account": "a", "cents": 1}"#;
    let results =
        handle(vec![payment("k1", good), payment("k1", "{}"), payment("k1", good), payment("k2", good)]);
    let rejected: Vec<_> =
        results.iter().map(|result| result.as_ref().map_err(|failure| failure.is_reject())).collect();
    assert_eq!(rejected, [Ok(&()), Err(true), Err(false), Ok(&())]);
}

#[test]
fn messages_without_a_key_do_not_wait_for_each_other() {
    let good = Message::builder().body(r#"{"account": "a", "cents": 1}"#);
    let bad = Message::builder().body("[]");
    let results = handle(vec![bad.build(), good.build()]);
    assert!(results[0].is_err() && results[1].is_ok());
}
