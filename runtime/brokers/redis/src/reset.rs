//! Moving the group of a stream.

use crate::config::{RedisConfig, RedisKind, StreamConfig};
use crate::fields::EntryId;
use pelton_core::broker::{Books, OpenError, PipelineView, PlanError, Reset, ResetMove, ResetTo};
use pelton_core::shown::shown;

/// Consumers that a line names.
const NAMED: usize = 5;

impl Reset for RedisConfig {
    fn plan(
        &self,
        pipeline: &PipelineView,
        to: &ResetTo,
        _: &dyn Books,
    ) -> Result<Vec<ResetMove>, PlanError> {
        let stream = stream(self)?;
        let last = match to {
            ResetTo::Beginning => EntryId::default(),
            ResetTo::TimeMs(ms) => behind(EntryId { ms: u64::try_from(*ms).unwrap_or(0), seq: 0 }),
            ResetTo::Id(id) => behind(EntryId::parse(id).ok_or_else(|| {
                let what = "must be the id of an entry, such as 1767225600000-0";
                PlanError::Usage(format!("invalid value '{id}' for '--to-id <ID>': {what}"))
            })?),
            ResetTo::Offsets(_) => {
                let name = &pipeline.name;
                return Err(PlanError::Usage(format!(
                    "`{name}` reads a stream, which has no offsets: give --to-id"
                )));
            }
        };
        let facts = self.client(&self.key).and_then(|client| client.stream(&self.key, &stream.group));
        let facts = facts.map_err(OpenError::Refused)?;
        let Some(group) = facts.group else {
            let (group, key) = (&stream.group, &self.key);
            return Err(OpenError::Refused(format!(
                "the stream `{key}` has no group `{group}` yet: start the worker, which makes it"
            ))
            .into());
        };
        if group.last_delivered == last {
            return Ok(Vec::new());
        }
        let is_back = last < group.last_delivered;
        Ok(vec![ResetMove {
            part: self.key.clone(),
            from: Some(format!("behind {}", group.last_delivered)),
            to: format!("behind {last}"),
            again: (!is_back).then_some(0),
            passed_by: is_back.then_some(0),
            position: None,
            completed: None,
        }])
    }

    fn perform(&self, _: &PipelineView, moves: &[ResetMove]) -> Result<(), OpenError> {
        let stream = stream(self)?;
        let client = self.client(&self.key).map_err(OpenError::Refused)?;
        let others = client.live_consumers(&self.key, &stream.group).map_err(OpenError::Refused)?;
        if !others.is_empty() {
            return Err(OpenError::Refused(at_work(&self.key, &stream.group, &others)));
        }
        for ResetMove { to, .. } in moves {
            let id = to.strip_prefix("behind ").unwrap_or(to);
            client.set_place(&self.key, &stream.group, id).map_err(OpenError::Refused)?;
        }
        Ok(())
    }
}

/// Others would be handed what is read again, beside what they hold of it already.
fn at_work(stream: &str, group: &str, others: &[String]) -> String {
    let mut names: Vec<String> =
        others.iter().take(NAMED).map(|name| format!("`{}`", shown(name))).collect();
    names.extend((others.len() > NAMED).then(|| format!("{} more", others.len() - NAMED)));
    format!(
        "the group `{group}` of `{stream}` has other consumers at work: {}. End the other workers that read \
         with it, paused ones too, and ask again",
        names.join(", ")
    )
}

/// A group stands at the last entry that it was given.
fn behind(first: EntryId) -> EntryId {
    first.before().unwrap_or_default()
}

fn stream(redis: &RedisConfig) -> Result<&StreamConfig, OpenError> {
    match &redis.kind {
        RedisKind::Stream(stream) => Ok(stream),
        RedisKind::List(_) => Err(OpenError::Refused("a list has no place that could be moved".to_owned())),
    }
}
