//! The made-up world: what brokers, ledger and letters hold, over all lives of the process.

use crate::random::Random;
use crate::shapes::{one, shape};
use pelton_core::flow::FlowRules;
use pelton_core::message::{Delivery, Identity, Lane, Message, Position, Receipt, Time};
use pelton_core::ports::{Capabilities, Claim, ErrorClass, Settle, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// What a handler will do with a message, attempt by attempt; the last goes on for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Will {
    Ok,
    Retry,
    /// A retry that nobody waits for when its partition leaves.
    RetryLate,
    Reject,
    Trap,
    /// Kills the process.
    Kill,
}

#[derive(Debug, Clone)]
pub struct Sent {
    pub message: Message,
    pub identity: Identity,
    pub lane: Option<Lane>,
    pub will: Vec<Will>,
    /// How often others have received it before, where the broker counts that.
    pub receives: u32,
}

/// From so many receives on a message is not started any more.
pub const MAX_RECEIVES: u32 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtBroker {
    /// May be delivered from then on.
    Ready(u64),
    /// Out, until then (for ever without leases).
    Out(Receipt, u64),
    Gone,
}

/// One shape of a world.
#[derive(Debug, Clone)]
pub struct Shape {
    pub caps: Capabilities,
    pub max_attempts: u32,
    pub max_in_flight: usize,
    pub max_waiting: usize,
    pub max_bytes: usize,
    pub concurrency: usize,
    pub dedup: bool,
    /// The handler takes a chunk in one call, which fails as a whole.
    pub batch: bool,
    /// Handlers read and write state.
    pub effects: bool,
    /// What is given up on is left to the broker, which moves it to its own dead letters after a while.
    pub redrive: bool,
    /// An operator pauses it now and then.
    pub steered: bool,
    pub flow: FlowRules,
}

/// How often a message that was given up on comes back before its broker moves it.
const COMES_BACK: u32 = 2;

#[derive(Debug)]
pub struct World {
    pub shape: Shape,
    pub sent: Vec<Sent>,
    pub broker: Vec<AtBroker>,
    /// Where a cumulative source goes on, and what was committed.
    pub cursor: usize,
    pub committed: usize,
    pub completed: BTreeSet<Identity>,
    pub attempts: BTreeMap<Identity, (u32, bool)>,
    pub lettered: BTreeMap<Identity, String>,
    pub letters: Vec<usize>,
    /// How often each message was left to its broker.
    left: BTreeMap<usize, u32>,
    pub effects: Vec<usize>,
    /// Claims that live, and what they are of; void after a death.
    pub live: BTreeMap<Claim, (Identity, u32)>,
    /// The assignment of the one partition, and whether it is ours now.
    pub assignment: u32,
    pub assigned: bool,
    /// Nothing more of the one partition is wanted.
    pub unwanted: bool,
    chunks: u64,
    /// The assignment of each receipt.
    receipts: Vec<u32>,
}

impl World {
    pub fn new(random: &mut Random) -> Self {
        let shape = shape(random);
        let count = 3 + random.below(25) as usize;
        let lanes = 1 + random.below(5);
        let laned = shape.caps.lane_order || shape.caps.cumulative;
        let sent: Vec<Sent> = (0..count)
            .map(|n| {
                let lane = (laned && !random.once_in(3)).then(|| Lane(random.below(lanes)));
                let twin = n > 0 && random.once_in(6);
                let key = if twin { random.below(n as u64) } else { n as u64 };
                one(random, &shape, n, key, lane)
            })
            .collect();
        Self {
            broker: vec![AtBroker::Ready(0); sent.len()],
            shape,
            sent,
            cursor: 0,
            committed: 0,
            completed: BTreeSet::new(),
            attempts: BTreeMap::new(),
            lettered: BTreeMap::new(),
            letters: Vec::new(),
            left: BTreeMap::new(),
            effects: Vec::new(),
            live: BTreeMap::new(),
            assignment: 1,
            assigned: true,
            unwanted: false,
            chunks: 0,
            receipts: Vec::new(),
        }
    }

