//! Partitions that have come, and topics that were made again: what the library has said of their ids is
//! compared with what the group and the ledger knew, before any of their records is taken in.
//!
//! A topic of another id is another topic, whatever its name: what is in work of the old one is finished, the
//! ledger forgets it, and the new one is read from its beginning.

use super::beginning::{Beginning, Found, ends_of, fail};
use super::context::Context;
use super::ends::At;
use super::partition::Partition;
use super::reassign::read_from;
use super::state::{SourceShared, SourceState};
use super::topic_id::{CommitMark, TopicId, scope_without_id};
use pelton_core::broker::KnownTopic;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two times that the ledger is asked, when it cannot write.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// How long a broker may take to name its cluster: it has done so with the topics, if it ever does.
const CLUSTER: Duration = Duration::from_secs(1);

/// Where a partition is to be read, now that its topic is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StartAt {
    /// Where it is.
    Here,
    /// At what the group has committed to this topic.
    Committed(i64),
    /// At its beginning: what was known of it is of another topic.
    Beginning,
}

impl StartAt {
    /// `anew` says that the topic was another when this process, or one before it, last knew its id.
    fn of(partition: &Partition, id: &TopicId, anew: bool) -> Self {
        let others = anew || partition.topic_id.as_ref().is_some_and(|known| known != id);
        match &partition.found {
            Some(Found { offset, mark: CommitMark::Ours(Some(of)) }) => {
                let moved = partition.start != Offset::Offset(*offset);
                match (of == id, moved) {
                    (true, true) => Self::Committed(*offset),
                    (true, false) => Self::Here,
                    (false, _) => Self::Beginning,
                }
            }
            // Who has committed does not say to which topic.
            _ if others => Self::Beginning,
            _ => Self::Here,
        }
    }
}

/// Looks at the topics of which there is something new. `polled` is the topic of the record that was polled
/// with it: whether that record is to be dropped, since its partition is read from elsewhere now.
pub fn look(consumer: &BaseConsumer<Context>, shared: &SourceShared, polled: Option<&str>) -> bool {
    let (mut open, mut dropped) = (false, false);
    for (topic, _) in &shared.options.topics {
        let (id, was_read) = {
            let state = shared.state();
            let id = state.topics.get(topic).and_then(|known| known.id.clone());
            let mut of_topic = state.partitions.iter().filter(|p| *p.topic == **topic);
            if !of_topic.clone().any(|p| is_new(p, id.as_ref())) {
                continue;
            }
            (id, polled == Some(topic) || of_topic.any(Partition::was_read))
        };
        // The id comes before anything is read, if the broker has one at all.
        let waits = id.is_none() && !was_read;
        if waits || id.as_ref().is_some_and(|id| is_in_work(shared, topic, id)) {
            open = true;
        } else if judge(consumer, shared, topic, id.as_ref()) {
            dropped |= polled == Some(topic);
        }
    }
    shared.news.store(open, Ordering::Relaxed);
    dropped
}

/// Whether it was not looked at yet, or was as a part of another topic.
fn is_new(partition: &Partition, id: Option<&TopicId>) -> bool {
    partition.ours && (!partition.judged || (id.is_some() && partition.topic_id.as_ref() != id))
}

