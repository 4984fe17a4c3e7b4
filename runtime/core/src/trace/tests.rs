//! Laws that hold for any bytes, drawn from seeds.

use super::*;
use crate::header::Header;
use crate::message::{HeaderList, Parts};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn context(seed: u64) -> SpanContext {
    let (a, b) = (scatter(seed, 1).to_be_bytes(), scatter(seed, 2).to_be_bytes());
    let trace = TraceId::new([a, b].concat().try_into().unwrap()).unwrap();
    let (sampled, random) = (seed & 1 != 0, seed & 2 != 0);
    SpanContext { trace, span: SpanId::scattered(seed, 3), sampled, random }
}

fn list(headers: &[(&str, &str)]) -> HeaderList {
    headers.iter().map(|(name, value)| Header::new(*name, *value)).collect::<Vec<_>>().iter().collect()
}

#[test]
fn what_is_written_is_read() {
    for seed in 0..5_000 {
        let one = context(seed);
        assert_eq!(SpanContext::parse(one.to_string().as_bytes()), Some(one));
        assert_eq!(parse_xray(xray(&one).as_bytes()), Some(SpanContext { random: false, ..one }));
    }
}

#[test]
fn what_is_read_is_written_alike_and_everything_else_is_none() {
    // Any byte at any place, and any two neighbours exchanged.
    for at in 0..PARENT.len() {
        for byte in 0..=255 {
            let mut bytes = PARENT.as_bytes().to_vec();
            bytes[at] = byte;
            if let Some(read) = SpanContext::parse(&bytes) {
                let written = read.to_string();
                // Of the version and of the flags not all is handed on.
                assert_eq!(written.as_bytes()[3..53], bytes[3..53], "{at} {byte}");
                assert!(bytes.is_ascii() && !bytes.iter().any(u8::is_ascii_uppercase));
            }
        }
    }
    for end in 0..PARENT.len() {
        assert_eq!(SpanContext::parse(&PARENT.as_bytes()[..end]), None);
    }
}

#[test]
fn the_standards_own_rules_for_a_traceparent() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (text, is_read) in [
        (PARENT.to_owned(), true),
        (format!(" {PARENT}\t"), true),
        (format!("01-{trace}-00f067aa0ba902b7-01"), true),
        (format!("cc-{trace}-00f067aa0ba902b7-01-what-the-future-brings"), true),
        (format!("cc-{trace}-00f067aa0ba902b7-01.what-the-future-brings"), false),
        (format!("ff-{trace}-00f067aa0ba902b7-01"), false),
        (format!("{PARENT}-more"), false),
        (format!("00-{trace}-0000000000000000-01"), false),
        (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
        (PARENT.to_uppercase(), false),
        (format!("00-{trace}-00f067aa0ba902b7-0g"), false),
        (String::new(), false),
    ] {
        assert_eq!(SpanContext::parse(text.as_bytes()).is_some(), is_read, "{text}");
    }
    let future = SpanContext::parse(format!("00-{trace}-00f067aa0ba902b7-ff").as_bytes()).unwrap();
    assert_eq!((future.flags(), future.to_string().as_str()), (3, &*PARENT.replace("-01", "-03")));
}

#[test]
fn xrays_form_is_read_in_any_order_and_with_what_is_unknown() {
    let wanted = SpanContext::parse(b"00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01");
    for text in [
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        "Sampled=1; Parent=53995c3f42cd8ad8 ;Lineage=a:1;Self=x;Root=1-5759e988-bd862e3fe1be46a994272793",
    ] {
        assert_eq!(parse_xray(text.as_bytes()), wanted, "{text}");
    }
    for text in [
        "",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
        "Root=2-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        "Root=1-5759e988-bd862e3fe1be46a99427279;Parent=53995c3f42cd8ad8",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8adX",
    ] {
        assert_eq!(parse_xray(text.as_bytes()), None, "{text}");
    }
    let undecided = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=?";
    assert!(!parse_xray(undecided.as_bytes()).unwrap().sampled);
}

#[test]
fn no_bytes_make_it_fail() {
    for seed in 0..2_000 {
        let length = usize::try_from(scatter(seed, 0) % 120).unwrap();
        let alphabet = b"0123456789abcdef-=;RootParentSampled1 \xff";
        let pick = |n: usize| alphabet[usize::try_from(scatter(seed, n as u64) % 37).unwrap()];
        let bytes: Vec<u8> = (0..length).map(pick).collect();
        let read = (SpanContext::parse(&bytes), parse_xray(&bytes));
        let headers = HeaderList::from_iter(&[Header::new(TRACEPARENT, bytes.clone())]);
        assert_eq!(of_headers(headers.view()), read.0);
        assert!(continued(headers.view()).count() <= 1);
    }
}

