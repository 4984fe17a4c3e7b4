//! What commands ask of the server of a Redis source, and send to it.

use super::target::Target;
use crate::cli::SendArgs;
use crate::config::{Config, PipelineConfig};
use crate::exit::Fail;
use crate::registry::SourceConfig;
use pelton_redis::{Client, LetterPlace, Outgoing, RedisConfig, RedisKind};
use pelton_store::NewMessage;

/// The server of a key, for a command that waits.
pub fn client(redis: &RedisConfig, key: &str) -> Result<Client, String> {
    Client::open(redis.server(key)?)
}

/// How many letters a stream or list has.
pub fn count_letters(pipeline: &PipelineConfig, place: &LetterPlace) -> Option<Result<u64, Fail>> {
    let SourceConfig::Redis(redis) = &pipeline.source else { return None };
    let counted = client(redis, place.key()).and_then(|client| client.count_letters(place));
    if let Err(why) = &counted {
        note!("warning: pipelines.{}.dead_letter: letters are not counted: {why}", pipeline.name);
    }
    Some(counted.map_err(Fail::refused))
}

struct Key<'c> {
    client: Client,
    redis: &'c RedisConfig,
    max: usize,
}

impl Key<'_> {
    fn send_fitting(&self, batch: &[&NewMessage]) -> Vec<Result<String, String>> {
        match &self.redis.kind {
            RedisKind::Stream(stream) => {
                let outgoing: Vec<Outgoing> = batch.iter().map(|m| outgoing(m)).collect();
                let added = self.client.add(&self.redis.key, &stream.names, &outgoing);
                let id = |(message, added): (&&NewMessage, Result<String, String>)| {
                    let added = added?;
                    Ok(message.id.clone().unwrap_or_else(|| format!("{}/{added}", self.redis.key)))
                };
                batch.iter().zip(added).map(id).collect()
            }
            RedisKind::List(list) => {
                let bodies: Vec<&[u8]> = batch.iter().map(|m| &*m.body).collect();
                let pushed = self.client.push(&self.redis.key, list.pop, &bodies);
                // A list knows no ids: a message has one from when it is taken.
                batch.iter().map(|_| pushed.clone().map(|()| self.redis.key.clone())).collect()
            }
        }
    }
}

fn outgoing(message: &NewMessage) -> Outgoing {
    Outgoing {
        id: message.id.clone(),
        key: message.key.clone(),
        headers: message.headers.clone(),
        body: Some(message.body.clone()),
        ..Outgoing::default()
    }
}

impl Target for Key<'_> {
    fn send(&self, batch: &[NewMessage]) -> Result<Vec<Result<String, String>>, Fail> {
        let fits = |m: &&NewMessage| m.body.len() <= self.max;
        let fitting: Vec<&NewMessage> = batch.iter().filter(fits).collect();
        let mut sent =
            if fitting.is_empty() { Vec::new() } else { self.send_fitting(&fitting) }.into_iter();
        let result = |m: &NewMessage| {
            if !fits(&m) {
                return Err(format!(
                    "the body has {} bytes, and `max_message_bytes` is {}: raise it, or send a reference \
                     to the data instead",
                    m.body.len(),
                    self.max
                ));
            }
            let unsaid = || Err("the server did not say whether it has it".to_owned());
            sent.next().unwrap_or_else(unsaid)
        };
        Ok(batch.iter().map(result).collect())
    }
}

/// Sends to the pipeline's stream or list.
pub fn target<'c>(
    config: &Config,
    pipeline: &PipelineConfig,
    redis: &'c RedisConfig,
    args: &SendArgs,
) -> Result<Box<dyn Target + 'c>, Fail> {
    let cannot = |what: &str| Fail::usage(format!("`{}` reads Redis, which {what}", pipeline.name));
    if args.delay.is_some() {
        return Err(cannot("has no delayed messages"));
    }
    match &redis.kind {
        RedisKind::Stream(stream) if args.key.is_some() && stream.names.key.is_none() => {
            return Err(cannot("knows no keys unless the source names a `key_field`"));
        }
        RedisKind::List(_) if args.id.is_some() || args.key.is_some() || !args.headers.is_empty() => {
            return Err(cannot(
                "carries bodies only in a list: put the id, the key and the headers into the body",
            ));
        }
        RedisKind::Stream(_) | RedisKind::List(_) => {}
    }
    let client =
        client(redis, &redis.key).map_err(|why| Fail::refused(format!("nothing was sent: {why}")))?;
    Ok(Box::new(Key { client, redis, max: config.max_message_bytes }))
}