/// Takes back what was received of another topic of this name, and says whether some of it is still in work.
fn is_in_work(shared: &SourceShared, topic: &str, id: &TopicId) -> bool {
    let mut state = shared.state();
    let is_of_old = |p: &&mut Partition| {
        let old = p.topic_id.as_ref().is_some_and(|known| known != id);
        *p.topic == *topic && p.takes() && old && p.received()
    };
    let mut ended = Vec::new();
    for partition in state.partitions.iter_mut().filter(is_of_old) {
        partition.go();
        ended.push((partition.id, partition.assignment));
    }
    if !ended.is_empty() {
        let ids: Vec<u32> = ended.iter().map(|(id, _)| *id).collect();
        state.discard(&ids);
        state.topics.entry(topic.to_owned()).or_default().since = Some(Instant::now());
        shared.report_revoked(&mut state, ended, false);
    }
    let mut waits = Vec::new();
    for partition in state.partitions.iter().filter(|p| *p.topic == *topic && p.ours && p.gone && p.leaving)
    {
        waits.push((partition.id, partition.assignment));
    }
    let since = state.topics.get(topic).and_then(|known| known.since);
    if waits.is_empty() || since.is_none_or(|since| since.elapsed() < shared.options.revoke_timeout) {
        return !waits.is_empty();
    }
    tracing::warn!(
        pipeline = %shared.options.pipeline, topic, partitions = waits.len(),
        "messages of the topic that was deleted are still in work: what becomes of them is not noted"
    );
    state.let_go(&waits.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    shared.report_revoked(&mut state, waits, true);
    false
}

/// Compares, and reads on where it is right; whether partitions are read from elsewhere now.
fn judge(
    consumer: &BaseConsumer<Context>,
    shared: &SourceShared,
    topic: &str,
    id: Option<&TopicId>,
) -> bool {
    if id.is_none() {
        let cluster = consumer.client().fetch_cluster_id(CLUSTER);
        let scope = scope_without_id(cluster, &shared.options.bootstrap_servers, topic);
        shared.state().topics.entry(topic.to_owned()).or_default().scope.get_or_insert(scope);
    }
    // None when the source closes meanwhile.
    let Some(before) = id.map_or_else(|| Some(KnownTopic::default()), |id| meet(shared, topic, id)) else {
        return true;
    };
    let places = decide(shared, topic, id, &before);
    if places.is_empty() {
        return false;
    }
    let from = offsets(consumer, shared, topic, &places);
    let change = |state: &mut SourceState| {
        for ((number, place), (_, offset)) in places.iter().zip(&from) {
            if let Some((_, partition)) = state.find(topic, *number) {
                read_again(partition, id, *place, *offset);
            }
        }
    };
    if let Err(error) = read_from(consumer, shared, topic, &from, change) {
        tracing::error!(
            pipeline = %shared.options.pipeline, topic, %error,
            "the topic was made anew, and reading could not go on at its beginning: the worker stops. \
             Start it again"
        );
        fail(shared);
    }
    // That it is read from there is known to the broker before anything of it is handled.
    shared.announce.store(true, Ordering::Relaxed);
    true
}

fn offsets(
    consumer: &BaseConsumer<Context>,
    shared: &SourceShared,
    topic: &str,
    places: &[(i32, StartAt)],
) -> Vec<(i32, Offset)> {
    let at = |number: i32| (topic.to_owned(), number);
    let begins = |(number, place): &(i32, StartAt)| {
        matches!(place, StartAt::Here | StartAt::Beginning).then(|| at(*number))
    };
    let asked: Vec<At> = places.iter().filter_map(begins).collect();
    let firsts = ends_of(consumer, shared, &asked, false);
    let offset = |(number, place): &(i32, StartAt)| match place {
        StartAt::Committed(offset) => (*number, Offset::Offset(*offset)),
        StartAt::Here | StartAt::Beginning => {
            (*number, firsts.get(&at(*number)).copied().unwrap_or(Offset::Beginning))
        }
    };
    places.iter().map(offset).collect()
}

fn read_again(partition: &mut Partition, id: Option<&TopicId>, place: StartAt, offset: Offset) {
    let found = partition.found.take().filter(|_| matches!(place, StartAt::Committed(_)));
    partition.assign(Beginning { offset, found });
    (partition.topic_id, partition.judged) = (id.cloned(), true);
}

/// Tells the ledger the id of a topic.
fn meet(shared: &SourceShared, topic: &str, id: &TopicId) -> Option<KnownTopic> {
    let number = shared.options.topic(topic)?;
    until_noted(shared, || (shared.options.topic_is)(number, id.as_str()))
}

/// The ledger forgets a partition: how many ranges it had of it. None when the source closes meanwhile.
pub fn forget(shared: &SourceShared, partition: u32) -> Option<usize> {
    until_noted(shared, || (shared.options.forget)(partition))
}

/// Asks the ledger until it has answered: what it remembers would hide records.
fn until_noted<T>(shared: &SourceShared, ask: impl Fn() -> Option<T>) -> Option<T> {
    loop {
        if let Some(noted) = ask() {
            return Some(noted);
        }
        let mut state = shared.state();
        if state.closing {
            return None;
        }
        if state.complain("the ledger cannot be written".to_owned(), false) {
            tracing::warn!(pipeline = %shared.options.pipeline, "the ledger cannot forget what it knew of \
                a partition yet: nothing of it is received");
        }
        // Woken when the source closes.
        drop(shared.released.wait_timeout(state, RETRY_INTERVAL));
    }
}

/// Where partitions of a topic are to be read from now on, of those that are not where they should be. The
/// others are taken in from here on.
fn decide(
    shared: &SourceShared,
    topic: &str,
    id: Option<&TopicId>,
    before: &KnownTopic,
) -> Vec<(i32, StartAt)> {
    let mut state = shared.state();
    let known = state.topics.entry(topic.to_owned()).or_default();
    known.met |= before.met;
    known.former_group = known.former_group.take().or_else(|| before.former_group.clone());
    let (anew, met, former) = (known.anew || before.other, known.met, known.former_group.clone());
    let (mut places, mut new, mut stay, mut kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for partition in state.partitions.iter_mut().filter(|p| *p.topic == *topic && is_new(p, id)) {
        match id.map_or(StartAt::Here, |id| StartAt::of(partition, id, anew)) {
            StartAt::Here => {
                (partition.judged, partition.topic_id) = (true, id.cloned());
                match &partition.found {
                    Some(found) if found.mark == CommitMark::Foreign || former.is_some() => {
                        stay.push((partition.id, partition.number, found.offset))
                    }
                    Some(_) => {}
                    // The ledger knows this topic, with this group: what it has of it is true.
                    None if id.is_some() && met && former.is_none() => {
                        kept.push((partition.id, partition.number, partition.begin.unwrap_or_default()));
                    }
                    None => new.push((partition.id, partition.number)),
                }
            }
            place => places.push((partition.number, place)),
        }
    }
    let from_others = places.iter().any(|(_, place)| *place == StartAt::Beginning);
    if before.other || from_others {
        state.renewed = Some(Instant::now());
    }
    let news = (before.other || from_others) && !anew_said(&mut state, topic);
    drop(state);
    if news {
        say_anew(shared, topic, id, from_others);
    }
    for (id, number) in new {
        forget_new(shared, topic, id, number);
    }
    if met {
        let why = former.map_or_else(
            || "somebody else has set the group's offset here".to_owned(),
            |group| format!("this pipeline has read with the group `{group}` since"),
        );
        say_set_back(shared, topic, &stay, &why);
        kept.retain(|(id, _, offset)| completed(shared, *id, *offset) > Some(0));
        say_set_back(shared, topic, &kept, "the group has no committed offset here any more");
    }
    places
}

/// Whether it was said of this topic already; it is from now on.
fn anew_said(state: &mut SourceState, topic: &str) -> bool {
    std::mem::replace(&mut state.topics.entry(topic.to_owned()).or_default().anew, true)
}

fn say_anew(shared: &SourceShared, topic: &str, id: Option<&TopicId>, from_its_beginning: bool) {
    let then = if from_its_beginning {
        "and it is read from its beginning"
    } else {
        "and it is read from where the group is in the new one"
    };
    tracing::warn!(
        pipeline = %shared.options.pipeline, topic, id = id.map_or("", TopicId::as_str),
        "the topic was deleted and made anew: what the ledger knew of the old one is forgotten, {then}"
    );
}

/// A partition without a committed offset is new to a group that has not read the topic of this id: a topic
/// that was made anew counts its offsets from 0, and of one without an id it is not known. Nothing of it
/// may be hidden.
fn forget_new(shared: &SourceShared, topic: &str, id: u32, partition: i32) {
    if forget(shared, id).is_some_and(|ranges| ranges > 0) {
        tracing::warn!(
            pipeline = %shared.options.pipeline, topic, partition,
            "the group has no committed offset here, and the ledger has completed ones: the topic was made \
             anew, or the group is another. The ledger forgets them too, so that nothing is hidden"
        );
    }
}

fn completed(shared: &SourceShared, id: u32, offset: i64) -> Option<u64> {
    u64::try_from(offset).ok().and_then(|offset| (shared.options.completed)(id, offset))
}

/// Says that the group is before what is done, where that is no crash's doing: an operator may have wanted it
/// to be handled again.
fn say_set_back(shared: &SourceShared, topic: &str, partitions: &[(u32, i32, i64)], why: &str) {
    let options = &shared.options;
    let mut behind = partitions.iter().filter_map(|(id, number, offset)| {
        let done = completed(shared, *id, *offset);
        (done != Some(0)).then_some((*number, *offset, done))
    });
    let Some((partition, offset, done)) = behind.next() else { return };
    let others = behind.count();
    // Of what is known by keys it is not known where it was.
    let which = done.map_or_else(
        || ": records with keys that the ledger has completed".to_owned(),
        |done| format!(", and the ledger has completed {done} records from there on: they"),
    );
    let pipeline = &*options.pipeline;
    tracing::warn!(
        pipeline,
        topic,
        partition,
        offset,
        others,
        "{why}{which} are duplicates, and pass without being handled. \
         To handle them again: `pelton replay {pipeline} --from-offset {topic}/{partition}:{offset} \
         --redo`, or for single \
         ones `pelton ledger forget {pipeline} KEY`"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(letter: char) -> TopicId {
        let line = format!("Topic t changed id from 0 to {}", letter.to_string().repeat(22));
        TopicId::told_by(&line).expect("it is one").1
    }

    fn assigned(found: Option<(i64, CommitMark)>) -> Partition {
        let mut partition = Partition::new("p", "t".into(), 0, 0);
        let found = found.map(|(offset, mark)| Found { offset, mark });
        let offset = Offset::Offset(found.as_ref().map_or(90, |found| found.offset));
        partition.assign(Beginning { offset, found });
        partition
    }

    #[test]
    fn an_offset_of_another_topic_is_no_place_to_begin() {
        let (old, new) = (id('o'), id('n'));
        let ours = |of: &TopicId| Some((7, CommitMark::Ours(Some(of.clone()))));
        for (found, known, anew, place) in [
            (None, None, false, StartAt::Here),
            (None, None, true, StartAt::Beginning),
            (None, Some(&old), false, StartAt::Beginning),
            (Some((7, CommitMark::Foreign)), None, false, StartAt::Here),
            (Some((7, CommitMark::Foreign)), None, true, StartAt::Beginning),
            (Some((7, CommitMark::Foreign)), Some(&old), false, StartAt::Beginning),
            (Some((7, CommitMark::Ours(None))), None, false, StartAt::Here),
            (ours(&old), None, false, StartAt::Beginning),
            (ours(&old), Some(&old), true, StartAt::Beginning),
            // Another member was there before.
            (ours(&new), None, true, StartAt::Here),
            (ours(&new), Some(&old), false, StartAt::Here),
        ] {
            let mut partition = assigned(found.clone());
            partition.topic_id = known.cloned();
            assert_eq!(StartAt::of(&partition, &new, anew), place, "{found:?} {known:?} {anew}");
        }
        let mut moved = assigned(ours(&new));
        moved.start = Offset::Offset(0);
        assert_eq!(StartAt::of(&moved, &new, false), StartAt::Committed(7));
    }
}
