//! State and messages of random handlers over crashes, against a plain map: what was committed is what the
//! same handlers would have done one after another, in the order of their commits.

use super::effects::{Stateful, entry, staged};
use super::support::*;
use crate::ledger::behind;
use crate::{Options, Store, Where};
use pelton_core::Delivery;
use pelton_core::effects::{Effects, Staged, StagedMessage, StateEntry, Target, Write};
use pelton_core::ports::{BoxFuture, Claim, Completion, ErrorClass, Ledger, Release, Settle, Verdict};
use pelton_core::retry::scatter;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Processes that die, one after another.
const LIVES: u64 = 40;
/// What is done in each.
const STEPS: u64 = 60;
/// Few, so that handlers meet.
const KEYS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
/// Sent again when as few wait.
const FEW: u64 = 8;

type Values = BTreeMap<String, u64>;
type Answers = BoxFuture<'static, Vec<Result<(), ErrorClass>>>;

/// One call of a handler, finished.
struct Call {
    /// The deliveries, with their claims.
    messages: Vec<(Delivery, Claim)>,
    /// What it has read, and found there.
    read: BTreeMap<String, Option<u64>>,
    /// What it has written.
    written: BTreeMap<String, Option<u64>>,
    staged: Staged,
    after: Option<Claim>,
}

/// What is known from outside, over all lives.
#[derive(Default)]
struct Observer {
    draws: u64,
    model: Values,
    /// Calls that have committed, by their first message: in which order is still to be seen.
    done: BTreeMap<String, Call>,
    /// Ids of the messages that are completed, in the order of commit.
    completed: Vec<String>,
    conflicts: u64,
}

/// One life of a process.
struct Life {
    state: Stateful,
    queue: Target,
    relay: Target,
    /// Calls that have ended, and were not reported.
    ended: Vec<Call>,
    /// Lists of completions that are under way, in the order they were sent.
    sent: VecDeque<(Vec<Call>, Answers)>,
}

impl Observer {
    fn below(&mut self, end: u64) -> u64 {
        self.draws += 1;
        scatter(20, self.draws) % end
    }

    fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    fn key(&mut self) -> &'static str {
        KEYS[self.index(KEYS.len())]
    }

    /// A call has committed.
    fn is_done(&mut self, call: Call) {
        self.done.insert(call.messages[0].0.message.id().to_string(), call);
    }

    /// Does in the plain map what calls have done, in the order of their commits: that of the outbox.
    fn follow(&mut self, store: &Store) {
        let order = waiting(store);
        while let Some(call) = order.get(self.completed.len()).and_then(|id| self.done.remove(id)) {
            self.commit(&call);
        }
    }

    /// Does in the plain map what a call has done, which is committed as the next one.
    fn commit(&mut self, call: &Call) {
        for (key, found) in &call.read {
            assert_eq!(self.model.get(key), found.as_ref(), "{key} was read as it never was");
        }
        for (key, value) in &call.written {
            match value {
                Some(value) => drop(self.model.insert(key.clone(), *value)),
                None => drop(self.model.remove(key)),
            }
        }
        self.completed.extend(call.messages.iter().map(|(d, _)| d.message.id().to_string()));
    }
}

impl Life {
    fn open(dir: &Path) -> Self {
        let state = Stateful::open(dir);
        state.worker.ledger.pipeline.held.longest.set(Duration::from_millis(2)).unwrap();
        let target = |name, place| state.worker.store.target(NAME, name, place).unwrap();
        let (queue, relay) = (target("queue", Where::Queue("effects")), target("relay", Where::Relay));
        Self { state, queue, relay, ended: Vec::new(), sent: VecDeque::new() }
    }

    /// Receives, claims and runs some messages, as one call each, or as one of all.
    async fn run(&mut self, observer: &mut Observer) {
        let worker = &self.state.worker;
        if worker.status().queued < FEW {
            worker.send(&numbers(0..16));
        }
        let count = observer.index(5) + 1;
        let held = worker.receive(count).await;
        let mut started = Vec::new();
        for (d, verdict) in held.iter().zip(worker.claim(&held, false).await.unwrap()) {
            let verdict = match verdict {
                Verdict::Suspect => worker.claim(std::slice::from_ref(d), true).await.unwrap()[0],
                other => other,
            };
            started.push((d.clone(), claim_of(verdict).unwrap()));
        }
        let together = observer.below(4) == 0;
        let after = self.ended.last().map(|call| call.messages[0].1).filter(|_| observer.below(8) == 0);
        while !started.is_empty() {
            let of = if together { started.len() } else { 1 };
            let messages: Vec<_> = started.drain(..of).collect();
            let call = self.call(observer, messages, after).await;
            if observer.below(8) == 0 {
                self.fail(call).await;
            } else {
                call.staged.effects.show_by(&*self.state.home);
                self.ended.push(call);
            }
        }
    }

