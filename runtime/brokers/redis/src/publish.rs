//! The way out: into the stream or list that a pipeline reads, and in to the one of its dead letters.

use super::client::Client;
use super::config::{ListConfig, RedisConfig, RedisKind, StreamConfig};
use super::fault::Fault;
use super::fields::{Field, fields};
use super::list::End;
use pelton_core::broker::{BooksError, Outgoing, Published, Publisher, Sent, Uncarried, Unsent};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult};

/// What a new message cannot have.
pub fn cannot_carry(redis: &RedisConfig, message: &Outgoing<'_>) -> Option<Uncarried> {
    let cannot = |does| Some(Uncarried::ByBroker { broker: "Redis", does });
    if message.delay_ms.is_some() {
        return cannot("has no delayed messages");
    }
    let has_more = message.id.is_some() || message.key.is_some() || !message.headers.is_empty();
    match &redis.kind {
        RedisKind::Stream(stream) if message.key.is_some() && stream.names.key.is_none() => {
            cannot("knows no keys unless the source names a `key_field`")
        }
        RedisKind::List(_) if has_more => {
            cannot("carries bodies only in a list: put the id, the key and the headers into the body")
        }
        RedisKind::Stream(_) | RedisKind::List(_) => None,
    }
}

/// Where messages go, in words.
pub fn destination(redis: &RedisConfig) -> String {
    let kind = if matches!(redis.kind, RedisKind::Stream(_)) { "stream" } else { "list" };
    format!("{kind} {}", redis.key)
}

/// Has an entry added to a stream.
pub fn add(pipe: &mut Pipeline, stream: &str, entry: &[Field]) {
    let command = pipe.cmd("XADD").arg(stream).arg("*");
    for (name, value) in entry {
        command.arg(name).arg(value);
    }
}

/// Puts messages into a stream or a list.
pub struct RedisPublisher {
    client: Client,
    redis: RedisConfig,
}

impl RedisPublisher {
    /// Connects.
    ///
    /// # Errors
    /// In words: the server does not answer, or refuses.
    pub fn open(redis: &RedisConfig) -> Result<Self, String> {
        Ok(Self { client: Client::open(redis.server(&redis.key)?)?, redis: redis.clone() })
    }

    /// What another one is refused for does not concern a message.
    fn add(&self, stream: &StreamConfig, batch: &[Outgoing<'_>]) -> Vec<Published> {
        let key = &self.redis.key;
        let ready: Vec<Result<Vec<Field>, String>> =
            batch.iter().map(|message| fields(message, &stream.names)).collect();
        let added = self.client.try_run(async |connection| entries(connection, key, &ready).await);
        let mut added = added.map(Vec::into_iter);
        let result = |(message, ready): (&Outgoing<'_>, Result<Vec<Field>, String>)| {
            ready.map_err(Unsent::for_good)?;
            let unsaid = || Err(Unsent::for_now("the server did not say whether it has it"));
            let told = match &mut added {
                Ok(ids) => ids.next().map_or_else(unsaid, |told| Ok(told.map_err(|e| Fault::of(&e))?)),
                Err(fault) => Err(fault.clone().into()),
            };
            let id = message.id.as_deref().map(str::to_owned);
            told.map(|added| Sent::as_it_is(id.unwrap_or_else(|| format!("{key}/{added}"))))
        };
        batch.iter().zip(ready).map(result).collect()
    }

    /// All in one piece: none is there, unless the answer was lost. A list knows no ids: a message has one
    /// from when it is taken.
    fn push(&self, list: &ListConfig, batch: &[Outgoing<'_>]) -> Vec<Published> {
        if batch.is_empty() {
            return Vec::new();
        }
        let key = &self.redis.key;
        let bodies: Vec<&[u8]> = batch.iter().map(Outgoing::bytes).collect();
        // To the end that is not popped.
        let push = if list.pop == End::Right { "LPUSH" } else { "RPUSH" };
        let pushed = self.client.try_run(async |connection| {
            Ok(redis::cmd(push).arg(key).arg(&bodies).query_async::<()>(connection).await?)
        });
        let pushed = pushed.map(|()| Sent::as_it_is(key)).map_err(Unsent::from);
        vec![pushed; batch.len()]
    }
}

/// Adds those that are ready, in order.
async fn entries(
    connection: &mut MultiplexedConnection,
    stream: &str,
    ready: &[Result<Vec<Field>, String>],
) -> Result<Vec<RedisResult<String>>, Fault> {
    let mut pipe = redis::pipe();
    pipe.ignore_errors();
    ready.iter().flatten().for_each(|entry| add(&mut pipe, stream, entry));
    if pipe.is_empty() {
        return Ok(Vec::new());
    }
    let answers: Vec<RedisResult<String>> = pipe.query_async(connection).await?;
    match answers.first() {
        // It is the server then, and no message: it may be the primary no more.
        Some(Err(error)) if answers.iter().all(Result::is_err) => Err(Fault::of(error)),
        _ => Ok(answers),
    }
}

impl Publisher for RedisPublisher {
    /// It is connected; a key that is not there is made.
    fn check(&mut self) -> Result<(), Unsent> {
        Ok(())
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        Ok(match &self.redis.kind {
            RedisKind::Stream(stream) => self.add(stream, batch),
            RedisKind::List(list) => self.push(list, batch),
        })
    }
}

/// A server that is full, or takes nothing now, may take it later.
impl From<Fault> for Unsent {
    fn from(fault: Fault) -> Self {
        Self::for_now(fault.words)
    }
}
