//! What becomes of a claim of a message that the ledger knows already. Nothing here asks anybody, nor any
//! clock.

use super::Key;
use pelton_core::ports::Verdict;

/// How long to wait for a worker that has a message in work, in milliseconds.
const IN_WORK_MS: u64 = 500;
/// How long to wait when a row changes as it is looked at.
pub const CHANGING_MS: u64 = 50;

/// States of a row.
pub mod state {
    /// In work.
    pub const WORK: i8 = b'w'.cast_signed();
    /// In work again, though it was completed before.
    pub const REDONE: i8 = b'r'.cast_signed();
    /// Done.
    pub const DONE: i8 = b'd'.cast_signed();
}

/// Whose the last claim of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// This worker's.
    Mine,
    /// This worker's, whose answer never came: it has started nothing.
    Unanswered,
    /// One's that has ended in order.
    Closed,
    /// One's that was started again, is silent for too long, or is not known at all.
    Died,
    /// One's that lives, as far as is known.
    Alive,
}

/// A row as it was found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// One of `state`.
    pub state: i8,
    /// Starts that count, one under way included.
    pub attempts: i32,
    /// The mark of the message that has a letter.
    pub letter: Option<Key>,
    /// Whose its last claim is.
    pub owner: Owner,
}

/// Who claims.
#[derive(Debug, Clone, Copy)]
pub struct Claimant {
    /// The mark of its message.
    pub mark: Key,
    /// Attempts that the broker's count proves.
    pub proven: u32,
    /// It may be a suspect.
    pub alone: bool,
    /// It is the only one of its chunk.
    pub single: bool,
    /// What is completed is handled again.
    pub redo: bool,
    /// What is completed is a duplicate.
    pub dedup: bool,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It is not granted.
    No(Verdict),
    /// It is granted if the row still is as it was found.
    Take(Take),
}

/// How a row is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Take {
    /// Its state from then on.
    pub state: i8,
    /// Attempts before this one.
    pub before: i32,
    /// Attempts with it.
    pub attempts: i32,
    /// The number of this start.
    pub attempt: u32,
    /// The start before ended with its process.
    pub crashed: bool,
}

/// Judges a claim of what was found.
pub fn judge(found: &Found, who: &Claimant) -> Judged {
    let in_work = matches!(found.state, state::WORK | state::REDONE);
    let done = matches!(found.state, state::DONE | state::REDONE);
    if done && who.dedup && !who.redo {
        return Judged::No(Verdict::Duplicate);
    }
    if found.letter == Some(who.mark) && !who.redo {
        return Judged::No(Verdict::AlreadyDeadLettered);
    }
    let crashed = in_work && found.owner == Owner::Died;
    match found.owner {
        Owner::Alive if in_work => return Judged::No(Verdict::Elsewhere { wait_ms: IN_WORK_MS }),
        Owner::Died if crashed && !who.alone => return Judged::No(Verdict::Suspect),
        _ => {}
    }
    // Such a start does not count: it never was, or was given up in order.
    let uncounted = in_work && matches!(found.owner, Owner::Unanswered | Owner::Closed);
    let before = match done {
        true => 0,
        false => (found.attempts - i32::from(uncounted)).max(0),
    };
    let attempt = counted(before).max(who.proven).saturating_add(1);
    let state = if done && who.dedup { state::REDONE } else { state::WORK };
    Judged::Take(Take { state, before, attempts: recorded(before, attempt, who.single), attempt, crashed })
}

/// What is recorded of a start. Who dies in company may not be to blame: what others counted is held against
/// it when it is alone.
pub fn recorded(before: i32, attempt: u32, single: bool) -> i32 {
    if single { i32::try_from(attempt).unwrap_or(i32::MAX) } else { before.saturating_add(1) }
}

fn counted(attempts: i32) -> u32 {
    u32::try_from(attempts).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: i8 = b'f'.cast_signed();
    const WHO: Claimant =
        Claimant { mark: Key([1; 16]), proven: 0, alone: false, single: false, redo: false, dedup: true };

    fn found(state: i8, owner: Owner) -> Found {
        Found { state, attempts: 2, letter: None, owner }
    }

    fn take(found: &Found, who: &Claimant) -> (i8, i32, i32, u32, bool) {
        match judge(found, who) {
            Judged::Take(take) => (take.state, take.before, take.attempts, take.attempt, take.crashed),
            Judged::No(verdict) => panic!("{verdict:?}"),
        }
    }

    #[test]
    fn what_was_done_is_a_duplicate_whoever_has_it_now() {
        for owner in [Owner::Mine, Owner::Alive, Owner::Died, Owner::Closed] {
            for state in [state::DONE, state::REDONE] {
                assert_eq!(judge(&found(state, owner), &WHO), Judged::No(Verdict::Duplicate));
            }
        }
        let redo = Claimant { redo: true, ..WHO };
        assert_eq!(take(&found(state::DONE, Owner::Alive), &redo), (state::REDONE, 0, 1, 1, false));
        let elsewhere = judge(&found(state::REDONE, Owner::Alive), &redo);
        assert!(matches!(elsewhere, Judged::No(Verdict::Elsewhere { .. })));
        let off = Claimant { dedup: false, ..WHO };
        assert_eq!(take(&found(state::DONE, Owner::Alive), &off), (state::WORK, 0, 1, 1, false));
    }

    #[test]
    fn what_another_has_is_elsewhere_and_what_died_with_one_is_suspect() {
        let working = |owner| found(state::WORK, owner);
        assert!(matches!(judge(&working(Owner::Alive), &WHO), Judged::No(Verdict::Elsewhere { .. })));
        assert_eq!(judge(&working(Owner::Died), &WHO), Judged::No(Verdict::Suspect));
        let alone = Claimant { alone: true, single: true, ..WHO };
        assert_eq!(take(&working(Owner::Died), &alone), (state::WORK, 2, 3, 3, true));
        assert_eq!(take(&working(Owner::Closed), &WHO), (state::WORK, 1, 2, 2, false));
        assert_eq!(take(&working(Owner::Unanswered), &WHO), (state::WORK, 1, 2, 2, false));
        assert_eq!(take(&working(Owner::Mine), &WHO), (state::WORK, 2, 3, 3, false));
        assert_eq!(take(&found(FREE, Owner::Died), &WHO), (state::WORK, 2, 3, 3, false), "nobody ran it");
    }

    #[test]
    fn the_larger_count_is_told_and_recorded_of_one_that_is_alone() {
        let proven = Claimant { proven: 7, ..WHO };
        assert_eq!(take(&found(FREE, Owner::Alive), &proven), (state::WORK, 2, 3, 8, false));
        let single = Claimant { single: true, ..proven };
        assert_eq!(take(&found(FREE, Owner::Alive), &single), (state::WORK, 2, 8, 8, false));
    }

    #[test]
    fn a_letter_is_of_its_message_alone() {
        let lettered = |mark| Found { letter: Some(Key([mark; 16])), ..found(FREE, Owner::Alive) };
        assert_eq!(judge(&lettered(1), &WHO), Judged::No(Verdict::AlreadyDeadLettered));
        assert!(matches!(judge(&lettered(2), &WHO), Judged::Take(_)));
        assert!(matches!(judge(&lettered(1), &Claimant { redo: true, ..WHO }), Judged::Take(_)));
    }
}
