//! A pipeline that keeps its ledger somewhere else since its configuration has changed: what was completed
//! under the ledger that it has left stays a duplicate, until the keys there have expired.

use pelton_core::ports::{BoxFuture, ClaimItem, Completion, ErrorClass, Ledger, Release, Verdict};
use std::sync::Arc;
use std::time::Instant;

/// The ledger of a pipeline, and the one that it has left. Of the latter it is only read what was completed,
/// and how often what was not has been started: a message that ends every worker does not begin anew.
///
/// Not for a replay that handles again what was completed: that one is to find no duplicates.
pub struct MovedLedger {
    ledger: Arc<dyn Ledger>,
    left: Arc<dyn Ledger>,
    /// From then on nothing is known there that counts; none where that is not known.
    until: Option<Instant>,
}

impl MovedLedger {
    /// A pipeline has this ledger, and has left that one, which is asked `until` its last key has expired.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, left: Arc<dyn Ledger>, until: Option<Instant>) -> Self {
        Self { ledger, left, until }
    }

    fn asks_left(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    async fn claim_the_rest(
        &self,
        mut items: Vec<ClaimItem>,
        alone: bool,
    ) -> Result<Vec<Verdict>, ErrorClass> {
        let (completed, starts) =
            tokio::try_join!(self.left.completed(items.clone()), self.left.starts(items.clone()))?;
        if completed.len() != items.len() || starts.len() != items.len() {
            return Err(ErrorClass::Permanent);
        }
        items.iter_mut().zip(starts).for_each(|(item, starts)| item.attempts = item.attempts.max(starts));
        let rest: Vec<ClaimItem> =
            items.into_iter().zip(&completed).filter(|(_, done)| !**done).map(|(item, _)| item).collect();
        let claimed = if rest.is_empty() { Vec::new() } else { self.ledger.claim(rest, alone).await? };
        let mut claimed = claimed.into_iter();
        let verdict = |done: bool| if done { Some(Verdict::Duplicate) } else { claimed.next() };
        completed.into_iter().map(verdict).collect::<Option<_>>().ok_or(ErrorClass::Permanent)
    }

    async fn started(&self, items: Vec<ClaimItem>) -> Result<Vec<u32>, ErrorClass> {
        let of = self.ledger.starts(items.clone());
        let (here, there) = tokio::try_join!(of, self.left.starts(items))?;
        Ok(here.into_iter().zip(there).map(|(here, there)| here.max(there)).collect())
    }
}

