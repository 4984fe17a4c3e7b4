//! Envelopes as they come through queues of SQS: notifications of SNS, and pointers to objects in S3.

use crate::{Shop, order, pipeline, taken};
use pelton_tests::components::plugin;
use pelton_tests::s3_stub::S3Stub;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, Sent, Sqs};
use pelton_tests::wait::until;
use serde_json::json;

/// As SNS writes it into a queue.
fn notification(id: &str, message: &str) -> Sent {
    let body = json!({
        "Type": "Notification",
        "MessageId": id,
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:orders",
        "Subject": "an order",
        "Message": message,
        "Timestamp": "2026-12-01T09:31:00.123Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-f3ecfb72.pem",
        "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
        "MessageAttributes": { "store": { "Type": "String", "Value": "berlin" } },
    });
    Sent { body: body.to_string(), ..Sent::default() }
}

fn body(number: u64) -> String {
    order(number, "k", 0).body
}

#[test]
fn notifications_of_sns_are_opened_and_what_cannot_be_has_a_queue_of_its_own() {
    let sqs = Sqs::start();
    let (url, invalid) = (sqs.queue("orders", &[]), sqs.queue("orders-invalid", &[]));
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#;
    let damaged = notification("4", "x").body.replace("\"MessageId\"", "\"Id\"");
    sqs.send(
        &url,
        &[
            notification("1", &body(1)),
            // SNS delivers at least once: the same again.
            notification("1", &body(1)),
            notification("2", test),
            notification("3", "no order"),
            Sent { body: damaged.clone(), ..Sent::default() },
        ],
    );
    let pipeline = pipeline(&url, "")
        .with("decode", "envelope = \"sns\"")
        .with("dedup", "key = \"sns\"")
        .with("dead_letter.by_cause", &format!("invalid = {{ queue_url = \"{invalid}\" }}"));
    let shop = Shop::new(&[pipeline]);
    let (worker, _) = shop.until_empty();
    assert_eq!(taken(&worker.log), [1]);
    let skipped = |line: &pelton_tests::log::Line| line.says("a test notification was acknowledged");
    assert_eq!(worker.log.lines().iter().filter(|line| skipped(line)).count(), 1);
    assert_eq!((sqs.counts(&url), sqs.counts(&invalid).visible), (Counts::default(), 1));
    let status = shop.status();
    assert_eq!((&status["duplicates"], &status["dead_letters"]), (&1.into(), &2.into()), "{status}");

    let letters = shop.letters();
    let of = |cause: &str| letters.iter().find(|letter| letter["cause"] == cause).expect("it is there");
    assert_eq!(of("invalid")["body"], damaged, "the original bytes");
    assert!(of("invalid")["reason"].as_str().is_some_and(|why| why.contains("has no `MessageId`")));
    assert_eq!(of("rejected")["dedup_key"], "3");

    // Both go back to the queue that they came from, and come to their places again.
    shop.done(&["dlq", "replay", "orders", "--all"]);
    assert_eq!((sqs.counts(&url).visible, sqs.counts(&invalid).unsettled()), (2, 0));
    shop.until_empty();
    assert_eq!(sqs.counts(&invalid).visible, 1);
    let id = shop.letters().iter().find(|letter| letter["cause"] == "invalid").expect("it is there")["id"]
        .clone();
    shop.done(&["dlq", "purge", "orders", "--id", id.as_str().expect("a text")]);
    assert_eq!(sqs.counts(&invalid).unsettled(), 0);
}

/// As the extended client writes it.
fn pointing(header: &str, key: &str) -> Sent {
    let class = if header == "ExtendedPayloadSize" {
        "software.amazon.payloadoffloading.PayloadS3Pointer"
    } else {
        "com.amazon.sqs.javamessaging.MessageS3Pointer"
    };
    let body = json!([class, { "s3BucketName": "payloads", "s3Key": key }]).to_string();
    Sent { body, attributes: vec![(header.to_owned(), b"7".to_vec())], ..Sent::default() }
}

