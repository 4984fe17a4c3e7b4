//! What a relay reads of the outbox.

use super::order::{Fate, Order, Ticket};
use super::run::{HomeIsGone, Relay, wall_ms};
use pelton_core::effects::{StagedMessage, Waiting};
use pelton_core::ports::ErrorClass;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Messages that are known at once, by their numbers. Behind so many nothing is looked at.
const MAX_KNOWN: usize = 100_000;
/// Of one question to the home.
const PAGE: usize = 256;
/// What bodies that are kept, or are in one batch, take together; and the last of them beyond that.
const MAX_BYTES: usize = 4 << 20;

impl Relay {
    /// What may go now; empty while nothing may.
    pub(super) async fn next(&mut self) -> Result<Vec<Ticket>, HomeIsGone> {
        let most = self.outlet.way.most().max(1);
        loop {
            if !self.has_turn() {
                return Ok(Vec::new());
            }
            let now = self.now();
            if now < self.away_until || self.is_late() {
                return Ok(Vec::new());
            }
            let batch = self.order.take(now, most);
            if !batch.is_empty() || self.at_end || self.order.len() >= MAX_KNOWN {
                return Ok(batch);
            }
            self.look().await?;
        }
    }

    /// Whether messages are sent from here now. What is known in a turn counts in that one alone.
    fn has_turn(&mut self) -> bool {
        if !self.keeps_turn() {
            self.turn = self.home.turn(self.outlet.target);
            self.order = Order::default();
            self.read.clear();
            (self.bytes, self.read_to, self.at_end) = (0, 0, false);
        }
        self.turn.is_some()
    }

    /// Whether the turn is the one in which all that is known was read.
    pub(super) fn keeps_turn(&self) -> bool {
        self.turn == self.home.turn(self.outlet.target)
    }

    /// Reads what was committed behind all that is known.
    async fn look(&mut self) -> Result<(), HomeIsGone> {
        let page = match self.home.waiting(self.outlet.target, self.read_to, PAGE).await {
            Ok(page) => page,
            Err(ErrorClass::Permanent) => return Err(HomeIsGone),
            // The home says why.
            Err(
                ErrorClass::Transient | ErrorClass::LeaseLost | ErrorClass::Conflict | ErrorClass::Failed,
            ) => {
                self.at_end = true;
                return Ok(());
            }
        };
        self.at_end = page.is_empty();
        let now = self.now();
        for waiting in page {
            let (row, due) = (waiting.row, self.due(&waiting, now));
            self.read_to = row;
            self.order.add(Ticket { row, key: key(&waiting.message) }, due, now);
            if due <= now && self.bytes < MAX_BYTES {
                self.bytes += waiting.message.body.len();
                self.read.insert(row, waiting);
            }
        }
        Ok(())
    }

    /// When a message may go: at once, where the target keeps its delay. After no more than its delay, where
    /// the wall clock went back.
    fn due(&self, waiting: &Waiting, now: u64) -> u64 {
        let delay = waiting.message.delay_ms.unwrap_or(0);
        let due = waiting.due_at_ms.filter(|_| delay > self.outlet.way.longest_delay_ms());
        due.map_or(now, |due| now.saturating_add(due.saturating_sub(wall_ms()).min(delay)))
    }

    /// The messages of a batch, as many as may be held at once; and what became of the others.
    pub(super) async fn fetch(&mut self, batch: &[Ticket]) -> Result<Fetched, HomeIsGone> {
        let (mut messages, mut others, mut bytes) = (Vec::with_capacity(batch.len()), Vec::new(), 0);
        for (place, ticket) in batch.iter().enumerate() {
            if bytes >= MAX_BYTES {
                others.push((*ticket, Fate::Untried));
                continue;
            }
            if !self.read.contains_key(&ticket.row) {
                self.read_from(ticket.row, batch.len() - place).await?;
            }
            match self.read.remove(&ticket.row) {
                Some(waiting) => {
                    self.bytes = self.bytes.saturating_sub(waiting.message.body.len());
                    bytes += waiting.message.body.len();
                    messages.push(waiting);
                }
                // An operator has removed it.
                None => others.push((*ticket, Fate::Ended)),
            }
        }
        Ok((messages, others))
    }

    /// Reads messages that are known and were not kept, from this one on.
    async fn read_from(&mut self, row: u64, max: usize) -> Result<(), HomeIsGone> {
        let mut failures = 0;
        loop {
            match self.home.waiting(self.outlet.target, row.saturating_sub(1), max.min(PAGE)).await {
                Ok(page) => {
                    // Whatever else is kept can be read again.
                    self.read.clear();
                    self.bytes = page.iter().map(|waiting| waiting.message.body.len()).sum();
                    self.read.extend(page.into_iter().map(|waiting| (waiting.row, waiting)));
                    return Ok(());
                }
                Err(ErrorClass::Permanent) => return Err(HomeIsGone),
                Err(
                    ErrorClass::Transient
                    | ErrorClass::LeaseLost
                    | ErrorClass::Conflict
                    | ErrorClass::Failed,
                ) => {
                    failures += 1;
                    self.pause(failures).await?;
                }
            }
        }
    }
}

/// Messages, and what became of those that are not among them.
type Fetched = (Vec<Waiting>, Vec<(Ticket, Fate)>);

/// Two keys with one digest wait for each other, and no harm is done.
fn key(message: &StagedMessage) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    (message.topic.as_deref(), message.key.as_deref()?).hash(&mut hasher);
    Some(hasher.finish())
}