impl Ledger for MovedLedger {
    fn claim(&self, items: Vec<ClaimItem>, alone: bool) -> BoxFuture<'_, Result<Vec<Verdict>, ErrorClass>> {
        if self.asks_left() {
            Box::pin(self.claim_the_rest(items, alone))
        } else {
            self.ledger.claim(items, alone)
        }
    }

    fn complete(&self, batch: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        self.ledger.complete(batch)
    }

    fn release(&self, batch: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        self.ledger.release(batch)
    }

    fn starts(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<u32>, ErrorClass>> {
        if self.asks_left() { Box::pin(self.started(items)) } else { self.ledger.starts(items) }
    }

    fn completed(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<bool>, ErrorClass>> {
        self.ledger.completed(items)
    }

    fn is_shared(&self) -> bool {
        self.ledger.is_shared()
    }

    fn needs_scope(&self) -> bool {
        self.ledger.needs_scope() || self.asks_left() && self.left.needs_scope()
    }

    fn trouble(&self) -> Option<String> {
        let left = || {
            let trouble = self.left.trouble().filter(|_| self.asks_left())?;
            Some(format!(
                "the ledger that this pipeline has left is asked until its keys have expired, and {trouble}"
            ))
        };
        self.ledger.trouble().or_else(left)
    }

    fn count_duplicates(&self, count: u64) {
        self.ledger.count_duplicates(count);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::Identity;
    use pelton_core::message::{Message, Parts};
    use pelton_core::ports::Claim;
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Mutex;
    use std::time::Duration;

    /// A ledger that knows what the test says.
    #[derive(Default)]
    struct Known {
        completed: BTreeSet<u8>,
        starts: BTreeMap<u8, u32>,
        is_away: bool,
        is_shared: bool,
        /// What was claimed, each with the attempts that it came with.
        claimed: Mutex<Vec<(u8, u32)>>,
    }

    fn answer<T: Send + 'static>(is_away: bool, of: T) -> BoxFuture<'static, Result<T, ErrorClass>> {
        Box::pin(std::future::ready(if is_away { Err(ErrorClass::Transient) } else { Ok(of) }))
    }

    fn number(identity: Identity) -> u8 {
        match identity {
            Identity::Key(key) => key[0],
            Identity::Position(_) => 0,
        }
    }

    impl Ledger for Known {
        fn claim(&self, items: Vec<ClaimItem>, _: bool) -> BoxFuture<'_, Result<Vec<Verdict>, ErrorClass>> {
            let asked = items.iter().map(|item| (number(item.identity), item.attempts));
            self.claimed.lock().unwrap().extend(asked);
            let fresh = |(index, item): (u32, &ClaimItem)| {
                if self.completed.contains(&number(item.identity)) {
                    return Verdict::Duplicate;
                }
                let claim = Claim { chunk: 1, index };
                Verdict::Fresh { claim, attempt: item.attempts + 1, crashed: false }
            };
            answer(self.is_away, (0..).zip(&items).map(fresh).collect())
        }

        fn complete(&self, batch: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
            Box::pin(std::future::ready(vec![Ok(()); batch.len()]))
        }

        fn release(&self, batch: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
            Box::pin(std::future::ready(vec![Ok(()); batch.len()]))
        }

        fn starts(&self, of: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<u32>, ErrorClass>> {
            let starts = |item: ClaimItem| self.starts.get(&number(item.identity)).copied().unwrap_or(0);
            answer(self.is_away, of.into_iter().map(starts).collect())
        }

        fn completed(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<bool>, ErrorClass>> {
            let done = |item: &ClaimItem| self.completed.contains(&number(item.identity));
            answer(self.is_away, items.iter().map(done).collect())
        }

        fn is_shared(&self) -> bool {
            self.is_shared
        }

        fn trouble(&self) -> Option<String> {
            self.is_away.then(|| "it is away".to_owned())
        }
    }

    fn items(of: impl IntoIterator<Item = u8>) -> Vec<ClaimItem> {
        let item = |n: u8| ClaimItem {
            identity: Identity::Key([n; 16]),
            message: Message::new(Parts::named("m")),
            attempts: 0,
            scope: None,
        };
        of.into_iter().map(item).collect()
    }

    fn left() -> Arc<Known> {
        let (completed, starts) = ([1, 3].into(), [(2, 4)].into());
        Arc::new(Known { completed, starts, is_shared: true, ..Known::default() })
    }

    fn words(verdicts: Vec<Verdict>) -> Vec<(u32, u32)> {
        let of = |verdict| match verdict {
            Verdict::Fresh { claim, attempt, .. } => (claim.index, attempt),
            _ => (9, 0),
        };
        verdicts.into_iter().map(of).collect()
    }

    #[tokio::test]
    async fn what_the_ledger_that_was_left_has_completed_is_a_duplicate_and_its_starts_count() {
        let here = Arc::new(Known { completed: [4].into(), ..Known::default() });
        let moved = MovedLedger::new(here.clone(), left(), None);
        let verdicts = words(moved.claim(items(0..=4), false).await.unwrap());
        assert_eq!(verdicts, [(0, 1), (9, 0), (1, 5), (9, 0), (9, 0)]);
        assert_eq!(*here.claimed.lock().unwrap(), [(0, 0), (2, 4), (4, 0)]);
        assert!(moved.claim(items([1, 3]), false).await.is_ok());
        assert_eq!(here.claimed.lock().unwrap().len(), 3, "there was nothing to ask for");
        assert_eq!(moved.starts(items([2])).await, Ok(vec![4]));
        assert!(moved.needs_scope() && !moved.is_shared());
    }

    #[tokio::test]
    async fn nothing_is_claimed_while_the_ledger_that_was_left_is_away() {
        let here = Arc::new(Known::default());
        let away = Arc::new(Known { is_away: true, ..Known::default() });
        let moved = MovedLedger::new(here.clone(), away, None);
        assert_eq!(moved.claim(items([0]), false).await, Err(ErrorClass::Transient));
        assert!(here.claimed.lock().unwrap().is_empty());
        let trouble = moved.trouble().unwrap();
        assert!(trouble.contains("has left") && trouble.ends_with("it is away"), "{trouble}");
    }

    #[tokio::test]
    async fn it_is_asked_nothing_once_its_keys_have_expired() {
        let here = Arc::new(Known::default());
        let away = Arc::new(Known { is_away: true, is_shared: true, ..Known::default() });
        let now = Instant::now();
        let moved = MovedLedger::new(here, away, Some(now));
        assert_eq!(words(moved.claim(items([1]), false).await.unwrap()), [(0, 1)]);
        assert_eq!((moved.trouble(), moved.needs_scope()), (None, false));
        assert_eq!(moved.starts(items([2])).await, Ok(vec![0]));
        let open =
            MovedLedger::new(Arc::new(Known::default()), left(), Some(now + Duration::from_secs(60)));
        assert_eq!(words(open.claim(items([1]), false).await.unwrap()), [(9, 0)]);
    }
}
