#![allow(clippy::unwrap_used)]

use super::*;
use pelton_core::Parts;

/// A message that is a body and nothing else.
pub fn of_body(body: &(impl AsRef<[u8]> + ?Sized)) -> Message {
    Message::new(Parts { body: body.as_ref(), ..Parts::named("m") })
}

/// What the handler sees.
pub fn seen(opened: Result<Opened, String>) -> Message {
    match opened {
        Ok(Opened::Seen(message)) => message,
        Ok(_) => panic!("nothing else is seen of it"),
        Err(why) => panic!("{why}"),
    }
}

/// Why it cannot be opened.
pub fn why(opened: Result<Opened, String>) -> String {
    opened.err().unwrap()
}

/// The text of a header.
pub fn header(message: &Message, name: &str) -> Option<String> {
    message.headers().find(name).map(|header| String::from_utf8(header.value.to_vec()).unwrap())
}

/// One of each, as it comes.
const SAMPLES: [(Envelope, &str); 6] = [
    (
        Envelope::S3Pointer,
        r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]"#,
    ),
    (
        Envelope::Sns { raw: true },
        r#"{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:eu-west-1:1:t",
        "Message":"{\"a\":1}",
        "MessageAttributes":{"a":{"Type":"Binary","Value":"AP8="},"b":{"Type":"Number","Value":"1"}}}"#,
    ),
    (
        Envelope::EventBridge,
        r#"{"id":"1","source":"s","detail-type":"t","resources":["a"],"detail":{"a":[1,{"b":null}]}}"#,
    ),
    (
        Envelope::CloudEvents,
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":true,"data":{"a":"\u00fc"}}"#,
    ),
    (
        Envelope::CloudEvents,
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"AP8="}"#,
    ),
    (
        Envelope::CeleryBase64,
        "eyJib2R5IjogIlcxc3lYU3dnZXlKNUlqb2dNMzBzSUh0OVhRPT0iLCAiaGVhZGVycyI6IHsidGFzayI6ICJhIn0sICJwcm9w\
         ZXJ0aWVzIjogeyJib2R5X2VuY29kaW5nIjogImJhc2U2NCJ9fQ==",
    ),
];

/// Small and repeatable.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

/// What is cut, doubled, filled with odd bytes or put into another one never panics, and is bounded.
#[test]
fn any_bytes_are_opened_or_told() {
    const ODD: [u8; 12] = [0, b'"', b'\\', b'{', b'}', b'[', b':', b',', b'0', 0x7f, 0xc3, 0xff];
    let (mut state, mut opened, mut invalid) = (7, 0, 0);
    for round in 0..40_000 {
        let (envelope, sample) = SAMPLES[round % SAMPLES.len()];
        let mut body = sample.as_bytes().to_vec();
        for _ in 0..random(&mut state) % 4 {
            let at = random(&mut state) % (body.len() + 1);
            match random(&mut state) % 5 {
                0 => body.truncate(at),
                1 => body.insert(at, ODD[random(&mut state) % ODD.len()]),
                2 if at < body.len() => body[at] = ODD[random(&mut state) % ODD.len()],
                3 if at < body.len() => drop(body.remove(at)),
                _ => {
                    body = [&body[..at], SAMPLES[random(&mut state) % SAMPLES.len()].1.as_bytes()].concat()
                }
            }
        }
        // Not by way of `open`, which would contain a panic.
        match Opening::new(envelope).opened(&of_body(&body)) {
            Opened::Seen(message) => {
                opened += 1;
                assert!(message.weight() <= 2 * body.len() + 256, "{message:?}");
            }
            Opened::Invalid(why) => {
                invalid += 1;
                assert!(why.len() < 1_000 && !why.bytes().any(|b| b.is_ascii_control()), "{why:?}");
            }
            Opened::AsItIs | Opened::Skipped | Opened::Object(_) => {}
        }
    }
    assert!(opened > 5_000 && invalid > 5_000, "{opened} {invalid}");
}
