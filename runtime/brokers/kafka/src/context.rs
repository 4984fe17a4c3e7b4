//! What the client library calls back: assignments, commits, errors. All on the polling thread.

use super::advice::{advice_for, is_damage, is_of_connection};
use super::beginning::{Beginning, Beginnings};
use super::commit::{commit, turn};
use super::partition::Partition;
use super::state::SourceShared;
use super::topic_id::TopicId;
use crate::points;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, Statistics, TopicPartitionList};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

pub struct Context {
    pub shared: Arc<SourceShared>,
}

impl ClientContext for Context {
    /// What matters of it comes as an error too.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.contain("the client library's log", || self.write_log(level, facility, text));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.contain("an error of the client library", || self.handle_error(&error, reason));
    }

    fn stats(&self, statistics: Statistics) {
        self.contain("the client library's statistics", || self.learn(statistics));
    }
}

/// What comes from the client library, inside of a containment: a panic must not go through its frames.
impl Context {
    fn contain(&self, what: &str, work: impl FnOnce()) {
        self.shared.fuse.contain(what, work).unwrap_or_default();
    }

    fn write_log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        let pipeline = &*self.shared.options.pipeline;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(pipeline, facility, "{text}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                tracing::debug!(pipeline, facility, "{text}")
            }
            _ => {
                self.note_id(text);
                tracing::trace!(pipeline, facility, "{text}");
            }
        }
    }

    fn handle_error(&self, error: &KafkaError, reason: &str) {
        // The end of a partition is no error; the poll tells it too.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let pipeline = &*self.shared.options.pipeline;
        let (mut state, next) = (self.shared.state(), advice_for(error, reason));
        let mut words = format!("{reason}. {next}");
        if is_damage(error) {
            state.damage = Some(reason.to_owned());
            // Of which partition it is the library does not tell.
            words = format!("{reason}, in one of {}. {next}", state.names());
        }
        if state.complain(words.clone(), is_of_connection(error)) {
            drop(state);
            tracing::warn!(pipeline, %error, "Kafka: {words}; it is tried again");
        }
    }

    /// Asked for every few seconds: whether brokers are reached, and where a partition ends behind marks of
    /// transactions, is told by nothing else.
    fn learn(&self, statistics: Statistics) {
        let reached = statistics.brokers.values().any(|broker| broker.state == "UP");
        let mut state = self.shared.state();
        if reached && statistics.cgrp.is_some_and(|group| group.state == "up") {
            state.connected();
        }
        for topic in statistics.topics.values() {
            for told in topic.partitions.values().filter(|told| told.eof_offset >= 0) {
                if let Some((_, partition)) = state.find(&topic.topic, told.partition) {
                    partition.meets(told.eof_offset);
                }
            }
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let heed = || self.heed_assignment(consumer, what, list);
        if self.shared.fuse.contain("an assignment of the group", heed).is_none() {
            // The library waits for it. Nothing of this is read any more.
            drop(consumer.unassign());
        }
    }
}

