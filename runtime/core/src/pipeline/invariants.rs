//! The nine invariants, as far as they can be seen here: numbered as at the head of `delivery`.
//!
//! `check` runs after each flush where there are debug assertions. It looks at what is to be done and at
//! totals, so it costs no more than the flush. `check_all` looks at everything that is held; the simulator
//! calls it.

use super::Pipeline;
use super::parts::actions::Asker;
use super::parts::calls;
use super::parts::entry::{Durable, Entry, EntryLocation, Slot};
use super::parts::leases::Leases;
use super::parts::suspects::Turn;
use super::parts::timers::Timer;
use super::protocol::Command;
use crate::delivery::DeliveryState;
use crate::message::{Lane, Receipt};
use crate::outcome::Letter;
use crate::ports::{Claim, Completion, Release, Settle};
use std::collections::{BTreeMap, BTreeSet};

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its number.
    pub invariant: u8,
    /// What breaks it.
    pub what: String,
}

type Checked = Result<(), Broken>;

fn holds(is_held: bool, invariant: u8, what: impl FnOnce() -> String) -> Checked {
    if is_held { Ok(()) } else { Err(Broken { invariant, what: what() }) }
}

impl Pipeline {
    /// What is decided, and the totals. Nothing is promised of a pipeline that has stopped.
    pub(super) fn check(&self, commands: &[Command]) -> Checked {
        if self.departure.has_stopped() {
            return Ok(());
        }
        commands.iter().try_for_each(|command| self.check_command(command))?;
        self.check_totals()
    }

    fn check_command(&self, command: &Command) -> Checked {
        match command {
            Command::Receive { max, max_bytes } => self.check_receive(*max, *max_bytes),
            Command::Claim { chunk, alone, .. } => self.check_claim(*chunk, *alone),
            Command::Handle { chunk, work } => {
                let attempts = work.iter().map(|work| work.attempt);
                self.chunks
                    .slots_of(*chunk)
                    .zip(attempts)
                    .try_for_each(|(slot, n)| self.check_start(slot, n))
            }
            Command::Complete { batch, items } => {
                check_calls(items)?;
                self.of_batch(*batch, items)
                    .try_for_each(|(entry, item)| self.check_completion(entry, item))
            }
            Command::Publish { batch, items } => {
                self.of_batch(*batch, items).try_for_each(|(entry, item)| self.check_letter(entry, item))
            }
            Command::Release { batch, items } => {
                self.of_batch(*batch, items).try_for_each(|(entry, item)| self.check_release(entry, item))
            }
            Command::Settle { batch, items } => {
                let askers = self.actions.askers(*batch).iter();
                askers
                    .zip(items)
                    .try_for_each(|(asker, (receipt, how))| self.check_settle(*asker, *receipt, *how))
            }
            Command::Holds { .. }
            | Command::Wants { .. }
            | Command::Extend { .. }
            | Command::LetGo { .. }
            | Command::TakeSuspectTurn
            | Command::GiveSuspectTurn
            | Command::Stop => Ok(()),
        }
    }

    fn check_start(&self, slot: Slot, attempt: u32) -> Checked {
        let entry = &self.entries[slot];
        let counted = entry.claimed && (1..=self.rules.retry.max_attempts).contains(&attempt);
        holds(counted, 6, || format!("{} starts its attempt {attempt}", name(entry)))
    }

    fn check_completion(&self, entry: &Entry, item: &Completion) -> Checked {
        let is_live = matches!(entry.state, DeliveryState::Completing { claim, .. } if claim == item.claim);
        holds(entry.claimed && is_live, 3, || format!("{} is completed without its claim", name(entry)))?;
        holds(item.after != Some(item.claim), 8, || format!("{} goes behind itself", name(entry)))?;
        self.check_settled_with(entry, item.settle, 1)
    }

    fn check_letter(&self, entry: &Entry, letter: &Letter) -> Checked {
        let is_live =
            matches!(entry.state, DeliveryState::Publishing { claim, .. } if claim == letter.claim);
        let is_live = is_live && has_claim(entry, letter.claim);
        holds(is_live, 3, || format!("{} is given up on without its claim", name(entry)))?;
        self.check_settled_with(entry, letter.settle, 2)
    }

