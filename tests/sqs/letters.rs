//! Dead letters in a queue: ours, and those that other tools have put there.

use crate::{Shop, order, pipeline, plain, taken};
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, Sent, Sqs};

fn into_queue(url: &str, letters: &str) -> Pipeline {
    pipeline(url, "").with("dead_letter", &format!("queue_url = \"{letters}\""))
}

fn bad() -> Sent {
    Sent { body: "no order".into(), ..plain(0, 0) }
}

#[test]
fn a_letter_in_a_queue_is_listed_replayed_and_purged() {
    let sqs = Sqs::start();
    let (url, target) = (sqs.queue("orders", &[]), sqs.queue("letters", &[]));
    let bad = Sent { attributes: vec![("tenant".into(), b"north".to_vec())], ..bad() };
    let ids = sqs.send(&url, &[plain(1, 0), bad, plain(2, 0)]);
    let shop = Shop::new(&[into_queue(&url, &target)]);
    shop.until_empty();
    assert_eq!((sqs.counts(&url), sqs.counts(&target).visible), (Counts::default(), 1));

    for round in 0..3 {
        let letters = shop.letters();
        assert_eq!(letters.len(), 1, "round {round}");
        let letter = &letters[0];
        assert_eq!((&letter["message_id"], &letter["body"]), (&ids[1].as_str().into(), &"no order".into()));
        assert_eq!((&letter["cause"], &letter["attempts"]), (&"rejected".into(), &1.into()));
        assert_eq!(letter["headers"].as_array().map(Vec::len), Some(1), "{letter}");
        // It comes back by its own id, is run again each time, and fails again.
        let said = shop.done(&["dlq", "replay", "orders", "--all"]);
        assert!(said.starts_with("replayed 1 letter"), "{said}");
        assert_eq!((sqs.counts(&url).unsettled(), sqs.counts(&target)), (1, Counts::default()));
        shop.until_empty();
    }
    let id = shop.letters()[0]["id"].as_str().expect("it has an id").to_owned();
    assert!(shop.done(&["dlq", "show", "orders", "--id", &id]).contains("no order"));
    assert_eq!(shop.status()["dead_letters"], 1);
    shop.done(&["dlq", "purge", "orders", "--id", &id]);
    assert_eq!(sqs.counts(&target), Counts::default());
}

#[test]
fn letters_of_other_tools_are_listed_and_replayed_too() {
    let sqs = Sqs::start();
    let (url, target) = (sqs.queue("orders.fifo", &[]), sqs.queue("letters.fifo", &[]));
    let ids = sqs.send(&target, &[order(7, "g", 0)]);
    let shop = Shop::new(&[into_queue(&url, &target)]);
    let letters = shop.letters();
    assert_eq!(
        (&letters[0]["message_id"], &letters[0]["cause"]),
        (&ids[0].as_str().into(), &"unknown".into())
    );
    assert_eq!((&letters[0]["key"], &letters[0]["origin"]), (&"g".into(), &"orders.fifo".into()));
    shop.done(&["dlq", "replay", "orders", "--all"]);
    let (worker, _) = shop.until_empty();
    assert_eq!(taken(&worker.log), [7]);
}

#[test]
fn letters_in_the_data_directory_go_back_into_the_queue() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    sqs.send(&url, &[bad()]);
    let shop = Shop::new(&[pipeline(&url, "")]);
    shop.until_empty();
    assert_eq!(shop.letters().len(), 1);
    shop.done(&["dlq", "replay", "orders", "--all"]);
    assert_eq!((sqs.counts(&url).unsettled(), shop.letters().len()), (1, 0));
    shop.until_empty();
    assert_eq!(shop.letters().len(), 1, "it failed again");
}
