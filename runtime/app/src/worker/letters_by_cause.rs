//! Dead letters that go to different places, by their cause.

use pelton_core::ports::{BoxFuture, Counted, DeadLetters, ErrorClass};
use pelton_core::{Cause, Letter, Panicked};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// Writes each letter where its cause has it be.
pub struct LettersByCause {
    /// The first is for all causes that are not named.
    places: Vec<Arc<dyn DeadLetters>>,
    /// Those that are, with the number of their place.
    by_cause: Vec<(Cause, usize)>,
}

impl LettersByCause {
    /// `by_cause` has numbers of `places`.
    pub fn new(places: Vec<Arc<dyn DeadLetters>>, by_cause: Vec<(Cause, usize)>) -> Self {
        Self { places, by_cause }
    }

    fn place(&self, cause: Cause) -> usize {
        let own = self.by_cause.iter().find(|(own, _)| *own == cause);
        own.map(|(_, place)| *place).filter(|place| *place < self.places.len()).unwrap_or(0)
    }
}

/// What one place is given of a batch: where its letters stand in the batch, and its answer for each.
struct Part<'p> {
    stand: Vec<usize>,
    answer: BoxFuture<'p, Vec<Result<(), ErrorClass>>>,
    results: Option<Vec<Result<(), ErrorClass>>>,
}

impl DeadLetters for LettersByCause {
    /// The places are written to side by side: one that is away does not hold up the others.
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let count = batch.len();
        let mut sorted: Vec<(Vec<usize>, Vec<Letter>)> = vec![Default::default(); self.places.len()];
        for (stands, letter) in batch.into_iter().enumerate() {
            if let Some((stand, letters)) = sorted.get_mut(self.place(letter.cause)) {
                stand.push(stands);
                letters.push(letter);
            }
        }
        let given = self.places.iter().zip(sorted).filter(|(_, (stand, _))| !stand.is_empty());
        let mut parts: Vec<Part<'_>> = given
            .map(|(place, (stand, letters))| Part { stand, answer: place.publish(letters), results: None })
            .collect();
        Box::pin(async move {
            poll_fn(|cx| {
                for part in parts.iter_mut().filter(|part| part.results.is_none()) {
                    if let Poll::Ready(results) = part.answer.as_mut().poll(cx) {
                        part.results = Some(results);
                    }
                }
                if parts.iter().all(|part| part.results.is_some()) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            // Who does not answer for a letter has not written it.
            let mut all = vec![Err(ErrorClass::Transient); count];
            for part in parts {
                for (stands, result) in part.stand.into_iter().zip(part.results.unwrap_or_default()) {
                    all[stands] = result;
                }
            }
            all
        })
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        let mut watched: Vec<_> = self.places.iter().map(|place| place.panicked()).collect();
        Box::pin(poll_fn(move |cx| {
            let ready = |watched: &mut BoxFuture<'_, Panicked>| match watched.as_mut().poll(cx) {
                Poll::Ready(panicked) => Some(panicked),
                Poll::Pending => None,
            };
            watched.iter_mut().find_map(ready).map_or(Poll::Pending, Poll::Ready)
        }))
    }

    /// Numbers of one name belong together.
    fn counted(&self) -> Counted {
        let mut all = Counted::new();
        for (name, number) in self.places.iter().flat_map(|place| place.counted()) {
            match all.iter_mut().find(|(other, _)| *other == name) {
                Some((_, sum)) => *sum += number,
                None => all.push((name, number)),
            }
        }
        all
    }

    fn trouble(&self) -> Option<String> {
        self.places.iter().find_map(|place| place.trouble())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::{Failure, Message, Parts};
    use std::sync::Mutex;

    /// Answers what it is told, and keeps what it was given.
    struct Letterbox(Result<(), ErrorClass>, Mutex<Vec<String>>);

    impl DeadLetters for Letterbox {
        fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
            self.1.lock().unwrap().extend(batch.iter().map(|letter| letter.message.id().to_string()));
            Box::pin(async move { vec![self.0; batch.len()] })
        }

        fn counted(&self) -> Counted {
            vec![("sent", 2)]
        }
    }

    fn letter(id: &str, cause: Cause) -> Letter {
        Letter {
            message: Message::new(Parts::named(id)),
            identity: None,
            scope: None,
            claim: None,
            skipped: 0,
            settle: None,
            cause,
            failure: Failure::Reject,
            reason: String::new(),
            attempts: 0,
            handler: "sha256:00".into(),
        }
    }

    #[tokio::test]
    async fn each_cause_has_its_place_and_each_letter_its_answer() {
        let usual = Arc::new(Letterbox(Ok(()), Mutex::default()));
        let invalid = Arc::new(Letterbox(Err(ErrorClass::Transient), Mutex::default()));
        let all = LettersByCause::new(vec![usual.clone(), invalid.clone()], vec![(Cause::Invalid, 1)]);
        let batch =
            [("a", Cause::Rejected), ("b", Cause::Invalid), ("c", Cause::CrashLoop), ("d", Cause::Invalid)];
        let told = all.publish(batch.map(|(id, cause)| letter(id, cause)).to_vec()).await;
        assert_eq!(told, [Ok(()), Err(ErrorClass::Transient), Ok(()), Err(ErrorClass::Transient)]);
        assert_eq!(*usual.1.lock().unwrap(), ["a", "c"]);
        assert_eq!(*invalid.1.lock().unwrap(), ["b", "d"]);
        assert_eq!(all.counted(), [("sent", 4)]);
    }
}
