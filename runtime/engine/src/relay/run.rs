//! The task that sends what waits for one target.

use super::Outlet;
use super::order::{Fate, Order, Ticket};
use super::stats::OutletStats;
use pelton_core::broker::{Published, Publisher, Unsent};
use pelton_core::contain::contain;
use pelton_core::effects::{OutboxHome, RowEnd, Waiting};
use pelton_core::number::millis;
use pelton_core::points;
use pelton_core::ports::ErrorClass;
use pelton_core::retry::scatter;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The first wait after a failure, and the longest: each twice the one before, less up to a half.
const BACKOFF_MS: (u64, u64) = (100, 30_000);
/// How often it is looked whether something waits that nobody has told of.
const LOOK_INTERVAL_MS: u64 = 1_000;

/// Whether more is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Running,
    /// What cannot be sent by then stays.
    Ending(Instant),
}

/// Why a relay ends before its time: the home can promise nothing any more, or is not there any more.
pub struct HomeIsGone;

pub struct Relay {
    pipeline: Arc<str>,
    pub(super) outlet: Outlet,
    pub(super) home: Arc<dyn OutboxHome>,
    stats: Arc<OutletStats>,
    phase: watch::Receiver<Phase>,
    /// That in which all that is known was read.
    pub(super) turn: Option<u64>,
    origin: Instant,
    random: u64,
    draws: u64,
    pub(super) order: Order,
    /// The last row that is known.
    pub(super) read_to: u64,
    /// Nothing was behind that.
    pub(super) at_end: bool,
    /// What was read and may go soon.
    pub(super) read: HashMap<u64, Waiting>,
    pub(super) bytes: usize,
    /// None until it is needed, and while a batch is being sent.
    publisher: Option<Box<dyn Publisher>>,
    /// Keys and messages that have failed since the target has last taken anything.
    failed: usize,
    /// How often in a row everything has failed; and until when nothing is tried for that.
    away: u32,
    pub(super) away_until: u64,
}

/// What was sent, and what became of it.
type Told = Vec<(Waiting, Published)>;

impl Relay {
    pub fn new(
        pipeline: Arc<str>,
        outlet: Outlet,
        home: Arc<dyn OutboxHome>,
        stats: Arc<OutletStats>,
        phase: watch::Receiver<Phase>,
        random: u64,
    ) -> Self {
        Self {
            pipeline,
            random: scatter(random, u64::from_ne_bytes(outlet.target.0.to_ne_bytes())),
            outlet,
            home,
            stats,
            phase,
            turn: None,
            origin: Instant::now(),
            draws: 0,
            order: Order::default(),
            read_to: 0,
            at_end: false,
            read: HashMap::new(),
            bytes: 0,
            publisher: None,
            failed: 0,
            away: 0,
            away_until: 0,
        }
    }

    /// Until nothing more is to come, and nothing that is there can be sent now.
    pub async fn run(mut self) {
        loop {
            let batch = match self.next().await {
                Ok(batch) => batch,
                Err(HomeIsGone) => return,
            };
            let sent = if batch.is_empty() {
                if self.is_over() {
                    return;
                }
                self.wait().await;
                Ok(())
            } else {
                self.send(batch).await
            };
            if let Err(HomeIsGone) = sent {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Ending(_))
    }

    /// Time is up: not even what could be sent is.
    pub(super) fn is_late(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Ending(until) if until <= Instant::now())
    }

    pub(super) fn now(&self) -> u64 {
        millis(self.origin.elapsed())
    }

