//! The worker is killed at random moments while two pipelines read two brokers: a topic of Kafka and a
//! stream of Redis.

use crate::random::StopAtTheEnd;
use crate::{bad, good, late};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::random::{Random, setting};
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PARTITIONS: i32 = 3;
const GROUP: &str = "workers";
/// Letters that are written together, at most.
const CHUNK: u64 = 256;

/// One pipeline for each broker. The Kafka member has a name of its own, so that the group takes it in at
/// once after a kill.
fn site(broker: &Broker, redis: &Redis) -> Site {
    let topic = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"topic\"], group_id = \
         \"{GROUP}\", \
         librdkafka = {{ \"group.instance.id\" = \"one\" }} }}",
        broker.address
    );
    let stream = format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"stream\", group = \"{GROUP}\", \
         body_field = \"body\", key_field = \"key\" }}",
        redis.url()
    );
    let retry = "max_attempts = 10\ninitial_interval = \"20ms\"";
    let of = |name: &str, source: &str| {
        Pipeline::new(name, plugin("orders")).with("", source).with("retry", retry)
    };
    Site::new(&[of("topic", &topic), of("stream", &stream)])
}

fn body(number: u64) -> Vec<u8> {
    let text = match number % 10 {
        7 => bad(number),
        5 => late(number),
        _ => good(number),
    };
    text.into_bytes()
}

/// Orders of all kinds to both brokers, while the lock is free; how many there are of each.
fn produce(broker: &Broker, redis: &Redis, sent: &Mutex<u64>, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        let mut sent = sent.lock().expect("nobody panics with it");
        let numbers = *sent + 1..=*sent + 50;
        let key = |n: u64| format!("c{}", n % 20).into_bytes();
        let record = |n| Record { key: Some(key(n)), value: Some(body(n)), ..Record::default() };
        broker.produce("topic", &numbers.clone().map(record).collect::<Vec<_>>());
        let entry = |n| vec![("key", key(n)), ("body", body(n))];
        redis.add("stream", &numbers.clone().map(entry).collect::<Vec<_>>());
        *sent = *numbers.end();
        drop(sent);
        // A pace, so that rounds of any number leave a worker something to finish.
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// What was sent is handled once, or has a letter; and the brokers know it. A kill between a letter in a
/// topic and the ledger's note of it makes a second one: delivery is at least once, effects are not.
fn balance(site: &Site, broker: &Broker, redis: &Redis, sent: u64, kills: u64) {
    let rejected: BTreeSet<u64> = (1..=sent).filter(|n| n % 10 == 7).collect();
    for pipeline in ["topic", "stream"] {
        let handled = sent - rejected.len() as u64;
        assert_eq!(site.status(pipeline).handled, handled, "handled of {pipeline}, of {sent}");
        let letters = site.letters(pipeline);
        assert!(letters.iter().all(|l| l["cause"] == "rejected"), "a neighbour was blamed for a kill");
        let numbers: BTreeSet<u64> = letters.iter().map(number).collect();
        assert_eq!(numbers, rejected, "the letters of {pipeline}");
        let again = (letters.len() - numbers.len()) as u64;
        let most = if pipeline == "topic" { kills * CHUNK } else { 0 };
        assert!(again <= most, "{again} letters of {pipeline} are there twice, after {kills} kills");
    }
    let committed: i64 = broker.committed(GROUP, "topic", PARTITIONS).into_iter().flatten().sum();
    assert_eq!(committed.unsigned_abs(), sent, "what the group has committed");
    assert_eq!(redis.all_pending("stream", GROUP), 0, "what is pending in the stream");
}

/// The number of the order that a letter is about.
fn number(letter: &Value) -> u64 {
    let body = letter["body"].as_str().expect("the orders are text");
    let order: Value = serde_json::from_str(body).expect("the orders are JSON");
    order["id"].as_u64().expect("an order has a number")
}

#[test]
fn kills_at_random_moments_lose_nothing_on_two_brokers() {
    let rounds = setting("PELTON_CRASH_ROUNDS_ON_BROKERS", 6);
    let seed = setting("PELTON_CRASH_SEED", u64::from(std::process::id()));
    eprintln!("{rounds} rounds; again with PELTON_CRASH_SEED={seed}");
    let mut random = Random(seed);
    let (broker, redis) = (Broker::start(), Redis::start());
    broker.topic("topic", PARTITIONS);
    let site = site(&broker, &redis);
    let (sent, stop) = (Mutex::new(0), AtomicBool::new(false));
    let check_at_rest = |kills| {
        let sent = sent.lock().expect("the producer lives");
        site.until_empty();
        balance(&site, &broker, &redis, *sent, kills);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&broker, &redis, &sent, &stop));
        let _stop = StopAtTheEnd(&stop);
        for round in 1..=rounds {
            let worker = site.worker().ready();
            let moment = Duration::from_micros(random.below(1_500_000));
            assert!(worker.ends_within(moment).is_none(), "it ended by itself:{}", worker.log.tail());
            assert_eq!(worker.kill().signal, Some(9));
            if round % 50 == 0 {
                eprintln!("{round} of {rounds} rounds");
                check_at_rest(round);
            }
        }
    });
    check_at_rest(rounds);
}
