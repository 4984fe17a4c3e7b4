//! Two workers whose handlers read and write the same keys, against a plain map: what was committed is what
//! the same handlers would have done one after another, in the order of their commits.

use super::worker::{Worker, made, runtime, server};
use pelton_core::effects::{Effects, Seen, Write};
use pelton_core::ports::ErrorClass;
use pelton_tests::postgres::Db;
use pelton_tests::random::Random;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Few, so that handlers meet.
const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
/// Handlers that run side by side in one worker, and what each of them handles.
const HANDLERS: u64 = 6;
const MESSAGES: u64 = 60;

type Values = BTreeMap<String, Option<u64>>;

/// What a handler does: it reads, counts, sets and removes without looking, and copies. Whatever it makes
/// of it goes into the message that it sends.
async fn handle(worker: &Worker, id: &str, random: &mut Random) -> Effects {
    let (mut read, mut written) = (Values::new(), Values::new());
    let mut effects = Effects::default();
    for _ in 0..=random.below(3) {
        let key = KEYS[random.below(KEYS.len() as u64) as usize].to_owned();
        let other = KEYS[random.below(KEYS.len() as u64) as usize].to_owned();
        let does = random.below(6);
        if does < 4 && !written.contains_key(&key) && !read.contains_key(&key) {
            let keys = [key.clone().into_bytes()];
            let Ok(found) = worker.state.read(worker.bucket, &keys).await else { continue };
            let stamp = found[0].stamp;
            effects.reads.push(Seen { bucket: worker.bucket, key: key.clone().into_bytes(), stamp });
            let bytes = found[0].bytes.clone();
            let number = bytes.map(|b| String::from_utf8(b).expect("text").parse().expect("a number"));
            read.insert(key.clone(), number);
        }
        let known = written.get(&key).or(read.get(&key)).copied().flatten();
        match does {
            0 => drop(written.insert(key, Some(known.unwrap_or(0) + 1))),
            1 => drop(written.insert(other, known)),
            2 => drop(written.insert(key, None)),
            3 => {}
            4 => drop(written.insert(key, Some(random.below(1_000)))),
            _ => drop(written.insert(key, None)),
        }
    }
    for (key, value) in &written {
        let value = value.map(|number| number.to_string().into_bytes());
        let (key, stamp) = (key.clone().into_bytes(), worker.state.stamp());
        effects.writes.push(Write { bucket: worker.bucket, key, value, stamp });
    }
    let body = json!({ "id": id, "read": read, "written": written }).to_string();
    effects.messages.push(worker.message(id, None, body));
    effects
}

async fn handles(worker: Arc<Worker>, number: u64, conflicts: Arc<AtomicU64>) {
    let mut random = Random(number);
    for message in 0..MESSAGES {
        let id = format!("{number}-{message}");
        let Some(claimed) = worker.claim(&id).await else { panic!("{id} is nobody else's") };
        loop {
            match worker.complete(claimed, handle(&worker, &id, &mut random).await).await {
                Ok(()) => break,
                Err(ErrorClass::Conflict) => drop(conflicts.fetch_add(1, Ordering::Relaxed)),
                Err(other) => panic!("{id}: {other:?}"),
            }
        }
    }
}

/// Does it all again, one after another.
fn is_serial(db: &Db) {
    let rows = db.session().rows(
        "SELECT convert_from(body, 'UTF8') FROM pelton_outbox ORDER BY pg_xact_commit_timestamp(xmin), id",
    );
    let mut model: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for row in rows {
        let text = row[0].as_deref().expect("it has a body");
        let call: Value = serde_json::from_str(text).expect("it is JSON");
        assert!(seen.insert(call["id"].to_string(), ()).is_none(), "{text} is committed twice");
        for (key, found) in call["read"].as_object().expect("a table") {
            assert_eq!(model.get(key).copied(), found.as_u64(), "{key} of {text} was read as it never was");
        }
        for (key, value) in call["written"].as_object().expect("a table") {
            match value.as_u64() {
                Some(value) => drop(model.insert(key.clone(), value)),
                None => drop(model.remove(key)),
            }
        }
    }
    assert_eq!(seen.len() as u64, 2 * HANDLERS * MESSAGES);
    let left = db.session().rows(
        "SELECT convert_from(key, 'UTF8'), convert_from(value, 'UTF8') FROM pelton_state ORDER BY key",
    );
    let left: BTreeMap<String, u64> = left
        .into_iter()
        .map(|mut row| {
            let value = row.remove(1).expect("a value").parse().expect("a number");
            (row.remove(0).expect("a key"), value)
        })
        .collect();
    assert_eq!(left, model);
    let done = db.number("SELECT count(*) FROM pelton_processed WHERE state = 'd'");
    assert_eq!(done as u64, 2 * HANDLERS * MESSAGES, "the ledger has each");
}

fn two_workers(disturb: impl Fn(&Db) + Send + Sync) {
    let (server, runtime) = (server(), runtime());
    let db = made(&server);
    let conflicts = Arc::new(AtomicU64::new(0));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                disturb(&db);
            }
        });
        runtime.block_on(async {
            let workers = ["one", "two"].map(|name| Arc::new(Worker::open(&db, name)));
            let tasks = (0..2 * HANDLERS).map(|number| {
                let worker = workers[(number % 2) as usize].clone();
                tokio::spawn(handles(worker, number, conflicts.clone()))
            });
            for task in tasks.collect::<Vec<_>>() {
                let ended = task.await;
                over.store(ended.is_err(), Ordering::Relaxed);
                ended.expect("no handler fails");
            }
        });
        over.store(true, Ordering::Relaxed);
    });
    assert!(conflicts.load(Ordering::Relaxed) > 0, "they never met");
    is_serial(&db);
}

#[test]
fn what_two_workers_commit_is_serial() {
    two_workers(|_| std::thread::park_timeout(Duration::from_millis(5)));
}

#[test]
fn it_is_serial_though_connections_are_ended_at_random() {
    let server = server();
    two_workers(|db| {
        std::thread::park_timeout(Duration::from_millis(20));
        server.terminate_one(db);
    });
}