fn reading(s3: &S3Stub, url: &str, more: &str) -> Shop {
    let decode = format!(
        "envelope = \"s3-pointer\"\nbuckets = [\"payloads\"]\nendpoint_url = \"{}\"\n{more}",
        s3.url
    );
    Shop::new(&[pipeline(url, "").with("decode", &decode)])
}

#[test]
fn objects_in_s3_are_read_and_those_of_handled_messages_deleted() {
    let (sqs, s3) = (Sqs::start(), S3Stub::start());
    let url = sqs.queue("orders", &[]);
    s3.put("/payloads/a/1%20%2B", body(1));
    s3.put("/payloads/2", body(2));
    s3.put("/payloads/rejected", "no order");
    s3.put("/payloads/large", vec![b'x'; (1 << 20) + 1]);
    s3.put("/secrets/1", body(9));
    let foreign = pointing("ExtendedPayloadSize", "1");
    let foreign = Sent { body: foreign.body.replace("payloads", "secrets"), ..foreign };
    sqs.send(
        &url,
        &[
            pointing("ExtendedPayloadSize", "a/1 +"),
            pointing("SQSLargePayloadSize", "2"),
            Sent { body: body(3), ..Sent::default() },
            pointing("ExtendedPayloadSize", "rejected"),
            pointing("ExtendedPayloadSize", "large"),
            pointing("ExtendedPayloadSize", "none"),
            foreign,
        ],
    );
    let shop = reading(&s3, &url, "delete = true");
    let worker = shop.worker();
    worker.log.wait_for("orders are taken", 3, |line| line.says(" taken"));
    until("those of handled messages are deleted", || (s3.objects().len() == 3).then_some(()));
    until("the queue is empty", || (sqs.counts(&url).unsettled() == 0).then_some(()));
    worker.stop();
    let mut all = taken(&worker.log);
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3]);
    assert_eq!(s3.objects(), ["/payloads/large", "/payloads/rejected", "/secrets/1"]);
    assert!(!s3.requests().iter().any(|request| request.contains("secrets")), "nobody asks for it");
    let letters = shop.letters();
    let reasons: Vec<&str> = letters.iter().filter_map(|letter| letter["reason"].as_str()).collect();
    for words in
        ["has more than 1048576 bytes", "s3://payloads/none is not there", "does not list that bucket"]
    {
        assert!(reasons.iter().any(|reason| reason.contains(words)), "{words}: {reasons:?}");
    }
    let rejected = letters.iter().find(|letter| letter["cause"] == "rejected").expect("it is there");
    assert_eq!(
        rejected["body"],
        pointing("ExtendedPayloadSize", "rejected").body,
        "the pointer, as it came"
    );
}

#[test]
fn messages_wait_while_s3_is_away_and_a_worker_that_waits_ends_in_time() {
    let (sqs, s3) = (Sqs::start(), S3Stub::start());
    let url = sqs.queue("orders", &[]);
    s3.put("/payloads/1", body(1));
    s3.refuse(Some((503, "SlowDown")));
    sqs.send(&url, &[pointing("ExtendedPayloadSize", "1")]);
    let shop = reading(&s3, &url, "");
    let worker = shop.worker();
    worker.log.wait("it says so", |line| line.says("S3 answers 503 SlowDown; messages wait for it"));
    // Longer than its lease of five seconds: it is renewed meanwhile.
    until("it is asked again and again", || (s3.requests().len() >= 5).then_some(()));
    let status = shop.status();
    assert!(status["trouble"].as_str().is_some_and(|why| why.contains("SlowDown")), "{status}");
    s3.refuse(None);
    worker.log.wait("it is taken", |line| line.says(" taken"));
    assert_eq!(shop.letters().len(), 0);
    s3.refuse(Some((403, "AccessDenied")));
    sqs.send(&url, &[pointing("ExtendedPayloadSize", "2")]);
    until("it is a letter: others could be read", || (shop.letters().len() == 1).then_some(()));
    s3.refuse(Some((500, "InternalError")));
    sqs.send(&url, &[pointing("ExtendedPayloadSize", "3")]);
    worker.log.wait("it waits again", |line| line.says("S3 answers 500"));
    worker.stop();
}