#[test]
fn the_last_that_can_be_read_counts_whatever_its_letters_case() {
    let (first, last) = (PARENT, &*PARENT.replace("b7-01", "b8-00"));
    let xrays = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let found = |headers: &[(&str, &str)]| of_headers(list(headers).view()).map(|one| one.to_string());
    assert_eq!(found(&[]), None);
    assert_eq!(found(&[("TraceParent", first)]).as_deref(), Some(first));
    assert_eq!(found(&[(TRACEPARENT, first), ("Traceparent", last)]).as_deref(), Some(last));
    assert_eq!(found(&[(TRACEPARENT, first), (TRACEPARENT, "nonsense")]).as_deref(), Some(first));
    assert_eq!(found(&[("its.aws-trace-header", xrays), (TRACEPARENT, first)]).as_deref(), Some(first));
    let xray = parse_xray(xrays.as_bytes()).map(|one| one.to_string());
    assert_eq!(found(&[("its.aws-trace-header", xrays), (TRACEPARENT, "")]), xray);
    assert_eq!(found(&[("awsTraceHeader", xrays)]), xray);
}

#[test]
fn a_message_is_stamped_once_and_keeps_where_it_came_from() {
    let before = list(&[("a", "1"), ("TRACEPARENT", PARENT), (TRACESTATE, "x=1"), ("a", "2")]);
    let (one, two) = (context(7), context(8));
    let letter = stamped(before.view(), &one, true);
    let value = |list: &HeaderList, name: &str| {
        list.view().find(name).map(|header| String::from_utf8(header.value.to_vec()).unwrap())
    };
    assert_eq!((of_headers(letter.view()), letter.view().len()), (Some(one), 5));
    assert_eq!(value(&letter, ORIGIN).as_deref(), Some(PARENT));
    let again = stamped(letter.view(), &two, true);
    assert_eq!((of_headers(again.view()), again.view().len()), (Some(two), 5));
    assert_eq!(value(&again, ORIGIN).as_deref(), Some(PARENT), "the first one stays");
    assert_eq!(value(&stamped(before.view(), &one, false), ORIGIN), None);
    let handed: Vec<_> = continued(again.view()).map(|(name, value)| (name, value.to_owned())).collect();
    assert_eq!(handed, [(TRACESTATE, "x=1".to_owned()), (TRACEPARENT, two.to_string())]);
}

#[test]
fn what_is_too_long_or_not_to_be_shown_is_not_handed_on() {
    let long = "x".repeat(513);
    for (name, value) in
        [(TRACESTATE, &*long), (TRACESTATE, "a=\r\nevil: 1"), (BAGGAGE, ""), (TRACEPARENT, "x")]
    {
        assert_eq!(continued(list(&[(name, value)]).view()).count(), 0, "{name}: {value}");
    }
    assert_eq!(continued(list(&[(BAGGAGE, &long), (TRACESTATE, "a=b")]).view()).count(), 2);
}

#[test]
fn all_attempts_agree_and_the_share_is_the_one_that_is_wanted() {
    let message = |n: u64| {
        let id = format!("orders/{n}");
        Message::new(Parts { published_at_ms: Some(n), ..Parts::named(&id) })
    };
    for ratio in [0.0, 0.001, 0.1, 0.5, 1.0] {
        let sampling = Sampling::new(true, ratio);
        let taken = (0..20_000).filter(|n| sampling.takes(TraceId::of_message(&message(*n)))).count();
        let wanted = ratio * 20_000.0;
        assert!((taken as f64 - wanted).abs() <= 5.0 * wanted.sqrt(), "{ratio}: {taken}");
        assert_eq!(sampling.takes_no_roots(), ratio == 0.0);
    }
    assert_eq!(TraceId::of_message(&message(1)), TraceId::of_message(&message(1).replay()));
    let traces: std::collections::BTreeSet<_> =
        (0..20_000).map(|n| TraceId::of_message(&message(n))).collect();
    assert_eq!(traces.len(), 20_000);
    let parent = SpanContext { sampled: true, ..context(4) };
    assert!(Sampling::new(true, 0.0).samples(&parent) && !Sampling::new(false, 0.0).samples(&parent));
}

#[test]
fn ratios_hold_one_within_another() {
    // What a service with a small ratio takes, one with a larger ratio takes too.
    for seed in 0..5_000 {
        let trace = context(seed).trace;
        let taken = [0.001, 0.01, 0.1, 0.9].map(|ratio| Sampling::new(false, ratio).takes(trace));
        assert!(taken.is_sorted(), "{taken:?}");
    }
}