    /// The message of a receipt.
    pub fn of(&self, receipt: Receipt) -> usize {
        (receipt.0 >> 32) as usize
    }

    /// The assignment that it came with.
    pub fn assignment_of(&self, receipt: Receipt) -> u32 {
        self.receipts[receipt.0 as u32 as usize]
    }

    pub fn receive(
        &mut self,
        now: u64,
        max: usize,
        max_bytes: usize,
        random: &mut Random,
    ) -> Vec<Delivery> {
        let (mut all, mut bytes) = (Vec::new(), 0);
        if !self.assigned || self.unwanted {
            return all;
        }
        let start = if self.shape.caps.cumulative { self.cursor } else { 0 };
        let mut closed: BTreeSet<Lane> = BTreeSet::new();
        for n in start..self.sent.len() {
            if all.len() >= max || random.once_in(6) {
                break;
            }
            let free = match self.broker[n] {
                AtBroker::Ready(at) => at <= now,
                AtBroker::Out(_, until) => until <= now,
                AtBroker::Gone => false,
            };
            let lane = self.sent[n].lane;
            let shut = lane.is_some_and(|l| closed.contains(&l));
            let weight = self.sent[n].message.weight();
            let fits = bytes + weight <= max_bytes || all.is_empty();
            if (self.shape.caps.cumulative || free) && !shut && fits {
                bytes += weight;
                all.push(self.deliver(n, now));
            } else if self.waits(n, free) || !fits {
                // A message that waits closes its lane: so a source keeps its order.
                closed.extend(lane);
                if self.shape.caps.cumulative {
                    break;
                }
            }
        }
        all
    }

    /// Whether nothing of its lane may pass a message that is not delivered now.
    fn waits(&self, n: usize, free: bool) -> bool {
        match self.broker[n] {
            AtBroker::Ready(_) => !free,
            // With leases a broker keeps a lane to one receive at a time.
            AtBroker::Out(..) => self.shape.caps.lease_ms.is_some(),
            AtBroker::Gone => false,
        }
    }

    fn deliver(&mut self, n: usize, now: u64) -> Delivery {
        let receipt = Receipt((n as u64) << 32 | self.receipts.len() as u64);
        self.receipts.push(self.assignment);
        let until = self.shape.caps.lease_ms.map_or(u64::MAX, |ms| now + ms);
        self.broker[n] = AtBroker::Out(receipt, until);
        self.cursor = n + 1;
        let position = Position { partition: 0, offset: n as u64 * 3 };
        let numbered = self.sent[n].identity == Identity::Position(position);
        Delivery {
            receipt,
            message: self.sent[n].message.clone(),
            lane: self.sent[n].lane,
            position: (numbered || self.shape.caps.cumulative).then_some(position),
            skipped: 0,
            receives: self.sent[n].receives,
            assignment: self.assignment,
            lease_until: self.shape.caps.lease_ms.map(|_| Time(until)),
            instance: None,
            unreadable: None,
        }
    }

    /// Each item with the attempts that the core knows of.
    pub fn claim(&mut self, items: &[(Identity, String, u32)], alone: bool, counts: bool) -> Vec<Verdict> {
        self.chunks += 1;
        let mut verdicts = Vec::new();
        for (index, (identity, id, elsewhere)) in (0u32..).zip(items) {
            let (own, suspect) = self.attempts.get(identity).copied().unwrap_or((0, false));
            let attempts = own.max(*elsewhere);
            verdicts.push(if self.shape.dedup && self.completed.contains(identity) {
                Verdict::Duplicate
            } else if self.lettered.get(identity) == Some(id) {
                Verdict::AlreadyDeadLettered
            } else if suspect && !alone {
                Verdict::Suspect
            } else {
                let claim = Claim { chunk: self.chunks, index };
                if counts {
                    self.live.insert(claim, (*identity, attempts + 1));
                }
                Verdict::Fresh { claim, attempt: attempts + 1, crashed: suspect }
            });
        }
        verdicts
    }

    pub fn complete(&mut self, n: usize, claim: Claim) -> Result<(), ErrorClass> {
        let (identity, _) = self.live.remove(&claim).ok_or(ErrorClass::LeaseLost)?;
        if self.shape.dedup {
            self.completed.insert(identity);
        }
        self.attempts.remove(&identity);
        self.effects.push(n);
        Ok(())
    }

