//! What the polling thread and the pipeline's task share.

use super::options::KafkaOptions;
use super::partition::Partition;
use super::receipt::Ticket;
use super::topic_id::TopicId;
use pelton_broker_common::fuse::Fuse;
use pelton_broker_common::log_throttle::{LogThrottle, SAY_AGAIN};
use pelton_core::ports::{ErrorClass, Revocation, Scope};
use pelton_core::{Delivery, Receipt};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// For so long refusals are of a topic that was made anew.
const RENEWED: Duration = Duration::from_secs(60);

/// Partitions that a line names.
const NAMED: usize = 5;

pub struct SourceShared {
    pub options: KafkaOptions,
    state: Mutex<SourceState>,
    /// What a panic of a thread, or of a callback, blows.
    pub fuse: Fuse,
    /// Whose turn it is to commit.
    pub turn: Mutex<()>,
    /// Commits that were refused.
    pub uncommitted: LogThrottle,
    /// Partitions have come that are new to the group: where it begins there is to be committed.
    pub announce: AtomicBool,
    /// Partitions have come, or the id of a topic was told: they are to be looked at before anything else.
    pub news: AtomicBool,
    /// There is something to receive, or the source is closing.
    pub arrived: Notify,
    /// There is a revocation to be told.
    pub taken_back: Notify,
    /// Partitions were let go, or the source is closing.
    pub released: Condvar,
    /// Something was received, or the source is closing.
    pub taken: Condvar,
}

/// Whether more may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchRoom {
    Some,
    Full,
    Closing,
}

impl SourceShared {
    pub fn new(options: KafkaOptions) -> Self {
        let state = Mutex::default();
        Self {
            options,
            state,
            fuse: Fuse::default(),
            turn: Mutex::default(),
            uncommitted: LogThrottle::default(),
            announce: AtomicBool::new(false),
            news: AtomicBool::new(false),
            arrived: Notify::new(),
            taken_back: Notify::new(),
            released: Condvar::new(),
            taken: Condvar::new(),
        }
    }

    /// Whether there is room in the buffer. Waits for it for `patience`, unless all is paused already: what
    /// a pause throws away is fetched again after it.
    pub fn room(&self, patience: Duration) -> FetchRoom {
        let full = |s: &SourceState| s.is_full(&self.options);
        let mut state = self.state();
        if full(&state) && state.partitions.iter().any(|p| p.ours && !p.paused) {
            let waits = |s: &mut SourceState| full(s) && !s.closing;
            let waited = self.taken.wait_timeout_while(state, patience, waits);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match (state.closing, full(&state)) {
            (true, _) => FetchRoom::Closing,
            (false, true) => FetchRoom::Full,
            (false, false) => FetchRoom::Some,
        }
    }

    /// Tells the pipeline of partitions that are taken back.
    pub fn report_revoked(&self, state: &mut SourceState, partitions: Vec<(u32, u32)>, lost: bool) {
        state.revocations.push_back(Revocation { partitions, lost });
        self.taken_back.notify_one();
    }

    /// Held for moments only: by the poll for each record, by the task for each batch.
    pub fn state(&self) -> MutexGuard<'_, SourceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of the consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Group {
    /// Nothing: nobody had to ask.
    #[default]
    Unknown,
    /// It has committed offsets.
    HasRead,
    /// It had none when it was asked for; there were these partitions then.
    New(BTreeSet<(String, i32)>),
}

/// What is known of a topic.
#[derive(Debug, Default)]
pub struct Topic {
    /// As the library has told.
    pub id: Option<TopicId>,
    /// What numbers its records, once that is known: before any of them is taken in.
    pub scope: Option<Scope>,
    /// The group began with another topic of this name, and that was said.
    pub anew: bool,
    /// The ledger had its id from a process before this one.
    pub met: bool,
    /// The group that has read it since this one last did.
    pub former_group: Option<String>,
    /// When what is in work of another topic of this name was taken back.
    pub since: Option<Instant>,
}

#[derive(Default)]
pub struct SourceState {
    /// Fetched, and not received by the pipeline.
    pub buffer: VecDeque<Delivery>,
    pub bytes: usize,
    /// Fetched of partitions of which nothing is wanted now, by their number: these are paused, and the
    /// others go on.
    pub aside: BTreeMap<u32, VecDeque<Delivery>>,
    /// All that were ever ours, in the order they came: receipts name them by their place.
    pub partitions: Vec<Partition>,
    /// By name.
    pub topics: BTreeMap<String, Topic>,
    pub group: Group,
    /// When a topic was last found to be another than before.
    pub renewed: Option<Instant>,
    /// The place that was looked for last.
    last: usize,
    pub revocations: VecDeque<Revocation>,
    /// An assignment has come, maybe an empty one, and was not taken back as a whole since.
    pub assigned: bool,
    /// Somebody wants to know how much is left: the ends of the partitions are to be asked for.
    pub wants_ends: bool,
    /// Somebody wants to know how much waits now.
    pub wants_depth: bool,
    pub closing: bool,
    /// Nothing can be fetched any more in this process; the log says why.
    pub failed: bool,
    /// Something that the broker has cannot be read, in the client library's words; since the last look.
    pub damage: Option<String>,
    trouble: Option<Trouble>,
}

/// What the client library complained of last.
struct Trouble {
    words: String,
    said: Instant,
    /// It is over when a broker is reached; else when something arrives.
    of_connection: bool,
}

impl SourceState {
    /// Something is wrong, in these words; whether to say so: the client library repeats itself, ten times
    /// a second.
    pub fn complain(&mut self, words: String, of_connection: bool) -> bool {
        let said = |t: &Trouble| t.of_connection == of_connection && t.said.elapsed() < SAY_AGAIN;
        let news = !self.trouble.as_ref().is_some_and(said);
        let said = self.trouble.as_ref().filter(|_| !news).map_or_else(Instant::now, |t| t.said);
        self.trouble = Some(Trouble { words, said, of_connection });
        news
    }

