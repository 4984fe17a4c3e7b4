//! A queue of SQS for the dead letters of pipelines that read something else.

use crate::Shop;
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, Sent, Sqs};

fn order(number: u64) -> String {
    format!("{{\"id\": {number}, \"customer\": \"c\", \"amount_cents\": 5}}")
}

fn into_queue(letters: &str) -> Pipeline {
    Pipeline::new("orders", plugin("orders")).with("dead_letter", &format!("queue_url = \"{letters}\""))
}

#[test]
fn letters_of_an_embedded_queue_are_kept_in_sqs_and_go_back_to_it() {
    let sqs = Sqs::start();
    let letters = sqs.queue("letters", &[]);
    let shop = Shop::new(&[into_queue(&letters)]);
    shop.done(&["send", "orders", "--body", "no order", "--key", "k", "--id", "mine", "--header", "a=b"]);
    shop.done(&["send", "orders", "--body", &order(1)]);
    shop.until_empty();
    assert_eq!(sqs.counts(&letters).visible, 1);
    let status = shop.status();
    assert_eq!((&status["queued"], &status["dead_letters"]), (&0.into(), &1.into()), "{status}");

    for _ in 0..2 {
        let letter = &shop.letters()[0];
        assert_eq!((&letter["message_id"], &letter["key"]), (&"mine".into(), &"k".into()));
        assert_eq!((&letter["cause"], &letter["origin"]), (&"rejected".into(), &"orders".into()));
        let said = shop.done(&["dlq", "replay", "orders", "--all", "--dry-run"]);
        assert!(
            said.contains("queue orders") && said.contains("would replay 1 letter of orders"),
            "{said}"
        );
        assert_eq!(
            (sqs.counts(&letters).visible, &shop.status()["queued"]),
            (1, &0.into()),
            "nothing has changed"
        );
        shop.done(&["dlq", "replay", "orders", "--all"]);
        assert_eq!((sqs.counts(&letters), &shop.status()["queued"]), (Counts::default(), &1.into()));
        shop.until_empty();
    }
    // What other tools put there goes into the pipeline's own queue too.
    sqs.send(&letters, &[Sent { body: order(2), ..Sent::default() }]);
    shop.done(&["dlq", "replay", "orders", "--all", "--rate", "50/s"]);
    let (worker, _) = shop.until_empty();
    assert_eq!(crate::taken(&worker.log), [2]);
    shop.done(&["dlq", "purge", "orders", "--all"]);
    assert_eq!(sqs.counts(&letters), Counts::default());
}

#[test]
fn letters_of_a_topic_are_kept_in_sqs_and_go_back_to_it() {
    let sqs = Sqs::start();
    let letters = sqs.queue("letters.fifo", &[]);
    let broker = Broker::start();
    broker.topic("orders", 2);
    let record = |value: &str| Record {
        key: Some(b"c-1".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: vec![("a".into(), vec![0, 0xff])],
        ..Record::default()
    };
    let tombstone = Record { key: Some(vec![0xff, 0]), ..Record::default() };
    broker.produce("orders", &[record("no order"), record(&order(1)), tombstone]);
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"orders\"], group_id = \
         \"orders\" }}",
        broker.address
    );
    let shop = Shop::new(&[into_queue(&letters).with("", &source)]);
    let (worker, _) = shop.until_empty();
    assert_eq!(crate::taken(&worker.log), [1]);
    assert_eq!((sqs.counts(&letters).visible, &shop.status()["dead_letters"]), (2, &2.into()));

    let of = |tombstone: bool| {
        let all = shop.letters();
        all.into_iter().find(|letter| letter["tombstone"] == tombstone).expect("it is there")
    };
    let (letter, null) = (of(false), of(true));
    assert_eq!((&null["key"], &null["key_encoding"]), (&"/wA=".into(), &"base64".into()));
    assert_eq!((&letter["key"], &letter["origin"]), (&"c-1".into(), &"orders".into()));
    assert_eq!(
        (&letter["headers"][0]["name"], &letter["headers"][0]["value"]),
        (&"a".into(), &"AP8=".into())
    );
    let said = shop.done(&["dlq", "replay", "orders", "--all", "--dry-run"]);
    assert!(said.contains("topic orders, partition "), "{said}");
    shop.done(&["dlq", "replay", "orders", "--all"]);
    assert_eq!(sqs.counts(&letters), Counts::default());
    shop.until_empty();
    assert_eq!(of(true)["key"], null["key"]);
    let again = of(false);
    for part in ["message_id", "body", "headers", "key"] {
        assert_eq!(again[part], letter[part], "{part}");
    }
}
