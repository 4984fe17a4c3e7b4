//! What the client library calls back: assignments, commits, errors. All on the polling thread.

use super::state::{Partition, Shared};
use pelton_core::ports::Revocation;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, Statistics, TopicPartitionList};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How long the broker may take to say what is committed.
const ASK: Duration = Duration::from_secs(5);

pub struct Context {
    pub shared: Arc<Shared>,
}

impl ClientContext for Context {
    /// The library's own log: what matters of it comes as an error too.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        let pipeline = &*self.shared.options.pipeline;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(pipeline, facility, "{text}");
            }
            _ => tracing::debug!(pipeline, facility, "{text}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is no error; the poll tells it too.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let pipeline = &*self.shared.options.pipeline;
        let what = advice(&error);
        if self.shared.state().complain(format!("{reason}. {what}"), is_of_connection(&error)) {
            tracing::warn!(pipeline, %error, "Kafka: {reason}. {what}; it is tried again");
        }
    }

    /// Asked for every few seconds: whether brokers are reached is told by nothing else.
    fn stats(&self, statistics: Statistics) {
        let reached = statistics.brokers.values().any(|broker| broker.state == "UP");
        if reached && statistics.cgrp.is_some_and(|group| group.state == "up") {
            self.shared.state().connected();
        }
    }
}

/// Whether it is over once the brokers are reached.
pub fn is_of_connection(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::SSL
        )
    )
}

/// What to do about an error of the client.
pub fn advice(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure) => {
            "Check `bootstrap_servers` and that the broker runs"
        }
        Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
            "Check the user name and password in `librdkafka`"
        }
        Some(RDKafkaErrorCode::SSL) => "Check `ssl.ca.location` and the certificates in `librdkafka`",
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            "Make the topic, or correct `topics`"
        }
        Some(RDKafkaErrorCode::FencedInstanceId) => {
            "Another member has the same `group.instance.id`: give each worker its own"
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed) => {
            "Allow this user to read the topic and to use the group"
        }
        _ => "See the broker's log",
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let leaving = self.leaving(list);
            if consumer.assignment_lost() {
                self.lose(&leaving);
            } else {
                self.revoke(consumer, &leaving);
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            self.forget_strangers(consumer, list);
            let mut state = self.shared.state();
            for element in list.elements() {
                self.assign(&mut state.partitions, element.topic(), element.partition());
            }
            state.assigned = true;
            state.works();
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let Err(error) = result else { return };
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) {
            return;
        }
        tracing::warn!(
            pipeline = %self.shared.options.pipeline, %error,
            "offsets could not be committed; newer ones are tried again. What they cover is known to the ledger"
        );
        let mut state = self.shared.state();
        for element in offsets.elements() {
            if let Some((_, partition)) = state.find(element.topic(), element.partition()) {
                partition.committed = None;
            }
        }
    }
}

impl Context {
    fn assign(&self, partitions: &mut Vec<Partition>, topic: &str, number: i32) {
        let known = partitions.iter().position(|p| p.number == number && *p.topic == *topic);
        let place = known.unwrap_or_else(|| {
            let id = self.shared.options.partition(topic, number).unwrap_or(0);
            partitions.push(Partition::new(topic.into(), number, id));
            partitions.len() - 1
        });
        let partition = &mut partitions[place];
        partition.assignment += 1;
        (partition.ours, partition.leaving, partition.paused, partition.at_end) =
            (true, false, false, false);
        (partition.position, partition.committed, partition.fetched) = (None, None, None);
        (partition.first, partition.end) = (None, None);
        let pipeline = &*self.shared.options.pipeline;
        tracing::info!(pipeline, topic, partition = number, "assigned");
    }

    /// A partition without a committed offset is new to the group, whatever the ledger has of one of
    /// that name: a topic that was deleted and made again counts its offsets from 0. Nothing of it may
    /// be hidden. (The same is seen when the broker has let the group's offsets expire; then what the
    /// ledger knew is handled again, which is said.)
    fn forget_strangers(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let committed = match consumer.committed_offsets(list.clone(), ASK) {
            Ok(committed) => committed,
            Err(error) => {
                let pipeline = &*self.shared.options.pipeline;
                return tracing::warn!(pipeline, %error, "the broker does not say what is committed");
            }
        };
        let mut beginnings = TopicPartitionList::new();
        for element in committed.elements().iter().filter(|e| e.offset() == Offset::Invalid) {
            self.note_beginning(consumer, element.topic(), element.partition(), &mut beginnings);
            let Some(id) = self.shared.options.partition(element.topic(), element.partition()) else {
                continue;
            };
            if (self.shared.options.forget)(id).is_some_and(|ranges| ranges > 0) {
                tracing::warn!(
                    pipeline = %self.shared.options.pipeline, topic = element.topic(), partition = element.partition(),
                    "the group has no committed offset here, and the ledger has completed ones: the topic was made \
                     anew, or the broker has forgotten the group. The ledger forgets them too, so that nothing is hidden"
                );
            }
        }
        // Known from now on: what is completed before the first commit is not forgotten after a crash.
        if beginnings.count() > 0
            && let Err(error) = consumer.commit(&beginnings, CommitMode::Sync)
        {
            let pipeline = &*self.shared.options.pipeline;
            tracing::warn!(pipeline, %error, "where the group begins could not be committed");
        }
    }

