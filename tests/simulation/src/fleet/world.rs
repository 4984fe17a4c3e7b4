//! What is sent to a fleet, and the brokers that hand it out.

use crate::random::Random;
use pelton_core::message::{Delivery, Identity, Lane, Message, Parts, Position, Receipt, Time};
use pelton_core::ports::{Capabilities, ErrorClass, Settle};
use std::collections::BTreeSet;

pub const LEASE_MS: u64 = 300;
pub const PARTITIONS: usize = 2;

/// What a handler will do with a message, attempt by attempt; the last goes on for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Will {
    Ok,
    Retry,
    Reject,
    /// Its transaction is in the way of another, now and then.
    Again,
    /// A statement fails, and only the commit tells.
    FailsLate,
    /// Kills the process.
    Kill,
}

#[derive(Debug, Clone)]
pub struct Sent {
    pub message: Message,
    pub identity: Identity,
    pub lane: Option<Lane>,
    pub will: Vec<Will>,
    pub partition: usize,
}

impl Sent {
    pub fn will(&self, attempt: u32) -> Will {
        self.will[(attempt as usize - 1).min(self.will.len() - 1)]
    }
}

#[derive(Debug, Clone)]
pub struct Shape {
    pub caps: Capabilities,
    pub max_attempts: u32,
    pub concurrency: usize,
    pub max_chunk: usize,
    pub batch: bool,
    pub effects: bool,
    pub workers: usize,
}

/// A message at a broker with leases.
#[derive(Debug, Clone, Default)]
struct Place {
    /// Receipts, and until when each holds.
    out: Vec<(Receipt, u64)>,
    ready_at: u64,
    is_gone: bool,
}

/// A partition, and who has it.
#[derive(Debug, Clone, Default)]
pub struct Partition {
    pub owner: Option<(usize, u64)>,
    pub assignment: u32,
    pub revoking: bool,
    pub cursor: usize,
    pub committed: usize,
}

#[derive(Debug)]
pub struct Broker {
    pub shape: Shape,
    pub sent: Vec<Sent>,
    places: Vec<Place>,
    pub partitions: Vec<Partition>,
    /// The message and the assignment of each receipt.
    receipts: Vec<(usize, u32)>,
}

fn shape(random: &mut Random) -> Shape {
    let caps = |lease_ms, native_delay, lane_order, cumulative| Capabilities {
        lease_ms,
        native_delay,
        lane_order,
        cumulative,
        shares_ledger: false,
    };
    let caps = match random.below(4) {
        0 => caps(Some(LEASE_MS), true, false, false),
        1 => caps(Some(LEASE_MS), true, true, false),
        2 => caps(Some(LEASE_MS), false, false, false),
        _ => caps(None, false, false, true),
    };
    Shape {
        caps,
        max_attempts: 1 + random.below(4) as u32,
        concurrency: 1 + random.below(3) as usize,
        max_chunk: if random.once_in(2) { 8 } else { 1 },
        batch: random.once_in(4),
        effects: !random.once_in(3),
        workers: 2 + usize::from(random.once_in(4)),
    }
}

impl Broker {
    pub fn new(random: &mut Random) -> Self {
        let shape = shape(random);
        let count = 3 + random.below(16) as usize;
        let keyed = !shape.caps.cumulative || random.once_in(3);
        let sent: Vec<Sent> = (0..count).map(|n| one(random, &shape, n, keyed)).collect();
        Self {
            places: vec![Place::default(); count],
            shape,
            sent,
            partitions: vec![Partition::default(); PARTITIONS],
            receipts: Vec::new(),
        }
    }

    pub fn of(&self, receipt: Receipt) -> (usize, u32) {
        self.receipts[receipt.0 as usize]
    }

    pub fn receive(
        &mut self,
        who: (usize, u64),
        now: u64,
        max: usize,
        random: &mut Random,
    ) -> Vec<Delivery> {
        let mut all = Vec::new();
        if !self.shape.caps.cumulative {
            return self.lease(now, max, random);
        }
        for p in 0..PARTITIONS {
            while all.len() < max && self.partitions[p].owner == Some(who) && !self.partitions[p].revoking {
                let next =
                    (self.partitions[p].cursor..self.sent.len()).find(|n| self.sent[*n].partition == p);
                let Some(n) = next.filter(|_| !random.once_in(6)) else { break };
                self.partitions[p].cursor = n + 1;
                all.push(self.deliver(n, self.partitions[p].assignment, None));
            }
        }
        all
    }

