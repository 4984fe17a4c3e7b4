//! From a queue through the handler: order, retries, what messages carry, where it ends.

use crate::{Shop, order, pipeline, plain, taken};
use pelton_tests::components::plugin;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{self, Counts, Sent, Sqs};
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
    // Two groups: which fails first is open.
    let letters = shop.letters();
    let of = |key: &str| letters.iter().find(|letter| letter["key"] == key).expect("there is one");
    let header = |key: &str, name: &str| {
        let all = of(key)["headers"].as_array().expect("a list");
        let found = all.iter().find(|h| h["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {all:?}"))["value"].clone()
    };
    assert_eq!((header("g", "tenant"), header("g", "raw")), ("north".into(), "AP8=".into()));
    assert_eq!(
        (header("g", "sqs.message-group-id"), header("g", "sqs.receive-count")),
        ("g".into(), "1".into())
    );
    assert!(header("g", "sqs.sent-timestamp").as_str().is_some_and(|ms| ms.len() == 13));
    assert_eq!(of("k")["message_id"], "mine");
    assert_eq!(header("k", "empty"), "");
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

/// A producer may give one id to several messages. Each of them is settled at once, and counted: what
/// became of all that was sent can be told from the status.
#[test]
fn messages_that_were_given_one_id_are_each_settled_and_counted() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders.fifo", &[]);
    // What was not settled would be there again after an hour.
    let source = format!(
        "source = {{ type = \"sqs\", queue_url = \"{url}\", wait_time = \"1s\", visibility_timeout = \
         \"1h\" }}"
    );
    let shop = Shop::new(&[Pipeline::new("orders", plugin("orders")).with("", &source)]);
    // As an id for deduplication the service does not take it, so all of them are in the queue.
    let send =
        |n: u64| drop(shop.done(&["send", "orders", "--id", "my id", "--body", &order(n, "a", 0).body]));
    (1..=3).for_each(send);
    shop.until_empty();
    send(4);
    let (second, _) = shop.until_empty();
    assert_eq!(taken(&second.log), Vec::<u64>::new());
    let status = shop.status();
    assert_eq!((&status["handled"], &status["duplicates"]), (&1.into(), &3.into()), "{status}");
    assert_eq!(sqs.counts(&url), Counts::default());
}

/// What an attribute is, is of use to others: it has its type again when it comes back from a letter.
#[test]
fn attributes_keep_their_types_through_letters_and_replays() {
    let sqs = Sqs::start();
    let (url, letters) = (sqs.queue("orders", &[]), sqs.queue("letters", &[]));
    let typed = [
        ("count", "Number", "12"),
        ("age", "Number.int", "0007"),
        ("text", "String", "9"),
        ("image", "Binary.png", "a text"),
    ];
    // More than a letter has room for, and less.
    for more in [0, 6] {
        let attributes = typed.iter().map(|(name, kind, value)| sqs::typed(name, kind, value));
        let plain = (0..more).map(|n| sqs::typed(&format!("more.{n}"), "String", "v"));
        let all: Vec<_> = attributes.chain(plain).collect();
        sqs.send_typed(&url, "no order", &all);
        let into = format!("queue_url = \"{letters}\"");
        for kept in [pipeline(&url, ""), pipeline(&url, "").with("dead_letter", &into)] {
            let shop = Shop::new(&[kept]);
            shop.until_empty();
            let headers = shop.letters()[0]["headers"].to_string();
            assert!(headers.contains("Number.int"), "the handler could know it: {headers}");
            shop.done(&["dlq", "replay", "orders", "--all"]);
        }
        let back = sqs.receive(&url, 0).remove(0);
        let own = back.message_attributes().expect("it has attributes");
        if more == 0 {
            typed.iter().for_each(|(name, kind, _)| assert_eq!(own[*name].data_type(), *kind, "{name}"));
            assert_eq!(own["image"].binary_value().map(AsRef::as_ref), Some(&b"a text"[..]));
        } else {
            assert!(
                own["pelton-attribute-types"]
                    .string_value()
                    .is_some_and(|said| said.contains("Number.int"))
            );
        }
        sqs.purge(&url);
    }
}
