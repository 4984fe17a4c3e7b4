//! Every counter of a pipeline, once: its name and its help. The pipeline counts them, the store keeps
//! them, and status, the live line and logs show them under these names.

use crate::outcome::Cause;
use std::ops::{Index, IndexMut};

macro_rules! counters {
    ($($variant:ident = $name:literal, $help:literal;)*) => {
        /// What is counted of a pipeline: numbers that only grow.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Counter {
            $(#[doc = $help] $variant,)*
        }

        impl Counter {
            /// All of them, in the order in which they are shown.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Its name, as programs read it: words with `_` between.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it counts, for people.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self {
                    $(Self::$variant => $help,)*
                }
            }
        }
    };
}

counters! {
    Handled = "handled", "Messages completed.";
    Duplicates = "duplicates", "Deliveries acknowledged unhandled, because their key was completed before.";
    Retries = "retries", "Failed attempts that are tried again.";
    Rejected = "rejected", "Dead letters of messages that the handler or an operator gave up on.";
    RetriesExhausted = "retries_exhausted", "Dead letters of messages whose attempts were used up.";
    CrashLoop = "crash_loop", "Dead letters of messages that ended the process again and again.";
    Invalid = "invalid", "Dead letters of messages without a deduplication key, or that could not be read.";
    WaitsCut = "waits_cut", "Waits that handlers asked for, and that were cut down to the longest there is.";
    Conflicts = "conflicts", "Messages run again: others had changed what they read, or were in their way.";
    OutboxSent = "outbox_sent", "Messages of the outbox that their target has.";
    OutboxRefused = "outbox_refused", "Dead letters of messages of the outbox that their target refused.";
}

impl Counter {
    /// The one of a name; none for another version's.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|counter| counter.name() == name)
    }

    /// The one that counts dead letters of a cause.
    #[must_use]
    pub const fn of(cause: Cause) -> Self {
        match cause {
            Cause::Rejected => Self::Rejected,
            Cause::RetriesExhausted => Self::RetriesExhausted,
            Cause::CrashLoop => Self::CrashLoop,
            Cause::Invalid => Self::Invalid,
            Cause::Outbox => Self::OutboxRefused,
        }
    }
}

/// A number for each counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters([u64; Counter::ALL.len()]);

impl Counters {
    /// Each counter with its number.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        Counter::ALL.into_iter().zip(self.0)
    }

    /// Dead letters written, whatever their cause.
    #[must_use]
    pub fn dead_letters(&self) -> u64 {
        Cause::ALL.iter().map(|cause| self[Counter::of(*cause)]).sum()
    }
}

impl FromIterator<(Counter, u64)> for Counters {
    fn from_iter<I: IntoIterator<Item = (Counter, u64)>>(numbers: I) -> Self {
        let mut counters = Self::default();
        numbers.into_iter().for_each(|(counter, number)| counters[counter] += number);
        counters
    }
}

impl Index<Counter> for Counters {
    type Output = u64;

    fn index(&self, counter: Counter) -> &u64 {
        &self.0[counter as usize]
    }
}

impl IndexMut<Counter> for Counters {
    fn index_mut(&mut self, counter: Counter) -> &mut u64 {
        &mut self.0[counter as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_counter_has_a_name_of_its_own_and_says_what_it_counts() {
        let names: BTreeSet<&str> = Counter::ALL.into_iter().map(Counter::name).collect();
        assert_eq!(names.len(), Counter::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        assert!(Counter::ALL.into_iter().all(|counter| counter.help().ends_with('.')));
    }

    #[test]
    fn dead_letters_are_those_of_all_causes() {
        let all: Counters = Counter::ALL.into_iter().zip(1..).collect();
        assert_eq!(all.dead_letters(), 4 + 5 + 6 + 7 + 11);
        assert!(all.iter().map(|(_, n)| n).eq((1..).take(Counter::ALL.len())));
    }
}
