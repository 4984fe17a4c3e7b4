//! Messages at the limits of the service.

use crate::{Shop, pipeline};
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, Sent, Sqs};
use serde_json::Value;
use std::collections::BTreeMap;

fn into_queue(url: &str, letters: &str) -> Pipeline {
    pipeline(url, "").with("dead_letter", &format!("queue_url = \"{letters}\""))
}

#[test]
fn a_letter_that_sqs_has_no_room_for_is_kept_here_and_goes_back_from_here() {
    let sqs = Sqs::start();
    let (url, letters) = (sqs.queue("orders", &[]), sqs.queue("letters", &[]));
    let full = Sent { body: "x".repeat(1 << 20), ..Sent::default() };
    let small = Sent { body: "no order".into(), ..Sent::default() };
    let ids = sqs.send(&url, &[full, small]);
    let shop = Shop::new(&[into_queue(&url, &letters)]);
    let (worker, _) = shop.until_empty();
    assert!(worker.log.lines().iter().any(|line| line.says("It is kept in data_dir")));
    assert_eq!((sqs.counts(&url), sqs.counts(&letters).visible), (Counts::default(), 1));
    assert_eq!(shop.status()["dead_letters"], 2);

    let all = shop.letters();
    let kept = all.iter().find(|letter| letter["message_id"] == ids[0].as_str()).expect("it is kept");
    assert_eq!((&kept["cause"], kept["body"].as_str().map(str::len)), (&"rejected".into(), Some(1 << 20)));
    let id = kept["id"].as_u64().expect("the number of a letter here").to_string();
    assert!(shop.done(&["dlq", "show", "orders", "--id", &id]).contains("rejected"));
    // There is no room for its id on the way back either.
    shop.done(&["dlq", "replay", "orders", "--id", &id]);
    assert_eq!((sqs.counts(&url).unsettled(), shop.letters().len()), (1, 1));
    shop.until_empty();
    assert_eq!(shop.letters().len(), 2, "it failed again");
    shop.done(&["dlq", "purge", "orders", "--all"]);
    assert_eq!((shop.letters().len(), sqs.counts(&letters)), (0, Counts::default()));
}

/// As many as the service takes, as long as it takes them, in both types.
fn attributes() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> =
        (0..7).map(|n| (format!("a.{n}-b_c"), format!("v {n} \u{e4}\t").into_bytes())).collect();
    all.push(("n".repeat(256), b"long".to_vec()));
    all.push(("raw".into(), vec![0, 0xff, 0xfe, 0x80]));
    all.push(("zero".into(), vec![0xc3]));
    all
}

fn headers(letter: &Value) -> BTreeMap<String, Value> {
    let all = letter["headers"].as_array().expect("a list").iter();
    all.map(|h| (h["name"].as_str().expect("a text").to_owned(), h["value"].clone())).collect()
}

#[test]
fn attributes_at_their_limits_survive_letters_and_replays() {
    let sqs = Sqs::start();
    let (url, letters) = (sqs.queue("orders", &[]), sqs.queue("letters", &[]));
    sqs.send(&url, &[Sent { body: "no order".into(), attributes: attributes(), ..Sent::default() }]);
    let shop = Shop::new(&[into_queue(&url, &letters)]);
    shop.until_empty();
    let first = headers(&shop.letters()[0]);
    assert_eq!(first.len(), 10, "{first:?}");
    assert_eq!((&first["raw"], &first["zero"]), (&"AP/+gA==".into(), &"ww==".into()));
    assert_eq!((&first["a.3-b_c"], &first[&"n".repeat(256)]), (&"v 3 \u{e4}\t".into(), &"long".into()));
    for _ in 0..2 {
        shop.done(&["dlq", "replay", "orders", "--all"]);
        shop.until_empty();
        assert_eq!(headers(&shop.letters()[0]), first);
    }

    // None is empty in the service, and some are here.
    shop.done(&["dlq", "purge", "orders", "--all"]);
    let odd = ["--header", "empty=", "--header", "twice=1", "--header", "twice=2", "--header", "AWS.x=y"];
    shop.done(&[&["send", "orders", "--body", "no order"], &odd[..]].concat());
    shop.until_empty();
    let sent = shop.letters()[0]["headers"].clone();
    let names: Vec<&str> =
        sent.as_array().expect("a list").iter().filter_map(|h| h["name"].as_str()).collect();
    assert_eq!(names, ["empty", "twice", "twice", "AWS.x"]);
    shop.done(&["dlq", "replay", "orders", "--all"]);
    shop.until_empty();
    assert_eq!(shop.letters()[0]["headers"], sent);
}
