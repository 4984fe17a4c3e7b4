//! Sends the messages of an outbox.
//!
//! A FIFO queue knows a repetition by its deduplication id for five minutes, and keeps the order of a group.
//! So a call is waited for before the next one, which has nothing of a group of which a message waits, and
//! one message of each other group. A batch of many groups costs no more calls for it.

use super::options::{BATCH, is_fifo};
use super::publish::SqsPublisher;
use pelton_broker_common::waiting_keys::WaitingKeys;
use pelton_core::broker::{BooksError, Outgoing, Published, Publisher, Unsent};
use std::collections::HashSet;

/// Sends to a queue.
pub struct SqsOutbox {
    publisher: SqsPublisher,
    queue_url: String,
}

impl SqsOutbox {
    pub fn new(publisher: SqsPublisher, queue_url: &str) -> Self {
        Self { publisher, queue_url: queue_url.to_owned() }
    }

    /// One call after the other. None has two messages of a group: of these the service may refuse the first
    /// and take the second.
    fn in_order(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        let mut waiting = WaitingKeys::default();
        let unsaid = || Err(Unsent::for_now("the service did not say whether it has it"));
        let mut results: Vec<Published> = batch.iter().map(|_| unsaid()).collect();
        let mut left: Vec<usize> = (0..batch.len()).collect();
        while !left.is_empty() {
            let (held, call): (Vec<usize>, Vec<usize>) =
                next_call(batch, &mut left).into_iter().partition(|at| waiting.holds(&batch[*at]));
            held.into_iter().for_each(|at| results[at] = Err(WaitingKeys::unsent()));
            if call.is_empty() {
                continue;
            }
            let messages: Vec<Outgoing<'_>> = call.iter().map(|at| batch[*at].borrowed()).collect();
            for (at, result) in call.into_iter().zip(self.publisher.publish(&messages)?) {
                waiting.note(&batch[at], &result);
                results[at] = result;
            }
        }
        Ok(results)
    }
}

/// The places of the next call, taken from those that are left: the first of each group, as many as it has
/// room for.
fn next_call(batch: &[Outgoing<'_>], left: &mut Vec<usize>) -> Vec<usize> {
    let (mut call, mut groups) = (Vec::with_capacity(BATCH), HashSet::new());
    left.retain(|at| {
        let is_next = call.len() < BATCH && batch[*at].lane().is_none_or(|group| groups.insert(group));
        if is_next {
            call.push(*at);
        }
        !is_next
    });
    call
}

impl Publisher for SqsOutbox {
    fn check(&mut self) -> Result<(), Unsent> {
        self.publisher.check()
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        if is_fifo(&self.queue_url) { self.in_order(batch) } else { self.publisher.publish(batch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_one_message_of_a_group_and_keeps_its_order() {
        let batch: Vec<Outgoing<'_>> = "aabacaab"
            .bytes()
            .map(|key| Outgoing { key: Some(vec![key].into()), ..Outgoing::of(&b"x"[..]) })
            .collect();
        let mut left: Vec<usize> = (0..batch.len()).collect();
        let calls: Vec<Vec<usize>> =
            std::iter::from_fn(|| Some(next_call(&batch, &mut left)).filter(|call| !call.is_empty()))
                .collect();
        assert_eq!(calls, [vec![0, 2, 4], vec![1, 7], vec![3], vec![5], vec![6]]);
        let many: Vec<Outgoing<'_>> = (0..12_u8)
            .map(|key| Outgoing { key: Some(vec![key].into()), ..Outgoing::of(&b"x"[..]) })
            .collect();
        let mut left: Vec<usize> = (0..many.len()).collect();
        assert_eq!((next_call(&many, &mut left).len(), left), (BATCH, vec![10, 11]));
    }
}