    /// Whether a topic was found to be another just now: its offsets are refused then, and of a refusal it
    /// is not told which topic's they are.
    pub fn is_renewed(&self) -> bool {
        self.renewed.is_some_and(|at| at.elapsed() < RENEWED)
    }

    /// What the client library complained of last.
    pub fn complaint(&self) -> Option<String> {
        self.trouble.as_ref().map(|trouble| trouble.words.clone())
    }

    /// The partitions that are read, a few of them by name.
    pub fn names(&self) -> String {
        let ours: Vec<&Partition> = self.partitions.iter().filter(|p| p.ours).collect();
        let some = ours.iter().take(NAMED).map(|p| format!("{}/{}", p.topic, p.number));
        let some = some.collect::<Vec<_>>().join(", ");
        match ours.len().saturating_sub(NAMED) {
            0 => some,
            more => format!("{some} and {more} others"),
        }
    }

    /// What numbers the records of a topic.
    pub fn scope(&self, topic: &str) -> Scope {
        let known = self.topics.get(topic).and_then(|known| known.scope.clone());
        known.unwrap_or_else(|| topic.into())
    }

    /// The group's coordinator and its broker are reached.
    pub fn connected(&mut self) {
        self.trouble.take_if(|trouble| trouble.of_connection);
    }

    /// Something has arrived.
    pub fn works(&mut self) {
        self.trouble = None;
    }

    /// Why nothing comes, if so.
    pub fn trouble(&self) -> Option<String> {
        let waits = || "the group has not assigned anything to this member yet".to_owned();
        let unread = self.partitions.iter().filter(|p| p.ours).find_map(|p| p.unread.clone());
        let words = unread.or_else(|| self.trouble.as_ref().map(|trouble| trouble.words.clone()));
        words.or_else(|| (!self.assigned).then(waits))
    }

    /// What a receive is answered with; none while it waits.
    pub fn answer(&mut self, max: usize, max_bytes: usize) -> Option<Result<Vec<Delivery>, ErrorClass>> {
        if self.failed {
            return Some(Err(ErrorClass::Permanent));
        }
        let taken = self.take(max, max_bytes);
        (!taken.is_empty() || self.closing).then_some(Ok(taken))
    }

    fn take(&mut self, max: usize, max_bytes: usize) -> Vec<Delivery> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.buffer.front() {
            let weight = next.message.weight();
            if taken.len() >= max || (bytes + weight > max_bytes && !taken.is_empty()) {
                break;
            }
            bytes += weight;
            self.bytes -= weight;
            taken.extend(self.buffer.pop_front());
        }
        taken
    }

    /// Takes in what was fetched.
    /// Whether a receive may wait for it: it is the first in the buffer.
    pub fn arrive(&mut self, delivery: Delivery, wanted: bool) -> bool {
        match delivery.position.filter(|_| !wanted) {
            Some(position) => {
                self.aside.entry(position.partition).or_default().push_back(delivery);
                false
            }
            None => {
                self.bytes += delivery.message.weight();
                self.buffer.push_back(delivery);
                self.buffer.len() == 1
            }
        }
    }

    /// Whether no more may be buffered.
    pub fn is_full(&self, options: &KafkaOptions) -> bool {
        self.buffer.len() >= options.max_buffered || self.bytes >= options.max_buffered_bytes
    }

