#![allow(clippy::unwrap_used)]

use super::super::tests::{header, of_body, seen, why};
use super::*;
use pelton_core::{Header, HeaderList, Parts};

/// As SNS writes it, with all that it writes.
fn notification(message: &str, attributes: &str) -> String {
    format!(
        r#"{{
  "Type" : "Notification",
  "MessageId" : "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
  "TopicArn" : "arn:aws:sns:eu-central-1:123456789012:orders",
  "Subject" : "Order \u00fc",
  "Message" : {message},
  "Timestamp" : "2026-12-01T09:31:00.123Z",
  "SignatureVersion" : "1",
  "Signature" : "EXAMPLEw6JRN...",
  "SigningCertURL" : "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-f3ecfb72.pem",
  "UnsubscribeURL" : "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe"{attributes}
}}"#
    )
}

#[test]
fn the_handler_sees_the_message_and_its_attributes() {
    let attributes = r#",
  "MessageAttributes" : {
    "store" : {"Type":"String","Value":"berlin"},
    "amount" : {"Type":"Number","Value":"12.50"},
    "tags" : {"Type":"String.Array","Value":"[\"a\",\"b\"]"},
    "blob" : {"Type":"Binary","Value":"AP8="},
    "sns-message-id" : {"Type":"String","Value":"forged"},
    "pelton-new-key" : {"Type":"String","Value":"forged"}
  }"#;
    let seen = seen(open(&of_body(&notification(r#""{\"n\":1}""#, attributes)), true));
    assert_eq!(seen.body(), br#"{"n":1}"#);
    let ids: Vec<_> =
        seen.headers().iter().filter(|h| h.name == "sns-message-id").map(|h| h.value.to_vec()).collect();
    assert_eq!(ids, [b"22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324".to_vec()]);
    assert_eq!(header(&seen, "sns-subject").as_deref(), Some("Order \u{fc}"));
    assert_eq!(
        header(&seen, "sns-topic-arn").as_deref(),
        Some("arn:aws:sns:eu-central-1:123456789012:orders")
    );
    assert_eq!(header(&seen, "amount").as_deref(), Some("12.50"));
    assert_eq!(header(&seen, "tags").as_deref(), Some(r#"["a","b"]"#));
    assert_eq!(seen.headers().find("blob").unwrap().value, [0, 255]);
    assert_eq!(header(&seen, "pelton-new-key"), None);
}

#[test]
fn raw_delivery_is_told_apart_and_its_sender_cannot_speak_for_sns() {
    for body in ["hello", "", r#"{"n":1}"#, r#"{"Type":"Notification","Message":"mine"}"#] {
        assert!(matches!(open(&of_body(body), true), Ok(Opened::AsItIs)), "{body}");
        let why = why(open(&of_body(body), false));
        assert!(why.starts_with("it is no notification of SNS") && why.contains("raw = true"), "{why}");
    }
    let forged = [Header::new("sns-message-id", "forged"), Header::new("a", "1")];
    let headers = forged.iter().collect::<HeaderList>();
    let seen =
        seen(open(&Message::new(Parts { headers: headers.view(), body: b"x", ..Parts::default() }), true));
    assert_eq!((seen.headers().to_vec(), seen.body()), (vec![Header::new("a", "1")], &b"x"[..]));
}

#[test]
fn a_headers_name_of_the_broker_gives_way() {
    let own = [Header::new("store", "broker"), Header::new("trace", "kept")];
    let headers = own.iter().collect::<HeaderList>();
    let body = notification("\"x\"", r#","MessageAttributes":{"store":{"Type":"String","Value":"sns"}}"#);
    let message =
        Message::new(Parts { headers: headers.view(), body: body.as_bytes(), ..Parts::default() });
    let seen = seen(open(&message, true));
    assert_eq!(header(&seen, "store").as_deref(), Some("sns"));
    assert_eq!(header(&seen, "trace").as_deref(), Some("kept"));
    assert_eq!(seen.headers().iter().filter(|h| h.name == "store").count(), 1);
}

#[test]
fn tests_of_notifications_are_skipped() {
    let s3 = r#"{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\",\"Bucket\":\"b\",\"HostId\":\"2\"}"#;
    let ses = r#"{\"notificationType\":\"AmazonSnsSubscriptionSucceeded\",\"message\":\"You have\"}"#;
    let scaling =
        r#"{\"Event\":\"autoscaling:TEST_NOTIFICATION\",\"AutoScalingGroupARN\":\"arn:aws:autoscaling\"}"#;
    for test in [s3, ses, scaling] {
        let body = notification(&format!("\"{test}\""), "");
        assert!(matches!(open(&of_body(&body), true), Ok(Opened::Skipped)), "{test}");
        let raw = test.replace('\\', "");
        assert!(matches!(open(&of_body(&raw), true), Ok(Opened::Skipped)), "{test}");
    }
    let real = notification(r#""{\"Service\":\"Amazon S3\",\"Event\":\"s3:ObjectCreated:Put\"}""#, "");
    assert!(matches!(open(&of_body(&real), true), Ok(Opened::Seen(_))));
}

#[test]
fn what_somebody_has_to_answer_is_a_letter_that_says_so() {
    let confirmation = r#"{"Type":"SubscriptionConfirmation","MessageId":"1","Token":"2336412f37",
        "TopicArn":"arn:aws:sns:eu-west-1:1:t","Message":"You have chosen","SubscribeURL":"https://sns"}"#;
    let said = why(open(&of_body(confirmation), true));
    assert!(
        said.contains("SubscriptionConfirmation of arn:aws:sns:eu-west-1:1:t")
            && said.contains("SubscribeURL")
    );
    let said = why(open(&of_body(&confirmation.replace("Subscription", "Unsubscribe")), true));
    assert!(said.contains("UnsubscribeConfirmation of arn"), "{said}");
}

#[test]
fn damage_is_told_by_its_place() {
    let attributes = |text: &str| notification("\"x\"", &format!(",\"MessageAttributes\":{text}"));
    for (body, words) in [
        (notification("7", ""), "has a `Message` that is no text"),
        (notification("null", ""), "has no `Message`"),
        (notification("\"\\ud800\"", ""), "has a `Message` that is no text"),
        (notification("\"x\"", "").replace("Notification\"", "Other\""), "is of the unknown type `Other`"),
        (attributes("7"), "the list is no JSON object"),
        (
            attributes(r#"{"a\u001b":{"Type":"Binary","Value":"*"}}"#),
            "`a\\x1b` is binary, and is bad base64",
        ),
        (attributes(r#"{"a":{"Type":"String"}}"#), "`a` has no `Value`"),
        (attributes(r#"{"a":{"Value":"1"}}"#), "`a` has no `Type`"),
    ] {
        let why = why(open(&of_body(&body), true));
        assert!(why.contains(words), "{why}");
    }
    let huge = attributes(&format!(r#"{{"a":{{"Type":"String","Value":"{}"}}}}"#, "x".repeat(70_000)));
    assert!(why(open(&of_body(&huge), true)).contains("at most 65536 are taken"));
}