    fn check_release(&self, entry: &Entry, item: &Release) -> Checked {
        let is_live = matches!(entry.state, DeliveryState::Releasing { claim, .. } if claim == item.claim);
        holds(entry.claimed && is_live, 7, || format!("{} is released without its claim", name(entry)))?;
        let acknowledges = item.settle.is_some_and(|(_, how)| how == Settle::Ack);
        holds(!acknowledges, 1, || format!("{} is acknowledged, and not done", name(entry)))?;
        self.check_settled_with(entry, item.settle.map(|(receipt, _)| receipt), 3)
    }

    /// The deliveries that items of a batch are of.
    fn of_batch<'p, T>(&'p self, batch: u64, items: &'p [T]) -> impl Iterator<Item = (&'p Entry, &'p T)> {
        let entry = |(asker, item): (&Asker, &'p T)| match asker {
            Asker::Delivery(slot) => Some((&self.entries[*slot], item)),
            Asker::Watermark(..) => None,
        };
        self.actions.askers(batch).iter().zip(items).filter_map(entry)
    }

    /// A receive brings no more than there is room for.
    fn check_receive(&self, max: usize, max_bytes: usize) -> Checked {
        let count = self.entries.len().saturating_add(max);
        holds(count <= self.capacity.max_count(), 9, || {
            format!("{max} more are asked for, which makes {count}")
        })?;
        let bytes = self.entries.weight().saturating_add(max_bytes);
        let fits = bytes <= self.rules.max_in_flight_bytes;
        holds(fits, 9, || format!("{max_bytes} bytes more are asked for, which makes {bytes}"))
    }

    /// What is about to start is ours, counted, and the first of its lane: nothing else of that is out.
    fn check_claim(&self, chunk: u64, alone: bool) -> Checked {
        let mut lanes: BTreeMap<Lane, (usize, u64)> = BTreeMap::new();
        for slot in self.chunks.slots_of(chunk) {
            let entry = &self.entries[slot];
            let is_ours = entry.lease_live && entry.state == DeliveryState::Claiming;
            holds(is_ours, 3, || format!("{} is claimed, and not ours to start", name(entry)))?;
            let has_turn = !alone || self.suspects.turn() == Turn::Held(slot);
            holds(has_turn, 6, || format!("{} is started as a suspect out of turn", name(entry)))?;
            if let Some(lane) = entry.lane {
                let of_lane = lanes.entry(lane).or_default();
                holds(of_lane.1 < entry.order, 8, || format!("{} overtakes in its chunk", name(entry)))?;
                *of_lane = (of_lane.0 + 1, entry.order);
            }
        }
        lanes.into_iter().try_for_each(|(lane, (count, last))| {
            let others = self.lanes.out(lane) - count;
            let aside = self.entries.aside_of(lane).count();
            holds(others <= aside, 8, || format!("{lane:?} is in two chunks"))?;
            let next = self.lanes.first_waiting(lane).unwrap_or(u64::MAX);
            holds(last < next, 8, || format!("number {last} of {lane:?} starts before number {next}"))
        })
    }

    /// Settled in the transaction that makes it durable: only where there is one, and while it is ours.
    fn check_settled_with(&self, entry: &Entry, settle: Option<Receipt>, invariant: u8) -> Checked {
        let Some(receipt) = settle else { return Ok(()) };
        let shares = self.rules.source.shares_ledger;
        holds(shares, invariant, || format!("{} is settled before that is durable", name(entry)))?;
        let ours = entry.lease_live && entry.receipt == receipt;
        holds(ours, 3, || format!("{} is settled, and not ours", name(entry)))
    }

    fn check_settle(&self, asker: Asker, receipt: Receipt, how: Settle) -> Checked {
        let slot = match asker {
            Asker::Delivery(slot) => slot,
            Asker::Watermark(partition, assignment) => return self.check_commit(partition, assignment),
        };
        let entry = &self.entries[slot];
        let ours =
            entry.lease_live && entry.receipt == receipt && entry.state == DeliveryState::Settling(how);
        holds(ours, 3, || format!("{} is settled, and not ours", name(entry)))?;
        match how {
            Settle::Ack => {
                let done = entry.durable.is_some();
                holds(done, 1, || format!("{} is acknowledged, and nothing of it is durable", name(entry)))
            }
            Settle::LeaveToRedrive { .. } => {
                let given_up = self.rules.redrive && entry.durable == Some(Durable::DeadLetter);
                holds(given_up, 2, || format!("{} is left to its broker, and not given up on", name(entry)))
            }
            Settle::GiveBack | Settle::RetryLater { .. } => Ok(()),
        }
    }

    fn check_commit(&self, partition: u32, assignment: u32) -> Checked {
        let ours = self.partitions.may_commit(partition, assignment);
        holds(ours, 3, || format!("partition {partition} is committed, and another's"))?;
        let (passed, open) = self.partitions.passed_and_open(partition);
        let is_behind = passed.is_some_and(|passed| open.is_none_or(|open| passed < open));
        holds(is_behind, 4, || {
            format!("partition {partition} is committed to {passed:?}, and {open:?} is open")
        })
    }

    /// Everything that is held waits for something that comes: none is forgotten.
    fn check_totals(&self) -> Checked {
        let at = |location| self.entries.at(location);
        let (waiting, in_lanes) = (self.lanes.waiting(), at(EntryLocation::Lanes));
        holds(waiting == in_lanes, 5, || {
            format!("{waiting} wait in lanes, and {in_lanes} are noted there")
        })?;
        let asked = self.chunks.awaited() + self.actions.awaited() + self.timers.asking();
        let aside = self.entries.aside() + self.calls.waiting() + self.commits.waiting();
        let (held, cared_for) = (self.entries.len(), waiting + aside + asked + self.entries.resting());
        holds(held == cared_for, 5, || format!("{held} are held, and something comes for {cared_for}"))
    }

    /// Everything that is held, each where it should be. Costs as much as there is.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check_all(&self) -> Result<(), Broken> {
        if self.departure.has_stopped() {
            return Ok(());
        }
        self.check_totals()?;
        let asking: BTreeSet<Slot> = self.actions.asking().collect();
        let in_chunks: BTreeSet<Slot> = self.chunks.all().map(|(_, slot)| slot).collect();
        for (slot, entry) in self.entries.all() {
            let comes = self.comes_for(slot, entry, &asking, &in_chunks);
            holds(comes, 5, || format!("nothing comes for {} at {:?}", name(entry), entry.location()))?;
            self.check_entry(slot, entry)?;
        }
        self.check_lanes()?;
        let receive = self.admission.under_way();
        let fence = self.fences.needless(receive, |lane| self.lanes.is_out(lane));
        holds(fence.is_none(), 5, || format!("{fence:?} is closed for nothing"))?;
        let of_none = self.keys.is_empty() && self.calls.is_empty() && self.commits.is_empty();
        let forgotten = self.entries.len() > 0 || of_none;
        holds(forgotten, 5, || "nothing is held, and keys, calls or orders of lanes are".to_owned())?;
        let weight: usize = self.entries.iter().map(|entry| entry.weight).sum();
        holds(weight == self.entries.weight(), 9, || {
            format!("{weight} bytes are held, and others counted")
        })?;
        let contended = self.entries.iter().filter(|entry| entry.contended).count();
        holds(contended == self.contended, 5, || {
            format!("{contended} run with nothing beside them, and {} are waited for", self.contended)
        })?;
        let back = self.entries.iter().filter(|entry| entry.leaving).count();
        let counted = self.admission.going_back();
        holds(back == counted, 8, || format!("{back} go back to the broker, and {counted} are waited for"))
    }

    /// Whether something is to happen that goes on with a delivery.
    fn comes_for(
        &self,
        slot: Slot,
        entry: &Entry,
        asking: &BTreeSet<Slot>,
        in_chunks: &BTreeSet<Slot>,
    ) -> bool {
        let is_behind = |slot| entry.identity.is_some_and(|identity| self.keys.is_behind(identity, slot));
        let waits_for_lane = || entry.lane.is_some_and(|lane| self.commits.is_waiting(lane, slot));
        match &entry.state {
            DeliveryState::Admitted => match entry.location() {
                EntryLocation::Lanes => entry.lane.is_none_or(|lane| {
                    self.lanes.first_waiting(lane).is_some_and(|first| first <= entry.order)
                }),
                EntryLocation::SameKey => is_behind(slot),
                EntryLocation::Suspects => self.suspects.is_waiting(slot),
                EntryLocation::KeyLimited => self.awaits_key(slot),
                EntryLocation::Paused => self.is_of_paused(slot),
                EntryLocation::Taken | EntryLocation::Leaving | EntryLocation::Out => false,
            },
            DeliveryState::Claiming => in_chunks.contains(&slot),
            DeliveryState::Handling { .. } => in_chunks.contains(&slot) || waits_for_lane(),
            DeliveryState::Waiting => entry.due.is_some() && self.timers.contains(Timer::Due(slot)),
            DeliveryState::Completing { .. }
            | DeliveryState::Publishing { .. }
            | DeliveryState::Releasing { .. }
            | DeliveryState::Settling(_) => {
                let waits = asking.contains(&slot) || self.timers.contains(Timer::Again(slot));
                waits || waits_for_lane() || self.waits_in_call(slot, entry)
            }
            DeliveryState::Gone => false,
        }
    }

    /// Whether a message waits for others of its call.
    fn waits_in_call(&self, slot: Slot, entry: &Entry) -> bool {
        let DeliveryState::Completing { staged, .. } = &entry.state else { return false };
        calls::number(staged.as_ref()).is_some_and(|call| self.calls.is_waiting(call, slot))
    }

    fn check_entry(&self, slot: Slot, entry: &Entry) -> Checked {
        let claim = match &entry.state {
            DeliveryState::Handling { claim, .. }
            | DeliveryState::Completing { claim, .. }
            | DeliveryState::Releasing { claim, .. } => Some(*claim),
            DeliveryState::Publishing { claim, .. } => *claim,
            DeliveryState::Admitted
            | DeliveryState::Claiming
            | DeliveryState::Waiting
            | DeliveryState::Settling(_)
            | DeliveryState::Gone => None,
        };
        holds(has_claim(entry, claim), 7, || format!("{} has lost its claim, or kept it", name(entry)))?;
        let rests = !entry.elsewhere || entry.state == DeliveryState::Waiting;
        holds(rests, 5, || format!("another worker has {}, and it does not wait for that", name(entry)))?;
        let owner = entry.identity.and_then(|identity| self.keys.owner(identity));
        let owns = !entry.holds_key || owner == Some(slot);
        holds(owns, 8, || format!("{} has its key, and so has another", name(entry)))?;
        let looks_at = |leases: &Leases| entry.lease.is_some_and(|lease| leases.looks_at(slot, lease));
        let leased = self.leases.as_ref().is_none_or(|leases| looks_at(leases) == entry.lease_live);
        holds(leased, 3, || format!("{} has a lease that nobody looks at", name(entry)))?;
        let counts =
            self.rules.source.cumulative && entry.position.is_some() && !self.partitions.is_revoked(entry);
        let open = !counts || self.partitions.holder(entry).is_some();
        holds(open, 4, || format!("{} is held, and its watermark does not wait for it", name(entry)))
    }

    /// No lane is in two chunks.
    fn check_lanes(&self) -> Checked {
        let mut lanes: BTreeMap<Lane, u64> = BTreeMap::new();
        for (chunk, slot) in self.chunks.all() {
            let lane = self.entries[slot].lane;
            let other = lane.and_then(|lane| lanes.insert(lane, chunk)).filter(|other| *other != chunk);
            holds(other.is_none(), 8, || format!("{lane:?} is in the chunks {chunk} and {other:?}"))?;
        }
        Ok(())
    }
}

/// All messages of a call are completed at once.
fn check_calls(items: &[Completion]) -> Checked {
    let mut calls: BTreeMap<usize, u32> = BTreeMap::new();
    for item in items {
        if let Some(number) = calls::number(item.effects.as_ref()) {
            *calls.entry(number).or_default() += 1;
        }
    }
    let whole = |item: &Completion| {
        let number = calls::number(item.effects.as_ref());
        number.is_none_or(|number| calls.get(&number).copied() == item.effects.as_ref().map(|s| s.messages))
    };
    holds(items.iter().all(whole), 1, || "a part of a call is completed".to_owned())
}

fn has_claim(entry: &Entry, claim: Option<Claim>) -> bool {
    entry.claimed == claim.is_some()
}

fn name(entry: &Entry) -> String {
    format!("message {} ({:?})", crate::shown::shown(&*entry.message.id().text()), entry.state)
}
