//! What worlds there are: sources of every kind, and what is sent to them.

use crate::random::Random;
use crate::world::{Sent, Shape, Will};
use pelton_core::flow::{CircuitBreaker, FlowRules, Rate};
use pelton_core::message::{Identity, Lane, Message, Parts, Position};
use pelton_core::ports::Capabilities;

pub fn shape(random: &mut Random) -> Shape {
    let caps = |lease, native_delay, lane_order, cumulative, shares_ledger| Capabilities {
        lease_ms: lease,
        native_delay,
        lane_order,
        cumulative,
        shares_ledger,
    };
    let caps = match random.below(5) {
        0 => caps(None, true, true, false, true),
        1 => caps(Some(300), true, false, false, false),
        2 => caps(Some(300), true, true, false, false),
        3 => caps(None, false, false, true, false),
        _ => caps(Some(300), false, false, false, false),
    };
    let max_in_flight = 1 + random.below(12) as usize;
    let max_attempts = 1 + random.below(4) as u32;
    let max_bytes = 200 + random.below(400) as usize;
    Shape {
        caps,
        max_attempts,
        max_in_flight,
        max_waiting: 1 + max_in_flight / 2,
        max_bytes,
        effects: max_bytes.is_multiple_of(2),
        concurrency: 1 + random.below(3) as usize,
        dedup: caps.cumulative || !random.once_in(5),
        batch: random.once_in(3),
        // Drawn from what was drawn already: so a seed still means the schedule that it meant.
        redrive: caps.lease_ms.is_some() && caps.native_delay && max_in_flight.is_multiple_of(3),
        steered: steered(max_bytes, max_in_flight),
        flow: flow(max_bytes, max_in_flight),
    }
}

/// Whether an operator pauses it now and then: one in three.
fn steered(max_bytes: usize, max_in_flight: usize) -> bool {
    (max_bytes + max_in_flight).is_multiple_of(3)
}

/// The same that are steered are limited, each in other ways. Drawn from what was drawn already, as above.
fn flow(max_bytes: usize, max_in_flight: usize) -> FlowRules {
    if !steered(max_bytes, max_in_flight) {
        return FlowRules::default();
    }
    let number = (max_bytes + max_in_flight) / 3;
    let part = (number % 4) as f64;
    let rate = Rate { per_second: 20.0 + part * 30.0, burst: 1.0 + part };
    let per_key = Rate { per_second: 10.0, burst: 1.0 + part / 2.0 };
    let breaker = CircuitBreaker {
        failure_rate: 0.5,
        minimum: 2 + number as u64 % 3,
        window_ms: 1_000_000_000,
        open_ms: 60,
    };
    FlowRules {
        rate: number.is_multiple_of(2).then_some(rate),
        per_key: (number / 2).is_multiple_of(2).then_some(per_key),
        ramp_up: None,
        breaker: (number / 4).is_multiple_of(2).then_some(breaker),
        origin_ms: 0,
    }
}

pub fn one(random: &mut Random, shape: &Shape, n: usize, key: u64, lane: Option<Lane>) -> Sent {
    let attempts = 1 + random.below(3);
    let will = |random: &mut Random| match random.below(12) {
        0 if random.once_in(2) => Will::RetryLate,
        0 | 1 => Will::Retry,
        2 => Will::Reject,
        3 => Will::Trap,
        4 if random.once_in(6) => Will::Kill,
        _ => Will::Ok,
    };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&key.to_le_bytes());
    let position = Identity::Position(Position { partition: 0, offset: n as u64 * 3 });
    let numbered =
        shape.caps.cumulative || (shape.caps.shares_ledger && key == n as u64 && random.once_in(2));
    let length = random.below(150);
    // Without a lane it shares a key with others all the same.
    let name = format!("m{n}");
    let ordering = lane.map_or(n as u64 % 3, |lane| 10 + lane.0).to_le_bytes();
    let key = shape.flow.per_key.map(|_| &ordering[..1]);
    Sent {
        // Drawn from what was drawn already, as above.
        receives: match (shape.caps.lease_ms, length % 8) {
            (None, _) => 0,
            (Some(_), 0) => 60,
            (Some(_), 1) if length.is_multiple_of(3) => 5_000,
            _ => 1,
        },
        message: Message::new(Parts { body: &vec![0; length as usize], key, ..Parts::named(&name) }),
        identity: if numbered { position } else { Identity::Key(bytes) },
        lane,
        will: (0..attempts).map(|_| will(random)).collect(),
    }
}
