//! One exchange: statements that are sent together, up to the word of the server that it is ready again.

use super::course::Course;
use super::failure::Failure;
use super::prepared::Prepared;
use super::step::Step;
use super::values;
use super::wire::{self, Message};
use bytes::{Bytes, BytesMut};
use pelton_core::effects::SqlValue;
use postgres_protocol::message::frontend;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What an exchange is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Statements in a transaction, which stays open.
    Within,
    /// It undoes what has failed.
    Undo,
    /// It ends with a commit.
    Commit,
}

/// How many rows and bytes of a result are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub rows: u32,
    pub bytes: usize,
}

/// What is asked of a connection.
pub(crate) struct Request {
    steps: Vec<Step>,
    pub purpose: Purpose,
    /// Rows of the last step are wanted, within these bounds.
    pub rows: Option<Bounds>,
    course: Arc<Course>,
    /// How long the server may be silent before the connection is given up.
    pub patience: Duration,
    /// The room that it takes until it is answered.
    pub room: Option<OwnedSemaphorePermit>,
    pub reply: Option<oneshot::Sender<Answer>>,
}

impl Request {
    /// One whose answer nobody waits for.
    pub(crate) fn new(steps: Vec<Step>, purpose: Purpose, course: Arc<Course>, patience: Duration) -> Self {
        Self { steps, purpose, rows: None, course, patience, room: None, reply: None }
    }
}

/// What came of a request.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The columns of the last step, each with the number of its type, where rows were wanted.
    pub columns: Vec<(String, u32)>,
    pub rows: Vec<Vec<SqlValue>>,
    /// More was given than the bound, which is this.
    pub cut: Option<u64>,
    /// How many steps have worked.
    pub done: usize,
    /// The tag of the last one that has.
    pub tag: String,
    pub failure: Option<Failure>,
}

impl Answer {
    /// How many rows the last statement has changed, or given.
    pub(crate) fn affected(&self) -> u64 {
        self.tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// One of a connection that is lost.
    pub(crate) fn lost() -> Self {
        let failure = Failure::Lost("the connection to the database was lost".to_owned());
        Self { failure: Some(failure), ..Self::default() }
    }
}

/// A request under way.
pub(crate) struct Exchange {
    pub request: Request,
    pub answer: Answer,
    /// What is to be parsed, in its order: what to forget if it is not.
    parses: VecDeque<Option<String>>,
    bytes: usize,
}

impl Exchange {
    pub(crate) fn of(request: Request) -> Self {
        Self { request, answer: Answer::default(), parses: VecDeque::new(), bytes: 0 }
    }

    /// Writes it. One end for all: after a failure the server skips the rest, a `COMMIT` among it.
    pub(crate) fn encode(
        &mut self,
        prepared: &mut Prepared,
        named: bool,
        out: &mut BytesMut,
    ) -> io::Result<()> {
        let last = self.request.steps.len().saturating_sub(1);
        for (at, step) in self.request.steps.iter().enumerate() {
            let types = step.types();
            let name = if named && step.named {
                let sent = prepared.name(step.text(), &types, out)?;
                self.parses.extend(sent.new.map(Some));
                sent.name
            } else {
                frontend::parse("", step.text(), types, out)?;
                self.parses.push_back(None);
                String::new()
            };
            step.bind(&name, out)?;
            let rows = self.request.rows.filter(|_| at == last);
            if rows.is_some() {
                frontend::describe(b'P', "", out)?;
            }
            // One more than is kept says that there are more.
            let limit = rows.map_or(0, |bounds| bounds.rows.saturating_add(1));
            frontend::execute("", i32::try_from(limit).unwrap_or(0), out)?;
            if rows.is_some() {
                frontend::close(b'P', "", out)?;
            }
        }
        frontend::sync(out);
        Ok(())
    }

    pub(crate) fn take(&mut self, message: Message) -> Result<(), String> {
        match message {
            Message::Parsed => drop(self.parses.pop_front()),
            Message::Columns(columns) => self.answer.columns = columns,
            Message::Row(row) => return self.take_row(row),
            Message::LongRow(length) => self.count(length),
            Message::Complete(tag) => {
                self.answer.done += 1;
                self.answer.tag = tag;
            }
            Message::Suspended => self.answer.done += 1,
            Message::Error(error) => {
                self.answer.failure.get_or_insert(Failure::Server(error));
            }
            Message::Ready(_) | Message::Copy | Message::Other => {}
            Message::Key(_) | Message::Authentication(..) => {
                return Err("the server began anew in the middle of an exchange".to_owned());
            }
        }
        Ok(())
    }

    fn take_row(&mut self, row: Bytes) -> Result<(), String> {
        self.count(row.len());
        let wanted = self.request.rows.is_some() && self.answer.done + 1 == self.request.steps.len();
        let Answer { columns, rows, cut, failure, .. } = &mut self.answer;
        if !wanted || cut.is_some() || failure.is_some() {
            return Ok(());
        }
        let values = wire::values(row).map_err(|error| error.to_string())?;
        let read = |(value, (name, oid)): (Option<Bytes>, &(String, u32))| match value {
            None => Ok(SqlValue::Null),
            Some(bytes) => values::read(*oid, &bytes).map_err(|why| format!("column {name} is {why}")),
        };
        match values.into_iter().zip(&*columns).map(read).collect() {
            Ok(row) => rows.push(row),
            Err(why) => *failure = Some(Failure::Unreadable(why)),
        }
        Ok(())
    }

    /// A row of so many bytes has come. What is beyond a bound is not kept, nor what was before it.
    fn count(&mut self, length: usize) {
        let Some(bounds) = self.request.rows else { return };
        self.bytes = self.bytes.saturating_add(length);
        let rows = u32::try_from(self.answer.rows.len()).unwrap_or(u32::MAX);
        let over = match (rows >= bounds.rows, self.bytes > bounds.bytes) {
            (true, _) => u64::from(bounds.rows),
            (false, true) => u64::try_from(bounds.bytes).unwrap_or(u64::MAX),
            (false, false) => return,
        };
        self.answer.cut.get_or_insert(over);
        self.answer.rows = Vec::new();
    }

    /// What was sent to be prepared, and was not.
    pub(crate) fn unprepared(&mut self) -> impl Iterator<Item = String> {
        std::mem::take(&mut self.parses).into_iter().flatten()
    }

    /// Whether the tag of the last statement is of one that ends a transaction. `ROLLBACK TO` has that tag
    /// too, but is no statement of handlers.
    pub(crate) fn ends_transaction(&self) -> bool {
        matches!(&*self.answer.tag, "COMMIT" | "ROLLBACK" | "PREPARE TRANSACTION")
    }

    /// Notes what it says of its transaction; true for the first failure there.
    pub(crate) fn note(&self) -> bool {
        let Request { purpose, course, .. } = &self.request;
        match (purpose, &self.answer.failure) {
            (Purpose::Commit, _) => course.failure().is_none(),
            (_, Some(Failure::Unreadable(_))) => false,
            (Purpose::Within | Purpose::Undo, Some(failure)) => course.failed(failure),
            (Purpose::Undo, None) => {
                course.mended();
                false
            }
            (Purpose::Within, None) => false,
        }
    }

    /// Tells whoever waits.
    pub(crate) fn answer(mut self) {
        if let Some(reply) = self.request.reply.take() {
            // Who does not wait any more wants no answer.
            drop(reply.send(self.answer));
        }
    }

    /// There is no connection any more.
    pub(crate) fn lost(mut self, why: &str) {
        self.answer.failure.get_or_insert_with(|| Failure::Lost(why.to_owned()));
        self.note();
        self.answer();
    }
}
