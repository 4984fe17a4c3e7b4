//! Our side: a member of a group, with the whole engine behind it.

use super::Done;
use super::topic::Topic;
use crate::args::Setup;
use crate::load::Load;
use crate::ours::{Dedup, End, MAX_IN_FLIGHT, MAX_IN_FLIGHT_BYTES, NAME, Ours};
use anyhow::Result;
use pelton_core::broker::KnownTopic;
use pelton_kafka::{KafkaOptions, KafkaSource, Order};
use std::sync::Arc;
use std::time::Duration;

/// Reads the topic to its end.
pub fn drain(setup: &Setup, topic: &Topic, ours: &Ours, load: Load, order: Order) -> Result<Done> {
    let dir = tempfile::tempdir_in(&setup.work_dir)?;
    let drained = ours.run(dir.path(), load, Dedup::MessageId, End::Empty, |store, ledger| {
        let number = store.topic_number(NAME, &topic.name())?;
        let forgets = ledger.clone();
        let source = KafkaSource::open(KafkaOptions {
            pipeline: NAME.into(),
            bootstrap_servers: topic.broker.address.clone(),
            topics: vec![(topic.name(), number)],
            group_id: topic.group(),
            auto_offset_reset: "earliest".to_owned(),
            has_read: false,
            out_of_range: "stop".to_owned(),
            group_protocol: "classic".to_owned(),
            order,
            librdkafka: Vec::new(),
            max_buffered: MAX_IN_FLIGHT,
            max_buffered_bytes: MAX_IN_FLIGHT_BYTES,
            max_uncommitted: 1_000_000,
            revoke_timeout: Duration::from_secs(30),
            forget: Arc::new(move |partition| forgets.forget_positions(partition)),
            settled: Arc::new(move |partition, offset| ledger.settled_before(partition, offset)),
            topic_is: Arc::new(|_, _| Some(KnownTopic::default())),
            completed: Arc::new(|_, _| Some(0)),
            is_done: Arc::new(|_, _| false),
        })?;
        Ok(Arc::new(source))
    })?;
    Ok((drained.delivered, drained.handling))
}