    async fn send(&mut self, batch: Vec<Ticket>) -> Result<(), HomeIsGone> {
        let (messages, mut fates) = self.fetch(&batch).await?;
        if !self.keeps_turn() {
            return Ok(());
        }
        let keys: HashMap<u64, Option<u64>> = batch.iter().map(|ticket| (ticket.row, ticket.key)).collect();
        let ticket = |row: u64| Ticket { row, key: keys.get(&row).copied().flatten() };
        let told = if messages.is_empty() { Vec::new() } else { self.publish(messages).await? };
        let (mut ends, mut words, mut lanes) = (Vec::new(), None, Vec::new());
        for (waiting, published) in told {
            match published {
                Ok(_) => ends.push((waiting.row, RowEnd::Sent)),
                Err(Unsent { words, for_good: true }) => ends.push((waiting.row, RowEnd::Refused(words))),
                Err(unsent) => {
                    let ticket = ticket(waiting.row);
                    lanes.push(ticket.key.map_or((None, Some(ticket.row)), |key| (Some(key), None)));
                    fates.push((ticket, Fate::Failed));
                    words = Some(unsent.words);
                }
            }
        }
        fates.extend(ends.iter().map(|(row, _)| (ticket(*row), Fate::Ended)));
        lanes.sort_unstable();
        lanes.dedup();
        self.goes_on(&fates, lanes.len(), words.as_deref());
        self.note(ends).await
    }

    /// What may go next, after what became of a batch: with so many keys, and messages without one, of which
    /// something failed.
    fn goes_on(&mut self, fates: &[(Ticket, Fate)], failed: usize, words: Option<&str>) {
        let now = self.now();
        let takes = fates.iter().any(|(_, fate)| *fate == Fate::Ended);
        self.failed = if takes { 0 } else { self.failed + failed };
        // More than one of them in a row: it is not their fault.
        let is_away = self.failed > 1;
        if let Some(words) = words.filter(|_| !takes) {
            self.stats.fails(&self.pipeline, words);
        } else if takes {
            self.stats.works(&self.pipeline);
            words.into_iter().for_each(|words| self.stats.takes_some(&self.pipeline, failed, words));
        }
        if is_away {
            self.away += 1;
            let wait = self.backoff(self.away);
            self.away_until = now.saturating_add(wait);
            let untried: Vec<_> = fates.iter().map(|(ticket, fate)| (*ticket, untried(*fate))).collect();
            return self.order.settle(&untried, now, |_| 0);
        }
        self.away = 0;
        let (random, mut draws) = (self.random, self.draws);
        self.order.settle(fates, now, |failures| {
            draws += 1;
            backoff(failures, scatter(random, draws))
        });
        self.draws = draws;
    }

    /// Has the broker take messages, on a thread that may block.
    async fn publish(&mut self, messages: Vec<Waiting>) -> Result<Told, HomeIsGone> {
        let (publisher, way) = (self.publisher.take(), self.outlet.way.clone());
        let sending = tokio::task::spawn_blocking(move || {
            contain(move || {
                let opened = publisher.map_or_else(|| way.publisher(), Ok);
                let mut publisher = match opened {
                    Ok(publisher) => publisher,
                    Err(error) => return (None, all_unsent(messages, &error.to_string())),
                };
                points::reach("outbox-sending");
                let told = publish(&mut *publisher, messages, way.longest_delay_ms());
                points::reach("outbox-sent");
                (Some(publisher), told)
            })
        });
        match sending.await {
            Ok(Ok((publisher, told))) => {
                self.publisher = publisher;
                Ok(told)
            }
            Ok(Err(panicked)) => panicked.resume(),
            // The runtime ends.
            Err(_) => Err(HomeIsGone),
        }
    }

    /// Notes how messages ended, until that is on disk: nothing is sent before.
    async fn note(&mut self, mut ends: Vec<(u64, RowEnd)>) -> Result<(), HomeIsGone> {
        let mut failures = 0;
        while !ends.is_empty() {
            let results = self.home.ended(ends.clone()).await;
            let mut left = Vec::new();
            for (end, result) in ends.into_iter().zip(results) {
                match result {
                    Ok(()) => self.count(&end.1),
                    // It is gone already.
                    Err(ErrorClass::LeaseLost | ErrorClass::Conflict | ErrorClass::Failed) => {}
                    Err(ErrorClass::Transient) => left.push(end),
                    Err(ErrorClass::Permanent) => return Err(HomeIsGone),
                }
            }
            ends = left;
            if !ends.is_empty() {
                failures += 1;
                self.pause(failures).await?;
            }
        }
        points::reach("outbox-noted");
        Ok(())
    }

