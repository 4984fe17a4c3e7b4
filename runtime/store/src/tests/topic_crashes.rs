//! The ledger of a topic over a thousand crashes, against a plain map of what was done to each offset.

use super::support::{claim_of, copy_of, dir};
use super::topics::{count, item, letter, open, rows};
use crate::{NotedLetters, PipelineStore};
use pelton_core::ports::{Claim, Completion, DeadLetters, Ledger, Release, Verdict};
use pelton_core::retry::scatter;
use std::collections::BTreeMap;

const CRASHES: u64 = 1_000;
/// Offsets claimed together.
const CHUNK: usize = 12;

/// What became of a record, as an observer of the calls knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Completed,
    Lettered,
    /// Started so many times; the last time may have ended with the process.
    Open {
        attempts: u32,
        suspect: bool,
    },
}

const NEW: Fate = Fate::Open { attempts: 0, suspect: false };

#[derive(Default)]
struct Observer {
    fates: BTreeMap<u64, Fate>,
    draws: u64,
}

impl Observer {
    fn below(&mut self, end: u64) -> u64 {
        self.draws += 1;
        scatter(7, self.draws) % end
    }

    fn fate(&self, offset: u64) -> Fate {
        self.fates.get(&offset).copied().unwrap_or(NEW)
    }

    /// Where a group reads on: the lowest record that is not done.
    fn position(&self) -> u64 {
        let done = |offset: &u64| matches!(self.fate(*offset), Fate::Completed | Fate::Lettered);
        (0..).filter(|o| is_record(*o)).find(|o| !done(o)).unwrap_or(0)
    }

    /// Holds the verdict of a claim against what is known. The attempt that it starts, if it does.
    fn judge(&mut self, offset: u64, verdict: Verdict, alone: bool) -> Option<u32> {
        let fate = self.fate(offset);
        let agrees = match (fate, verdict) {
            (Fate::Completed, Verdict::Duplicate) | (Fate::Lettered, Verdict::AlreadyDeadLettered) => true,
            (Fate::Open { suspect: true, .. }, Verdict::Suspect) => !alone,
            (Fate::Open { attempts, suspect }, Verdict::Fresh { attempt, crashed, .. }) => {
                attempt == attempts + 1 && crashed == suspect && (alone || !suspect)
            }
            _ => false,
        };
        assert!(agrees, "offset {offset} is {fate:?}, and the ledger says {verdict:?}");
        let Verdict::Fresh { attempt, .. } = verdict else { return None };
        // Counted from now on, whatever becomes of the process.
        self.fates.insert(offset, Fate::Open { attempts: attempt, suspect: true });
        Some(attempt)
    }

    /// Ends a start in some way, or leaves it to the crash.
    async fn end(&mut self, ledger: &PipelineStore, offset: u64, claim: Claim, attempt: u32, before: Fate) {
        let identity = item(offset).identity;
        let skipped = u64::from(offset > 0 && !is_record(offset - 1));
        let release = |counts| vec![Release { claim, identity, counts, settle: None }];
        let (fate, done) = match self.below(10) {
            0 => return,
            1 => (Fate::Open { attempts: attempt, suspect: false }, ledger.release(release(true)).await),
            2 => (before, ledger.release(release(false)).await),
            3 => {
                let noted = NotedLetters(ledger.clone());
                (Fate::Lettered, noted.publish(vec![letter(offset, skipped, claim)]).await)
            }
            _ => {
                let item =
                    Completion { claim, identity, skipped, settle: None, effects: None, after: None };
                (Fate::Completed, ledger.complete(vec![item]).await)
            }
        };
        assert_eq!(done, [Ok(())], "offset {offset}");
        self.fates.insert(offset, fate);
    }
}

/// Every seventh offset is the mark of a transaction.
fn is_record(offset: u64) -> bool {
    offset % 7 != 3
}

/// One life of a worker: it reads on from where the group is, and starts a chunk, and some suspects.
async fn live(observer: &mut Observer, ledger: &PipelineStore) {
    let from = observer.position();
    ledger.settled_before(0, from);
    let mut offsets: Vec<u64> = (from..).filter(|o| is_record(*o)).take(CHUNK).collect();
    let verdicts = ledger.claim(offsets.iter().map(|o| item(*o)).collect(), false).await.unwrap();
    let mut started = Vec::new();
    for (offset, verdict) in offsets.drain(..).zip(verdicts) {
        let before = observer.fate(offset);
        match observer.judge(offset, verdict, false) {
            Some(attempt) => started.push((offset, claim_of(verdict).unwrap(), attempt, before)),
            None if verdict == Verdict::Suspect && observer.below(2) == 0 => {
                let alone = ledger.claim(vec![item(offset)], true).await.unwrap()[0];
                let attempt = observer.judge(offset, alone, true).unwrap();
                started.push((offset, claim_of(alone).unwrap(), attempt, before));
            }
            None => {}
        }
    }
    while !started.is_empty() {
        let next = observer.below(started.len() as u64) as usize;
        let (offset, claim, attempt, before) = started.swap_remove(next);
        observer.end(ledger, offset, claim, attempt, before).await;
    }
}

#[tokio::test]
async fn what_was_done_is_known_and_what_was_not_is_not_hidden_over_a_thousand_crashes() {
    let mut observer = Observer::default();
    let mut folder = dir();
    for _ in 0..CRASHES {
        let (store, ledger) = open(folder.path());
        live(&mut observer, &ledger).await;
        // What a process that is killed now would leave.
        let left = copy_of(folder.path());
        drop((ledger, store));
        folder = left;
    }
    let position = observer.position();
    assert!(position > CRASHES, "it has come to {position}");
    let letters = observer.fates.values().filter(|f| **f == Fate::Lettered).count();
    let ranges = rows(folder.path()) as usize - letters;
    assert!(ranges <= CHUNK, "{ranges} ranges for what lies ahead of the watermark");
    let attempts = count(folder.path(), "attempts") as usize;
    assert!(attempts <= CHUNK, "{attempts} rows for what has not ended");
}
