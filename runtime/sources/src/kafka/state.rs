//! What the polling thread and the pipeline's task share.

use super::options::KafkaOptions;
use super::receipt::Ticket;
use pelton_core::ports::{Class, Revocation, Standing};
use pelton_core::{Delivery, Receipt};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Between two log lines about the same trouble.
const SAY_AGAIN: Duration = Duration::from_secs(30);

pub struct Shared {
    pub options: KafkaOptions,
    state: Mutex<State>,
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
pub enum Room {
    Some,
    Full,
    Closing,
}

impl Shared {
    pub fn new(options: KafkaOptions) -> Self {
        let state = Mutex::default();
        Self {
            options,
            state,
            arrived: Notify::new(),
            taken_back: Notify::new(),
            released: Condvar::new(),
            taken: Condvar::new(),
        }
    }

    /// Whether there is room in the buffer. Waits for it for `patience`, unless all is paused already.
    pub fn room(&self, patience: Duration) -> Room {
        let options = &self.options;
        let full =
            |s: &State| s.buffer.len() >= options.max_buffered || s.bytes >= options.max_buffered_bytes;
        let mut state = self.state();
        if full(&state) && !state.partitions.iter().any(|p| p.ours && p.paused) {
            let waits = |s: &mut State| full(s) && !s.closing;
            let waited = self.taken.wait_timeout_while(state, patience, waits);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match (state.closing, full(&state)) {
            (true, _) => Room::Closing,
            (false, true) => Room::Full,
            (false, false) => Room::Some,
        }
    }

    /// Held for moments only: by the poll for each record, by the task for each batch.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub struct State {
    /// Fetched, and not received by the pipeline.
    pub buffer: VecDeque<Delivery>,
    pub bytes: usize,
    /// All that were ever ours, in the order they came: receipts name them by their place.
    pub partitions: Vec<Partition>,
    /// The place that was looked for last.
    last: usize,
    pub revocations: VecDeque<Revocation>,
    /// An assignment has come, maybe an empty one.
    pub assigned: bool,
    pub closing: bool,
    /// Nothing can be fetched any more in this process; the log says why.
    pub failed: bool,
    trouble: Option<Trouble>,
}

/// What the client library complained of last.
struct Trouble {
    words: String,
    said: Instant,
    /// It is over when a broker is reached; else when something arrives.
    of_connection: bool,
}

/// One partition, as this member knows it.
#[derive(Debug)]
pub struct Partition {
    pub topic: Arc<str>,
    pub number: i32,
    /// As the ledger knows it.
    pub id: u32,
    /// Counts its assignments to this member.
    pub assignment: u32,
    pub ours: bool,
    /// Revoked, and not let go yet.
    pub leaving: bool,
    /// The offset to commit: all before it is settled. None until something is.
    pub position: Option<i64>,
    /// The last one given to the broker.
    pub committed: Option<i64>,
    /// Where this assignment began to read; none when the client library was to find out.
    pub begin: Option<i64>,
    /// One past the last record fetched.
    pub fetched: Option<i64>,
    /// The first offset fetched with this assignment.
    pub first: Option<i64>,
    /// The end at the time of the assignment; none until it is known.
    pub end: Option<i64>,
    /// Whether the poll has come to an end of the partition since.
    pub at_end: bool,
    pub paused: bool,
}

impl Partition {
    /// One that is not ours yet.
    pub fn new(topic: Arc<str>, number: i32, id: u32) -> Self {
        Self {
            topic,
            number,
            id,
            assignment: 0,
            ours: false,
            leaving: false,
            position: None,
            committed: None,
            begin: None,
            fetched: None,
            first: None,
            end: None,
            at_end: false,
            paused: false,
        }
    }

    /// How many offsets lie between the record that was fetched last and this one. What lies between two
    /// records that come one after the other is no record.
    pub fn skipped(&self, offset: i64) -> u64 {
        self.fetched.and_then(|next| u64::try_from(offset - next).ok()).unwrap_or(0)
    }

    /// The offset to read next, if it is known.
    pub fn next(&self) -> Option<i64> {
        self.fetched.or(self.begin)
    }

    /// For people. `limit` is how far it may be behind.
    pub fn standing(&self, limit: u64) -> Standing {
        let unsigned = |offset: Option<i64>| offset.and_then(|o| u64::try_from(o).ok());
        let behind = self.uncommitted();
        Standing {
            name: format!("{}/{}", self.topic, self.number),
            partition: self.id,
            position: unsigned(self.position),
            received: unsigned(self.fetched),
            behind,
            held_back: self.paused && behind >= limit - limit / 4,
        }
    }

    /// Records fetched beyond what may be committed, counted by offsets.
    pub fn uncommitted(&self) -> u64 {
        let from = self.position.or(self.first);
        let beyond = self.fetched.zip(from).map_or(0, |(fetched, from)| fetched - from);
        u64::try_from(beyond).unwrap_or(0)
    }
}

impl State {
    /// Something is wrong, in these words; whether to say so: the client library repeats itself, ten times
    /// a second.
    pub fn complain(&mut self, words: String, of_connection: bool) -> bool {
        let said = |t: &Trouble| t.of_connection == of_connection && t.said.elapsed() < SAY_AGAIN;
        let news = !self.trouble.as_ref().is_some_and(said);
        let said = self.trouble.as_ref().filter(|_| !news).map_or_else(Instant::now, |t| t.said);
        self.trouble = Some(Trouble { words, said, of_connection });
        news
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
        let words = self.trouble.as_ref().map(|trouble| trouble.words.clone());
        words.or_else(|| (!self.assigned).then(waits))
    }

    /// What a receive is answered with; none while it waits.
    pub fn answer(&mut self, max: usize, max_bytes: usize) -> Option<Result<Vec<Delivery>, Class>> {
        if self.failed {
            return Some(Err(Class::Permanent));
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
        if !partition.ours || partition.assignment as u8 != ticket.assignment {
            return None;
        }
        let next = i64::try_from(ticket.offset).ok()? + 1;
        partition.position = Some(partition.position.map_or(next, |p| p.max(next)));
        Some(())
    }

    pub fn let_go(&mut self, ids: &[u32]) {
        self.partitions.iter_mut().filter(|p| ids.contains(&p.id)).for_each(|p| p.leaving = false);
    }

    /// Drops what was fetched of these and not received.
    pub fn discard(&mut self, ids: &[u32]) {
        self.buffer.retain(|d| d.position.is_none_or(|p| !ids.contains(&p.partition)));
        self.bytes = self.buffer.iter().map(|d| d.message.weight()).sum();
    }

    /// What is left until the ends that the partitions had when they were assigned; 1 when it is
    /// not known yet. What the pipeline holds is not in it.
    pub fn left(&self) -> u64 {
        if !self.assigned {
            return 1;
        }
        let left = |p: &Partition| match (p.end, p.fetched) {
            _ if p.at_end => 0,
            (None, _) => 1,
            (Some(end), fetched) => {
                let from = fetched.or(p.first).unwrap_or(0);
                u64::try_from(end - from).unwrap_or(0)
            }
        };
        self.partitions.iter().filter(|p| p.ours).map(left).sum::<u64>() + self.buffer.len() as u64
    }
}
