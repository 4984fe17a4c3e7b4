//! Outgoing messages: what is staged of them, under which ids, and what is refused.
#![allow(clippy::unwrap_used)]

mod common;

use common::deeds::Deed::*;
use common::deeds::{Deed, Outgoing, World, component_of, send};
use common::*;
use pelton_core::Header;
use pelton_core::effects::{StagedMessage, Target};
use pelton_core::outcome::Outcome;
use pelton_core::ports::Work;
use pelton_host::{Grants, HandlerSpec, OutboxGrant, Outlet, WasmHandler};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const ID: &str = "0123456789abcdef0123456789abcdef";

fn handler(world: World, letters: &[(char, &[Deed])]) -> (Arc<WasmHandler>, Arc<Lines>) {
    let (host, lines) = listening();
    let keyless =
        |message: &StagedMessage| message.key.is_none().then(|| "a FIFO queue needs a key".to_owned());
    let targets = vec![
        Outlet { name: "out".to_owned(), target: Target(7), refuses: Arc::new(|_| None) },
        Outlet { name: "fifo".to_owned(), target: Target(8), refuses: Arc::new(keyless) },
    ];
    let stores = vec![("default".to_owned(), pelton_core::effects::Bucket(1))];
    let home = Arc::new(pelton_host::MemoryState::default());
    let grants = Grants {
        state: Some(pelton_host::StateGrant { home, stores }),
        outbox: Some(OutboxGrant { targets }),
        ..Grants::default()
    };
    let timeout = Duration::from_secs(600);
    let spec = HandlerSpec { grants: Arc::new(grants), timeout, memory: 32 << 20, ..spec() };
    (load(&host, &component_of(world, letters), &spec), lines)
}

fn messages(outcome: &Outcome) -> Vec<StagedMessage> {
    match outcome {
        Outcome::Ok(Some(staged)) => staged.effects.messages.clone(),
        Outcome::Ok(None) => Vec::new(),
        other => panic!("it failed: {other:?}"),
    }
}

/// The words of its only line.
fn said(lines: &Lines) -> String {
    lines.take().into_iter().map(|line| line.text).collect::<Vec<_>>().concat()
}

#[test]
fn a_message_is_staged_as_it_was_said() {
    let whole = Outgoing {
        key: Some("k"),
        header: Some(("h", "v\u{0}\n")),
        delay_ms: Some(250),
        topic: Some("t"),
        ..send("out", "body")
    };
    let (handler, lines) = handler(World::Outbox, &[('a', &[Send(whole), Send(send("out", ""))])]);
    let sent = messages(&one(&handler, "a"));
    let wanted = StagedMessage {
        target: Target(7),
        id: sent[0].id.clone(),
        topic: Some("t".to_owned()),
        key: Some(b"k".to_vec()),
        headers: vec![Header::new("h", "v\u{0}\n")],
        body: b"body".to_vec(),
        delay_ms: Some(250),
    };
    assert_eq!(sent[0], wanted);
    assert_eq!(said(&lines), format!("{} {}", sent[0].id, sent[1].id), "the handler is told the ids");
    assert!(sent.iter().all(|message| message.id.len() == ID.len()));
}

#[test]
fn ids_are_the_same_for_the_same_cause_and_for_nothing_else() {
    let out = [
        Send(send("out", "1")),
        Send(send("out", "1")),
        Send(Outgoing { key: Some("k"), ..send("fifo", "1") }),
    ];
    let (handler, _) = handler(World::Outbox, &[('a', &out), ('b', &out[..1])]);
    let ids = |work: Work| -> Vec<Arc<str>> {
        messages(&run(&handler, vec![work])[0]).into_iter().map(|message| message.id).collect()
    };
    let first = ids(work("a"));
    assert_eq!(ids(Work { attempt: 9, ..work("a") }), first);
    let mut all: BTreeSet<Arc<str>> = first.iter().cloned().collect();
    all.extend(ids(work("b")));
    all.extend(ids(Work { scope: Some("another".into()), ..work("a") }));
    assert_eq!(all.len(), 3 + 1 + 3, "each is an id of its own");
}

