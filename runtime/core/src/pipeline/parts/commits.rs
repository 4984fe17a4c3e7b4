//! In which order the messages of a lane commit, where handlers may have effects. What ran behind another
//! one may have read what that one staged. So it does not commit before it; and when that one is to run
//! again, it is to run again too, behind it.

use super::entry::Slot;
use crate::message::Lane;
use crate::outcome::Outcome;
use crate::ports::Claim;
use rustc_hash::FxHashMap;

/// The lanes of which the ledger is asked to complete something, and those that are to run again.
#[derive(Debug, Default)]
pub struct Commits {
    lanes: FxHashMap<Lane, LaneCommits>,
    /// How many are held and deferred.
    waiting: usize,
}

#[derive(Debug)]
struct LaneCommits {
    /// The chunk that all of this is of: a lane is never in two.
    chunk: u64,
    /// The last that the ledger was asked to complete, and the call that it is of.
    last: (Claim, Option<usize>),
    /// What the first of that call goes behind.
    before: Option<Claim>,
    /// How many of these it has not answered for good.
    open: usize,
    /// The place of the first that is to run again: so is everything of the chunk behind it.
    again: Option<usize>,
    /// To be released, when none is open any more. Sooner, the ledger could take what is open for first.
    held: Vec<Slot>,
    /// What has failed behind those that are open, each with its place: whether it ran on what is there they
    /// say.
    deferred: Vec<(Slot, usize, Outcome)>,
}

/// A message in its lane: the lane, its chunk, its place there.
pub type InLane = (Lane, u64, usize);

/// What is ahead of a message, in its lane and its chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ahead {
    /// Nothing that is not committed.
    Nothing,
    /// One that the ledger was asked to complete.
    Open,
    /// One that is to run again.
    RunsAgain,
}

/// What goes on in a lane, now that the ledger has answered for all that it was asked to complete.
#[derive(Debug)]
pub struct Answered {
    pub held: Vec<Slot>,
    /// None of an outcome that does not count: what was ahead of it runs again.
    pub deferred: Vec<(Slot, Option<Outcome>)>,
}

impl Commits {
    /// What is ahead of a message.
    pub fn ahead(&self, (lane, chunk, place): InLane) -> Ahead {
        match self.lanes.get(&lane).filter(|of| of.chunk == chunk) {
            Some(of) if of.again.is_some_and(|first| first < place) => Ahead::RunsAgain,
            Some(of) if of.open > 0 => Ahead::Open,
            Some(_) | None => Ahead::Nothing,
        }
    }

    /// The ledger is to be asked to complete the next of a lane: behind which claim. Those of one call
    /// complete together, all of them behind what is ahead of the first.
    pub fn asks(&mut self, (lane, chunk, _): InLane, claim: Claim, call: Option<usize>) -> Option<Claim> {
        match self.lanes.get_mut(&lane) {
            Some(of) if of.chunk == chunk => {
                if call.is_none() || of.last.1 != call {
                    of.before = Some(of.last.0);
                }
                of.last = (claim, call);
                of.open += 1;
                of.before
            }
            before => {
                debug_assert!(before.is_none_or(|of| of.open == 0), "{lane:?} is in two chunks");
                let of = LaneCommits {
                    chunk,
                    last: (claim, call),
                    before: None,
                    open: 1,
                    again: None,
                    held: Vec::new(),
                    deferred: Vec::new(),
                };
                self.lanes.insert(lane, of);
                None
            }
        }
    }

    /// The ledger has answered for good, and the message is to run again or not. Whether it is, and not
    /// for one ahead of it.
    pub fn answered(&mut self, (lane, chunk, place): InLane, runs_again: bool) -> bool {
        let Some(of) = self.lanes.get_mut(&lane).filter(|of| of.chunk == chunk) else { return runs_again };
        of.open -= 1;
        let is_first = runs_again && of.again.is_none_or(|first| place < first);
        if is_first {
            of.again = Some(place);
        }
        is_first
    }

    /// Whether a message that is to be released waits with that until none is open.
    pub fn holds(&mut self, (lane, chunk, _): InLane, slot: Slot) -> bool {
        // The last that is answered too: they are released in their order.
        let waits = |of: &&mut LaneCommits| {
            of.chunk == chunk && of.again.is_some() && (of.open > 0 || !of.held.is_empty())
        };
        let Some(of) = self.lanes.get_mut(&lane).filter(waits) else { return false };
        of.held.push(slot);
        self.waiting += 1;
        true
    }

    /// A message has failed behind one that is open.
    pub fn defer(&mut self, (lane, _, place): InLane, slot: Slot, outcome: Outcome) {
        if let Some(of) = self.lanes.get_mut(&lane) {
            of.deferred.push((slot, place, outcome));
            self.waiting += 1;
        }
    }

    /// What goes on in a lane, if none of it is open any more.
    pub fn next(&mut self, lane: Lane) -> Option<Answered> {
        let of = self.lanes.get_mut(&lane).filter(|of| of.open == 0)?;
        let (held, deferred, again) =
            (std::mem::take(&mut of.held), std::mem::take(&mut of.deferred), of.again);
        self.waiting -= held.len() + deferred.len();
        if again.is_none() {
            self.lanes.remove(&lane);
        }
        let counts = |place: usize| again.is_none_or(|first| place < first);
        let deferred = deferred.into_iter();
        let deferred = deferred.map(|(slot, place, outcome)| (slot, counts(place).then_some(outcome)));
        Some(Answered { held, deferred: deferred.collect() })
    }

    /// Nothing of a lane is out any more: what comes next has nothing ahead of it.
    pub fn is_back(&mut self, lane: Lane) {
        if !self.lanes.is_empty() {
            self.lanes.remove(&lane);
        }
    }

    /// How many wait for an answer to others of their lane.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether a message waits for an answer to others of its lane.
    pub fn is_waiting(&self, lane: Lane, slot: Slot) -> bool {
        let deferred = |of: &LaneCommits| of.deferred.iter().any(|(other, ..)| *other == slot);
        self.lanes.get(&lane).is_some_and(|of| of.held.contains(&slot) || deferred(of))
    }

    /// Whether nothing is known of any lane.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}