/// What a queue holds now. It stays there.
fn held(sqs: &Sqs, url: &str) -> Vec<serde_json::Value> {
    let received = sqs.receive(url, 0);
    received.iter().map(|one| serde_json::from_str(one.body().unwrap_or_default()).expect("JSON")).collect()
}

#[test]
fn letters_leave_as_events_and_come_back_as_they_were() {
    let sqs = Sqs::start();
    let (url, letters) = (sqs.queue("orders", &[]), sqs.queue("orders-letters", &[]));
    let typed = ("content-type".to_owned(), b"application/json".to_vec());
    let json = Sent { body: r#"{"id": "none"}"#.to_owned(), attributes: vec![typed], ..Sent::default() };
    let bodies = [json.body.clone(), "no order".to_owned()];
    sqs.send(&url, &[json, Sent { body: bodies[1].clone(), ..Sent::default() }]);
    let place = format!("queue_url = \"{letters}\"\nenvelope = \"cloudevents\"");
    let shop = Shop::new(&[pipeline(&url, "").with("dead_letter", &place)]);
    shop.until_empty();
    let events = held(&sqs, &letters);
    assert_eq!(events.len(), 2, "{events:?}");
    for event in &events {
        assert_eq!((&event["specversion"], &event["type"]), (&"1.0".into(), &"pelton.dead-letter".into()));
        assert_eq!(
            (&event["source"], &event["peltoncause"]),
            (&"/pelton/orders".into(), &"rejected".into())
        );
        match event["datacontenttype"].as_str() {
            Some("application/json") => assert_eq!(event["data"], json!({ "id": "none" })),
            _ => assert_eq!(event["data_base64"], "bm8gb3JkZXI="),
        }
    }
    let mut shown: Vec<String> =
        shop.letters().iter().map(|letter| letter["body"].as_str().expect("text").to_owned()).collect();
    shown.sort_by_key(|body| bodies.iter().position(|one| one == body));
    assert_eq!(shown, bodies);
    shop.done(&["dlq", "replay", "orders", "--all"]);
    let back = sqs.receive(&url, 0);
    let mut back: Vec<&str> = back.iter().filter_map(|one| one.body()).collect();
    back.sort_by_key(|body| bodies.iter().position(|one| one == body));
    assert_eq!(back, bodies);
}

/// A queue carries an event in its body; a pipeline with `envelope = "cloudevents"` opens it.
#[test]
fn what_is_sent_to_a_queue_is_an_event_in_its_body() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let target =
        format!("orders = {{ type = \"sqs\", queue_url = \"{url}\", envelope = \"cloudevents\" }}");
    let sends = Pipeline::new("sends", plugin("deeds"))
        .with("grants", "state = true")
        .with("grants.outbox", &target);
    let reads = Pipeline::new("orders", plugin("deeds"))
        .with("", &crate::source(&url, ""))
        .with("decode", "envelope = \"cloudevents\"")
        .with("grants", "state = true")
        .with("grants.outbox", "orders = { type = \"embedded\", queue = \"next\" }");
    let site = Shop::new(&[sends]);
    let sent = r#"{"send": ["orders"], "key": "c"}"#;
    site.0.send_lines("sends", &[], &[sent.to_owned()]);
    site.until_empty();
    let events = held(&sqs, &url);
    assert_eq!(
        (&events[0]["type"], &events[0]["source"]),
        (&"pelton.message".into(), &"/pelton/sends".into())
    );
    assert_eq!(events[0]["data"], serde_json::from_str::<serde_json::Value>(sent).expect("JSON"));
    let reader = Shop::new(&[reads]);
    reader.until_empty();
    let status = reader.status();
    assert_eq!((&status["handled"], &status["dead_letters"]), (&1.into(), &0.into()), "{status}");
}
