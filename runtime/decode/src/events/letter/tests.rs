#![allow(clippy::unwrap_used)]

use super::*;
use pelton_core::{Cause, Failure};

fn letter(headers: &[Header], body: &[u8], tombstone: bool) -> Letter {
    let headers: HeaderList = headers.iter().collect();
    let message =
        Message::new(Parts { headers: headers.view(), body, tombstone, ..Parts::named("orders/0/7") });
    Letter {
        message,
        identity: None,
        scope: None,
        claim: None,
        skipped: 0,
        settle: None,
        cause: Cause::Rejected,
        failure: Failure::Reject,
        reason: "no".into(),
        attempts: 3,
        handler: "sha256:00".into(),
    }
}

/// What a letter is made of where it is kept.
fn kept(letter: &Letter) -> (Vec<Header>, Vec<u8>) {
    (letter.message.headers().to_vec(), letter.message.body().to_vec())
}

#[test]
fn a_letter_comes_back_as_what_it_was() {
    let json = Header::new("Content-Type", "application/json");
    let cases: [(&[Header], &[u8]); 5] = [
        (&[Header::new("a", "1")], b"\xff\x00"),
        (&[json.clone(), Header::new("a", "2")], br#"{"id":1}"#),
        (&[json], b"{broken"),
        (&[], b"null"),
        (&[], b""),
    ];
    for form in [Form::Binary, Form::Structured] {
        for (headers, body) in cases {
            let event = wrapped(form, "orders", letter(headers, body, false));
            assert_ne!(kept(&event), kept(&letter(headers, body, false)));
            let (mut own, mut bytes) = kept(&event);
            unwrap(&mut own, &mut bytes);
            assert_eq!((&own[..], &bytes[..]), (headers, body), "{form:?}");
            assert_eq!(kept(&unwrapped(event)), (headers.to_vec(), body.to_vec()));
        }
    }
}

#[test]
fn it_says_what_it_is() {
    let event = wrapped(Form::Structured, "orders", letter(&[], b"{}", false));
    let body = String::from_utf8(event.message.body().to_vec()).unwrap();
    for part in [
        r#""source":"/pelton/orders""#,
        r#""type":"pelton.dead-letter""#,
        r#""id":"orders/0/7/"#,
        r#""peltonletter":"orders","peltoncause":"rejected","data":{}"#,
    ] {
        assert!(body.contains(part), "{body}");
    }
}

#[test]
fn what_is_an_event_already_or_nothing_stays_as_it_is() {
    let event = [Header::new("ce_specversion", "1.0"), Header::new("ce_id", "1")];
    for (headers, body, tombstone) in [(&event[..], &b"x"[..], false), (&[], b"", true)] {
        let plain = letter(headers, body, tombstone);
        assert_eq!(kept(&wrapped(Form::Binary, "orders", plain.clone())), kept(&plain));
        let (mut own, mut bytes) = kept(&plain);
        unwrap(&mut own, &mut bytes);
        assert_eq!((own, bytes), kept(&plain));
    }
    // One that a producer has made of another's letter has no mark of ours.
    let foreign = br#"{"specversion":"1.0","id":"1","source":"/","type":"pelton.dead-letter","data":1}"#;
    let (mut own, mut bytes) = (Vec::new(), foreign.to_vec());
    unwrap(&mut own, &mut bytes);
    assert_eq!(bytes, foreign);
}
