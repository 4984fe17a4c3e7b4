//! What the start of a worker says of its queues, and what it says when it is not allowed something.

use crate::{Shop, order, pipeline, plain, taken};
use aws_sdk_sqs::types::QueueAttributeName::RedrivePolicy;
use pelton_tests::components::plugin;
use pelton_tests::denying::Denying;
use pelton_tests::proxy::Proxy;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Sent, Sqs};
use pelton_tests::sqs_stub::Stub;
use pelton_tests::wait::until;

pub fn policy(target: &str, max_receives: u32) -> String {
    let arn = format!("arn:aws:sqs:us-east-1:000000000000:{target}");
    format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":\"{max_receives}\"}}")
}

#[test]
fn the_start_says_once_what_contradicts_the_queue() {
    let sqs = Sqs::start();
    sqs.queue("redriven", &[]);
    let policy = policy("redriven", 3);
    let url = sqs.queue("orders", &[(RedrivePolicy, &policy)]);
    let letters = sqs.queue("letters", &[(RedrivePolicy, &policy)]);
    let one = pipeline(&url, "").with("handler", "timeout = \"30s\"");
    let shop = Shop::new(&[one.with("dead_letter", &format!("queue_url = \"{letters}\""))]);
    sqs.send(&url, &[plain(1, 0)]);
    let worker = shop.worker();
    let said = [
        "source: the handler may run for 30s",
        "`maxReceiveCount` to 20 or more",
        "dead_letter: the queue letters has a redrive policy of its own",
    ];
    for words in said {
        let line = worker.log.wait(words, |line| line.says(words));
        assert_eq!(line.field("level"), "WARN", "{line:?}");
    }
    worker.log.wait("the order is taken", |line| line.says(" taken"));
    worker.stop();
    for words in said {
        assert_eq!(worker.log.lines().iter().filter(|line| line.says(words)).count(), 1, "{words}");
    }
}

#[test]
fn a_service_that_is_away_delays_no_start() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let way = Proxy::plain(&sqs.address);
    way.cut();
    let shop = Shop::new(&[pipeline(&url, &format!(", endpoint_url = \"http://{}\"", way.address))]);
    let worker = shop.worker().ready();
    worker.log.wait("it is said", |line| line.says("Check `queue_url`"));
    sqs.send(&url, &[plain(1, 0)]);
    way.mend();
    worker.log.wait("the order is taken", |line| line.says(" taken"));
    worker.stop();
}

#[test]
fn what_is_not_allowed_is_named_and_all_else_goes_on() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let denied = ["GetQueueAttributes", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"];
    let way = Denying::before(&sqs.address, &denied);
    let shop = Shop::new(&[pipeline(&url, &format!(", endpoint_url = \"http://{}\"", way.address))]);
    sqs.send(&url, &[plain(1, 0), plain(2, 1), plain(3, 0)]);
    let worker = shop.worker();
    for action in ["sqs:GetQueueAttributes", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"] {
        let wanted = format!("Allow this identity {action} on the queue: without it");
        worker.log.wait(action, |line| line.says(&wanted));
    }
    // The second one waits for its visibility to end; what comes again of the others is a duplicate.
    worker.log.wait_for("all are taken", 3, |line| line.says(" taken"));
    let mut all = taken(&worker.log);
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3]);
    drop(worker);
    let receives = Denying::before(&sqs.address, &["ReceiveMessage"]);
    let shop = Shop::new(&[pipeline(&url, &format!(", endpoint_url = \"http://{}\"", receives.address))]);
    let worker = shop.worker();
    worker.log.wait("it is named", |line| line.says("Allow this identity sqs:ReceiveMessage"));
    until("status says so", || {
        let trouble = shop.status()["trouble"].clone();
        trouble.as_str().is_some_and(|words| words.contains("sqs:ReceiveMessage")).then_some(())
    });
    worker.stop();
}

