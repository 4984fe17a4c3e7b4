//! What the tasks of one source share.

use super::batch::{Job, Kind};
use super::client::Connection;
use super::fault::Fault;
use super::held::{Held, Table};
use super::options::{BATCH, LONGEST_HOLD, SqsOptions, seconds};
use crate::pace::Pace;
use pelton_core::ports::{Class, Settle};
use pelton_core::{Delivery, Lane, Receipt, Time};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Between two log lines about the same trouble.
const SAY_AGAIN: Duration = Duration::from_secs(30);

pub struct Shared {
    pub options: SqsOptions,
    pub connection: Connection,
    state: Mutex<State>,
    /// There is something to receive, or the source is closing.
    pub arrived: Notify,
    /// There is room for more, or the source is closing.
    pub room: Notify,
}

impl Shared {
    pub fn new(options: SqsOptions, connection: Connection) -> Self {
        let state = Mutex::new(State::new(&options));
        Self { options, connection, state, arrived: Notify::new(), room: Notify::new() }
    }

    /// Held for moments only.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call failed: said, unless it was just said.
    pub fn complain(&self, doing: &str, fault: &Fault) {
        let (pipeline, queue) = (&*self.options.pipeline, &*self.options.queue_url);
        if self.state().complain(fault.words.clone()) {
            tracing::warn!(pipeline, queue, "SQS: {doing} failed: {}", fault.words);
        }
    }
}

pub struct State {
    pub table: Table,
    /// Received, and not taken by the pipeline.
    buffer: VecDeque<Waiting>,
    /// What receives under way may bring.
    promised: usize,
    pace: Pace,
    lease: Duration,
    bounds: (usize, usize),
    pub closing: bool,
    trouble: Option<(String, Instant)>,
}

struct Waiting {
    delivery: Delivery,
    since: Instant,
}

impl State {
    fn new(options: &SqsOptions) -> Self {
        Self {
            table: Table::default(),
            buffer: VecDeque::new(),
            promised: 0,
            pace: Pace::new(Instant::now()),
            lease: options.lease(),
            bounds: (options.at_least, options.at_most.max(options.at_least)),
            closing: false,
            trouble: None,
        }
    }

    /// Something is wrong, in these words; whether that is news.
    fn complain(&mut self, words: String) -> bool {
        let news = self.trouble.as_ref().is_none_or(|(_, said)| said.elapsed() >= SAY_AGAIN);
        let said = self.trouble.take().filter(|_| !news).map_or_else(Instant::now, |(_, said)| said);
        self.trouble = Some((words, said));
        news
    }

    /// The service answers.
    pub fn works(&mut self) {
        self.trouble = None;
    }

    pub fn trouble(&self) -> Option<String> {
        self.trouble.as_ref().map(|(words, _)| words.clone())
    }

    /// How many messages one more receive may bring; none while there is no room.
    pub fn promise(&mut self, now: Instant) -> Option<usize> {
        let allowed = self.pace.allows(self.lease / 3, now).clamp(self.bounds.0, self.bounds.1);
        if self.table.len() + self.promised >= allowed {
            self.table.forget_expired(now);
        }
        let room = allowed.saturating_sub(self.table.len() + self.promised).min(BATCH);
        if room == 0 || self.closing {
            return None;
        }
        self.promised += room;
        Some(room)
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
        let (since, starts) = (held.since, self.table.starts(&held.id, receives));
        let receipt = Receipt(self.table.hold(held));
        self.buffer.push_back(Waiting { delivery: make(receipt, starts), since });
    }

    /// What a receive of the pipeline is answered with; and what has waited so long that it goes back.
    pub fn take(&mut self, max: usize, max_bytes: usize, now: Instant) -> (Vec<Delivery>, Vec<Job>) {
        let (mut taken, mut stale) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while let Some(Waiting { delivery, since }) = self.buffer.front() {
            let age = now.saturating_duration_since(*since);
            if age > self.lease / 2 {
                let (receipt, lane) = (delivery.receipt.0, delivery.lane);
                self.buffer.pop_front();
                stale.extend(self.let_go(receipt));
                lane.into_iter().for_each(|lane| stale.extend(self.withdraw(lane)));
                continue;
            }
            let weight = delivery.message.weight();
            if taken.len() >= max || (bytes + weight > max_bytes && !taken.is_empty()) {
                break;
            }
            bytes += weight;
            if let Some(mut waiting) = self.buffer.pop_front() {
                let left = self.lease.saturating_sub(age);
                waiting.delivery.lease_until = Some(Time(left.as_millis().try_into().unwrap_or(u64::MAX)));
                taken.push(waiting.delivery);
            }
        }
        (taken, stale)
    }

