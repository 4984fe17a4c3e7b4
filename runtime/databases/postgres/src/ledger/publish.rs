//! The port of letters: those that are durable elsewhere and end their messages here, and those kept here.

use super::ending::{End, EndJob};
use super::{Key, PipelineLedger};
use crate::letters::Unclaimed;
use pelton_core::Letter;
use pelton_core::ports::{BoxFuture, DeadLetters, ErrorClass};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Ends messages that have letters.
pub struct PostgresLetters {
    shared: Arc<PipelineLedger>,
    /// They are kept here too, in the same transaction.
    keeps: bool,
}

/// What becomes of one letter.
enum Fate {
    /// It is asked for, at this place among the claimed or among the others.
    Claimed,
    Unclaimed,
    /// Its claim has ended.
    Lost,
    /// The ledger knows nothing of such a message, and nothing is to be kept.
    Nothing,
}

impl PostgresLetters {
    /// Of letters that are kept elsewhere.
    pub fn noted(shared: Arc<PipelineLedger>) -> Self {
        Self { shared, keeps: false }
    }

    /// Of letters that are kept here.
    pub fn kept(shared: Arc<PipelineLedger>) -> Self {
        Self { shared, keeps: true }
    }
}

impl DeadLetters for PostgresLetters {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let (answer, answered) = oneshot::channel();
        let mut job = EndJob { ends: Vec::new(), unclaimed: Vec::new(), letters: Vec::new(), answer };
        let fates: Vec<Fate> = batch.into_iter().map(|letter| self.add(&mut job, letter)).collect();
        let (claimed, others) = (job.ends.len(), job.unclaimed.len());
        if claimed + others > 0 {
            self.shared.ends.ask(job);
        }
        Box::pin(async move {
            let transient = Err(ErrorClass::Transient);
            let mut answers = match claimed + others {
                0 => Vec::new(),
                count => answered.await.unwrap_or(vec![transient; count]),
            };
            let mut others = answers.split_off(claimed.min(answers.len())).into_iter();
            let mut claimed = answers.into_iter();
            let result = |fate| match fate {
                Fate::Claimed => claimed.next().unwrap_or(transient),
                Fate::Unclaimed => others.next().unwrap_or(transient),
                Fate::Lost => Err(ErrorClass::LeaseLost),
                Fate::Nothing => Ok(()),
            };
            fates.into_iter().map(result).collect()
        })
    }

    fn trouble(&self) -> Option<String> {
        self.shared.trouble().filter(|_| self.keeps)
    }
}

impl PostgresLetters {
    fn add(&self, job: &mut EndJob, letter: Letter) -> Fate {
        let mark = Key::mark(&letter.message);
        let (key, fate) = match letter.claim {
            Some(claim) => match self.shared.live.get(claim) {
                None => return Fate::Lost,
                Some(held) => {
                    job.ends.push((claim, held, End::Letter { mark }));
                    (held.key, Fate::Claimed)
                }
            },
            None if letter.identity.is_none() && !self.keeps => return Fate::Nothing,
            None => {
                let key = Key::of(letter.scope.as_deref(), letter.identity, &letter.message);
                job.unclaimed.push(Unclaimed { key, mark });
                (key, Fate::Unclaimed)
            }
        };
        if self.keeps {
            job.letters.push((key, Box::new(letter)));
        }
        fate
    }
}
