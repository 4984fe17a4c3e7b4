//! A server for commands that wait: how things stand, letters. All of it blocks.

use super::dead_letter_record::{DeadLetterRecord, LetterPlace, of_element, of_entry};
use super::facts::{self, ListFacts, ServerFacts, StreamFacts};
use super::fault::Fault;
use super::fields::{EntryId, Field};
use super::list::Keys;
use super::number::Count;
use super::server::{ANSWER, Server};
use super::stream::live;
use pelton_broker_common::blocking::BlockingRuntime;
use redis::aio::MultiplexedConnection;
use std::cell::RefCell;

/// One server. Not within a tokio runtime.
pub struct Client {
    runtime: BlockingRuntime,
    /// Taken out while it is used: after an error there is none.
    connection: RefCell<Option<MultiplexedConnection>>,
    server: Server,
}

type Answer<T> = Result<T, String>;

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn open(server: Server) -> Answer<Self> {
        let client = Self::unconnected(server)?;
        client.run(async |_| Ok(()))?;
        Ok(client)
    }

    /// The same, which connects with the first question.
    ///
    /// # Errors
    /// In words: nothing could be asked here.
    pub fn unconnected(server: Server) -> Answer<Self> {
        let runtime = BlockingRuntime::new();
        let runtime = runtime.map_err(|error| format!("the Redis client cannot work here: {error}"))?;
        Ok(Self { runtime, connection: RefCell::new(None), server })
    }

    pub(super) fn run<T>(
        &self,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, Fault>,
    ) -> Answer<T> {
        self.try_run(ask).map_err(|fault| fault.words)
    }

    pub(super) fn try_run<T>(
        &self,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut kept = self.connection.borrow_mut();
        self.runtime.block_on(async {
            let mut open = match kept.take() {
                Some(open) => open,
                None => self.server.connect(ANSWER).await?,
            };
            let answer = ask(&mut open).await?;
            *kept = Some(open);
            Ok(answer)
        })
    }

    /// What the server is, and how much of what it has it may lose.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn server(&self) -> Answer<ServerFacts> {
        self.run(async |connection| facts::server(connection).await)
    }

    /// How a stream stands, and a group and its consumers.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn stream(&self, stream: &str, group: &str) -> Answer<StreamFacts> {
        self.run(async |connection| facts::stream(connection, stream, group).await)
    }

    /// The consumers of a group that give signs of life. Takes seconds where there are any, or were just now.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn live_consumers(&self, stream: &str, group: &str) -> Answer<Vec<String>> {
        self.run(async |connection| live(connection, stream, group).await)
    }

    /// Sets the entry behind which a group of a stream goes on.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn set_place(&self, stream: &str, group: &str, last: &str) -> Answer<()> {
        self.run(async |connection| {
            let mut command = redis::cmd("XGROUP");
            command.arg("SETID").arg(stream).arg(group).arg(last);
            Ok(command.query_async::<()>(connection).await?)
        })
    }

    /// How a list stands, and its workers.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn list(&self, list: &str) -> Answer<ListFacts> {
        let keys = Keys::of(list)?;
        self.run(async |connection| facts::list(connection, list, &keys).await)
    }

    /// How many letters there are.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn count_letters(&self, place: &LetterPlace) -> Answer<u64> {
        let command = if matches!(place, LetterPlace::Stream(_)) { "XLEN" } else { "LLEN" };
        self.run(async |connection| {
            let Count(letters) = redis::cmd(command).arg(place.key()).query_async(connection).await?;
            Ok(letters)
        })
    }

    /// Letters, oldest first: at most `count` behind this one of a stream, or behind so many of a list.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn letters(
        &self,
        place: &LetterPlace,
        after: Option<&str>,
        seen: u64,
        count: usize,
    ) -> Answer<Vec<DeadLetterRecord>> {
        self.run(async |connection| match place {
            LetterPlace::Stream(key) => {
                let next = after.map(|after| EntryId::parse(after).and_then(EntryId::after));
                let from = match next {
                    None => "-".to_owned(),
                    Some(Some(next)) => next.to_string(),
                    Some(None) => return Ok(Vec::new()),
                };
                let mut command = redis::cmd("XRANGE");
                command.arg(key).arg(from).arg("+").arg("COUNT").arg(count);
                let page: Vec<(String, Vec<Field>)> = command.query_async(connection).await?;
                Ok(page.into_iter().map(|(id, fields)| of_entry(&id, fields)).collect())
            }
            LetterPlace::List(key) => {
                // They are pushed to the left: the oldest is the last one.
                let last = -1 - i64::try_from(seen).unwrap_or(i64::MAX - 1);
                let first = last.saturating_sub(i64::try_from(count).unwrap_or(i64::MAX) - 1);
                let page: Vec<Vec<u8>> =
                    redis::cmd("LRANGE").arg(key).arg(first).arg(last).query_async(connection).await?;
                Ok(page.into_iter().rev().map(of_element).collect())
            }
        })
    }

    /// Removes a letter; false when it was not there any more.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn remove(&self, place: &LetterPlace, letter: &DeadLetterRecord) -> Answer<bool> {
        let gone: Answer<Count> = self.run(async |connection| match place {
            LetterPlace::Stream(key) => {
                Ok(redis::cmd("XDEL").arg(key).arg(&letter.id).query_async(connection).await?)
            }
            LetterPlace::List(key) => {
                // The same letter twice is two letters.
                Ok(redis::cmd("LREM").arg(key).arg(-1).arg(&letter.raw).query_async(connection).await?)
            }
        });
        gone.map(|gone| gone > Count(0))
    }
}
