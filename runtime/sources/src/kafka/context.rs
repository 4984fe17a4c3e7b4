//! What the client library calls back: assignments, commits, errors. All on the polling thread.

use super::state::{Partition, Shared};
use pelton_core::ports::Revocation;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, Statistics, TopicPartitionList};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

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
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let little = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.begin(consumer, list);
                let done = if little { consumer.incremental_assign(list) } else { consumer.assign(list) };
                self.assigned(list);
                done
            }
            _ => {
                let leaving = self.leaving(list);
                if consumer.assignment_lost() {
                    self.lose(&leaving);
                } else {
                    self.revoke(consumer, &leaving);
                }
                if little { consumer.incremental_unassign(list) } else { consumer.unassign() }
            }
        };
        if let Err(error) = done {
            let pipeline = &*self.shared.options.pipeline;
            tracing::warn!(pipeline, %error, "the client refuses an assignment of the group");
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
    fn assigned(&self, list: &TopicPartitionList) {
        let mut state = self.shared.state();
        for element in list.elements() {
            let begin = element.offset().to_raw().filter(|offset| *offset >= 0);
            self.assign(&mut state.partitions, element.topic(), element.partition(), begin);
        }
        state.assigned = true;
        state.works();
    }

    fn assign(&self, partitions: &mut Vec<Partition>, topic: &str, number: i32, begin: Option<i64>) {
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
        (partition.begin, partition.first, partition.end) = (begin, None, None);
        let pipeline = &*self.shared.options.pipeline;
        tracing::info!(pipeline, topic, partition = number, "assigned");
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
