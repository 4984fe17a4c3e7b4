//! What was produced and what was delivered, as sets that can be compared without keeping them.

use crate::load::number;
use pelton_core::Outcome;
use pelton_core::ports::{BoxFuture, Handler, Report, Work};
use pelton_core::retry::scatter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A set of messages: how many, and the sum of a hash of each number in it. Two sets differ in
/// one of both, but for a chance of 2^-64; a message delivered twice changes both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Set {
    count: u64,
    sum: u64,
}

impl Set {
    pub fn add(&mut self, number: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(scatter(number, 1));
    }

    /// Why a row with these sets is void; `None` when they are equal.
    pub fn differs(produced: Self, delivered: Self) -> Option<String> {
        (produced != delivered).then(|| {
            format!("{} messages were produced, {} delivered (or failed)", produced.count, delivered.count)
        })
    }
}

impl FromIterator<u64> for Set {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut set = Self::default();
        numbers.into_iter().for_each(|number| set.add(number));
        set
    }
}

/// What a handler was given and did.
#[derive(Debug, Default)]
pub struct Book {
    /// When it was given the first chunk.
    pub began: Option<Instant>,
    /// What it did well.
    pub delivered: Set,
}

/// Passes chunks on, and books each message whose outcome is `Ok`.
pub struct Booked {
    handler: Arc<dyn Handler>,
    pub book: Arc<Mutex<Book>>,
}

impl Booked {
    pub fn new(handler: Arc<dyn Handler>) -> Self {
        Self { handler, book: Arc::default() }
    }
}

impl Handler for Booked {
    fn digest(&self) -> Arc<str> {
        self.handler.digest()
    }

    fn max_chunk(&self) -> usize {
        self.handler.max_chunk()
    }

    fn handle(&self, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let numbers: Vec<u64> = work.iter().map(|work| number(work.message.body())).collect();
        open(&self.book).began.get_or_insert_with(Instant::now);
        let book = Arc::clone(&self.book);
        let booked = Box::new(move |digest: &Arc<str>, outcomes: Vec<(usize, Outcome)>| {
            let mut book = open(&book);
            let done = outcomes.iter().filter(|(_, outcome)| outcome.is_ok());
            done.for_each(|(place, _)| book.delivered.add(numbers[*place]));
            drop(book);
            report(digest, outcomes);
        });
        self.handler.handle(work, booked)
    }

    fn interrupt(&self) {
        self.handler.interrupt();
    }
}

fn open(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_notices_what_is_lost_doubled_and_swapped() {
        let produced: Set = (1..=3).collect();
        assert_eq!(Set::differs(produced, [3, 1, 2].into_iter().collect()), None);
        for other in [vec![1, 2], vec![1, 2, 3, 3], vec![1, 2, 4], vec![1, 1, 3]] {
            assert!(Set::differs(produced, other.into_iter().collect()).is_some());
        }
    }
}
