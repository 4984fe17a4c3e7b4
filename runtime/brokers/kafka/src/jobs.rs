//! Letters that are to be sent, and who asks for it.

use pelton_broker_common::fate::Fate;
use pelton_core::Letter;
use std::sync::mpsc::Receiver;
use tokio::sync::oneshot;

/// Letters that are sent together, or a few more.
const TOGETHER: usize = 1_000;

/// Some letters, and who waits for what becomes of them.
pub struct Job {
    pub letters: Vec<Letter>,
    pub answer: oneshot::Sender<Vec<Fate>>,
}

/// Who waits for what becomes of so many letters.
pub type Asker = (usize, oneshot::Sender<Vec<Fate>>);

/// The letters of a job and of those that wait behind it: what an answer of the broker costs is paid once
/// for all of them, and it is paid again for those that are refused in a batch.
pub fn together(first: Job, jobs: &Receiver<Job>) -> (Vec<Letter>, Vec<Asker>) {
    let (mut letters, mut askers) = (Vec::new(), Vec::new());
    let mut next = Some(first);
    while let Some(job) = next {
        askers.push((job.letters.len(), job.answer));
        letters.extend(job.letters);
        next = if letters.len() < TOGETHER { jobs.try_recv().ok() } else { None };
    }
    (letters, askers)
}

/// Tells each what became of its letters. It may be gone, at the end of a worker.
pub fn answer(askers: Vec<Asker>, fates: Vec<Fate>) {
    let mut fates = fates.into_iter();
    for (count, asker) in askers {
        drop(asker.send(fates.by_ref().take(count).collect()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::{Cause, Failure, Message, Parts};
    use std::sync::mpsc::channel;

    fn job(names: std::ops::Range<usize>) -> (Job, oneshot::Receiver<Vec<Fate>>) {
        let letter = |name: usize| Letter {
            message: Message::new(Parts::named(&name.to_string())),
            identity: None,
            scope: None,
            claim: None,
            skipped: 0,
            settle: None,
            cause: Cause::Rejected,
            failure: Failure::Reject,
            reason: String::new(),
            attempts: 1,
            handler: "sha256:aa".into(),
        };
        let (answer, answered) = oneshot::channel();
        (Job { letters: names.map(letter).collect(), answer }, answered)
    }

    #[test]
    fn letters_that_wait_go_together_and_each_asker_is_told_of_its_own() {
        let (send, jobs) = channel();
        let mut answers = Vec::new();
        for names in [0..1, 1..3, 3..3, 3..TOGETHER, TOGETHER..TOGETHER + 5] {
            let (job, answered) = job(names);
            send.send(job).unwrap();
            answers.push(answered);
        }
        let (letters, askers) = together(jobs.recv().unwrap(), &jobs);
        assert_eq!((letters.len(), askers.len()), (TOGETHER, 4), "what is beyond waits for the next time");
        assert!(letters.iter().enumerate().all(|(place, letter)| letter.message.id() == place.to_string()));
        let fates = |there: usize| if there == 1 { Fate::Refused } else { Fate::There };
        answer(askers, (0..TOGETHER).map(fates).collect());
        let told: Vec<usize> = answers[..4].iter_mut().map(|a| a.try_recv().unwrap().len()).collect();
        assert_eq!(told, [1, 2, 0, TOGETHER - 3]);
        assert!(answers[4].try_recv().is_err());
    }
}
