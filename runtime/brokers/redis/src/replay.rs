//! Replays of streams: which entries a range comes to, and how another process is told of them. A list keeps
//! nothing that was handled.

use crate::config::{RedisConfig, RedisKind, StreamConfig};
use crate::fields::EntryId;
use crate::stream::{ReplayOptions, StreamReplay};
use pelton_core::broker::{
    Books, BoundedSource, OpenError, PipelineView, PlanError, Replay, ReplayFrom, ReplayPlan, ReplayRange,
};
use std::sync::Arc;

/// The first entry, and the last.
type Range = (EntryId, EntryId);

impl Replay for RedisConfig {
    fn plan(&self, pipeline: &PipelineView, range: &ReplayRange) -> Result<ReplayPlan, PlanError> {
        let name = &pipeline.name;
        let RedisKind::Stream(stream) = &self.kind else { return Err(others().into()) };
        if let ReplayFrom::Offsets(_) = range.from {
            let what = format!("`{name}` reads a stream, which has no offsets: give --from-id");
            return Err(PlanError::Usage(what));
        }
        Ok(match plan(self, stream, range)? {
            Some((first, last)) => {
                ReplayPlan::Parts { parts: format!("{first} {last} {}", self.key), messages: None }
            }
            None => {
                let group = &stream.group;
                ReplayPlan::Nothing(format!("the group `{group}` has passed no entry in that range"))
            }
        })
    }

    fn open(
        &self,
        parts: &str,
        rate: Option<f64>,
        pipeline: &PipelineView,
        _: Arc<dyn Books>,
    ) -> Result<Arc<dyn BoundedSource>, OpenError> {
        let RedisKind::Stream(stream) = &self.kind else { return Err(others()) };
        let (range, key) = read(parts).ok_or_else(others)?;
        if key != self.key {
            return Err(others());
        }
        let options = stream.replay(self, &pipeline.name, range, rate);
        let server = self.server(&self.key).map_err(OpenError::Refused)?;
        Ok(Arc::new(StreamReplay::open(options, server)))
    }
}

fn others() -> OpenError {
    let what = "the worker's pipeline reads another stream: it was started with another configuration";
    OpenError::Refused(what.to_owned())
}

/// The inverse of what a plan gives. Keys may be any text.
fn read(parts: &str) -> Option<(Range, &str)> {
    let mut words = parts.splitn(3, ' ');
    let (first, last) = (EntryId::parse(words.next()?)?, EntryId::parse(words.next()?)?);
    Some(((first, last), words.next()?))
}

impl StreamConfig {
    /// How a part of it is read once more.
    pub(crate) fn replay(
        &self,
        redis: &RedisConfig,
        pipeline: &Arc<str>,
        range: Range,
        rate: Option<f64>,
    ) -> ReplayOptions {
        let (pipeline, stream) = (pipeline.clone(), redis.key.as_str().into());
        ReplayOptions { pipeline, stream, names: self.names.clone(), range, rate }
    }
}

/// From where it was said, and no further than the group has come: what is pending, and what lies behind
/// that, is the group's to handle.
fn plan(
    redis: &RedisConfig,
    stream: &StreamConfig,
    range: &ReplayRange,
) -> Result<Option<Range>, PlanError> {
    let from = match &range.from {
        ReplayFrom::Id(id) => id_of(id)?,
        ReplayFrom::TimeMs(ms) => of_time(*ms),
        ReplayFrom::Beginning | ReplayFrom::Offsets(_) => EntryId::default(),
    };
    let facts = redis.client(&redis.key).and_then(|client| client.stream(&redis.key, &stream.group));
    let facts = facts.map_err(OpenError::Refused)?;
    let Some(group) = facts.group else { return Ok(None) };
    let passed = facts.first_pending.map_or(Some(group.last_delivered), EntryId::before);
    let last = match (passed, range.to_ms.map(of_time)) {
        (Some(passed), Some(until)) => until.before().map(|until| until.min(passed)),
        (passed, None) => passed,
        (None, Some(_)) => None,
    };
    Ok(last.filter(|last| from <= *last && facts.length > 0).map(|last| (from, last)))
}

fn id_of(text: &str) -> Result<EntryId, PlanError> {
    EntryId::parse(text).ok_or_else(|| {
        PlanError::Usage(format!(
            "invalid value '{text}' for '--from-id <ID>': must be the id of an entry, such as \
             1767225600000-0"
        ))
    })
}

/// The first id of a millisecond.
fn of_time(ms: i64) -> EntryId {
    EntryId { ms: u64::try_from(ms).unwrap_or(0), seq: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_whatever_the_key_is() {
        let id = |ms, seq| EntryId { ms, seq };
        for key in ["orders", "a key\nof two lines", ""] {
            let parts = format!("{} {} {key}", id(1, 2), id(u64::MAX, 0));
            assert_eq!(read(&parts), Some(((id(1, 2), id(u64::MAX, 0)), key)));
        }
        for text in ["", "1-0", "1-0 2-0", "x 2-0 orders"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
