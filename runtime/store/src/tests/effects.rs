//! What handlers stage: committed with the completion, or not at all.

use super::support::*;
use crate::Where;
use pelton_core::effects::{
    Bucket, Effects, OutboxLetterFilter, Purge, RowEnd, Seen, Staged, StagedMessage, Stamp, StateEntry,
    StateHome, Target, Value, Write,
};
use pelton_core::ports::{Claim, Completion, ErrorClass, Ledger};
use pelton_core::{Counter, Delivery};
use std::sync::Arc;

/// A worker with a store of state.
pub struct Stateful {
    pub worker: Worker,
    pub home: Arc<dyn StateHome>,
    pub bucket: Bucket,
}

impl Stateful {
    pub fn open(dir: &std::path::Path) -> Self {
        Self::of(Worker::open(dir))
    }

    pub fn of(worker: Worker) -> Self {
        let home = worker.store.state_home().unwrap();
        let bucket = worker.store.bucket(NAME, "default", false).unwrap();
        Self { worker, home, bucket }
    }

    pub async fn read(&self, key: &str) -> Value {
        self.home.read(self.bucket, &[key.as_bytes().to_vec()]).await.unwrap().remove(0)
    }

    pub async fn text(&self, key: &str) -> Option<String> {
        self.read(key).await.bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    pub fn write(&self, key: &str, value: Option<&str>) -> Write {
        let value = value.map(|value| value.as_bytes().to_vec());
        Write { bucket: self.bucket, key: key.as_bytes().to_vec(), value, stamp: self.home.stamp() }
    }

    pub fn seen(&self, key: &str, stamp: Stamp) -> Seen {
        Seen { bucket: self.bucket, key: key.as_bytes().to_vec(), stamp }
    }

    /// Reads a number, and writes the next one: shown at once.
    pub async fn increment(&self, key: &str) -> Effects {
        let read = self.read(key).await;
        let number = read.bytes.map_or(0, |bytes| String::from_utf8_lossy(&bytes).parse::<u64>().unwrap());
        let next = (number + 1).to_string();
        let reads = vec![self.seen(key, read.stamp)];
        let effects = staged(reads, vec![self.write(key, Some(&next))], Vec::new());
        effects.show_by(&*self.home);
        effects
    }

    pub async fn complete(&self, items: Vec<Completion>) -> Vec<Result<(), ErrorClass>> {
        self.worker.ledger.complete(items).await
    }
}

pub fn completion(d: &Delivery, claim: Claim, effects: Option<Effects>) -> Completion {
    Completion {
        claim,
        identity: identity(d),
        skipped: d.skipped,
        settle: Some(d.receipt),
        effects: effects.and_then(|effects| Staged::of(effects, 1)),
        after: None,
    }
}

pub fn entry(key: &str, value: &str) -> StateEntry {
    StateEntry { key: key.as_bytes().to_vec(), value: value.as_bytes().to_vec() }
}

/// What a call has staged.
pub fn staged(reads: Vec<Seen>, writes: Vec<Write>, messages: Vec<StagedMessage>) -> Effects {
    let mut effects = Effects::default();
    (effects.reads, effects.writes, effects.messages) = (reads, writes, messages);
    effects
}

fn sends(messages: Vec<StagedMessage>) -> Option<Effects> {
    Some(staged(Vec::new(), Vec::new(), messages))
}

fn to(target: Target, id: &str) -> StagedMessage {
    StagedMessage {
        target,
        id: id.into(),
        topic: None,
        key: Some(b"k".to_vec()),
        headers: vec![pelton_core::Header::new("a", "1"), pelton_core::Header::new("pelton-id", "theirs")],
        body: b"body".to_vec(),
        delay_ms: None,
    }
}

#[tokio::test]
async fn a_hot_key_within_a_group_makes_no_conflict_and_one_row() {
    let dir = dir();
    let state = Stateful::open(dir.path());
    state.worker.send(&numbers(0..256));
    let held = state.worker.take(256).await;
    let claims = state.worker.start(&held).await;
    let mut items = Vec::new();
    for (d, claim) in held.iter().zip(claims) {
        items.push(completion(d, claim, Some(state.increment("sum").await)));
    }
    assert_eq!(state.complete(items).await, [Ok(()); 256]);
    assert_eq!(state.text("sum").await.as_deref(), Some("256"));
    assert_eq!(state.worker.status().counters[Counter::Handled], 256);
    let copy = copy_of(dir.path());
    let after = Stateful::open(copy.path());
    assert_eq!(after.text("sum").await.as_deref(), Some("256"));
}

#[tokio::test]
async fn what_was_read_and_has_changed_is_a_conflict_that_leaves_nothing() {
    let dir = dir();
    let state = Stateful::open(dir.path());
    let target = state.worker.store.target(NAME, "audit", Where::Relay).unwrap();
    state.worker.send(&numbers(0..2));
    let held = state.worker.take(2).await;
    let claims = state.worker.start(&held).await;
    let mut stale = state.increment("a").await;
    stale.messages.push(to(target, "1"));
    let fine = state.increment("b").await;
    state.worker.store.state_set(state.bucket, &[entry("a", "40")]).unwrap();
    let items =
        vec![completion(&held[0], claims[0], Some(stale)), completion(&held[1], claims[1], Some(fine))];
    assert_eq!(state.complete(items).await, [Err(ErrorClass::Conflict), Ok(())]);
    assert_eq!(
        (state.text("a").await.as_deref(), state.text("b").await.as_deref()),
        (Some("40"), Some("1"))
    );
    assert_eq!(state.worker.store.outbox(target, 0, 9).unwrap(), []);
    let status = state.worker.status();
    assert_eq!((status.counters[Counter::Handled], status.in_flight, status.queued), (1, 1, 0));
    // The claim is live: it runs again.
    let again = state.increment("a").await;
    assert_eq!(state.complete(vec![completion(&held[0], claims[0], Some(again))]).await, [Ok(())]);
    assert_eq!(state.text("a").await.as_deref(), Some("41"));
    assert_eq!(state.worker.status().in_flight, 0);
}

#[tokio::test]
async fn removals_and_reads_alone_are_held_against_what_is_there() {
    let dir = dir();
    let state = Stateful::open(dir.path());
    state.worker.store.state_set(state.bucket, &[entry("a", "1")]).unwrap();
    state.worker.send(&numbers(0..3));
    let held = state.worker.take(3).await;
    let claims = state.worker.start(&held).await;
    let seen = state.read("a").await.stamp;
    let remove = staged(vec![state.seen("a", seen)], vec![state.write("a", None)], Vec::new());
    remove.show_by(&*state.home);
    assert_eq!(state.read("a").await, Value { bytes: None, stamp: Stamp::ABSENT });
    let absent = staged(vec![state.seen("a", Stamp::ABSENT)], Vec::new(), Vec::new());
    let stale = staged(vec![state.seen("a", seen)], Vec::new(), Vec::new());
    let effects = [remove, absent, stale];
    let items = held.iter().zip(claims).zip(effects).map(|((d, claim), e)| completion(d, claim, Some(e)));
    let done = state.complete(items.collect()).await;
    assert_eq!(done, [Ok(()), Ok(()), Err(ErrorClass::Conflict)]);
    assert_eq!(state.worker.store.state_get(state.bucket, b"a").unwrap(), None);
}

#[tokio::test]
async fn messages_for_a_queue_are_in_it_with_the_completion() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    let target = worker.store.target(NAME, "receipts", Where::Queue("receipts")).unwrap();
    worker.send(&numbers(0..2));
    let held = worker.take(2).await;
    let claims = worker.start(&held).await;
    let late = StagedMessage { delay_ms: Some(3_600_000), ..to(target, "id-2") };
    let items = vec![
        completion(&held[0], claims[0], sends(vec![to(target, "id-1"), late])),
        completion(&held[1], claims[1], sends(vec![to(target, "id-3")])),
    ];
    assert_eq!(worker.ledger.complete(items).await, [Ok(()); 2]);
    let store = worker.store.clone();
    let ledger = store.pipeline("receipts", options()).unwrap();
    let receipts = Worker { source: store.queue(&ledger, "receipts").unwrap(), ledger, store };
    let status = receipts.store.status("receipts", Some("receipts"), None).unwrap();
    assert_eq!((status.queued, status.delayed), (2, 1));
    let got = receipts.take(2).await;
    let ids: Vec<String> = got.iter().map(|d| d.message.id().to_string()).collect();
    assert_eq!(ids, ["id-1", "id-3"]);
    let headers = got[0].message.headers().to_vec();
    let wanted = [pelton_core::Header::new("a", "1"), pelton_core::Header::new("pelton-id", "id-1")];
    assert_eq!((headers.as_slice(), got[0].message.key()), (&wanted[..], Some(&b"k"[..])));
    // What is sent later has numbers behind those.
    assert_eq!(receipts.store.send("receipts", &numbers(0..1)).unwrap(), [Ok("receipts/4".to_owned())]);
}

