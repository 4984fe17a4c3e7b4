//! Messages that are given up on by hand. The service gives none by its id.

use crate::{Shop, pipeline, plain, taken};
use pelton_tests::sqs::{Counts, Sqs};
use pelton_tests::wait::until;

const REASON: &str = "the producer wrote nonsense";

fn words<'w>(id: &'w str, wait: &'w str) -> [&'w str; 8] {
    ["skip", "orders", id, "--reason", REASON, "--yes", "--wait", wait]
}

#[test]
fn a_running_worker_skips_a_message_as_it_comes() {
    let sqs = Sqs::start();
    let (url, target) = (sqs.queue("orders", &[]), sqs.queue("letters", &[]));
    let ids = sqs.send(&url, &[plain(1, 5), plain(2, 0)]);
    let settings = pipeline(&url, "").with("dead_letter", &format!("queue_url = \"{target}\"")).replaced(
        "retry",
        "max_attempts = 9\ninitial_interval = \"4s\"\nmax_interval = \"4s\"\njitter = 0.0",
    );
    let shop = Shop::new(&[settings]);
    let worker = shop.worker().ready();
    until("it waits for its retry", || (shop.status()["retries"] == 1).then_some(()));
    shop.done(&words(&ids[0], "60s"));
    worker.log.wait("the other is taken", |line| line.says(" taken"));
    assert_eq!((sqs.counts(&url), sqs.counts(&target).visible), (Counts::default(), 1));
    let letters = shop.letters();
    assert_eq!(
        (&letters[0]["message_id"], &letters[0]["reason"]),
        (&ids[0].as_str().into(), &REASON.into())
    );
    assert_eq!((&letters[0]["failure"], &letters[0]["attempts"]), (&"skipped".into(), &1.into()));
    let output = shop.run(&words(&ids[1], "1s"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && (said.contains("did not come") || said.contains("is completed")),
        "{said}"
    );
    worker.stop();
}

#[test]
fn without_a_worker_it_is_received_among_others_which_go_back() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let ids = sqs.send(&url, &(1..=10).map(|number| plain(number, 0)).collect::<Vec<_>>());
    let more = sqs.send(&url, &[plain(11, 0)]);
    let shop = Shop::new(&[pipeline(&url, "")]);
    shop.done(&words(&more[0], "20s"));
    let letters = shop.letters();
    assert_eq!((letters.len(), &letters[0]["message_id"]), (1, &more[0].as_str().into()));
    let (worker, _) = shop.until_empty();
    assert_eq!(taken(&worker.log).len(), ids.len());
    let output = shop.run(&words("5f0c5d9e-7c6b-4c57-9d0a-0d5f7f8f6a11", "1s"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did not give the message"), "{output:?}");
}
