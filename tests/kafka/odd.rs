//! A load of records of every odd kind in one pipeline, while another of the process works at its pace.
//! `PELTON_ODD_RECORDS` says how many, `PELTON_CRASH_SEED` which.

#![allow(clippy::disallowed_macros, reason = "a load talks to who runs it")]

use crate::{is_taken, order};
use pelton_tests::components::plugin;
use pelton_tests::kafka::Broker;
use pelton_tests::kafka_wire::Raw;
use pelton_tests::random::{Random, setting};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 4;
const LONG: u64 = 1 << 20;
/// Names that mean something to us or to other tools, with values that do not.
const NAMES: [&[u8]; 6] = [
    b"pelton-replayed",
    b"pelton-message-id",
    b"pelton-published-at-ms",
    b"pelton-cause",
    b"kafka_dlt-original-partition",
    b"__connect.errors.topic",
];
/// Orders that are sent together, each time that those before are taken.
const TOGETHER: u64 = 20;
/// How often before there is anything odd.
const ALONE: u64 = 40;

fn odd(random: &mut Random) -> Raw {
    let part = |random: &mut Random| match random.below(500) {
        0 => Some(random.bytes(LONG)),
        1..100 => None,
        100..200 => Some(Vec::new()),
        200..300 => Some(b"{\"id\": 1e999, \"customer\": \"\\ud800\"}".to_vec()),
        300..350 => order(1_000_000, "odd", 0).value,
        _ => {
            let length = random.below(300);
            Some(random.bytes(length))
        }
    };
    let count = match random.below(200) {
        0 => 10_000,
        1..100 => random.below(8),
        _ => 0,
    };
    let header = |random: &mut Random| {
        let length = random.below(12);
        let name = match random.below(10) {
            0 => random.of(&NAMES).to_vec(),
            _ => random.bytes(length),
        };
        (name, (random.below(4) > 0).then(|| random.bytes(length)))
    };
    let (key, value) = (part(random), part(random));
    let headers = (0..count).map(|_| header(random)).collect();
    let far = i64::from_le_bytes(random.below(u64::MAX).to_le_bytes());
    let timestamp = random.of(&[-1, 0, 1_700_000_000_000, 1_700_000_000_000_000, i64::MAX, far]);
    Raw { key, value, headers, timestamp }
}

/// Produces so many that the broker takes: not every time is taken.
fn produce(broker: &Broker, random: &mut Random, count: u64) {
    let mut taken = 0;
    while taken < count {
        let partition = i32::try_from(taken % 4).expect("few partitions");
        taken += u64::from(broker.produce_raw("odd", partition, &odd(random)) == 0);
    }
}

fn site(broker: &Broker) -> Site {
    let of = |topic: &str| {
        let source = crate::source(broker, topic, topic, "");
        let retry = "max_attempts = 2\ninitial_interval = \"10ms\"";
        Pipeline::new(topic, plugin("orders")).with("", &source).with("retry", retry)
    };
    Site::new(&[of("odd"), of("steady")])
}

/// The pipeline that is to keep its rate: some orders together, and when they are taken the next.
struct Steady<'t> {
    broker: &'t Broker,
    sent: u64,
    /// How long each time took.
    took: Vec<Duration>,
}

impl Steady<'_> {
    fn go_on(&mut self, worker: &Worker, before: u64) {
        let next = self.sent + 1..=self.sent + TOGETHER;
        let orders: Vec<_> = next.map(|n| order(n, &format!("c{}", n % 7), 0)).collect();
        let since = Instant::now();
        self.broker.produce("steady", &orders);
        self.sent += TOGETHER;
        let count = usize::try_from(self.sent - before).expect("few orders");
        let is_steady =
            |line: &pelton_tests::log::Line| is_taken(line) && line.field("pipeline") == "steady";
        worker.log.wait_for("the steady orders are taken", count, is_steady);
        self.took.push(since.elapsed());
    }

    /// How long most took, and the longest; and begins anew.
    fn summary(&mut self) -> (Duration, Duration) {
        self.took.sort_unstable();
        let all = std::mem::take(&mut self.took);
        (all[all.len() / 2], *all.last().expect("there were some"))
    }
}

#[test]
fn odd_records_in_one_pipeline_leave_the_other_its_rate() {
    let count = setting("PELTON_ODD_RECORDS", 400);
    let seed = setting("PELTON_CRASH_SEED", u64::from(std::process::id()));
    eprintln!("{count} odd records; again with PELTON_CRASH_SEED={seed}");
    let broker = Broker::start();
    broker.topic_with("odd", PARTITIONS, &crate::hostile::ROOMY);
    broker.topic("steady", 2);
    let site = site(&broker);
    let mut steady = Steady { broker: &broker, sent: 0, took: Vec::new() };
    let worker = site.worker();
    (0..ALONE).for_each(|_| steady.go_on(&worker, 0));
    worker.stop();
    let alone = steady.summary();

    produce(&broker, &mut Random(seed), count);
    let before = steady.sent;
    let worker = site.worker();
    let ended = || {
        let now = site.status("odd");
        now.handled + now.dead_letters
    };
    while ended() < count {
        steady.go_on(&worker, before);
    }
    eprintln!(
        "{TOGETHER} orders took {:?} of alone, and {:?} beside (most, longest)",
        alone,
        steady.summary()
    );
    until("all of them are settled", || {
        let settled = broker.committed("odd", "odd", PARTITIONS).into_iter().flatten().sum::<i64>();
        (settled.unsigned_abs() >= count).then_some(())
    });
    worker.stop();
    let (odd, steady_now) = (site.status("odd"), site.status("steady"));
    assert_eq!((odd.handled + odd.dead_letters, odd.left()), (count, 0), "{odd:?}");
    assert_eq!((steady_now.handled, steady_now.dead_letters), (steady.sent, 0), "{steady_now:?}");
}
