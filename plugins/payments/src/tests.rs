use super::handle;
use pelton_sdk::testing::{Answer, Effects};
use pelton_sdk::{EffectError, Failure, Message};
use std::time::Duration;

const URL: &str = "https://gateway.example/charges";
const ORDER: &str = r#"{"id": 7, "customer": "ada", "amount_cents": 1250}"#;

fn effects() -> Effects {
    Effects::new().config("gateway", "https://gateway.example")
}

fn answer(body: &str) -> Result<(), Failure> {
    handle(Message::builder().body(body).build())
}

#[test]
fn an_order_is_charged_counted_and_has_a_receipt() {
    let answers = Answer::status(201).body(r#"{"id": "ch_1"}"#);
    let effects = effects().with_state("total/ada", "100").http("POST", URL, answers);
    assert_eq!(answer(ORDER), Ok(()));
    let request = &effects.requests()[0];
    let asked = br#"{"order":7,"customer":"ada","amount_cents":1250}"#;
    assert_eq!(request.body.as_deref(), Some(&asked[..]));
    assert_eq!(effects.state("total/ada").as_deref(), Some(&b"1350"[..]));
    let receipt = &effects.sent()[0];
    assert_eq!((&*receipt.target, receipt.key.as_deref()), ("receipts", Some(&b"ada"[..])));
    let body = String::from_utf8(receipt.body.clone()).expect("JSON");
    assert!(body.contains(r#""total_cents":1350,"charge":"ch_1""#), "{body}");
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_rejected() {
    for (status, is_reject) in
        [(500, false), (503, false), (409, false), (429, false), (402, true), (422, true)]
    {
        let effects = effects().http("POST", URL, Answer::status(status).body("no"));
        let failure = answer(ORDER).expect_err("not charged");
        assert_eq!(failure.is_reject(), is_reject, "{status}");
        assert_eq!(failure.reason(), format!("order 7: the gateway says {status}: no"));
        assert!(effects.sent().is_empty() && effects.state("total/ada").is_none());
    }
}

#[test]
fn a_gateway_that_names_a_time_is_asked_then() {
    let _effects = effects().http("POST", URL, Answer::status(429).header("Retry-After", "7"));
    let wanted = Failure::retry("order 7: the gateway says 429: ").after(Duration::from_secs(7));
    assert_eq!(answer(ORDER), Err(wanted));
}

#[test]
fn a_gateway_that_does_not_answer_is_asked_again() {
    let _effects = effects().http_fails("POST", URL, EffectError::new("connection-timeout", "no answer"));
    let failure = answer(ORDER).expect_err("not charged");
    assert!(!failure.is_reject() && failure.reason().contains("connection-timeout"), "{failure}");
}

#[test]
fn what_is_no_order_is_not_charged() {
    let effects = effects();
    for body in [
        "no JSON",
        r#"{"id": 1, "customer": "ada", "amount_cents": 0}"#,
        r#"{"id": 1, "customer": "", "amount_cents": 5}"#,
    ] {
        assert!(answer(body).expect_err(body).is_reject(), "{body}");
    }
    assert!(effects.requests().is_empty());
}