#[tokio::test]
async fn the_outbox_is_in_the_order_of_commit_and_keeps_what_was_not_sent() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    let target = worker.store.target(NAME, "audit", Where::Relay).unwrap();
    let home = worker.store.outbox_home().unwrap();
    worker.send(&numbers(0..4));
    let held = worker.take(4).await;
    let claims = worker.start(&held).await;
    let message = |n: usize| to(target, &format!("id-{n}"));
    let items = (0..4).map(|n| completion(&held[n], claims[n], sends(vec![message(n)])));
    assert_eq!(worker.ledger.complete(items.collect()).await, [Ok(()); 4]);
    home.committed(target).await;
    let page = home.waiting(target, 0, 3).await.unwrap();
    let messages: Vec<StagedMessage> = page.iter().map(|waiting| waiting.message.clone()).collect();
    assert_eq!(messages, [message(0), message(1), message(2)]);
    assert_eq!(home.backlog(target).rows, 4);
    let next = home.waiting(target, page[2].row, 3).await.unwrap();
    assert_eq!(next.len(), 1);

    let refused = RowEnd::Refused("too large".to_owned());
    let ended = vec![(page[1].row, RowEnd::Sent), (page[0].row, refused), (page[1].row, RowEnd::Sent)];
    assert_eq!(home.ended(ended).await, [Ok(()); 3]);
    let backlog = home.backlog(target);
    assert_eq!((backlog.rows, backlog.oldest_at_ms), (2, Some(page[2].committed_at_ms)));
    let letters = worker.store.outbox_letters(NAME, &letters()).unwrap();
    let letter = &letters[0];
    assert_eq!((letters.len(), &letter.message, &*letter.reason), (1, &message(0), "too large"));
    assert_eq!((&*letter.target, worker.status().dead_letters), ("audit", 0));

    // Another process puts it back, and the relay hears of it.
    let beside = crate::Store::open_beside(dir.path(), crate::Options::default()).unwrap();
    assert_eq!(beside.replay_outbox(&[letter.id, letter.id]).unwrap(), 1);
    home.committed(target).await;
    let left = home.waiting(target, 0, 9).await.unwrap();
    let ids: Vec<&str> = left.iter().map(|waiting| &*waiting.message.id).collect();
    assert_eq!(ids, ["id-2", "id-3", "id-0"]);
    assert_eq!(beside.targets(NAME).unwrap()[0].backlog.rows, 3);
    assert_eq!(beside.purge_outbox(target, Purge::UpTo(left[1].row)).unwrap(), 2);
    assert_eq!(beside.waiting_targets().unwrap()[0].backlog.rows, 1);
    drop(home);

    // A restart finds what waits, and gives no row again.
    let copy = copy_of(dir.path());
    let after = Worker::open(copy.path());
    assert_eq!(after.store.target(NAME, "audit", Where::Relay).unwrap(), target);
    assert_eq!(after.store.outbox_home().unwrap().backlog(target).rows, 1);
    let moved = after.store.target(NAME, "audit", Where::Queue("audit"));
    let why = moved.unwrap_err().to_string();
    assert!(why.contains("1 messages wait to be sent to the target `audit`"), "{why}");
}

