//! Where partitions end: for readers of committed records that is before the first open transaction, and
//! records may lie behind it.

use super::advice::advice;
use super::context::Context;
use super::options::KafkaOptions;
use super::partition::Partition;
use super::state::SourceShared;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the broker may take to say where the partitions end.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// The client library wants a name of every consumer; nothing is committed with this one.
const NO_GROUP: &str = "pelton-ends";

/// A partition, by topic and number.
pub type At = (String, i32);

/// One past the last record of each partition, open transactions included.
pub type Ends = BTreeMap<At, i64>;

/// Asks for the first offsets of partitions (`Offset::Beginning`), or for the ends that they have for this
/// client (`Offset::End`): each broker is asked once for all that it leads. Some may have no leader to say
/// it.
pub fn ask<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[At],
    which: Offset,
    patience: Duration,
) -> KafkaResult<BTreeMap<At, KafkaResult<i64>>> {
    let mut asked = TopicPartitionList::new();
    for (topic, number) in partitions {
        // For the broker both are times: that of what has not come yet, and one before all others.
        asked.add_partition_offset(topic, *number, which)?;
    }
    if asked.count() == 0 {
        return Ok(BTreeMap::new());
    }
    let found = consumer.offsets_for_times(asked, patience)?;
    let told = |element: &TopicPartitionListElem<'_>| {
        element.error()?;
        match element.offset() {
            Offset::Offset(offset) => Ok(offset),
            _ => Err(KafkaError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable)),
        }
    };
    let one = |element: &TopicPartitionListElem<'_>| {
        ((element.topic().to_owned(), element.partition()), told(element))
    };
    Ok(found.elements().iter().map(one).collect())
}

/// The ends that partitions have for this client. Those that a broker does not tell are not among them.
fn ends<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[At],
    patience: Duration,
) -> KafkaResult<Ends> {
    let told = ask(consumer, partitions, Offset::End, patience)?;
    Ok(told.into_iter().filter_map(|(at, end)| Some((at, end.ok()?))).collect())
}

/// Where partitions begin and end.
pub struct Bounds {
    firsts: BTreeMap<At, KafkaResult<i64>>,
    ends: BTreeMap<At, KafkaResult<i64>>,
}

impl Bounds {
    /// Asks each broker twice, whatever it leads.
    pub fn ask<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
        partitions: &[At],
        patience: Duration,
    ) -> KafkaResult<Self> {
        let firsts = ask(consumer, partitions, Offset::Beginning, patience)?;
        Ok(Self { firsts, ends: ask(consumer, partitions, Offset::End, patience)? })
    }

    /// The first offset of one, and the one after its last.
    pub fn of(&self, at: &At) -> KafkaResult<(i64, i64)> {
        let unsaid = || Err(KafkaError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable));
        let told = |all: &BTreeMap<At, KafkaResult<i64>>| all.get(at).cloned().unwrap_or_else(unsaid);
        Ok((told(&self.firsts)?, told(&self.ends)?))
    }
}

/// The ends of partitions for who sees what open transactions have written, where that is another client.
pub fn open_ends(
    client: Option<&BaseConsumer>,
    partitions: &[At],
    patience: Duration,
) -> KafkaResult<Ends> {
    client.map(|client| ends(client, partitions, patience)).transpose().map(Option::unwrap_or_default)
}

/// A client that sees what open transactions have written; none where that is what every client here sees.
pub fn of_all(config: &ClientConfig) -> KafkaResult<Option<BaseConsumer>> {
    if config.get("isolation.level") == Some("read_uncommitted") {
        return Ok(None);
    }
    let mut config = config.clone();
    config.set("isolation.level", "read_uncommitted");
    if config.get("group.id").is_none() {
        config.set("group.id", NO_GROUP);
    }
    config.create().map(Some)
}

/// Learns the ends of the partitions that have been assigned: `--until-empty` goes so far.
#[derive(Default)]
pub struct Learner {
    of_all: Option<BaseConsumer>,
}

impl Learner {
    /// Asks for the ends that are not known, and again for those before which a transaction is open.
    pub fn learn(&mut self, consumer: &BaseConsumer<Context>, shared: &SourceShared) {
        let of = |wanted: &dyn Fn(&Partition) -> bool| -> Vec<(String, i32)> {
            let state = shared.state();
            let asked = state.partitions.iter().filter(|p| state.wants_ends && p.ours && wanted(p));
            asked.map(|p| (p.topic.to_string(), p.number)).collect()
        };
        let (new, open) = (of(&|p| p.end.is_none()), of(&|p| p.open));
        if new.is_empty() && open.is_empty() {
            return;
        }
        // In this order: what is written between the two is not taken for a transaction.
        let asked = self.all(shared, &new).and_then(|all| {
            let stable = ends(consumer, &[new, open].concat(), REQUEST_TIMEOUT)?;
            Ok((all, stable))
        });
        match asked {
            Ok((all, stable)) => note(shared, all, &stable),
            Err(error) => {
                tracing::debug!(pipeline = %shared.options.pipeline, %error, "the broker does not say \
                    where the partitions end ({}); it is asked again", advice(&error));
            }
        }
    }

    /// Where a partition ends, if that is behind the end that this client sees.
    pub fn behind(
        &mut self,
        shared: &SourceShared,
        topic: &str,
        number: i32,
        stable: i64,
    ) -> KafkaResult<i64> {
        let at = (topic.to_owned(), number);
        let all = self.all(shared, std::slice::from_ref(&at))?;
        Ok(all.and_then(|all| all.get(&at).copied()).map_or(stable, |end| end.max(stable)))
    }

    /// None where every client sees the same.
    fn all(
        &mut self,
        shared: &SourceShared,
        partitions: &[(String, i32)],
    ) -> Result<Option<Ends>, KafkaError> {
        if partitions.is_empty() {
            return Ok(None);
        }
        if self.of_all.is_none() {
            let options = &shared.options;
            self.of_all =
                of_all(&KafkaOptions::connection(&options.bootstrap_servers, &options.librdkafka))?;
        }
        self.of_all.as_ref().map(|client| ends(client, partitions, REQUEST_TIMEOUT)).transpose()
    }
}

fn note(shared: &SourceShared, all: Option<Ends>, stable: &Ends) {
    let mut state = shared.state();
    let mut behind = 0;
    for ((topic, number), stable) in stable {
        let Some((_, partition)) = state.find(topic, *number) else { continue };
        let end = all.as_ref().map_or(Some(stable), |all| all.get(&(topic.clone(), *number)));
        let Some(end) = partition.end.or(end.copied()) else { continue };
        if partition.end.is_none() && *stable < end {
            behind += u64::try_from(end - stable).unwrap_or(0);
        }
        partition.learn(end, *stable);
    }
    drop(state);
    if behind > 0 {
        tracing::warn!(
            pipeline = %shared.options.pipeline, offsets = behind,
            "records are behind an open transaction, and nobody may read them before it ends: the worker \
             is not empty \
             until then"
        );
    }
}
