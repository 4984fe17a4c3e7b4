//! Sends the messages of an outbox: of each key in order, whatever is refused or away meanwhile.
//!
//! The producer's own order ends where a batch of it is refused as a whole, or where a record is given up for
//! its age while those behind it are young enough. So a gap ends the client here (`Manner::Gapless`), what
//! has not been told in time is taken back all at once, and what was refused goes one by one.

use super::producer::KafkaProducer;
use super::refused::{Refusal, Refused};
use pelton_broker_common::waiting_keys::WaitingKeys;
use pelton_core::broker::{BooksError, Outgoing, Published, Publisher, Sent, Unsent};
use std::time::Duration;

/// How long the brokers may take for a batch: well below the age at which the library gives up single
/// records.
pub const ROUND_TIMEOUT: Duration = Duration::from_secs(15);

/// Sends to the topic of a target, or to the one that each message names.
pub struct KafkaOutbox {
    producer: KafkaProducer,
    topic: String,
}

impl KafkaOutbox {
    pub(super) fn new(producer: KafkaProducer, topic: &str) -> Self {
        Self { producer, topic: topic.to_owned() }
    }
}

impl Publisher for KafkaOutbox {
    fn check(&mut self) -> Result<(), Unsent> {
        if self.topic.is_empty() {
            return Ok(());
        }
        self.producer.partitions(&self.topic).map(drop).map_err(Unsent::for_now)
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        let mut records = Vec::with_capacity(batch.len());
        for message in batch {
            let topic = message.destination.as_deref().unwrap_or(&self.topic);
            records.push(Outgoing { destination: Some(topic.into()), ..message.borrowed() });
        }
        Ok(send(&self.producer, &records))
    }
}

/// Sends a batch. Behind a record that was not taken for now, none of its key was.
fn send(producer: &KafkaProducer, batch: &[Outgoing<'_>]) -> Vec<Published> {
    let first = producer.send_gapless(batch, ROUND_TIMEOUT);
    let is_refused = |sent: &Result<String, Refused>| matches!(sent, Err(why) if why.kind.is_of_a_batch());
    let mut sends_again = first.iter().any(is_refused);
    let mut waiting = WaitingKeys::default();
    let mut results = Vec::with_capacity(batch.len());
    for (message, sent) in batch.iter().zip(first) {
        let result = match sent {
            Ok(id) => Ok(Sent::as_it_is(id)),
            Err(_) if waiting.holds(message) => Err(WaitingKeys::unsent()),
            // The whole batch was refused, or it has only met the end of its client.
            Err(why) if sends_again && (why.kind.is_of_a_batch() || why.kind == Refusal::Passing) => {
                alone(producer, message)
            }
            Err(why) => Err(why.into()),
        };
        // The broker is away by now: nobody waits for that once for each record.
        sends_again &= !matches!(&result, Err(unsent) if !unsent.for_good);
        waiting.note(message, &result);
        results.push(result);
    }
    results
}

fn alone(producer: &KafkaProducer, message: &Outgoing<'_>) -> Published {
    let sent = producer.send(std::slice::from_ref(message)).pop();
    Ok(Sent::as_it_is(sent.unwrap_or_else(|| Err(Refused::passing("it was not sent")))?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::client::Manner;
    use super::*;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    fn record(key: &'static str) -> Outgoing<'static> {
        let key = Some(key.as_bytes().into());
        Outgoing { destination: Some("audit".into()), key, ..Outgoing::of(&b"one"[..]) }
    }

    fn told(sent: Vec<Published>) -> Vec<Result<String, (bool, String)>> {
        let one = |one: Published| one.map(|sent| sent.id).map_err(|why| (why.for_good, why.words));
        sent.into_iter().map(one).collect()
    }

    #[test]
    fn a_batch_that_is_refused_goes_one_by_one_in_its_order() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("audit", 1, 1).unwrap();
        let producer = KafkaProducer::of(Manner::Gapless, &cluster.bootstrap_servers(), &[]).unwrap();
        let all = ["a", "b", "a", "b"].map(record);
        let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
        cluster.request_errors(RDKafkaApiKey::Produce, &[refused]);
        let ids: Vec<String> = (0..4).map(|offset| format!("audit/0/{offset}")).collect();
        let sent = told(send(&producer, &all));
        assert_eq!(sent, ids.iter().cloned().map(Ok).collect::<Vec<_>>());
        let next = told(send(&producer, &all[..1]));
        assert_eq!(next, [Ok("audit/0/4".to_owned())], "by another client");
    }

    #[test]
    fn what_is_not_told_in_time_is_taken_back_and_another_client_goes_on() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("audit", 1, 1).unwrap();
        let producer = KafkaProducer::of(Manner::Gapless, &cluster.bootstrap_servers(), &[]).unwrap();
        let untold = producer.send_gapless(&["a", "a"].map(record), Duration::ZERO);
        assert!(untold.iter().all(|sent| sent.as_ref().is_err_and(|why| why.kind == Refusal::Passing)));
        let sent = told(send(&producer, &[record("a")]));
        assert!(sent[0].is_ok(), "{sent:?}");
    }
}
