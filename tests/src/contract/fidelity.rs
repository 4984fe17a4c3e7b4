//! Messages arrive as they were sent.

use super::{Outgoing, Probe};
use pelton_core::ports::{Scope, Settle};
use pelton_core::{Header, Message};
use std::collections::BTreeMap;

/// Sends, receives, and gives the messages in the order they were sent.
async fn round_trip(probe: &Probe, sent: &[Outgoing]) -> Vec<Message> {
    let ids = probe.send(sent.to_vec()).await;
    let mut found = BTreeMap::new();
    while found.len() < sent.len() {
        for delivery in probe.take(1).await {
            probe.settle(&delivery, Settle::Ack).await;
            found.insert(probe.name(&delivery), delivery.message);
        }
    }
    ids.iter().map(|id| found.remove(id).expect("each comes with the id it was sent with")).collect()
}

async fn bodies_arrive(probe: &Probe, bodies: &[Vec<u8>]) {
    let sent: Vec<_> =
        bodies.iter().map(|body| Outgoing { body: body.clone(), ..Outgoing::default() }).collect();
    let found = round_trip(probe, &sent).await;
    for (sent, found) in bodies.iter().zip(found) {
        let same = sent == found.body();
        assert!(same, "{} bytes were sent, other {} bytes came", sent.len(), found.body().len());
    }
}

pub async fn bodies_arrive_byte_for_byte(probe: Probe) {
    let texts = [
        "x",
        "{\"a\": [1, 2]}",
        " spaces and\nlines\r\n",
        "ünïcödé \u{1f680}",
        "'; DROP TABLE messages; --",
    ];
    bodies_arrive(&probe, &texts.map(|t| t.as_bytes().to_vec())).await;
}

pub async fn binary_bodies_arrive_byte_for_byte(probe: Probe) {
    let all: Vec<u8> = (0..=255).collect();
    bodies_arrive(&probe, &[vec![], vec![0], vec![0; 100], vec![0xff, 0xfe, 0x00, 0x80], all]).await;
}

pub async fn the_largest_body_arrives(probe: Probe) {
    let largest: Vec<u8> = (0..probe.can.max_body).map(|i| b'a' + (i % 23) as u8).collect();
    bodies_arrive(&probe, &[largest]).await;
}

fn header(name: &str, value: &[u8]) -> Header {
    Header::new(name, value)
}

async fn headers_arrive(probe: &Probe, headers: Vec<Header>) {
    let sent = Outgoing { headers: headers.clone(), body: b"x".to_vec(), ..Outgoing::default() };
    let found =
        round_trip(probe, &[sent, Outgoing { body: b"none".to_vec(), ..Outgoing::default() }]).await;
    assert_eq!(found[0].headers().to_vec(), headers);
    assert_eq!(found[1].headers().to_vec(), [], "headers stay with their message");
}

pub async fn headers_keep_their_order_and_repeat(probe: Probe) {
    let headers =
        [("z", "1"), ("a", "2"), ("z", "3"), ("traceparent", "00-ab-cd-01"), ("Z", "4"), ("empty", "")];
    headers_arrive(&probe, headers.map(|(n, v)| header(n, v.as_bytes())).to_vec()).await;
}

pub async fn header_values_may_be_any_bytes(probe: Probe) {
    headers_arrive(&probe, vec![header("b", &[0, 0xff, 10, 13, 0x80]), header("b", &[])]).await;
}

async fn keys_arrive(probe: &Probe, keys: &[Option<&[u8]>]) {
    let keyed = |key: &Option<&[u8]>| Outgoing {
        key: key.map(<[u8]>::to_vec),
        body: b"x".to_vec(),
        ..Outgoing::default()
    };
    let found = round_trip(probe, &keys.iter().map(keyed).collect::<Vec<_>>()).await;
    let found: Vec<Option<&[u8]>> = found.iter().map(|m| m.key()).collect();
    assert_eq!(found, keys);
}

pub async fn keys_arrive_as_they_were_sent(probe: Probe) {
    keys_arrive(&probe, &[Some(b"customer-1"), Some(b"customer-2"), Some(b"a/b:c.d")]).await;
}