    /// A handler: it reads, counts, sets, removes and copies, and sends a message for each it was given.
    async fn call(
        &self,
        observer: &mut Observer,
        messages: Vec<(Delivery, Claim)>,
        after: Option<Claim>,
    ) -> Call {
        let mut reads = Vec::new();
        let (mut read, mut written) = (BTreeMap::new(), BTreeMap::new());
        for _ in 0..=observer.below(3) {
            let (key, other) = (observer.key().to_owned(), observer.key().to_owned());
            let does = observer.below(5);
            if does != 3 && !written.contains_key(&key) && !read.contains_key(&key) {
                let value = self.state.read(&key).await;
                reads.push(self.state.seen(&key, value.stamp));
                let number = value.bytes.map(|bytes| String::from_utf8(bytes).unwrap().parse().unwrap());
                read.insert(key.clone(), number);
            }
            let known = written.get(&key).or(read.get(&key)).copied().flatten();
            match does {
                0 => {}
                1 => drop(written.insert(key, Some(known.unwrap_or(0) + 1))),
                2 => drop(written.insert(key, None)),
                3 => drop(written.insert(key, Some(observer.below(1_000)))),
                _ => drop(written.insert(other, known)),
            }
        }
        let write = |(key, value): (&String, &Option<u64>)| -> Write {
            self.state.write(key, value.map(|value| value.to_string()).as_deref())
        };
        let writes = written.iter().map(write).collect();
        let of = messages.iter().map(|(d, _)| d.message.id().to_string());
        let sends = of.flat_map(|id| [self.queue, self.relay].map(|target| message(target, &id))).collect();
        let effects: Effects = staged(reads, writes, sends);
        let staged = Staged::of(effects, u32::try_from(messages.len()).unwrap()).unwrap();
        Call { messages, read, written, staged, after }
    }

    async fn fail(&self, call: Call) {
        let release = |(d, claim): &(Delivery, Claim)| Release {
            claim: *claim,
            identity: identity(d),
            counts: true,
            settle: Some((d.receipt, Settle::GiveBack)),
        };
        let batch: Vec<Release> = call.messages.iter().map(release).collect();
        assert!(self.state.worker.ledger.release(batch).await.iter().all(Result::is_ok));
    }

    /// Reports some of what has ended, in any order.
    fn report(&mut self, observer: &mut Observer) {
        let mut some = Vec::new();
        for _ in 0..=observer.below(4) {
            if !self.ended.is_empty() {
                some.push(self.ended.swap_remove(observer.index(self.ended.len())));
            }
        }
        let item = |call: &Call, d: &Delivery, claim: Claim| Completion {
            claim,
            identity: identity(d),
            skipped: 0,
            settle: Some(d.receipt),
            effects: Some(call.staged.clone()),
            after: call.after,
        };
        let of =
            |call: &Call| call.messages.iter().map(|(d, claim)| item(call, d, *claim)).collect::<Vec<_>>();
        let items: Vec<Completion> = some.iter().flat_map(of).collect();
        if !items.is_empty() {
            // Handed over by now, or held behind what was not, whoever waits for the answer.
            self.sent.push_back((some, behind::complete(&self.state.worker.ledger, items)));
        }
    }

    /// Takes the answers of the list that was sent first.
    async fn answered(&mut self, observer: &mut Observer) {
        let Some((calls, answers)) = self.sent.pop_front() else { return };
        let mut answers = answers.await.into_iter();
        for call in calls {
            let of: Vec<_> = answers.by_ref().take(call.messages.len()).collect();
            assert!(of.iter().all(|answer| *answer == of[0]), "one call has two answers: {of:?}");
            if of[0].is_ok() {
                let is_live = |claim| self.state.worker.ledger.pipeline.is_live(claim);
                assert!(!call.after.is_some_and(is_live), "it has overtaken its lane");
                observer.is_done(call);
            } else {
                assert_eq!(of[0], Err(ErrorClass::Conflict));
                observer.conflicts += 1;
                self.fail(call).await;
            }
        }
    }