    fn lease(&mut self, now: u64, max: usize, random: &mut Random) -> Vec<Delivery> {
        let (mut all, mut closed) = (Vec::new(), BTreeSet::new());
        for n in 0..self.sent.len() {
            let place = &self.places[n];
            if all.len() >= max || place.is_gone {
                continue;
            }
            let is_out = place.out.iter().any(|(_, until)| *until > now);
            let lane = self.sent[n].lane;
            // A broker without an order hands out twice, now and then, what somebody has.
            let twice = is_out && !self.shape.caps.lane_order && random.once_in(12);
            let free = (!is_out || twice) && place.ready_at <= now;
            if free && !lane.is_some_and(|lane| closed.contains(&lane)) && !random.once_in(4) {
                let until = now + LEASE_MS;
                let delivery = self.deliver(n, 0, Some(until));
                self.places[n].out.push((delivery.receipt, until));
                all.push(delivery);
            } else if self.shape.caps.lane_order {
                closed.extend(lane);
            }
        }
        all
    }

    fn deliver(&mut self, n: usize, assignment: u32, until: Option<u64>) -> Delivery {
        let receipt = Receipt(self.receipts.len() as u64);
        self.receipts.push((n, assignment));
        let partition = self.sent[n].partition as u32;
        let position = Position { partition, offset: n as u64 };
        Delivery {
            receipt,
            message: self.sent[n].message.clone(),
            lane: self.sent[n].lane,
            position: self.shape.caps.cumulative.then_some(position),
            skipped: 0,
            receives: 0,
            assignment,
            lease_until: until.map(Time),
            instance: None,
            unreadable: None,
        }
    }

    pub fn settle(
        &mut self,
        who: (usize, u64),
        receipt: Receipt,
        how: Settle,
        now: u64,
    ) -> Result<(), ErrorClass> {
        let (n, assignment) = self.of(receipt);
        if self.shape.caps.cumulative {
            let partition = &mut self.partitions[self.sent[n].partition];
            if partition.owner != Some(who) || partition.assignment != assignment {
                return Err(ErrorClass::LeaseLost);
            }
            partition.committed = partition.committed.max(n + 1);
            return Ok(());
        }
        let place = &mut self.places[n];
        let held = place.out.iter().position(|(held, until)| *held == receipt && *until > now);
        let Some(held) = held.filter(|_| !place.is_gone) else { return Err(ErrorClass::LeaseLost) };
        place.out.remove(held);
        match how {
            Settle::Ack => place.is_gone = true,
            Settle::GiveBack => place.ready_at = now,
            Settle::RetryLater { delay_ms } | Settle::LeaveToRedrive { delay_ms } => {
                place.ready_at = now + delay_ms;
            }
        }
        Ok(())
    }

    pub fn extend(&mut self, receipt: Receipt, now: u64) -> Result<(), ErrorClass> {
        let (n, _) = self.of(receipt);
        let held = self.places[n].out.iter_mut().find(|(held, until)| *held == receipt && *until > now);
        held.map(|(_, until)| *until = now + LEASE_MS).ok_or(ErrorClass::LeaseLost)
    }

    /// What is left at the broker.
    pub fn unsettled(&self) -> usize {
        if !self.shape.caps.cumulative {
            return self.places.iter().filter(|place| !place.is_gone).count();
        }
        let open = |(n, sent): &(usize, &Sent)| *n >= self.partitions[sent.partition].committed;
        self.sent.iter().enumerate().filter(open).count()
    }
}

fn one(random: &mut Random, shape: &Shape, n: usize, keyed: bool) -> Sent {
    let will = |random: &mut Random| match random.below(16) {
        0 | 1 => Will::Retry,
        2 => Will::Reject,
        3 => Will::FailsLate,
        4 => Will::Again,
        5 if random.once_in(4) => Will::Kill,
        _ => Will::Ok,
    };
    let partition = random.below(PARTITIONS as u64) as usize;
    let laned = shape.caps.lane_order || shape.caps.cumulative;
    let lane = Lane(partition as u64 * 100 + random.below(3));
    let twin = n > 0 && random.once_in(6);
    let key = if twin { random.below(n as u64) } else { n as u64 };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&key.to_le_bytes());
    let position = Position { partition: partition as u32, offset: n as u64 };
    let attempts = 1 + random.below(3);
    Sent {
        message: Message::new(Parts::named(&format!("m{n}"))),
        identity: if keyed { Identity::Key(bytes) } else { Identity::Position(position) },
        lane: (laned && !random.once_in(4)).then_some(lane),
        will: (0..attempts).map(|_| will(random)).collect(),
        partition,
    }
}