pub async fn keys_may_be_of_any_language_or_missing(probe: Probe) {
    keys_arrive(&probe, &[Some(b"customer-1"), None, Some("schlüssel".as_bytes())]).await;
}

pub async fn keys_may_be_any_bytes(probe: Probe) {
    keys_arrive(&probe, &[Some(&[0, 0xff, 0x80]), Some(&[0])]).await;
}

pub async fn an_empty_key_is_a_key_and_none_is_none(probe: Probe) {
    keys_arrive(&probe, &[Some(b""), None]).await;
    let sent = [Some(Vec::new()), None].map(|key| Outgoing { key, ..Outgoing::default() });
    probe.send(sent.to_vec()).await;
    for delivery in probe.take(2).await {
        assert_eq!(
            delivery.lane.is_some(),
            delivery.message.key().is_some(),
            "a lane for each key, an empty one too"
        );
    }
}

pub async fn ids_are_told_apart_and_stay_over_a_redelivery(probe: Probe) {
    probe.send_numbers(0..20).await;
    let known = |d: &pelton_core::Delivery| (d.message.id().to_string(), d.message.body().to_vec());
    let first = probe.take(20).await;
    probe.settle_all(&first, Settle::GiveBack).await;
    let again: BTreeMap<_, _> = probe.take(20).await.iter().map(known).collect();
    assert_eq!(first.iter().map(known).collect::<BTreeMap<_, _>>(), again);
}

pub async fn ids_stay_over_a_restart(mut probe: Probe) {
    let sent = probe.send_numbers(0..20).await;
    probe.take(5).await;
    probe.restart().await;
    let more = probe.send_numbers(20..40).await;
    let found: BTreeMap<_, _> =
        probe.take(40).await.into_iter().map(|d| (probe.name(&d), super::probe::text(&d))).collect();
    let numbers = (0..40).map(|n: usize| n.to_string());
    assert_eq!(found, sent.into_iter().chain(more).zip(numbers).collect(), "and none is used again");
}

pub async fn a_producer_s_id_is_kept_and_may_come_twice(probe: Probe) {
    let given = |id: &str| Outgoing { id: Some(id.to_owned()), body: b"x".to_vec(), ..Outgoing::default() };
    let sent = probe.send(vec![given("order-7"), given("order-7"), given("ö '\"; \u{1f680}")]).await;
    assert_eq!(sent, ["order-7", "order-7", "ö '\"; \u{1f680}"]);
    let found = probe.take(3).await;
    let mut ids: Vec<_> = found.iter().map(|d| d.message.id().text()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["order-7", "order-7", "ö '\"; \u{1f680}"]);
    assert!(found.iter().all(|d| d.position.is_none()), "a place does not identify what a producer named");
}

pub async fn the_time_of_publishing_stays(mut probe: Probe) {
    probe.send_numbers(0..1).await;
    let first = probe.take_one().await;
    if probe.can.source.cumulative {
        probe.restart().await;
    } else {
        probe.settle(&first, Settle::GiveBack).await;
    }
    let again = probe.take_one().await;
    assert!(first.message.published_at_ms().is_some());
    assert_eq!(first.message.published_at_ms(), again.message.published_at_ms());
}

/// What numbers one more message.
async fn scope(probe: &Probe) -> Scope {
    probe.send_numbers(1..2).await;
    let delivery = probe.take_one().await;
    let scope = probe.ports.source.scope(&delivery.message);
    probe.settle(&delivery, Settle::Ack).await;
    scope
}

pub async fn what_numbers_messages_stays_over_a_restart(mut probe: Probe) {
    let before = scope(&probe).await;
    probe.restart().await;
    assert_eq!(scope(&probe).await, before);
}

pub async fn messages_are_numbered_apart_from_those_of_any_other(probe: Probe) {
    let another = probe.another.as_ref().expect("there is another");
    let (here, there) = (scope(&probe).await, scope(another).await);
    assert_ne!(here, there);
    assert!(here.len() > 8, "{here} is too short to be alone in the world");
}
