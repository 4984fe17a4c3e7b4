//! A Redis source, wired to the ledger; and what commands ask its server.

use super::target::Target;
use crate::cli::SendArgs;
use crate::config::{Config, PipelineConfig};
use crate::exit::{CONFIG, Fail};
use crate::registry::{LettersConfig, SourceConfig};
use pelton_core::ports::{DeadLetters, Source};
use pelton_engine::DedupKey;
use pelton_host::file::{self, FileError};
use pelton_redis::{
    Client, Completed, LetterPlace, ListConfig, ListOptions, Outgoing, RedisConfig, RedisKind,
    RedisLetters, RedisList, RedisStream, StreamConfig, StreamOptions,
};
use pelton_store::{NewMessage, NotedLetters, PipelineStore, Store};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

/// The file with the name that workers of this data directory have at Redis.
const NAME: &str = "worker-name";
/// Bytes of a name, at most.
const NAME_BYTES: usize = 4_096;

/// Begins to read. The server need not be there yet. Within the runtime.
pub fn open(
    store: &Store,
    config: &Config,
    pipeline: &PipelineConfig,
    redis: &RedisConfig,
) -> Result<Arc<dyn Source>, Fail> {
    let refused = |why: String| refused(pipeline, &why);
    let server = redis.server(&redis.key).map_err(refused)?;
    warn_of_losses(pipeline, redis);
    let name = || own_name(&config.data_dir).map(|name| format!("{name}-{}", pipeline.name));
    Ok(match &redis.kind {
        RedisKind::Stream(stream) => {
            let consumer = stream.consumer.clone().map_or_else(name, Ok)?;
            let completed = knows(store.clone(), pipeline);
            let options = stream_options(pipeline, redis, stream, consumer);
            Arc::new(RedisStream::open(StreamOptions { completed, ..options }, server))
        }
        RedisKind::List(list) => {
            if list.at_most_once {
                tracing::warn!(
                    pipeline = pipeline.name,
                    list = redis.key,
                    "delivery = \"at-most-once\": a message is off the list before it is handled, and is lost when this worker, its machine or the connection dies then; up to {} at a time. Leave `delivery` out to lose none",
                    pipeline.max_in_flight
                );
            }
            let worker = list.worker.clone().map_or_else(name, Ok)?;
            Arc::new(RedisList::open(list_options(pipeline, redis, list, worker), server).map_err(refused)?)
        }
    })
}

/// What stands against opening a source and its letters. No server is asked. Blocks.
pub fn probe(config: &Config, pipeline: &PipelineConfig, redis: &RedisConfig) -> Vec<String> {
    let mut problems = Vec::new();
    let letters = match &pipeline.dead_letters {
        LettersConfig::Redis(place) => Some(place.key()),
        _ => None,
    };
    for key in std::iter::once(redis.key.as_str()).chain(letters) {
        problems.extend(redis.server(key).err());
    }
    let named = match &redis.kind {
        RedisKind::Stream(stream) => &stream.consumer,
        RedisKind::List(list) => &list.worker,
    };
    if named.is_none() {
        problems.extend(kept_name(&config.data_dir).err());
    }
    problems
}

/// Says, once the server answers, what of it may lose messages.
fn warn_of_losses(pipeline: &PipelineConfig, redis: &RedisConfig) {
    let (pipeline, redis) = (pipeline.clone(), redis.clone());
    // Nobody waits for it: the source says by itself when the server is away.
    drop(tokio::task::spawn_blocking(move || {
        for what in super::redis_check::check(&pipeline, &redis).warnings {
            tracing::warn!(pipeline = pipeline.name, "{what}");
        }
    }));
}

/// Says whether the ledger has completed a message by its own id. One that its producer has named is known by another.
fn knows(store: Store, pipeline: &PipelineConfig) -> Completed {
    let (name, dedup) = (pipeline.name.clone(), pipeline.dedup.clone());
    let is_done = move |id: &String| {
        store.ledger_show(&name, None, id).ok().flatten().is_some_and(|known| known.completed)
    };
    Arc::new(move |ids| match dedup {
        DedupKey::MessageId => ids.iter().any(&is_done).then_some(true),
        DedupKey::Off => Some(false),
        DedupKey::Header(_) | DedupKey::Json { .. } | DedupKey::Body => None,
    })
}

