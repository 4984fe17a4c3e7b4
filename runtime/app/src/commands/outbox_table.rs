//! How the targets of a pipeline's outbox stand: a part of `pelton status`.

use super::table;
use crate::config::PipelineConfig;
use crate::control::protocol::{RunningStatus, TargetStatus};
use crate::registry::TargetConfig;
use pelton_core::broker::OpenError;
use pelton_core::effects::{HomeBooks, KnownTarget};
use pelton_core::units;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// One target.
struct Row {
    name: String,
    /// Where it is, for people.
    place: String,
    /// None where its home cannot be asked.
    waiting: Option<u64>,
    /// How old the oldest that waits is.
    oldest_ms: Option<u64>,
    /// Letters of what it has refused.
    letters: Option<u64>,
    /// What only the worker knows.
    running: Option<TargetStatus>,
}

/// The targets of one pipeline: those of its configuration, and others for which something waits.
pub struct OutboxTable(Vec<Row>);

impl OutboxTable {
    /// Those that `home` has of it, which knows it as `owner`.
    pub fn of(
        pipeline: &PipelineConfig,
        (home, owner): (&dyn HomeBooks, &str),
        running: Option<&RunningStatus>,
    ) -> Result<Self, OpenError> {
        let known = home.targets(owner)?;
        let of_name = |name: &str| known.iter().find(|target| target.name == name);
        let row = |name: &str, place: String| {
            let target = of_name(name);
            let backlog = target.map(|target| target.backlog).unwrap_or_default();
            Row {
                name: name.to_owned(),
                place,
                waiting: Some(backlog.rows),
                oldest_ms: backlog.oldest_at_ms.map(age),
                letters: Some(target.map_or(0, |target| target.letters)),
                running: running.and_then(|running| running.outbox.get(name)).cloned(),
            }
        };
        let configured = &pipeline.grants.outbox;
        let mut rows: Vec<Row> = configured.iter().map(|(name, to)| row(name, to.describe())).collect();
        let is_left = |target: &&KnownTarget| {
            let has_some = target.backlog.rows > 0 || target.letters > 0;
            has_some && !configured.iter().any(|(name, _)| *name == target.name)
        };
        let left = known.iter().filter(is_left);
        rows.extend(left.map(|target| row(&target.name, "(not in the configuration)".to_owned())));
        Ok(Self(rows))
    }

    /// What only the worker knows, where its home cannot be asked.
    pub fn unknown(pipeline: &PipelineConfig, running: Option<&RunningStatus>) -> Self {
        let row = |(name, to): &(String, TargetConfig)| Row {
            name: name.clone(),
            place: to.describe(),
            waiting: None,
            oldest_ms: None,
            letters: None,
            running: running.and_then(|running| running.outbox.get(name)).cloned(),
        };
        Self(pipeline.grants.outbox.iter().map(row).collect())
    }

    /// Whether there is anything to show.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn print(&self) {
        let n = table::number;
        let unknown = || "?".to_owned();
        let row = |row: &Row| {
            let oldest = row.oldest_ms.map(|ms| units::written(Duration::from_millis(ms / 1_000 * 1_000)));
            let sent = row.running.as_ref().map(|running| n(running.sent));
            vec![
                row.name.clone(),
                row.place.clone(),
                row.waiting.map_or_else(unknown, n),
                oldest.unwrap_or_default(),
                row.letters.map_or_else(unknown, n),
                sent.unwrap_or_default(),
            ]
        };
        let heading = ["target", "goes to", "waiting", "oldest", "letters", "sent"];
        table::print(&heading, &self.0.iter().map(row).collect::<Vec<_>>());
    }

    /// What keeps messages waiting, target by target.
    pub fn troubles(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|row| row.running.as_ref()?.trouble.as_deref())
    }

    /// By the names of the targets.
    pub fn to_json(&self) -> Value {
        let one = |row: &Row| {
            let running = row.running.as_ref();
            let json = json!({
                "place": row.place,
                "waiting": row.waiting,
                "oldest_ms": row.oldest_ms,
                "letters": row.letters,
                "sent": running.map(|running| running.sent),
                "refused": running.map(|running| running.refused),
                "trouble": running.and_then(|running| running.trouble.as_ref()),
            });
            (row.name.clone(), json)
        };
        Value::Object(self.0.iter().map(one).collect::<Map<String, Value>>())
    }
}

/// Now, behind this time; milliseconds since the epoch.
fn age(at_ms: u64) -> u64 {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    now.saturating_sub(at_ms)
}
