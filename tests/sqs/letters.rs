//! Dead letters in a queue: ours, and those that other tools have put there.

use crate::{Shop, order, pipeline, plain, taken};
use aws_sdk_sqs::types::MessageSystemAttributeName;
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

/// The only attribute of the service's own that a sender gives: who follows a trace would lose it at the
/// letter.
#[test]
fn a_trace_goes_along_with_letters_and_replays() {
    let sqs = Sqs::start();
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let traced = |url: &str| {
        let message = sqs.receive(url, 0).remove(0);
        let all = message.attributes.expect("it has attributes");
        assert_eq!(all.get(&MessageSystemAttributeName::AwsTraceHeader).map(String::as_str), Some(trace));
    };
    for suffix in ["", ".fifo"] {
        let (url, letters) =
            (sqs.queue(&format!("orders{suffix}"), &[]), sqs.queue(&format!("letters{suffix}"), &[]));
        let group = (!suffix.is_empty()).then(|| "g".to_owned());
        let bad = Sent { body: "no order".into(), dedup: group.clone(), group, ..Sent::default() };
        sqs.send_traced(&url, &bad, trace);
        for kept in [into_queue(&url, &letters), pipeline(&url, "")] {
            let shop = Shop::new(&[kept]);
            shop.until_empty();
            let letter = shop.letters()[0]["headers"].to_string();
            assert!(letter.contains("sqs.aws-trace-header") && letter.contains(trace), "{letter}");
            if sqs.counts(&letters).visible > 0 {
                traced(&letters);
            }
            shop.done(&["dlq", "replay", "orders", "--all"]);
            traced(&url);
        }
    }
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

/// SQS hands out what stands behind others of its group only when these are gone.
#[test]
fn all_letters_of_a_queue_in_order_go_back_and_those_not_seen_are_said() {
    let sqs = Sqs::start();
    let (url, target) = (sqs.queue("orders.fifo", &[]), sqs.queue("letters.fifo", &[]));
    let poison = |n: u64| Sent { body: format!("no order {n}"), ..order(n, "g", 0) };
    sqs.send(&url, &(1..=25).map(poison).collect::<Vec<_>>());
    let shop = Shop::new(&[into_queue(&url, &target)]);
    shop.until_empty();
    let listed = shop.run(&["dlq", "list", "orders", "--json"]);
    let (out, said) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
    let seen = out.lines().count();
    let wanted = format!("note: about {} more letters of orders stand behind these", 25 - seen);
    assert!((1..25).contains(&seen) && said.contains(&wanted), "{seen} letters: {said}");
    let said = shop.done(&["dlq", "replay", "orders", "--all"]);
    assert!(said.starts_with("replayed 25 letters"), "{said}");
    assert_eq!((sqs.counts(&url).unsettled(), sqs.counts(&target)), (25, Counts::default()));
    shop.until_empty();
    let bodies: Vec<String> = shop.letters().iter().map(|l| l["body"].to_string()).collect();
    let wanted: Vec<String> = (1..=bodies.len()).map(|n| format!("\"no order {n}\"")).collect();
    assert_eq!(bodies, wanted, "they went back in their order");
    let said = shop.done(&["dlq", "purge", "orders", "--all"]);
    assert!(said.starts_with("purged 25 letters"), "{said}");
    assert_eq!(sqs.counts(&target), Counts::default());
}

/// What has no key follows nobody, in a queue of letters that is in order too.
#[test]
fn letters_without_a_key_stand_behind_no_other() {
    let sqs = Sqs::start();
    let (url, target) = (sqs.queue("orders", &[]), sqs.queue("letters.fifo", &[]));
    let poison = |n: u64| Sent { body: format!("no order {n}"), ..plain(n, 0) };
    sqs.send(&url, &(1..=25).map(poison).collect::<Vec<_>>());
    let shop = Shop::new(&[into_queue(&url, &target)]);
    shop.until_empty();
    assert_eq!(shop.letters().len(), 25);
}