#[test]
fn letters_that_may_not_be_sent_are_tried_again() {
    let sqs = Sqs::start();
    let (url, letters) = (sqs.queue("orders.fifo", &[]), sqs.queue("letters.fifo", &[]));
    let way = Denying::before(&sqs.address, &["SendMessageBatch"]);
    let target = format!("queue_url = \"{letters}\"\nendpoint_url = \"http://{}\"", way.address);
    let shop = Shop::new(&[pipeline(&url, "").with("dead_letter", &target)]);
    let bad = Sent { body: "no order".into(), ..order(1, "a", 0) };
    sqs.send(&url, &[bad, order(2, "b", 0)]);
    let worker = shop.worker();
    worker.log.wait("the other is taken", |line| line.says(" taken"));
    let named = "Allow this identity sqs:SendMessage on the queue";
    worker.log.wait_for("it is tried again", 2, |line| line.says(named));
    until("its message alone stays", || (sqs.counts(&url).unsettled() == 1).then_some(()));
    assert_eq!(shop.status()["handled"], 1);
    drop(worker);
}

/// What emulators do not have: retention, encryption.
#[test]
fn what_is_kept_too_short_or_less_secret_is_said_by_check_and_at_the_start() {
    const DAYS_14: &str = "1209600";
    let stub = Stub::start();
    let (url, letters) = (stub.queue("orders"), stub.queue("letters"));
    let policy = policy("redriven", 10);
    let key = "alias/own";
    stub.attributes("orders", &[("RedrivePolicy", &policy), ("KmsMasterKeyId", key)]);
    stub.attributes("redriven", &[("MessageRetentionPeriod", DAYS_14)]);
    stub.attributes("letters", &[("MessageRetentionPeriod", "3600")]);
    let into = format!("queue_url = \"{letters}\"");
    let one = |dedup: &str| {
        let own = Pipeline::new("orders", plugin("orders")).with("", &crate::source(&url, ""));
        own.with("dead_letter", &into).with("dedup", dedup)
    };
    let shop = Shop::new(&[one("")]);
    let wanted = [
        "source: the queue keeps messages for 4 d, and its dead-letter queue for 14 d, and the ledger \
         knows them for 14 d: what comes again later is handled again. Set `dedup.expires_after` to \
         \"18d\" or more",
        "dead_letter: letters are kept for 3600 s, and messages of the queue for 4 d: set the retention of \
         letters to 14 d",
        "dead_letter: messages of the queue are encrypted with a key of its own, and letters in letters \
         are not: set its KmsMasterKeyId to alias/own",
    ];
    let said = |shop: &Shop| {
        let checked = shop.run(&["check", "--connect"]);
        assert!(checked.status.success(), "{checked:?}");
        String::from_utf8_lossy(&checked.stderr).into_owned()
    };
    let checked = said(&shop);
    let worker = shop.worker();
    for words in wanted {
        assert!(checked.contains(words), "{words} is not in\n{checked}");
        worker.log.wait(words, |line| line.says(words) && line.field("level") == "WARN");
    }
    worker.stop();

    // Set as it was told to, it says no more of this.
    stub.attributes("letters", &[("MessageRetentionPeriod", DAYS_14), ("KmsMasterKeyId", key)]);
    let checked = said(&Shop::new(&[one("expires_after = \"18d\"")]));
    for word in ["expires_after", "retention", "encrypted"] {
        assert!(!checked.contains(word), "{checked}");
    }
}

#[test]
fn letters_that_could_not_be_sent_are_found_by_a_check_which_sends_nothing() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let letters = sqs.queue("letters", &[]);
    let check = |denied: &[&'static str]| {
        let way = Denying::before(&sqs.address, denied);
        let one = pipeline(&url, &format!(", endpoint_url = \"http://{}\"", way.address));
        let shop = Shop::new(&[one.with("dead_letter", &format!("queue_url = \"{letters}\""))]);
        let done = shop.run(&["check", "--connect"]);
        (String::from_utf8_lossy(&done.stderr).into_owned(), done.status.code())
    };
    let (said, code) = check(&[]);
    assert_eq!(code, Some(0), "{said}");
    let (said, code) = check(&["SendMessageBatch", "DeleteMessageBatch"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("dead letters cannot be sent to the queue letters"), "{said}");
    assert!(said.contains("Allow this identity sqs:DeleteMessage"), "{said}");
    assert_eq!(sqs.counts(&url).visible + sqs.counts(&letters).visible, 0, "nothing was sent");
}