fn letters() -> OutboxLetterFilter {
    OutboxLetterFilter { limit: 10, ..Default::default() }
}

#[tokio::test]
async fn large_messages_come_in_short_pages_and_none_is_left_out() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    let target = worker.store.target(NAME, "audit", Where::Relay).unwrap();
    let home = worker.store.outbox_home().unwrap();
    worker.send(&numbers(0..1));
    let held = worker.take(1).await;
    let claim = worker.start(&held).await[0];
    let large = |n: u64| StagedMessage { body: vec![0; 1 << 20], ..to(target, &n.to_string()) };
    let items = vec![completion(&held[0], claim, sends((0..10).map(large).collect()))];
    assert_eq!(worker.ledger.complete(items).await, [Ok(())]);
    let (mut ids, mut after, mut pages) = (Vec::new(), 0, 0);
    loop {
        let page = home.waiting(target, after, 100).await.unwrap();
        let Some(last) = page.last() else { break };
        (after, pages) = (last.row, pages + 1);
        ids.extend(page.iter().map(|waiting| waiting.message.id.to_string()));
    }
    assert_eq!((pages, ids), (3, (0..10).map(|n| n.to_string()).collect()));
}

#[tokio::test]
async fn a_target_that_nobody_opened_takes_nothing_and_ends_nothing() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&numbers(0..1));
    let held = worker.take(1).await;
    let claim = worker.start(&held).await[0];
    let items = vec![completion(&held[0], claim, sends(vec![to(Target(9), "id")]))];
    assert_eq!(worker.ledger.complete(items).await, [Err(ErrorClass::Conflict)]);
    assert_eq!((worker.store.failed(), worker.status().in_flight), (None, 1));
    worker.complete(&held[0], claim).await.unwrap();
}