    /// Of these partitions nothing more is wanted, and of all others something is.
    pub fn want_all_but(&mut self, unwanted: &[u32]) {
        let unwanted: BTreeSet<u32> = unwanted.iter().copied().collect();
        for partition in &mut self.partitions {
            partition.unwanted = unwanted.contains(&partition.id);
        }
        let wanted = |id: &u32| !unwanted.contains(id);
        for (_, fetched) in self.aside.extract_if(.., |id, _| wanted(id)) {
            // It was fetched before all that the buffer has of its partition.
            for delivery in fetched.into_iter().rev() {
                self.bytes += delivery.message.weight();
                self.buffer.push_front(delivery);
            }
        }
        if unwanted.is_empty() {
            return;
        }
        for delivery in std::mem::take(&mut self.buffer) {
            match delivery.position.filter(|p| unwanted.contains(&p.partition)) {
                Some(position) => {
                    self.bytes -= delivery.message.weight();
                    self.aside.entry(position.partition).or_default().push_back(delivery);
                }
                None => self.buffer.push_back(delivery),
            }
        }
    }

    pub fn find(&mut self, topic: &str, number: i32) -> Option<(u64, &mut Partition)> {
        let is_it = |p: &Partition| p.number == number && *p.topic == *topic;
        // Records come many in a row of one partition.
        if !self.partitions.get(self.last).is_some_and(is_it) {
            self.last = self.partitions.iter().position(is_it)?;
        }
        Some((self.last as u64, &mut self.partitions[self.last]))
    }

    /// Everything up to this receipt is settled. None when its assignment has ended.
    pub fn pass(&mut self, receipt: Receipt) -> Option<()> {
        let ticket = Ticket::of(receipt);
        let partition = self.partitions.get_mut(usize::try_from(ticket.place).ok()?)?;
        if !partition.ours || Ticket::assignment(partition.assignment) != ticket.assignment {
            return None;
        }
        partition.pass(i64::try_from(ticket.offset).ok()? + 1);
        Some(())
    }

    pub fn let_go(&mut self, ids: &[u32]) {
        self.partitions.iter_mut().filter(|p| ids.contains(&p.id)).for_each(|p| p.leaving = false);
    }

    /// Drops what was fetched of these and not received.
    pub fn discard(&mut self, ids: &[u32]) {
        let ids: BTreeSet<u32> = ids.iter().copied().collect();
        self.aside.retain(|id, _| !ids.contains(id));
        self.buffer.retain(|d| d.position.is_none_or(|p| !ids.contains(&p.partition)));
        self.bytes = self.buffer.iter().map(|d| d.message.weight()).sum();
    }

    /// What is not settled until the ends that the partitions had when they were assigned, what the pipeline
    /// holds included: what was received may not have come to it yet.
    pub fn unsettled(&self) -> u64 {
        let ours = self.partitions.iter().filter(|p| p.ours);
        ours.map(Partition::unsettled).sum::<u64>() + u64::from(!self.assigned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::{Message, Parts, Position};

    fn fetched(state: &mut SourceState, partition: u32, offset: u64) -> bool {
        let id = format!("{partition}/{offset}");
        let message = Message::new(Parts { body: &[0; 10], ..Parts::named(&id) });
        let wanted = !state.partitions.iter().any(|p| p.id == partition && p.unwanted);
        let delivery = Delivery {
            receipt: Receipt(offset),
            message,
            lane: None,
            position: Some(Position { partition, offset }),
            skipped: 0,
            receives: 0,
            assignment: 1,
            lease_until: None,
            instance: None,
            unreadable: None,
        };
        state.arrive(delivery, wanted)
    }

    #[test]
    fn a_receive_waits_for_the_first_in_the_buffer_alone() {
        let mut state = SourceState::default();
        state.partitions.push(Partition::new("p", "orders".into(), 0, 0));
        assert_eq!([1, 2].map(|offset| fetched(&mut state, 0, offset)), [true, false]);
        assert_eq!(state.take(9, 1_000).len(), 2);
        assert!(fetched(&mut state, 0, 3));
        state.want_all_but(&[0]);
        assert!(!fetched(&mut state, 0, 4), "it is not to be received yet");
    }

    #[test]
    fn what_is_not_wanted_keeps_its_order_and_holds_nobody_up() {
        let mut state = SourceState::default();
        state.partitions.extend((0..2).map(|n| Partition::new("p", "orders".into(), n, n.unsigned_abs())));
        for (partition, offset) in [(0, 1), (1, 1), (0, 2)] {
            fetched(&mut state, partition, offset);
        }
        state.want_all_but(&[0]);
        for (partition, offset) in [(0, 3), (1, 2)] {
            fetched(&mut state, partition, offset);
        }
        let ids = |taken: Vec<Delivery>| {
            taken.into_iter().map(|d| d.message.id().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ids(state.take(9, 1_000)), ["1/1", "1/2"]);
        assert_eq!((state.bytes, state.buffer.len()), (0, 0));
        state.want_all_but(&[1]);
        fetched(&mut state, 0, 4);
        assert_eq!(ids(state.take(9, 1_000)), ["0/1", "0/2", "0/3", "0/4"]);
        fetched(&mut state, 1, 3);
        state.discard(&[1]);
        state.want_all_but(&[]);
        assert_eq!((state.bytes, state.buffer.len()), (0, 0), "what is taken back is dropped there too");
    }
}