    pub fn release(&mut self, claim: Claim, counts: bool) -> Result<(), ErrorClass> {
        let (identity, attempt) = self.live.remove(&claim).ok_or(ErrorClass::LeaseLost)?;
        if counts {
            self.attempts.insert(identity, (attempt, false));
        }
        Ok(())
    }

    pub fn publish(&mut self, n: usize, claim: Option<Claim>) -> Result<(), ErrorClass> {
        if let Some(claim) = claim {
            let (identity, _) = self.live.remove(&claim).ok_or(ErrorClass::LeaseLost)?;
            self.attempts.remove(&identity);
            if !self.shape.caps.shares_ledger {
                self.lettered.insert(identity, self.sent[n].message.id().to_string());
            }
        }
        self.letters.push(n);
        Ok(())
    }

    pub fn settle(&mut self, receipt: Receipt, how: Settle, now: u64) -> Result<(), ErrorClass> {
        let n = self.of(receipt);
        if self.shape.caps.cumulative {
            // What came with an earlier assignment is fenced.
            if !self.is_ours(receipt) {
                return Err(ErrorClass::LeaseLost);
            }
            self.committed = self.committed.max(n + 1);
            return Ok(());
        }
        match self.broker[n] {
            AtBroker::Out(held, until) if held == receipt && until > now => {}
            _ => return Err(ErrorClass::LeaseLost),
        }
        self.broker[n] = match how {
            Settle::Ack => AtBroker::Gone,
            Settle::GiveBack => AtBroker::Ready(now),
            Settle::LeaveToRedrive { .. } if self.is_moved(n) => AtBroker::Gone,
            Settle::RetryLater { delay_ms } | Settle::LeaveToRedrive { delay_ms } => {
                AtBroker::Ready(now + delay_ms)
            }
        };
        Ok(())
    }

    /// Counts that a message was left to its broker, which moves it at last.
    fn is_moved(&mut self, n: usize) -> bool {
        let left = self.left.entry(n).or_default();
        *left += 1;
        *left > COMES_BACK
    }

    /// Whether a receipt is of the assignment that is ours now.
    pub fn is_ours(&self, receipt: Receipt) -> bool {
        self.assigned && self.assignment_of(receipt) == self.assignment
    }

    /// The partition goes to another member, which brings it back as it was committed.
    pub fn taken_back(&mut self) {
        self.assigned = false;
    }

    pub fn assign(&mut self) {
        (self.assigned, self.cursor, self.unwanted) = (true, self.committed, false);
        self.assignment += 1;
    }

    pub fn extend(&mut self, receipt: Receipt, now: u64) -> Result<(), ErrorClass> {
        let n = self.of(receipt);
        let ms = self.shape.caps.lease_ms.unwrap_or(0);
        match &mut self.broker[n] {
            AtBroker::Out(held, until) if *held == receipt && *until > now => {
                *until = now + ms;
                Ok(())
            }
            _ => Err(ErrorClass::LeaseLost),
        }
    }

    /// The process has died: claims are void, what they were of is suspect, leases of the process
    /// are gone, those of a broker run on.
    pub fn died(&mut self) {
        for (identity, attempt) in std::mem::take(&mut self.live).into_values() {
            let known = self.attempts.get(&identity).map_or(0, |(n, _)| *n);
            self.attempts.insert(identity, (known.max(attempt), true));
        }
        self.assign();
        for place in &mut self.broker {
            if let (AtBroker::Out(..), None) = (*place, self.shape.caps.lease_ms) {
                *place = AtBroker::Ready(0);
            }
        }
    }

    /// Messages with this identity.
    pub fn of_identity(&self, identity: Identity) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(move |s| s.identity == identity)
    }

    /// What is left at the broker.
    pub fn unsettled(&self) -> usize {
        if self.shape.caps.cumulative {
            return self.sent.len() - self.committed;
        }
        self.broker.iter().filter(|p| **p != AtBroker::Gone).count()
    }
}
