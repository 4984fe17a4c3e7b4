//! `pelton replay` of a stream of Redis: a part of it once more, beside the group.

use super::{BoundedSource, Wanted};
use crate::cli::ReplayArgs;
use crate::commands::brokers::redis::client;
use crate::config::{Config, PipelineConfig};
use crate::exit::{Fail, Outcome};
use crate::telemetry::progress::Progress;
use pelton_redis::{EntryId, RedisConfig, RedisKind, ReplayOptions, StreamConfig, StreamReplay};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

impl BoundedSource for StreamReplay {
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
            "`{name}` reads a list, which keeps nothing that was handled; `pelton dlq replay` brings back \
             dead letters"
        )));
    };
    #[cfg(feature = "kafka")]
    if !args.from_offset.is_empty() {
        return Err(Fail::usage(format!("`{name}` reads a stream, which has no offsets: give --from-id")));
    }
    let Some(range) = range(redis, stream, args)? else {
        say!("nothing to replay: the group `{}` has passed no entry in that range", stream.group);
        return Ok(());
    };
    let parts = json!([redis.key, range.0.to_string(), range.1.to_string()]);
    Wanted { file, config, pipeline, args, parts }.by_either(&Progress::of("replayed", None), |_, _| {
        open(pipeline, redis, stream, range, args.rate).map_err(Fail::refused)
    })
}

fn open(
    pipeline: &PipelineConfig,
    redis: &RedisConfig,
    stream: &StreamConfig,
    range: (EntryId, EntryId),
    rate: Option<f64>,
) -> Result<Arc<dyn BoundedSource>, String> {
    let options = ReplayOptions {
        pipeline: pipeline.name.as_str().into(),
        stream: redis.key.as_str().into(),
        names: stream.names.clone(),
        range,
        rate,
    };
    Ok(Arc::new(StreamReplay::open(options, redis.server(&redis.key)?)))
}

/// Opens what the worker was asked for, in the worker.
///
/// # Errors
/// When its pipeline does not read that, in words.
pub fn asked(
    pipeline: &PipelineConfig,
    redis: &RedisConfig,
    (parts, rate): (&Value, Option<f64>),
) -> Result<Arc<dyn BoundedSource>, String> {
    let id = |at: usize| parts[at].as_str().and_then(EntryId::parse);
    match (&redis.kind, id(1).zip(id(2))) {
        (RedisKind::Stream(stream), Some(range)) if parts[0] == redis.key.as_str() => {
            open(pipeline, redis, stream, range, rate)
        }
        _ => Err("the worker's pipeline reads another stream: it was started with another configuration"
            .to_owned()),
    }
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