    fn count(&self, end: &RowEnd) {
        match end {
            RowEnd::Sent => self.stats.add(1, 0),
            RowEnd::Refused(words) => {
                self.stats.add(0, 1);
                tracing::warn!(
                    pipeline = &*self.pipeline,
                    target_name = &*self.outlet.name,
                    "a message of the outbox is refused, and is a dead letter of cause `outbox` now: {words}"
                );
            }
        }
    }

    /// A wait because the home is in trouble, which says so itself. It ends with the time that there is.
    pub(super) async fn pause(&mut self, failures: u32) -> Result<(), HomeIsGone> {
        if self.is_late() {
            return Err(HomeIsGone);
        }
        tokio::time::sleep(Duration::from_millis(self.backoff(failures))).await;
        Ok(())
    }

    /// Until something may go.
    async fn wait(&mut self) {
        let now = self.now();
        let next = self.order.wake().map(|at| at.max(self.away_until));
        let look = now.saturating_add(LOOK_INTERVAL_MS);
        let at = next.unwrap_or(u64::MAX).min(look);
        let home = self.home.clone();
        tokio::select! {
            () = home.committed(self.outlet.target) => self.at_end = false,
            // Told that it ends, it looks once more.
            changed = self.phase.changed() => {
                self.at_end = false;
                if changed.is_err() {
                    tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
                }
            }
            () = tokio::time::sleep(Duration::from_millis(at.saturating_sub(now))) => {
                let known = u64::try_from(self.order.len()).unwrap_or(u64::MAX);
                self.at_end &= self.stats.backlog().rows <= known;
            }
        }
    }

    fn backoff(&mut self, failures: u32) -> u64 {
        self.draws += 1;
        backoff(failures, scatter(self.random, self.draws))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.home.leaves(self.outlet.target);
    }
}

/// In milliseconds, after so many failures in a row.
fn backoff(failures: u32, random: u64) -> u64 {
    let (first, most) = BACKOFF_MS;
    let full = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most);
    full - random % (full / 2)
}

/// What has failed since its target is away has not failed by itself.
fn untried(fate: Fate) -> Fate {
    match fate {
        Fate::Failed | Fate::Untried => Fate::Untried,
        Fate::Ended => Fate::Ended,
    }
}

fn publish(publisher: &mut dyn Publisher, messages: Vec<Waiting>, longest_delay_ms: u64) -> Told {
    let now = wall_ms();
    let delay = |waiting: &Waiting| {
        let delay = waiting.message.delay_ms.filter(|delay| *delay <= longest_delay_ms)?;
        let left = waiting.committed_at_ms.saturating_add(delay).saturating_sub(now).min(delay);
        Some(left).filter(|left| *left > 0)
    };
    let batch: Vec<_> = messages.iter().map(|waiting| waiting.message.outgoing(delay(waiting))).collect();
    let told = match publisher.publish(&batch) {
        Ok(told) => told,
        Err(error) => {
            let words = error.to_string();
            drop(batch);
            return all_unsent(messages, &words);
        }
    };
    drop(batch);
    let unknown = || Err(Unsent::for_now("nobody says whether it was sent"));
    let told = told.into_iter().chain(std::iter::repeat_with(unknown));
    messages.into_iter().zip(told).collect()
}

fn all_unsent(messages: Vec<Waiting>, words: &str) -> Told {
    messages.into_iter().map(|waiting| (waiting, Err(Unsent::for_now(words)))).collect()
}

/// The wall clock, in milliseconds since the epoch.
#[allow(clippy::disallowed_methods, reason = "messages are due, and were published, by the wall clock")]
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
