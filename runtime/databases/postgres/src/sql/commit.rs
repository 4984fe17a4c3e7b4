//! The end of a transaction: all that commits with it, and `COMMIT`, in one exchange. What the server says of
//! it is what has happened; where it says nothing, nobody here knows.

use super::exchange::{Answer, Purpose, Request};
use super::failure::Failure;
use super::step::Step;
use super::transaction::PostgresTransaction;
use pelton_core::effects::TransactionState;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a commit may take: it may wait for replicas.
const COMMIT: Duration = Duration::from_secs(60);

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommitEnd {
    /// It is on disk.
    Committed,
    /// Nothing has happened, nor could it: in words.
    Failed(String),
    /// Nothing has happened, for a reason that is not the message's: in words.
    Again(String),
    /// Nothing has happened: this step of the commit has failed.
    Refused { step: usize, failure: Failure },
    /// The answer is lost: nobody here knows.
    InDoubt(String),
}

enum Asked {
    /// It had failed before.
    Nothing,
    Commit {
        answer: oneshot::Receiver<Answer>,
        /// Steps before those of the commit, and all but the `COMMIT` itself.
        before: usize,
        count: usize,
    },
}

/// A handler may have set where names are looked up, and who it is: our tables are where they are for all.
fn resets(role: bool) -> Vec<Step> {
    let names = Step::ours("SET LOCAL search_path TO DEFAULT", Vec::new());
    let role = role.then(|| Step::ours("SET LOCAL role TO DEFAULT", Vec::new()));
    role.into_iter().chain([names]).collect()
}

impl CommitEnd {
    fn of_failure(failure: &Failure) -> Self {
        match failure.standing() {
            TransactionState::Again(words) => Self::Again(words),
            TransactionState::Failed(words) => Self::Failed(words),
            TransactionState::Open => Self::Failed(failure.words()),
        }
    }
}

impl PostgresTransaction {
    /// Commits, after these steps, in one round trip. Asked again, it says how it ended.
    pub(crate) async fn commit(&self, steps: Vec<Step>) -> CommitEnd {
        let mut ended = self.ended.subscribe();
        if let Some(asked) = self.send_commit(steps) {
            let end = self.judge(asked).await;
            self.ended.send_replace(Some(end.clone()));
            return end;
        }
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(end)) => end.clone(),
            Ok(None) | Err(_) => CommitEnd::InDoubt("the commit was not waited for".to_owned()),
        }
    }

    /// Sends all of it; none when that was done before.
    fn send_commit(&self, steps: Vec<Step>) -> Option<Asked> {
        let mut inner = self.inner();
        let (line, permit) = inner.lease.take()?;
        if self.course.standing() != TransactionState::Open {
            line.end(permit, true);
            return Some(Asked::Nothing);
        }
        let mut all = if inner.begun { resets(inner.sets_role) } else { self.pool.begins() };
        let before = all.len();
        all.extend(steps);
        let count = all.len();
        all.push(Step::ending("COMMIT"));
        let patience = COMMIT + self.pool.settings().statement_timeout;
        let (reply, answer) = oneshot::channel();
        let mut request = Request::new(all, Purpose::Commit, self.course.clone(), patience);
        request.reply = Some(reply);
        line.run(request);
        // Given back when that is answered: who has it next need not wait for this to be dropped.
        line.end(permit, false);
        Some(Asked::Commit { answer, before, count })
    }

    async fn judge(&self, asked: Asked) -> CommitEnd {
        let Asked::Commit { answer, before, count } = asked else { return self.come_to_nothing() };
        let answer = answer.await.unwrap_or_else(|_| Answer::lost());
        if answer.done == count + 1 {
            // The server's word for a commit of what has failed before is ROLLBACK.
            return match &*answer.tag {
                "COMMIT" => CommitEnd::Committed,
                _ => self.come_to_nothing(),
            };
        }
        match (self.course.failure(), answer.failure) {
            // The connection was lost before it was answered what went ahead of the `COMMIT`, which the
            // server may have all the same.
            (Some(failure), _) if failure.loses_answers() => CommitEnd::InDoubt(failure.words()),
            // Of a statement that nobody has waited for.
            (Some(_), _) => self.come_to_nothing(),
            (None, None) => CommitEnd::InDoubt("the server did not say how the commit ended".to_owned()),
            (None, Some(failure)) if failure.ends_connection() => CommitEnd::InDoubt(failure.words()),
            (None, Some(failure)) => match answer.done.checked_sub(before) {
                Some(step) if answer.done < count => CommitEnd::Refused { step, failure },
                Some(_) | None => CommitEnd::of_failure(&failure),
            },
        }
    }

    fn come_to_nothing(&self) -> CommitEnd {
        let failure = self.course.failure();
        failure.map_or_else(
            || CommitEnd::Failed("the transaction had failed, so it was not committed".to_owned()),
            |failure| CommitEnd::of_failure(&failure),
        )
    }
}
