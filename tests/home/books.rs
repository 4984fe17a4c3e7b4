//! What people look at and change in a database, as in a data directory: both are asked the same.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use super::worker::{Worker, config, made, runtime, server};
use pelton_core::database::DatabaseConfig;
use pelton_core::effects::{
    Effects, HomeBooks, OutboxLetterFilter, Purge, RowEnd, Seen, StateEntry, Write,
};
use pelton_core::ports::ErrorClass;
use pelton_store::{Options, Store};

fn entry(key: &str, value: &str) -> StateEntry {
    StateEntry { key: key.into(), value: value.into() }
}

fn state(books: &dyn HomeBooks) {
    assert_eq!(books.known_bucket(Some("orders"), "default").unwrap(), None);
    let own = books.make_bucket(Some("orders"), "default").unwrap();
    let shared = books.make_bucket(None, "default").unwrap();
    assert_ne!(own, shared);
    assert_eq!(books.make_bucket(Some("orders"), "default").unwrap(), own);
    assert_eq!(books.known_bucket(Some("orders"), "default").unwrap(), Some(own));
    assert_eq!(books.known_bucket(Some("others"), "default").unwrap(), None);
    let all: Vec<StateEntry> = (0..10).map(|n| entry(&format!("k{n}"), &n.to_string())).collect();
    books.state_set(own, &all).unwrap();
    books.state_set(own, &[entry("k3", "first"), entry("k3", "last")]).unwrap();
    assert_eq!(books.state_get(own, b"k3").unwrap(), Some(b"last".to_vec()));
    assert_eq!(books.state_get(shared, b"k3").unwrap(), None);
    assert_eq!(books.state_keys(own, None, 3).unwrap(), [b"k0", b"k1", b"k2"]);
    assert_eq!(books.state_keys(own, Some(b"k8"), 3).unwrap(), [b"k9"]);
    let entries = books.state_entries(own, Some(b"k7"), 100).unwrap();
    assert_eq!(entries, [entry("k8", "8"), entry("k9", "9")]);
    assert_eq!(books.state_delete(own, &[b"k0".to_vec(), b"none".to_vec()]).unwrap(), 1);
    let large = "x".repeat(1 << 20);
    let all: Vec<StateEntry> = (0..6).map(|n| entry(&format!("large{n}"), &large)).collect();
    books.state_set(shared, &all).unwrap();
    let (mut seen, mut after) = (0, None::<Vec<u8>>);
    loop {
        let page = books.state_entries(shared, after.as_deref(), 100).unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() < 6, "a page is bounded");
        after = Some(last.key.clone());
        seen += page.len();
    }
    assert_eq!(seen, 6);
}

#[test]
fn state_is_the_same_in_a_data_directory_and_in_a_database() {
    let server = server();
    let db = made(&server);
    state(&*config(&db).home_books().unwrap());
    let dir = tempfile::tempdir().unwrap();
    state(&Store::open_beside(dir.path(), Options::default()).unwrap());
}

#[test]
fn what_people_set_is_a_conflict_for_who_has_read_it() {
    let (server, runtime) = (server(), runtime());
    let db = made(&server);
    let worker = runtime.block_on(async { Worker::open(&db, "one") });
    let books = config(&db).home_books().unwrap();
    let bucket = books.make_bucket(Some("orders"), "default").unwrap();
    runtime.block_on(async {
        let claimed = worker.claim("1").await.unwrap();
        let adds = async || {
            let found = worker.state.read(worker.bucket, &[b"a".to_vec()]).await.unwrap().remove(0);
            let mut effects = Effects::default();
            effects.reads.push(Seen { bucket: worker.bucket, key: b"a".to_vec(), stamp: found.stamp });
            let number: u64 = found.bytes.map_or(0, |b| String::from_utf8(b).unwrap().parse().unwrap());
            effects.writes.push(Write {
                bucket: worker.bucket,
                key: b"a".to_vec(),
                value: Some((number + 1).to_string().into_bytes()),
                stamp: worker.state.stamp(),
            });
            effects
        };
        let effects = adds().await;
        books.state_set(bucket, &[entry("a", "7")]).unwrap();
        assert_eq!(worker.complete(claimed, effects).await, Err(ErrorClass::Conflict));
        let effects = adds().await;
        assert_eq!(worker.complete(claimed, effects).await, Ok(()));
    });
    assert_eq!(books.state_get(bucket, b"a").unwrap(), Some(b"8".to_vec()));
    let keys = runtime.block_on(worker.state.keys(worker.bucket, None, 10)).unwrap();
    assert_eq!(keys, [b"a"]);
}

#[test]
fn what_waits_can_be_listed_and_purged_and_letters_go_again() {
    let (server, runtime) = (server(), runtime());
    let db = made(&server);
    let worker = runtime.block_on(async { Worker::open(&db, "one") });
    let books = config(&db).home_books().unwrap();
    runtime.block_on(async {
        for number in 0..5 {
            let claimed = worker.claim(&number.to_string()).await.unwrap();
            let mut effects = Effects::default();
            effects.messages.push(worker.message(&format!("id-{number}"), Some("k"), "x".to_owned()));
            assert_eq!(worker.complete(claimed, effects).await, Ok(()));
        }
    });
    let known = books.targets("orders").unwrap().remove(0);
    assert_eq!((&*known.name, known.backlog.rows, known.letters), ("audit", 5, 0));
    assert!(books.targets("others").unwrap().is_empty());
    assert_eq!(books.waiting_targets().unwrap(), std::slice::from_ref(&known));
    let page = books.waiting(known.target, 0, 3).unwrap();
    assert_eq!(page.len(), 3);
    assert_eq!(books.waiting(known.target, page[2].row, 10).unwrap().len(), 2);
    assert_eq!(books.purge(known.target, Purge::UpTo(page[0].row)).unwrap(), 1);
    assert_eq!(books.purge(known.target, Purge::Rows(&[page[0].row, page[1].row])).unwrap(), 1);
    let first = runtime.block_on(worker.outbox.waiting(worker.target, 0, 1)).unwrap().remove(0);
    assert_eq!(&*first.message.id, "id-2");
    runtime.block_on(worker.outbox.ended(vec![(first.row, RowEnd::Refused("no such topic".to_owned()))]));
    let last = books.last_letter("orders").unwrap();
    let filter = OutboxLetterFilter { until: last, limit: 10, ..OutboxLetterFilter::default() };
    let letter = books.letters("orders", &filter).unwrap().remove(0);
    assert_eq!((&*letter.message.id, &*letter.reason, &*letter.target), ("id-2", "no such topic", "audit"));
    assert_eq!(letter.message.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(books.targets("orders").unwrap()[0].letters, 1);
    assert_eq!(books.replay_letters(&[letter.id]).unwrap(), 1);
    assert_eq!(books.replay_letters(&[letter.id]).unwrap(), 0);
    let ids: Vec<String> =
        books.waiting(known.target, 0, 10).unwrap().iter().map(|one| one.message.id.to_string()).collect();
    assert_eq!(ids, ["id-3", "id-4", "id-2"]);
    assert_eq!(books.purge_letters(&[letter.id]).unwrap(), 0);
}
