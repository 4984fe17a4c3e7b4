//! `pelton replay` of a stream of Redis: a part of it once more, beside the group.

use super::redis::client;
use super::replay::{self, Ending};
use crate::cli::ReplayArgs;
use crate::config::{Config, PipelineConfig, RedisConfig, RedisKind, StreamConfig};
use crate::exit::{Fail, Outcome};
use crate::telemetry::{logs, progress};
use pelton_sources::redis::{EntryId, ReplayOptions, StreamReplay};
use pelton_store::Store;
use std::path::Path;
use std::sync::Arc;

impl Ending for StreamReplay {
    fn settled(&self) -> u64 {
        self.settled()
    }

    fn is_complete(&self) -> bool {
        self.is_complete()
    }

    fn failed(&self) -> Option<String> {
        self.failed()
    }
}

/// Replays, and says what came of it.
pub fn replay(
    file: &Path,
    config: &Config,
    pipeline: &PipelineConfig,
    redis: &RedisConfig,
    args: &ReplayArgs,
) -> Outcome {
    let name = &pipeline.name;
    let RedisKind::Stream(stream) = &redis.kind else {
        return Err(Fail::usage(format!(
            "`{name}` reads a list, which keeps nothing that was handled; `pelton dlq replay` brings back dead letters"
        )));
    };
    if !args.from_offset.is_empty() {
        return Err(Fail::usage(format!("`{name}` reads a stream, which has no offsets: give --from-id")));
    }
    if let Some(pid) = Store::owner_of(&config.data_dir) {
        return Err(Fail::refused(format!(
            "a worker runs on this data directory (process {pid}), and a stream is replayed without one: stop it for the replay"
        )));
    }
    let Some(range) = range(redis, stream, args)? else {
        println!("nothing to replay: the group `{}` has passed no entry in that range", stream.group);
        return Ok(());
    };
    let bar = progress::spinner();
    logs::start(args.log_format, bar.clone());
    let options = ReplayOptions {
        pipeline: name.as_str().into(),
        stream: redis.key.as_str().into(),
        names: stream.names.clone(),
        range,
        rate: args.rate,
    };
    let server = redis.server(&redis.key).map_err(Fail::refused)?;
    let done = replay::alone(file, config, pipeline, args.redo, &bar, |_, _| {
        Ok(Arc::new(StreamReplay::open(options, server)))
    });
    bar.finish_and_clear();
    replay::report(name, &done?)
}

/// From where it was said, and no further than the group has come: what is pending, and what lies behind
/// that, is the group's to handle.
fn range(
    redis: &RedisConfig,
    stream: &StreamConfig,
    args: &ReplayArgs,
) -> Result<Option<(EntryId, EntryId)>, Fail> {
    let facts = client(redis, &redis.key).and_then(|client| client.stream(&redis.key, &stream.group));
    let facts = facts.map_err(Fail::refused)?;
    let Some(group) = facts.group else { return Ok(None) };
    let from = args.from_timestamp.map(|ms| EntryId { ms: u64::try_from(ms).unwrap_or(0), seq: 0 });
    let from = args.from_id.or(from).unwrap_or_default();
    let passed = facts.first_pending.map_or(Some(group.last_delivered), EntryId::before);
    let until = args.to_timestamp.map(|ms| EntryId { ms: u64::try_from(ms).unwrap_or(0), seq: 0 });
    let last = match (passed, until) {
        (Some(passed), Some(until)) => until.before().map(|until| until.min(passed)),
        (passed, None) => passed,
        (None, Some(_)) => None,
    };
    Ok(last.filter(|last| from <= *last && facts.length > 0).map(|last| (from, last)))
}
