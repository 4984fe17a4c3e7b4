//! Dead letters: durable before the original goes, once each, and the key is free again.

use super::{Outgoing, Probe};
use pelton_core::Delivery;
use pelton_core::ports::{ErrorClass, Settle, Verdict};

async fn one(probe: &Probe) -> Delivery {
    probe.send_numbers(0..1).await;
    probe.take_one().await
}

pub async fn a_letter_is_durable_and_its_original_gone(mut probe: Probe) {
    let delivery = one(&probe).await;
    let (claim, ..) = probe.start(&delivery, false).await;
    assert_eq!(probe.publish(&delivery, Some(claim), true).await, Ok(()));
    probe.crash().await;
    assert_eq!(probe.lettered().await, [delivery.message.id()]);
    probe.nothing_is_left().await;
}

pub async fn a_letter_whose_ack_was_lost_is_not_written_twice(mut probe: Probe) {
    let delivery = one(&probe).await;
    let (claim, ..) = probe.start(&delivery, false).await;
    assert_eq!(probe.publish(&delivery, Some(claim), false).await, Ok(()));
    probe.crash().await;
    let again = probe.take_one().await;
    assert_eq!(probe.claim(&[&again], false).await, [Verdict::AlreadyDeadLettered]);
    probe.settle(&again, Settle::Ack).await;
    assert_eq!(probe.lettered().await, [delivery.message.id()]);
    probe.nothing_is_left().await;
}

pub async fn a_letter_frees_its_key(probe: Probe) {
    let twin = Outgoing { id: Some("order-7".to_owned()), body: b"x".to_vec(), ..Outgoing::default() };
    probe.send(vec![twin.clone(), twin]).await;
    let held = probe.take(2).await;
    let (claim, ..) = probe.start(&held[0], false).await;
    assert_eq!(probe.publish(&held[0], Some(claim), true).await, Ok(()));
    let (_, attempt, crashed) = probe.start(&held[1], false).await;
    assert_eq!((attempt, crashed), (1, false), "the attempts of the first are not the second's");
}

pub async fn a_letter_needs_a_live_claim(probe: Probe) {
    let delivery = one(&probe).await;
    let (claim, ..) = probe.start(&delivery, false).await;
    assert_eq!(probe.complete(&delivery, claim, true).await, Ok(()));
    assert_eq!(probe.publish(&delivery, Some(claim), true).await, Err(ErrorClass::LeaseLost));
    assert_eq!(probe.lettered().await, Vec::<String>::new());
}

pub async fn an_invalid_message_leaves_a_letter_without_a_claim(mut probe: Probe) {
    let delivery = one(&probe).await;
    assert_eq!(probe.publish(&delivery, None, true).await, Ok(()));
    probe.crash().await;
    assert_eq!(probe.lettered().await, [delivery.message.id()]);
    probe.nothing_is_left().await;
}
