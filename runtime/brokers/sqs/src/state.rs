//! What the tasks of one source share.

#[cfg(test)]
mod tests;

use super::batch::{BatchKind, Job};
use super::client::Connection;
use super::fault::Fault;
use super::held::{Held, Table};
use super::options::{BATCH, LONGEST_HOLD, SqsOptions, seconds};
use pelton_broker_common::fetch_budget::FetchBudget;
use pelton_broker_common::fuse::Fuse;
use pelton_broker_common::log_throttle::KindThrottle;
use pelton_core::ports::{Counted, ErrorClass, Scope, Settle};
use pelton_core::{Delivery, Lane, Receipt, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Where so many may be held, no receive asks for less than it can get.
const ROOMY: usize = 20 * BATCH;
/// Trouble that has not been met again for so long is over: longer than a receive and a pause take.
const OVER: Duration = Duration::from_secs(120);

pub struct SourceShared {
    pub options: SqsOptions,
    pub connection: Connection,
    /// What numbers its messages: the queue's address.
    pub scope: Scope,
    state: Mutex<SourceState>,
    /// What a panic of a task blows.
    pub fuse: Arc<Fuse>,
    /// There is something to receive, or the source is closing.
    pub arrived: Notify,
    /// There is room for more, or the source is closing.
    pub room: Notify,
}

impl SourceShared {
    pub fn new(options: SqsOptions, connection: Connection) -> Self {
        let state = Mutex::new(SourceState::new(&options));
        let (arrived, room) = (Notify::new(), Notify::new());
        let scope = options.queue_url.as_str().into();
        Self { options, connection, scope, state, fuse: Arc::default(), arrived, room }
    }

    /// Held for moments only.
    pub fn state(&self) -> MutexGuard<'_, SourceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call failed: said, unless it was just said.
    pub fn complain(&self, doing: &'static str, fault: &Fault) {
        let (pipeline, queue) = (&*self.options.pipeline, &*self.options.queue_url);
        if self.state().complain(doing, fault, Instant::now()) {
            tracing::warn!(pipeline, queue, "SQS: {doing} failed: {}", fault.words);
        }
    }
}

pub struct SourceState {
    pub table: Table,
    /// Received, and not taken by the pipeline: by receipt, which is the order they came in.
    buffer: BTreeMap<u64, Waiting>,
    /// The same by lane.
    by_lane: BTreeSet<(Lane, u64)>,
    /// What receives under way may bring.
    promised: usize,
    pace: FetchBudget,
    lease: Duration,
    pub closing: bool,
    /// What was fetched had to go back, since nobody asked for it: nothing more is fetched until then.
    unwanted: bool,
    /// So many are wanted beside what the pipeline has: each receive is counted.
    wanted: usize,
    /// When a message stops to be ours, which makes room where there was none: nobody else would tell.
    room_at: Option<Instant>,
    /// What is wrong, by what was done: a service may take receives and refuse deletes.
    troubles: BTreeMap<&'static str, Trouble>,
    /// When each kind of trouble was last logged: one that comes and goes is not said each time.
    said: KindThrottle<&'static str>,
    extended: u64,
    lost: u64,
    /// Waits that were longer than the service keeps a message away.
    cut: u64,
}

struct Trouble {
    words: String,
    /// The service did not answer, whatever it was asked.
    unanswered: bool,
    /// When it was last met.
    met: Instant,
}

struct Waiting {
    delivery: Delivery,
    since: Instant,
}

impl SourceState {
    fn new(options: &SqsOptions) -> Self {
        Self {
            table: Table::default(),
            buffer: BTreeMap::new(),
            by_lane: BTreeSet::new(),
            promised: 0,
            pace: FetchBudget::new(options.lease(), options.at_least, options.at_most, Instant::now()),
            lease: options.lease(),
            closing: false,
            unwanted: false,
            wanted: usize::MAX,
            room_at: None,
            troubles: BTreeMap::new(),
            said: KindThrottle::default(),
            extended: 0,
            lost: 0,
            cut: 0,
        }
    }

    /// Something is wrong with what is done, as told; whether that is news.
    fn complain(&mut self, doing: &'static str, fault: &Fault, now: Instant) -> bool {
        let trouble = Trouble { words: fault.words.clone(), unanswered: fault.unanswered, met: now };
        self.troubles.insert(doing, trouble);
        self.said.again(doing, now).is_some()
    }

    /// How many messages are ours, and what became of their leases.
    pub fn leases(&self) -> Counted {
        let held = u64::try_from(self.table.len()).unwrap_or(u64::MAX);
        vec![("in_flight", held), ("leases_extended", self.extended), ("leases_lost", self.lost)]
    }

    /// The service does this; and it answers, which ends the trouble that it did not.
    pub fn works(&mut self, doing: &'static str) {
        self.troubles.retain(|what, trouble| *what != doing && !trouble.unanswered);
    }

    pub fn trouble(&self, now: Instant) -> Option<String> {
        let current = |trouble: &&Trouble| now.saturating_duration_since(trouble.met) < OVER;
        self.troubles.values().find(current).map(|trouble| trouble.words.clone())
    }

    /// How many messages one more receive may bring; none while there is no room.
    pub fn promise(&mut self, now: Instant) -> Option<usize> {
        let allowed = self.pace.allows(now);
        // A request is paid for, however little it may bring: where many may be held, it waits until it can
        // bring all that one does.
        let needed = if allowed >= ROOMY { BATCH.min(self.wanted).max(1) } else { 1 };
        self.room_at = None;
        if self.table.len() + self.promised + needed > allowed {
            let (lost, next) = self.table.forget_expired(now);
            self.lost += lost;
            self.room_at = next;
        }
        let ahead = self.wanted.saturating_sub(self.buffer.len() + self.promised);
        let room = allowed.saturating_sub(self.table.len() + self.promised).min(BATCH).min(ahead);
        if room < needed || self.closing || self.unwanted {
            return None;
        }
        self.promised += room;
        Some(room)
    }

    /// So many of what the pipeline has wait for others there.
    pub fn waits_there(&mut self, count: usize) {
        self.pace.waits_there(count);
    }

    /// With none wanted, what is here goes back at the next `sweep`.
    pub fn wants(&mut self, most: usize) {
        self.wanted = most;
        self.unwanted &= most == 0;
    }

    /// A receive that may bring another number takes the place of one that was promised.
    pub fn promise_instead(&mut self, before: usize, now: usize) {
        self.promised = self.promised - before + now;
    }

    /// A receive has ended.
    pub fn kept_promise(&mut self, count: usize) {
        self.promised -= count;
    }

    /// A message has come. `lane` where it must keep its order.
    pub fn arrive(&mut self, held: Held, make: impl FnOnce(Receipt, u32) -> Delivery, receives: u32) {
        let (since, receives) = (held.since, self.table.beside_released(&held.id, receives));
        let receipt = Receipt(self.table.hold(held));
        let delivery = make(receipt, receives);
        self.by_lane.extend(delivery.lane.map(|lane| (lane, receipt.0)));
        self.buffer.insert(receipt.0, Waiting { delivery, since });
    }

    fn pop(&mut self) -> Option<Waiting> {
        let (receipt, first) = self.buffer.pop_first()?;
        if let Some(lane) = first.delivery.lane {
            self.by_lane.remove(&(lane, receipt));
        }
        Some(first)
    }

    /// What a receive of the pipeline is answered with; and what has waited so long that it goes back.
    pub fn take(&mut self, max: usize, max_bytes: usize, now: Instant) -> (Vec<Delivery>, Vec<Job>) {
        let stale = self.stale(now);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(Waiting { delivery, .. }) = self.buffer.values().next() {
            let weight = delivery.message.weight();
            if taken.len() >= max || (bytes + weight > max_bytes && !taken.is_empty()) {
                break;
            }
            bytes += weight;
            if let Some(mut waiting) = self.pop() {
                let left = self.lease.saturating_sub(now.saturating_duration_since(waiting.since));
                waiting.delivery.lease_until = Some(Time(left.as_millis().try_into().unwrap_or(u64::MAX)));
                taken.push(waiting.delivery);
            }
        }
        (taken, stale)
    }

    /// What the pipeline has not taken.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Delivery> {
        self.buffer.values().map(|waiting| &waiting.delivery)
    }

    /// When `sweep` is due.
    pub fn sweep_at(&self) -> Option<Instant> {
        self.stale_at().into_iter().chain(self.room_at).min()
    }

    /// When the first of what is in the buffer has waited too long.
    fn stale_at(&self) -> Option<Instant> {
        let wait = if self.wanted == 0 { Duration::ZERO } else { self.lease / 2 };
        self.buffer.values().next().map(|waiting| waiting.since + wait)
    }

    /// Gives back what nobody has asked for while half of its lease went by. To fetch it again would only
    /// raise the count by which the queue's own redrive gives up on it.
    pub fn sweep(&mut self, now: Instant) -> Vec<Job> {
        self.room_at = self.room_at.filter(|at| *at > now);
        let before = self.buffer.len();
        let jobs = self.stale(now);
        self.unwanted |= self.buffer.len() < before;
        jobs
    }

    /// The pipeline asks for messages; whether fetching has to begin again.
    pub fn asked(&mut self) -> bool {
        std::mem::take(&mut self.unwanted)
    }

    fn stale(&mut self, now: Instant) -> Vec<Job> {
        let mut stale = Vec::new();
        while self.stale_at().is_some_and(|at| at <= now)
            && let Some(Waiting { delivery, .. }) = self.pop()
        {
            stale.extend(self.let_go(delivery.receipt.0, now));
            delivery.lane.into_iter().for_each(|lane| stale.extend(self.withdraw(lane, now)));
        }
        stale
    }

    /// What follows a message that goes back goes back too, whatever its pipeline knows of it.
    fn withdraw(&mut self, lane: Lane, now: Instant) -> Vec<Job> {
        let of_lane = |(_, receipt): &(Lane, u64)| *receipt;
        let receipts: Vec<u64> = self.by_lane.range((lane, 0)..=(lane, u64::MAX)).map(of_lane).collect();
        for receipt in &receipts {
            self.by_lane.remove(&(lane, *receipt));
            self.buffer.remove(receipt);
        }
        receipts.into_iter().filter_map(|receipt| self.let_go(receipt, now)).collect()
    }

    /// Gives one back that was never handed over. What is not ours any more may be held by somebody else,
    /// and a change would take it from there.
    fn let_go(&mut self, receipt: u64, now: Instant) -> Option<Job> {
        if self.table.get_mut(receipt)?.until <= now {
            self.released(receipt);
            self.table.forget(receipt);
            return None;
        }
        let job = self.job(receipt, BatchKind::Visibility(0))?;
        self.released(receipt);
        Some(job)
    }

    /// The wait that the service gives. What is cut down is counted, and said once.
    fn cut(&mut self, delay_ms: u64, remains: Duration) -> Duration {
        let (wanted, most) = (Duration::from_millis(delay_ms), Duration::from_secs(remains.as_secs()));
        self.cut += u64::from(wanted > most);
        if wanted > most && self.cut == 1 {
            tracing::warn!(
                ?wanted,
                "SQS keeps a message away for 12 hours at most, from when it was received: longer waits \
                 end then. \
                 Set `retry.max_delay` to 12h or less, and nothing waits for less than it is told"
            );
        }
        wanted.min(most)
    }

    fn released(&mut self, receipt: u64) {
        let id = self.table.get_mut(receipt).map(|held| held.id.clone());
        id.into_iter().for_each(|id| self.table.release(&id));
    }

    /// Begins to settle a message: the call to make, and those for what goes back behind it.
    pub fn settle(&mut self, receipt: Receipt, how: Settle, now: Instant) -> Result<Vec<Job>, ErrorClass> {
        let held = self.table.get_mut(receipt.0).ok_or(ErrorClass::LeaseLost)?;
        let (lane, remains) = (held.lane, held.remains(LONGEST_HOLD, now));
        if how != Settle::Ack && held.until <= now {
            // Somebody else may hold it, and wait with it for longer.
            self.table.forget(receipt.0);
            return Err(ErrorClass::LeaseLost);
        }
        let kind = match how {
            Settle::Ack => BatchKind::Delete,
            Settle::GiveBack => BatchKind::Visibility(0),
            Settle::RetryLater { delay_ms } | Settle::LeaveToRedrive { delay_ms } => {
                BatchKind::Visibility(seconds(self.cut(delay_ms, remains)))
            }
        };
        if how == Settle::GiveBack {
            self.released(receipt.0);
        } else {
            self.pace.settled(1, now);
        }
        let first = self.job(receipt.0, kind);
        // What follows one that was given up on would be counted as received with it, again and again,
        // until it goes to the dead letters too: it is handled meanwhile.
        let goes_on = matches!(how, Settle::Ack | Settle::LeaveToRedrive { .. });
        let behind = lane.filter(|_| !goes_on).map(|lane| self.withdraw(lane, now));
        Ok(first.into_iter().chain(behind.into_iter().flatten()).collect())
    }

    /// The call that extends a lease; `Ok` without one when the message is being settled.
    pub fn extend(
        &mut self,
        receipt: Receipt,
        visibility: i32,
        now: Instant,
    ) -> Result<Option<Job>, ErrorClass> {
        let held = self.table.get_mut(receipt.0).ok_or(ErrorClass::LeaseLost)?;
        if held.ending {
            return Ok(None);
        }
        if held.remains(LONGEST_HOLD, now) < Duration::from_secs(u64::from(visibility.unsigned_abs())) {
            // A part of a lease cannot be told to the core, which would count on a whole one. It has what
            // is left of this one.
            if !std::mem::replace(&mut held.capped, true) {
                tracing::warn!(
                    message = held.id,
                    "SQS lets nobody hold a message for more than 12 hours: it is let go when its \
                     visibility ends, and comes again"
                );
            }
            return Err(ErrorClass::Transient);
        }
        let handle = held.handle.clone();
        // Too late if the call fails: then it is a little longer in the table than it is ours.
        held.until = now + Duration::from_secs(u64::from(visibility.unsigned_abs()));
        Ok(Some(Job { receipt: receipt.0, handle, kind: BatchKind::Extend(visibility), answer: None }))
    }

    fn job(&mut self, receipt: u64, kind: BatchKind) -> Option<Job> {
        let handle = self.table.get_mut(receipt)?.handle.clone();
        self.table.end(receipt);
        Some(Job { receipt, handle, kind, answer: None })
    }

    /// A call was answered.
    pub fn answered(&mut self, receipt: u64, kind: BatchKind, result: Result<(), ErrorClass>) {
        self.extended += u64::from(result.is_ok() && matches!(kind, BatchKind::Extend(_)));
        self.lost += u64::from(result == Err(ErrorClass::LeaseLost));
        match (kind, result) {
            (BatchKind::Delete | BatchKind::Visibility(_), Ok(())) | (_, Err(ErrorClass::LeaseLost)) => {
                self.table.forget(receipt);
            }
            (BatchKind::Delete | BatchKind::Visibility(_), Err(_)) => self.table.keep(receipt),
            (BatchKind::Extend(_), _) => {}
        }
    }

    /// Everything that is held, to be given back at the end.
    pub fn give_all_back(&mut self, now: Instant) -> Vec<Job> {
        self.buffer.clear();
        self.by_lane.clear();
        let job = |(receipt, held): (u64, Held)| Job {
            receipt,
            handle: held.handle,
            kind: BatchKind::Visibility(0),
            answer: None,
        };
        self.table.take_all(now).into_iter().map(job).collect()
    }
}