#[test]
fn what_cannot_be_sent_is_refused_in_words() {
    let header = |name: &'static str| Send(Outgoing { header: Some((name, "v")), ..send("out", "b") });
    let deeds: [(char, &[Deed], &str); 10] = [
        (
            'a',
            &[Send(send("nowhere", "b"))],
            "!0 the pipeline has no target `nowhere` in its outbox; it has `out`, `fifo`",
        ),
        ('b', &[Send(send("fifo", "b"))], "!1 the target `fifo` cannot carry it: a FIFO queue needs a key"),
        (
            'c',
            &[Send(Outgoing { zeros: (1 << 20) + 1, ..send("out", "") })],
            "!1 a message of the outbox has at most 1048576 bytes",
        ),
        ('d', &[header("a\nb")], "!1 the header `a\\x0ab` cannot be sent: a name has 1 to 512 bytes"),
        ('e', &[header("")], "!1 the header `` cannot be sent: a name has"),
        (
            'f',
            &[header("Pelton-Key")],
            "!1 the header `Pelton-Key` cannot be sent: names that begin with `pelton-`",
        ),
        ('g', &[header("pelton-message")], "!1 its header `pelton-message` names no message in work"),
        (
            'h',
            &[Send(Outgoing { delay_ms: Some(u64::MAX), ..send("out", "b") })],
            "!1 its delay is longer than a year",
        ),
        ('i', &[Send(Outgoing { topic: Some(""), ..send("out", "b") })], "!1 its topic cannot be one"),
        (
            'j',
            &[Send(Outgoing { zeros: 1 << 19, ..send("out", "") }); 9],
            "!2 one message may have 4194304 bytes in the outbox",
        ),
    ];
    let letters: Vec<(char, &[Deed])> = deeds.iter().map(|(letter, deeds, _)| (*letter, *deeds)).collect();
    let (handler, lines) = handler(World::Outbox, &letters);
    for (letter, _, words) in deeds {
        let outcome = one(&handler, &letter.to_string());
        let said = said(&lines);
        assert!(said.contains(words), "{letter}: {said}");
        let kept = if letter == 'j' { 7 } else { 0 };
        assert_eq!(messages(&outcome).len(), kept, "{letter}: nothing of it is kept");
    }
    assert_eq!(one(&handler, "z"), Outcome::Ok(None));
}

#[test]
fn a_batch_names_the_message_that_causes_another() {
    let named =
        |name: &'static str| Send(Outgoing { header: Some(("pelton-message", name)), ..send("out", "b") });
    let (handler, _) = handler(
        World::Batch,
        &[('a', &[named("orders:key-b")]), ('b', &[named("orders:key-b"), Send(send("out", "b"))])],
    );
    let together = messages(&run(&handler, chunk(&["a", "b"]))[0]);
    assert!(together.iter().all(|message| message.headers.is_empty()), "the name is the host's");
    let alone = messages(&one(&handler, "b"));
    assert_eq!(together[0].id, alone[0].id, "it has the id that it would have alone");
    assert_eq!(together[1].id, alone[1].id);
    assert_ne!(together[2].id, alone[1].id, "without a name it is the first one's");
}

#[test]
fn the_standards_producer_sends_the_same() {
    let (handler, lines) = handler(
        World::Producer,
        &[
            (
                'a',
                &[
                    Produce("out", "", "body", ("h", "v")),
                    Produce("fifo", "t", "body", ("pelton-key", "k")),
                ],
            ),
            ('d', &[Produce("out", "", "later", ("pelton-delay-ms", "250"))]),
            ('e', &[Produce("out", "", "later", ("pelton-delay-ms", "soon"))]),
            ('f', &[Produce("fifo", "", "body", ("h", "v"))]),
            ('n', &[Produce("nowhere", "", "body", ("", ""))]),
        ],
    );
    let sent = messages(&one(&handler, "a"));
    assert_eq!(said(&lines), ". .");
    let shown: Vec<_> = sent.iter().map(|m| (m.target.0, m.topic.as_deref(), m.key.as_deref())).collect();
    assert_eq!(shown, [(7, None, None), (8, Some("t"), Some(&b"k"[..]))]);
    assert_eq!((&sent[0].headers[..], &sent[0].body[..]), (&[Header::new("h", "v")][..], &b"body"[..]));
    assert_eq!(messages(&one(&handler, "d"))[0].delay_ms, Some(250));
    lines.take();
    for (letter, words) in [
        ("e", "!3 `pelton-delay-ms` is no number of milliseconds"),
        ("f", "!3 the target `fifo` cannot carry it"),
        ("n", "!2 the pipeline has no target `nowhere`"),
    ] {
        assert_eq!(messages(&one(&handler, letter)), []);
        let said = said(&lines);
        assert!(said.starts_with(words), "{letter}: {said}");
    }
}

#[test]
fn a_target_that_is_not_granted_keeps_a_component_from_loading() {
    let bytes = component_of(World::Outbox, &[]);
    let error = host().load_bytes("orders", &bytes, &spec()).map(drop).unwrap_err().to_string();
    assert!(error.contains("imports `pelton:effects/outbox@0.1.0`"), "{error}");
    assert!(error.contains("[pipelines.orders.grants.outbox]"), "{error}");
}

#[test]
fn an_id_that_is_handed_on_is_replaced() {
    let forwarded = Outgoing { header: Some(("pelton-id", ID)), ..send("out", "b") };
    let (handler, _) = handler(World::Outbox, &[('a', &[Send(forwarded)])]);
    let sent = messages(&one(&handler, "a"));
    assert_eq!(sent[0].headers, []);
    assert_ne!(&*sent[0].id, ID);
}