/// As they are configured; no ledger is behind them.
fn stream_options(
    pipeline: &PipelineConfig,
    redis: &RedisConfig,
    stream: &StreamConfig,
    consumer: String,
) -> StreamOptions {
    StreamOptions {
        pipeline: pipeline.name.as_str().into(),
        stream: redis.key.clone(),
        group: stream.group.clone(),
        start: stream.start.clone(),
        consumer,
        claim_min_idle: stream.claim_min_idle,
        maxlen: stream.maxlen,
        names: stream.names.clone(),
        at_least: pipeline.handler.spec.concurrency.min(pipeline.max_in_flight),
        at_most: pipeline.max_in_flight,
        completed: Arc::new(|_| None),
    }
}

fn list_options(
    pipeline: &PipelineConfig,
    redis: &RedisConfig,
    list: &ListConfig,
    worker: String,
) -> ListOptions {
    ListOptions {
        pipeline: pipeline.name.as_str().into(),
        list: redis.key.clone(),
        pop: list.pop,
        at_most_once: list.at_most_once,
        ordered: list.ordered,
        worker,
        takeover_after: list.takeover_after,
        at_least: pipeline.handler.spec.concurrency.min(pipeline.max_in_flight),
        at_most: pipeline.max_in_flight,
    }
}

/// The name of the workers of this data directory: made once, and kept there, so that one that is started
/// again finds what it had. The caller owns the directory.
fn own_name(data_dir: &Path) -> Result<String, Fail> {
    if let Some(name) = kept_name(data_dir).map_err(Fail::refused)? {
        return Ok(name);
    }
    let file = data_dir.join(NAME);
    let host = file::text(Path::new("/proc/sys/kernel/hostname"), NAME_BYTES).unwrap_or_default();
    let random = RandomState::new().hash_one(data_dir) as u32;
    let name = format!("{}-{random:08x}", if host.trim().is_empty() { "pelton" } else { host.trim() });
    // Renamed into place: half a name would be another's.
    let new = file.with_extension("new");
    std::fs::write(&new, &name).and_then(|()| std::fs::rename(&new, &file)).map_err(|error| {
        Fail::refused(format!(
            "{} cannot be written: {error}. Mend that, or name a `consumer`",
            file.display()
        ))
    })?;
    Ok(name)
}

/// How a pipeline's worker of this data directory is called at the server; none before there was one.
pub fn worker_name(
    config: &Config,
    pipeline: &PipelineConfig,
    configured: Option<&String>,
) -> Result<Option<String>, String> {
    match configured {
        Some(name) => Ok(Some(name.clone())),
        None => Ok(kept_name(&config.data_dir)?.map(|name| format!("{name}-{}", pipeline.name))),
    }
}

/// The name that was kept there, if there is one.
fn kept_name(data_dir: &Path) -> Result<Option<String>, String> {
    let file = data_dir.join(NAME);
    match file::text(&file, NAME_BYTES) {
        Ok(name) => Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty())),
        Err(FileError::Missing) => Ok(None),
        // Another name would leave what this worker holds under its own.
        Err(why) => Err(format!("{} {why}. Mend that, or name a `consumer`", file.display())),
    }
}

fn refused(pipeline: &PipelineConfig, why: &str) -> Fail {
    Fail::new(CONFIG, anyhow::anyhow!("pipelines.{}.source: {why}", pipeline.name))
}

/// Dead letters in a stream or list, written down in the ledger too.
pub fn letters(
    pipeline: &PipelineConfig,
    place: &LetterPlace,
    ledger: &PipelineStore,
) -> Result<Arc<dyn DeadLetters>, Fail> {
    let SourceConfig::Redis(redis) = &pipeline.source else { return Ok(Arc::new(ledger.clone())) };
    let server = redis.server(place.key()).map_err(|why| refused(pipeline, &why))?;
    let (noted, otherwise) = (Arc::new(NotedLetters(ledger.clone())), Arc::new(ledger.clone()));
    Ok(Arc::new(RedisLetters::new(&pipeline.name, server, place.clone(), noted, otherwise)))
}

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
                    "the body has {} bytes, and `max_message_bytes` is {}: raise it, or send a reference to the data instead",
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