    /// An operator sets a key, while messages are in work that may have read it.
    async fn set(&mut self, observer: &mut Observer, dir: &Path) {
        while !self.sent.is_empty() {
            self.answered(observer).await;
        }
        observer.follow(&self.state.worker.store);
        assert!(observer.done.is_empty(), "some have committed, and sent nothing");
        let (key, value) = (observer.key(), observer.below(1_000));
        let beside = Store::open_beside(dir, Options::default()).unwrap();
        beside.state_set(self.state.bucket, &[entry(key, &value.to_string())]).unwrap();
        observer.model.insert(key.to_owned(), value);
    }

    /// The process dies: what is on disk between two commits, whichever they are.
    fn die(self, dir: &Path) -> (TempDir, Vec<Call>) {
        let other = rusqlite::Connection::open(crate::db::file(dir)).unwrap();
        other.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let left = copy_of(dir);
        other.execute_batch("ROLLBACK").unwrap();
        let unanswered = self.sent.into_iter().flat_map(|(calls, _)| calls).collect();
        (left, unanswered)
    }

    /// After a restart: what was under way is done whole, or not at all; and all is as it must be.
    async fn agrees(&self, observer: &mut Observer, unanswered: Vec<Call>) {
        let store = &self.state.worker.store;
        for call in unanswered {
            let done = |d: &Delivery| {
                let known = store.ledger_show(NAME, Some(NAME), &*d.message.id().text()).unwrap();
                known.is_some_and(|entry| entry.completed)
            };
            let done: Vec<bool> = call.messages.iter().map(|(d, _)| done(d)).collect();
            assert!(done.iter().all(|one| *one == done[0]), "half of a call is done");
            if done[0] {
                observer.is_done(call);
            }
        }
        observer.follow(store);
        assert!(observer.done.is_empty(), "some have committed, and sent nothing");
        let mut found = Values::new();
        for StateEntry { key, value } in store.state_entries(self.state.bucket, None, 100).unwrap() {
            let text = |bytes| String::from_utf8(bytes).unwrap();
            found.insert(text(key), text(value).parse().unwrap());
        }
        assert_eq!(found, observer.model);
        let sql = "SELECT message_id FROM messages WHERE id >> 40 = (SELECT id FROM queues
                   WHERE name = 'effects') ORDER BY id";
        assert_eq!(ids(store, sql), observer.completed, "what is in the queue");
        assert_eq!(waiting(store), observer.completed, "what waits in the outbox");
        let once: BTreeSet<&String> = observer.completed.iter().collect();
        assert_eq!(once.len(), observer.completed.len(), "some are completed twice");
        let depth = store.outbox_home().unwrap().backlog(self.relay).rows;
        assert_eq!(depth, observer.completed.len() as u64);
    }
}

fn ids(store: &Store, sql: &str) -> Vec<String> {
    let db = store.db();
    let mut ids = db.prepare(sql).unwrap();
    ids.query_map([], |r| r.get(0)).unwrap().collect::<Result<Vec<String>, _>>().unwrap()
}

/// What waits in the outbox, in the order of commit.
fn waiting(store: &Store) -> Vec<String> {
    ids(store, "SELECT message_id FROM outbox ORDER BY id")
}

fn message(target: Target, id: &str) -> StagedMessage {
    let (topic, key, headers) = (None, None, Vec::new());
    StagedMessage { target, id: id.into(), topic, key, headers, body: b"x".to_vec(), delay_ms: None }
}

#[tokio::test]
async fn every_history_that_was_committed_is_a_serial_one() {
    let mut observer = Observer::default();
    let mut folder = dir();
    let mut unanswered = Vec::new();
    for _ in 0..LIVES {
        let mut life = Life::open(folder.path());
        life.agrees(&mut observer, std::mem::take(&mut unanswered)).await;
        for _ in 0..STEPS {
            match observer.below(10) {
                0..=4 => life.run(&mut observer).await,
                5..=6 => life.report(&mut observer),
                7..=8 => life.answered(&mut observer).await,
                _ => life.set(&mut observer, folder.path()).await,
            }
        }
        let left;
        (left, unanswered) = life.die(folder.path());
        folder = left;
    }
    Life::open(folder.path()).agrees(&mut observer, unanswered).await;
    let (completed, conflicts) = (observer.completed.len() as u64, observer.conflicts);
    assert!(completed > 8 * LIVES && conflicts > 2 * LIVES, "{completed} completed, {conflicts} conflicts");
}
