//! From a queue through the handler: order, retries, what messages carry, where it ends.

use crate::{Shop, order, pipeline, plain, taken};
use pelton_tests::sqs::{Counts, Sent, Sqs};
use std::collections::BTreeMap;

#[test]
fn a_queue_is_worked_off_to_its_end() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let orders: Vec<Sent> = (1..=500).map(|n| plain(n, u32::from(n % 100 == 7))).collect();
    sqs.send(&url, &orders);
    let shop = Shop::new(&[pipeline(&url, "")]);
    let (worker, _) = shop.until_empty();
    let mut all = taken(&worker.log);
    all.sort_unstable();
    assert_eq!(all, (1..=500).collect::<Vec<_>>());
    assert_eq!(sqs.counts(&url), Counts::default(), "everything is deleted");
    let status = shop.status();
    assert_eq!((&status["handled"], &status["retries"]), (&500.into(), &5.into()));
    assert_eq!(status["broker"]["queues"][0]["visible"], 0);
}

#[test]
fn groups_keep_their_order_over_failures() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders.fifo", &[]);
    let orders: Vec<Sent> =
        (1..=300).map(|n| order(n, &format!("c-{}", n % 10), u32::from(n % 60 == 7))).collect();
    sqs.send(&url, &orders);
    let shop = Shop::new(&[pipeline(&url, "")]);
    let (worker, _) = shop.until_empty();
    let taken = taken(&worker.log);
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for number in &taken {
        let before = last.insert(number % 10, *number);
        assert!(before < Some(*number), "order {number} of its group came after {before:?}");
    }
    assert_eq!(taken.len(), 300, "each once");
    assert_eq!(sqs.counts(&url), Counts::default(), "everything is deleted");
    assert_eq!(shop.status()["retries"], 5);
}

/// The third fails for good: what follows it waits until it is a letter, and the other group does not.
#[test]
fn a_group_goes_on_behind_a_letter_and_the_others_do_not_wait() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders.fifo", &[]);
    let bad = Sent { body: "no order".into(), ..order(3, "a", 0) };
    let of_b = (11..=14).map(|n| order(n, "b", 0));
    let orders: Vec<Sent> = (1..=2)
        .map(|n| order(n, "a", 0))
        .chain([bad])
        .chain((4..=6).map(|n| order(n, "a", 0)))
        .chain(of_b)
        .collect();
    sqs.send(&url, &orders);
    let shop = Shop::new(&[pipeline(&url, "")]);
    let (worker, _) = shop.until_empty();
    let (b, a): (Vec<u64>, Vec<u64>) = taken(&worker.log).into_iter().partition(|n| *n > 10);
    assert_eq!((a, b), (vec![1, 2, 4, 5, 6], vec![11, 12, 13, 14]));
    let letters = shop.letters();
    assert_eq!(
        (letters.len(), &letters[0]["body"], &letters[0]["key"]),
        (1, &"no order".into(), &"a".into())
    );
}

#[test]
fn what_is_sent_arrives_with_its_headers_and_bytes() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders.fifo", &[]);
    let shop = Shop::new(&[pipeline(&url, "")]);
    let odd = Sent {
        attributes: vec![("tenant".into(), b"north".to_vec()), ("raw".into(), vec![0, 0xff])],
        body: "no order".into(),
        ..order(1, "g", 0)
    };
    sqs.send(&url, &[odd]);
    shop.done(&[
        "send",
        "orders",
        "--key",
        "k",
        "--id",
        "mine",
        "--header",
        "empty=",
        "--body",
        "also none",
    ]);
    shop.until_empty();
    let mut letters = shop.letters();
    // Groups have no order among each other.
    letters.sort_by_key(|letter| letter["message_id"] == "mine");
    let header = |letter: usize, name: &str| {
        let all = letters[letter]["headers"].as_array().expect("a list");
        let found = all.iter().find(|h| h["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {all:?}"))["value"].clone()
    };
    assert_eq!((header(0, "tenant"), header(0, "raw")), ("north".into(), "AP8=".into()));
    assert_eq!(
        (header(0, "sqs.message-group-id"), header(0, "sqs.receive-count")),
        ("g".into(), "1".into())
    );
    assert!(header(0, "sqs.sent-timestamp").as_str().is_some_and(|ms| ms.len() == 13));
    assert_eq!((&letters[1]["message_id"], &letters[1]["key"]), (&"mine".into(), &"k".into()));
    assert_eq!(header(1, "empty"), "");
}

#[test]
fn what_contradicts_the_queue_is_said_with_the_number_to_set() {
    use aws_sdk_sqs::types::QueueAttributeName::RedrivePolicy;
    let sqs = Sqs::start();
    sqs.queue("redriven", &[]);
    let arn = "arn:aws:sqs:us-east-1:000000000000:redriven";
    let policy = format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":\"3\"}}");
    let url = sqs.queue("orders", &[(RedrivePolicy, &policy)]);
    let letters = sqs.queue("letters", &[(RedrivePolicy, &policy)]);
    let one = pipeline(&url, "").with("handler", "timeout = \"30s\"");
    let one = one.with("dead_letter", &format!("queue_url = \"{letters}\""));
    let checked = Shop::new(&[one]).run(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success(), "{said}");
    for part in [
        "`visibility_timeout` above 30s",
        "`maxReceiveCount` to 20 or more",
        "the queue letters has a redrive policy of its own",
    ] {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
    let none = Shop::new(&[pipeline(&url.replace("orders", "nothing"), "")]).run(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert_eq!(none.status.code(), Some(78));
    assert!(said.contains("Make the queue, or correct `queue_url`"), "{said}");
}
