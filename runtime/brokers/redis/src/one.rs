//! One message of a stream or a list, for who gives up on it. Blocks.

use super::client::Client;
use super::fields::{self, EntryId, Field};
use super::list::{Keys, item};
use super::number::Count;
use super::stream::ReplayOptions;
use pelton_core::{Channel, Lane, Message};
use std::sync::Arc;

/// How an entry of a stream stands with a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryFacts {
    /// What is in the stream, with its lane; none when there is no such entry.
    pub entry: Option<(Message, Option<Lane>)>,
    /// Who has it.
    pub pending: Option<Pending>,
    /// The group was handed it, or what follows it.
    pub delivered: bool,
}

/// An entry that was handed out, and not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// To whom.
    pub consumer: String,
    /// How many milliseconds ago.
    pub idle_ms: u64,
    /// How often it was handed out, to anybody.
    pub deliveries: u64,
}

/// A message that a worker of a list has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFacts {
    /// The worker that has it.
    pub worker: String,
    /// It has given a sign of life lately.
    pub alive: bool,
    /// The message.
    pub message: Message,
    /// As it is in the worker's list.
    pub raw: Vec<u8>,
}

impl Client {
    /// How an entry stands with a group.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn entry(&self, of: &ReplayOptions, group: &str, id: EntryId) -> Result<EntryFacts, String> {
        let stream = &*of.stream;
        let last = self.stream(stream, group)?.group.map(|group| group.last_delivered);
        let id_text = id.to_string();
        let (found, pending) = self.run(async |connection| {
            let mut command = redis::cmd("XRANGE");
            command.arg(stream).arg(&id_text).arg(&id_text);
            let found: Vec<(String, Vec<Field>)> = command.query_async(connection).await?;
            let mut pending: Vec<(String, String, Count, Count)> = Vec::new();
            if last.is_some() {
                let mut command = redis::cmd("XPENDING");
                command.arg(stream).arg(group).arg(&id_text).arg(&id_text).arg(1);
                pending = command.query_async(connection).await?;
            }
            Ok((found, pending))
        })?;
        let pending = pending.into_iter().next().map(|(_, consumer, idle, deliveries)| Pending {
            consumer,
            idle_ms: idle.0,
            deliveries: deliveries.0,
        });
        let channel = Arc::new(Channel::new(&of.pipeline, &of.stream));
        let read = |(_, entry)| fields::message(&channel, id, entry, &of.names);
        let entry = found.into_iter().next().map(read);
        Ok(EntryFacts { entry, pending, delivered: last.is_some_and(|last| id <= last) })
    }

    /// Acknowledges an entry for its group; whether it was pending.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn acknowledge(&self, stream: &str, group: &str, id: EntryId) -> Result<bool, String> {
        let acknowledged: u64 = self.run(async |connection| {
            let mut command = redis::cmd("XACK");
            command.arg(stream).arg(group).arg(id.to_string());
            Ok(command.query_async(connection).await?)
        })?;
        Ok(acknowledged > 0)
    }

    /// The message with this number among those that workers of a list have taken; none where nobody has.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn item(&self, pipeline: &str, list: &str, place: (u64, u64)) -> Result<Option<ItemFacts>, String> {
        let (keys, channel) = (Keys::of(list)?, Arc::new(Channel::new(pipeline, list)));
        for worker in self.list(list)?.workers.into_iter().filter(|worker| worker.held > 0) {
            let held: Vec<Vec<u8>> = self.run(async |connection| {
                let key = keys.processing(&worker.name);
                Ok(redis::cmd("LRANGE").arg(key).arg(0).arg(-1).query_async(connection).await?)
            })?;
            let Some(raw) = held.into_iter().find(|raw| item::place(raw) == Some(place)) else { continue };
            let message = item::message(&channel, &raw).map(|(_, message)| message);
            let (worker, alive) = (worker.name, worker.alive);
            return Ok(message.map(|message| ItemFacts { worker, alive, message, raw }));
        }
        Ok(None)
    }

    /// Removes it from its worker's list; whether it was there.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn remove_item(&self, list: &str, found: &ItemFacts) -> Result<bool, String> {
        let keys = Keys::of(list)?;
        let gone: u64 = self.run(async |connection| {
            let key = keys.processing(&found.worker);
            Ok(redis::cmd("LREM").arg(key).arg(1).arg(&found.raw).query_async(connection).await?)
        })?;
        Ok(gone > 0)
    }
}