impl Context {
    fn heed_assignment(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        points::reach("kafka-assign");
        let little = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let beginnings = self.begin(consumer, list);
                let done = if little { consumer.incremental_assign(list) } else { consumer.assign(list) };
                self.assigned(list, &beginnings);
                done
            }
            _ => {
                let leaving = self.leaving(consumer, list);
                let lost = consumer.assignment_lost();
                // Another assignment follows.
                self.shared.state().assigned &= little && !lost;
                if lost {
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

    /// Its id is told before any record of a topic, and again when it is another topic's.
    fn note_id(&self, text: &str) {
        let Some((topic, id)) = TopicId::told_by(text) else { return };
        let mut state = self.shared.state();
        let known = state.topics.entry(topic.to_owned()).or_default();
        if known.id.as_ref() != Some(&id) {
            known.scope = Some(id.scope());
            let is_other = known.id.replace(id).is_some();
            known.anew = false;
            state.renewed = if is_other { Some(Instant::now()) } else { state.renewed };
            self.shared.news.store(true, Ordering::Relaxed);
        }
    }

    fn assigned(&self, list: &TopicPartitionList, beginnings: &Beginnings) {
        let mut state = self.shared.state();
        for element in list.elements() {
            let at = (element.topic().to_owned(), element.partition());
            let nowhere = || Beginning { offset: Offset::Invalid, found: None };
            let beginning = beginnings.get(&at).cloned().unwrap_or_else(nowhere);
            if !self.assign(&mut state.partitions, element.topic(), element.partition(), beginning) {
                state.failed = true;
                self.shared.arrived.notify_one();
            }
        }
        // Not here: a commit that fails in the middle of an assignment leaves the library stuck.
        if beginnings.values().any(|beginning| beginning.found.is_none()) {
            self.shared.announce.store(true, Ordering::Relaxed);
        }
        self.shared.news.store(true, Ordering::Relaxed);
        state.assigned = true;
        state.works();
    }

    /// Whether the ledger has a number for it.
    fn assign(
        &self,
        partitions: &mut Vec<Partition>,
        topic: &str,
        number: i32,
        beginning: Beginning,
    ) -> bool {
        let pipeline = &*self.shared.options.pipeline;
        let Some(id) = self.shared.options.partition(topic, number) else {
            tracing::error!(
                pipeline,
                topic,
                partition = number,
                "more topics or partitions than the ledger has numbers for: the worker stops"
            );
            return false;
        };
        let known = partitions.iter().position(|p| p.number == number && *p.topic == *topic);
        let place = known.unwrap_or_else(|| {
            partitions.push(Partition::new(pipeline, topic.into(), number, id));
            partitions.len() - 1
        });
        partitions[place].assign(beginning);
        tracing::info!(pipeline, topic, partition = number, "assigned");
        true
    }

    /// What is taken back, by number and assignment. Nothing of it is received any more.
    fn leaving(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Vec<(u32, u32)> {
        let mut state = self.shared.state();
        let (mut leaving, mut paused) = (Vec::new(), TopicPartitionList::new());
        for element in list.elements() {
            if let Some((_, partition)) = state.find(element.topic(), element.partition()) {
                partition.leaving = true;
                leaving.push((partition.id, partition.assignment));
                if partition.paused {
                    paused.add_partition(element.topic(), element.partition());
                }
            }
        }
        let ids: Vec<u32> = leaving.iter().map(|(id, _)| *id).collect();
        state.discard(&ids);
        drop(state);
        // The library would keep the pause, and read nothing of them when they come back.
        if let Err(error) = consumer.resume(&paused) {
            tracing::debug!(%error, "partitions that leave could not be resumed");
        }
        leaving
    }

    fn report_revoked(&self, partitions: &[(u32, u32)], lost: bool) {
        self.shared.report_revoked(&mut self.shared.state(), partitions.to_vec(), lost);
    }

    /// They are another member's already: nothing is committed.
    fn lose(&self, leaving: &[(u32, u32)]) {
        tracing::warn!(
            pipeline = %self.shared.options.pipeline, partitions = leaving.len(),
            "partitions were lost: their topic is gone, or the group has not heard of this member for too \
             long. What \
             it had in work is not committed; who has them now handles it again"
        );
        self.end(leaving);
        self.report_revoked(leaving, true);
        // What is on its way has the number of the assignment that was lost, and is refused by it.
        drop(turn(&self.shared));
    }

    /// Waits for what runs, commits, and lets go. The group waits with us, so not for ever.
    fn revoke(&self, consumer: &BaseConsumer<Self>, leaving: &[(u32, u32)]) {
        let pipeline = &*self.shared.options.pipeline;
        let mut waits = Vec::new();
        if !self.shared.state().closing && !leaving.is_empty() {
            self.report_revoked(leaving, false);
            waits = self.wait(leaving);
        }
        commit(consumer, &self.shared, |p| leaving.iter().any(|(id, _)| *id == p.id));
        self.end(leaving);
        if !waits.is_empty() {
            tracing::warn!(
                pipeline,
                partitions = waits.len(),
                "partitions were let go while messages of them were still in work: they are handled again \
                 elsewhere"
            );
            self.report_revoked(&waits, true);
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

    fn end(&self, leaving: &[(u32, u32)]) {
        let mut state = self.shared.state();
        let is_leaving = |p: &&mut Partition| leaving.iter().any(|(id, _)| *id == p.id);
        state.partitions.iter_mut().filter(is_leaving).for_each(|p| (p.ours, p.leaving) = (false, false));
    }
}