    /// What follows a message that goes back goes back too, whatever its pipeline knows of it.
    fn withdraw(&mut self, lane: Lane) -> Vec<Job> {
        let (mut kept, mut receipts) = (VecDeque::new(), Vec::new());
        for waiting in std::mem::take(&mut self.buffer) {
            if waiting.delivery.lane == Some(lane) {
                receipts.push(waiting.delivery.receipt.0);
            } else {
                kept.push_back(waiting);
            }
        }
        self.buffer = kept;
        receipts.into_iter().filter_map(|receipt| self.let_go(receipt)).collect()
    }

    /// Gives one back that was never handed over.
    fn let_go(&mut self, receipt: u64) -> Option<Job> {
        let job = self.job(receipt, Kind::Visibility(0))?;
        self.released(receipt);
        Some(job)
    }

    fn released(&mut self, receipt: u64) {
        let id = self.table.get_mut(receipt).map(|held| held.id.clone());
        id.into_iter().for_each(|id| self.table.release(&id));
    }

    /// Begins to settle a message: the call to make, and those for what goes back behind it.
    pub fn settle(&mut self, receipt: Receipt, how: Settle, now: Instant) -> Result<Vec<Job>, Class> {
        let held = self.table.get_mut(receipt.0).ok_or(Class::Lost)?;
        let (lane, remains) = (held.lane, held.remains(LONGEST_HOLD, now));
        let kind = match how {
            Settle::Ack => Kind::Delete,
            Settle::GiveBack => Kind::Visibility(0),
            Settle::RetryLater { delay_ms } => {
                let delay = Duration::from_millis(delay_ms).min(Duration::from_secs(remains.as_secs()));
                Kind::Visibility(seconds(delay))
            }
        };
        if how == Settle::GiveBack {
            self.released(receipt.0);
        } else {
            self.pace.settled(1, now);
        }
        let first = self.job(receipt.0, kind);
        let behind = lane.filter(|_| how != Settle::Ack).map(|lane| self.withdraw(lane));
        Ok(first.into_iter().chain(behind.into_iter().flatten()).collect())
    }

    /// The call that extends a lease; `Ok` without one when the message is being settled.
    pub fn extend(
        &mut self,
        receipt: Receipt,
        visibility: i32,
        now: Instant,
    ) -> Result<Option<Job>, Class> {
        let held = self.table.get_mut(receipt.0).ok_or(Class::Lost)?;
        if held.ending {
            return Ok(None);
        }
        let remains = held.remains(LONGEST_HOLD, now).as_secs();
        let visibility = visibility.min(i32::try_from(remains).unwrap_or(i32::MAX));
        if visibility < 1 {
            tracing::warn!(
                message = held.id,
                "SQS lets nobody hold a message for more than 12 hours: it is let go, and comes again"
            );
            self.table.forget(receipt.0);
            return Err(Class::Lost);
        }
        let handle = held.handle.clone();
        // Too late if the call fails: then it is a little longer in the table than it is ours.
        held.until = now + Duration::from_secs(u64::from(visibility.unsigned_abs()));
        Ok(Some(Job { receipt: receipt.0, handle, kind: Kind::Extend(visibility), answer: None }))
    }

    fn job(&mut self, receipt: u64, kind: Kind) -> Option<Job> {
        let handle = self.table.get_mut(receipt)?.handle.clone();
        self.table.end(receipt);
        Some(Job { receipt, handle, kind, answer: None })
    }

    /// A call was answered.
    pub fn answered(&mut self, receipt: u64, kind: Kind, result: Result<(), Class>) {
        match (kind, result) {
            (Kind::Extend(_), Ok(()) | Err(Class::Transient | Class::Permanent)) => {}
            (Kind::Delete | Kind::Visibility(_), Err(Class::Transient | Class::Permanent)) => {
                self.table.keep(receipt);
            }
            (Kind::Delete | Kind::Visibility(_), Ok(())) | (_, Err(Class::Lost)) => {
                self.table.forget(receipt);
            }
        }
    }

    /// Everything that is held, to be given back at the end.
    pub fn give_all_back(&mut self) -> Vec<Job> {
        self.buffer.clear();
        let job = |(receipt, held): (u64, Held)| Job {
            receipt,
            handle: held.handle,
            kind: Kind::Visibility(0),
            answer: None,
        };
        self.table.take_all().into_iter().map(job).collect()
    }
}