#[tokio::test]
async fn a_call_of_several_messages_commits_whole_or_not_at_all() {
    let dir = dir();
    let state = Stateful::open(dir.path());
    state.worker.send(&numbers(0..5));
    let held = state.worker.take(5).await;
    let claims = state.worker.start(&held).await;
    let call = |of: std::ops::Range<usize>, effects: Effects| {
        let staged = Staged::of(effects, u32::try_from(of.len()).unwrap());
        let one = |n: usize| Completion {
            effects: staged.clone(),
            after: (n > of.start).then(|| claims[n - 1]),
            ..completion(&held[n], claims[n], None)
        };
        of.clone().map(one).collect::<Vec<_>>()
    };
    let conflict = Err(ErrorClass::Conflict);
    let three = call(0..3, state.increment("a").await);
    assert_eq!(state.complete(three[..2].to_vec()).await, [conflict; 2], "one is not there");
    state.worker.complete(&held[4], claims[4]).await.unwrap();
    let with_gone = call(3..5, state.increment("a").await);
    assert_eq!(state.complete(with_gone).await, [conflict, Err(ErrorClass::LeaseLost)]);
    assert_eq!(state.text("a").await.as_deref(), Some("1"), "the first call is shown still");
    assert_eq!(state.complete(three).await, [Ok(()); 3]);
    assert_eq!(state.worker.store.state_get(state.bucket, b"a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(state.worker.status().counters[Counter::Handled], 4);
}

#[tokio::test]
async fn what_is_behind_one_that_is_live_waits_for_it() {
    let dir = dir();
    let state = Stateful::open(dir.path());
    state.worker.send(&numbers(0..3));
    let held = state.worker.take(3).await;
    let claims = state.worker.start(&held).await;
    let stale = staged(vec![state.seen("a", Stamp(7))], Vec::new(), Vec::new());
    let behind = |n: usize, effects| Completion {
        after: Some(claims[n - 1]),
        ..completion(&held[n], claims[n], effects)
    };
    let conflict = Err(ErrorClass::Conflict);
    let all = vec![completion(&held[0], claims[0], Some(stale)), behind(1, None), behind(2, None)];
    assert_eq!(state.complete(all).await, [conflict; 3]);
    let all = vec![completion(&held[0], claims[0], None), behind(1, None), behind(2, None)];
    assert_eq!(state.complete(all).await, [Ok(()); 3]);
}

#[tokio::test]
async fn a_queue_that_nobody_reads_here_is_told_of_once() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    let target = worker.store.target(NAME, "receipts", Where::Queue("receipts")).unwrap();
    worker.send(&numbers(0..3));
    let held = worker.take(3).await;
    for (d, claim) in held.iter().zip(worker.start(&held).await) {
        let items = vec![completion(d, claim, sends(vec![to(target, "id")]))];
        assert_eq!(worker.ledger.complete(items).await, [Ok(())]);
    }
    assert_eq!(worker.store.open_queue("receipts").unwrap().news(), 1);
}

#[tokio::test]
async fn what_is_shown_hides_an_operators_write_no_longer_than_it_is_in_work() {
    let dir = dir();
    let state = Stateful::open(dir.path());
    state.worker.send(&numbers(0..3));
    let held = state.worker.take(3).await;
    let claims = state.worker.start(&held).await;
    // Who writes without a look is later than the operator; who has looked runs again.
    let blind = staged(Vec::new(), vec![state.write("a", Some("1"))], Vec::new());
    blind.show_by(&*state.home);
    let after = state.increment("a").await;
    let counted = state.increment("b").await;
    let beside = crate::Store::open_beside(dir.path(), crate::Options::default()).unwrap();
    beside.state_set(state.bucket, &[entry("a", "40"), entry("b", "50")]).unwrap();
    let effects = [blind, after, counted].map(Some);
    let items = held.iter().zip(claims).zip(effects).map(|((d, claim), e)| completion(d, claim, e));
    let done = state.complete(items.collect()).await;
    assert_eq!(done, [Ok(()), Ok(()), Err(ErrorClass::Conflict)]);
    assert_eq!(
        (state.text("a").await.as_deref(), state.text("b").await.as_deref()),
        (Some("2"), Some("50"))
    );
    beside.state_delete(state.bucket, &[b"a".to_vec()]).unwrap();
    assert_eq!(state.read("a").await, Value { bytes: None, stamp: Stamp::ABSENT });
}

#[test]
fn a_directory_has_one_id_and_stores_of_their_own() {
    let (one, other) = (dir(), dir());
    let store =
        |dir: &tempfile::TempDir| crate::Store::open_beside(dir.path(), Default::default()).unwrap();
    let (first, again, second) = (store(&one), store(&one), store(&other));
    assert_eq!((first.data_dir_id(), first.data_dir_id().len()), (again.data_dir_id(), 32));
    assert_ne!(first.data_dir_id(), second.data_dir_id());

    assert_eq!(first.known_bucket("a", "default", false).unwrap(), None);
    let bucket = |pipeline: &str, shared| first.bucket(pipeline, "default", shared).unwrap();
    let (a, b, shared) = (bucket("a", false), bucket("b", false), bucket("a", true));
    assert!(a != b && a != shared && b != shared);
    assert_eq!((bucket("a", false), bucket("b", true)), (a, shared));
    assert_eq!(again.known_bucket("a", "default", false).unwrap(), Some(a));

    let entry = |key: &str| entry(key, "\0\u{ff}");
    first.state_set(a, &["x", "y", "z"].map(entry)).unwrap();
    assert_eq!(first.state_entries(a, Some(b"x"), 1).unwrap(), [entry("y")]);
    assert_eq!(first.state_keys(b, None, 9).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(first.state_delete(a, &[b"x".to_vec(), b"q".to_vec()]).unwrap(), 1);
    assert_eq!(first.state_keys(a, None, 9).unwrap(), [b"y".to_vec(), b"z".to_vec()]);
}