    /// Where the group begins in a partition that is new to it.
    fn note_beginning(
        &self,
        consumer: &BaseConsumer<Self>,
        topic: &str,
        number: i32,
        beginnings: &mut TopicPartitionList,
    ) {
        let reset = self.shared.options.auto_offset_reset.as_str();
        if let Ok((first, end)) = consumer.fetch_watermarks(topic, number, ASK)
            && reset != "error"
        {
            let offset = Offset::Offset(if reset == "latest" { end } else { first });
            // An offset that is not in the list is only not committed.
            drop(beginnings.add_partition_offset(topic, number, offset));
        }
    }

    /// What is taken back, by number and assignment. Nothing of it is received any more.
    fn leaving(&self, list: &TopicPartitionList) -> Vec<(u32, u32)> {
        let mut state = self.shared.state();
        let mut leaving = Vec::new();
        for element in list.elements() {
            if let Some((_, partition)) = state.find(element.topic(), element.partition()) {
                partition.leaving = true;
                leaving.push((partition.id, partition.assignment));
            }
        }
        let ids: Vec<u32> = leaving.iter().map(|(id, _)| *id).collect();
        state.discard(&ids);
        leaving
    }

    fn tell(&self, partitions: &[(u32, u32)], lost: bool) {
        let revocation = Revocation { partitions: partitions.to_vec(), lost };
        self.shared.state().revocations.push_back(revocation);
        self.shared.taken_back.notify_one();
    }

    /// They are another member's already: nothing is committed.
    fn lose(&self, leaving: &[(u32, u32)]) {
        tracing::warn!(
            pipeline = %self.shared.options.pipeline, partitions = leaving.len(),
            "partitions were lost: the group has not heard of this member for too long. What it had in \
             work is not committed; who has them now handles it again"
        );
        self.end(leaving);
        self.tell(leaving, true);
    }

    /// Waits for what runs, commits, and lets go. The group waits with us, so not for ever.
    fn revoke(&self, consumer: &BaseConsumer<Self>, leaving: &[(u32, u32)]) {
        let pipeline = &*self.shared.options.pipeline;
        let mut waits = Vec::new();
        if !self.shared.state().closing && !leaving.is_empty() {
            self.tell(leaving, false);
            waits = self.wait(leaving);
        }
        self.commit(consumer, leaving);
        self.end(leaving);
        if !waits.is_empty() {
            tracing::warn!(
                pipeline,
                partitions = waits.len(),
                "partitions were let go while messages of them were still in work: they are handled again elsewhere"
            );
            self.tell(&waits, true);
        }
        tracing::info!(pipeline, partitions = leaving.len(), "revoked");
    }

    /// Until all are let go, or time is up; what has not been.
    fn wait(&self, leaving: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let until = Instant::now() + self.shared.options.revoke_timeout;
        let mut state = self.shared.state();
        loop {
            let is_in = |id: u32| state.partitions.iter().any(|p| p.id == id && p.leaving);
            let waits: Vec<(u32, u32)> = leaving.iter().copied().filter(|(id, _)| is_in(*id)).collect();
            let left = until.saturating_duration_since(Instant::now());
            if waits.is_empty() || left.is_zero() || state.closing {
                return waits;
            }
            let woken = self.shared.released.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn commit(&self, consumer: &BaseConsumer<Self>, leaving: &[(u32, u32)]) {
        let list = positions(&self.shared, true, |p| leaving.iter().any(|(id, _)| *id == p.id));
        if list.count() == 0 {
            return;
        }
        if let Err(error) = consumer.commit(&list, CommitMode::Sync) {
            tracing::warn!(
                pipeline = %self.shared.options.pipeline, %error,
                "offsets could not be committed before partitions were let go: some of what was completed is delivered again"
            );
        }
    }

    fn end(&self, leaving: &[(u32, u32)]) {
        let mut state = self.shared.state();
        let is_leaving = |p: &&mut Partition| leaving.iter().any(|(id, _)| *id == p.id);
        state.partitions.iter_mut().filter(is_leaving).for_each(|p| (p.ours, p.leaving) = (false, false));
    }
}

/// The offsets to commit, and from now on given to the broker: those that are new, or `all`, since one
/// that was given may not have arrived.
pub fn positions(shared: &Shared, all: bool, of: impl Fn(&Partition) -> bool) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    let mut state = shared.state();
    for partition in state.partitions.iter_mut().filter(|p| p.ours && of(p)) {
        if let Some(position) = partition.position
            && (all || partition.committed != Some(position))
            && list
                .add_partition_offset(&partition.topic, partition.number, Offset::Offset(position))
                .is_ok()
        {
            partition.committed = Some(position);
        }
    }
    list
}
