//! Which ledger each pipeline of a data directory has, and which it has left: those are asked what they know
//! until their keys have expired.

use crate::books::PipelineLedger;
use crate::config::{Config, HomeConfig, PipelineConfig};
use crate::homes::Homes;
use pelton_core::Counter;
use pelton_core::number::millis;
use pelton_core::ports::Ledger;
use pelton_engine::MovedLedger;
use pelton_host::file::{self, FileError};
use pelton_store::Store;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The file in the data directory, and its bytes at most.
const FILE: &str = "ledgers.json";
const BYTES: usize = 4 << 20;

/// Where a ledger is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LedgerPlace {
    /// As the configuration calls the database; none of the data directory.
    database: Option<String>,
    /// What it is called there.
    ledger: String,
}

impl LedgerPlace {
    fn of(pipeline: &PipelineConfig) -> Self {
        let database = pipeline.ledger.home.as_ref().map(|home| home.name.clone());
        Self { database, ledger: pipeline.ledger.name.clone() }
    }

    fn is(&self, other: &Self) -> bool {
        // In the data directory it is the pipeline's, whatever it is called.
        self.database == other.database && (self.database.is_none() || self.ledger == other.ledger)
    }
}

impl fmt::Display for LedgerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.database {
            None => f.write_str("data_dir"),
            Some(name) => write!(f, "`{name}`, as {}", self.ledger),
        }
    }
}

/// A ledger that a pipeline has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    place: LedgerPlace,
    /// When the last of its keys has expired, in milliseconds since the epoch.
    until_ms: u64,
}

/// What is noted of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    place: LedgerPlace,
    /// It has handled something with it. One that never let this pipeline in has nothing of it.
    #[serde(default)]
    used: bool,
    left: Vec<Left>,
}

impl Note {
    /// As it is once the pipeline has this place. One that is at its first start there has left none.
    fn moved(before: Option<Self>, place: LedgerPlace, kept_ms: u64, now: u64) -> Self {
        let Some(Self { place: old, mut used, mut left }) = before else {
            return Self { place, used: false, left: Vec::new() };
        };
        if !old.is(&place) {
            let until_ms = now.saturating_add(kept_ms);
            let old = Left { place: old, until_ms };
            let was_used = used || old.place.database.is_none();
            used = left.iter().any(|left| left.place.is(&place));
            left.extend(was_used.then_some(old));
        }
        left.retain(|left| left.until_ms > now && !left.place.is(&place));
        Self { place, used, left }
    }
}

/// The notes of all pipelines, by name.
type Notes = BTreeMap<String, Note>;

fn read(data_dir: &Path) -> Result<Notes, String> {
    // What is no folder has no notes: that it is none is told by who opens it.
    if !data_dir.is_dir() {
        return Ok(Notes::new());
    }
    let path = data_dir.join(FILE);
    let text = match file::text(&path, BYTES) {
        Ok(text) => text,
        Err(FileError::Missing) => return Ok(Notes::new()),
        Err(why) => return Err(format!("{} {why}", path.display())),
    };
    serde_json::from_str(&text).map_err(|error| {
        format!("{} cannot be read: {error}; take it from a backup, or remove it", path.display())
    })
}

/// On disk when it returns.
fn write(data_dir: &Path, notes: &Notes) -> Result<(), String> {
    let (path, new) = (data_dir.join(FILE), data_dir.join(format!("{FILE}.new")));
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(notes)?)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(data_dir)?.sync_all()
    };
    written().map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// What a pipeline would have and have left if it began now.
fn note_of(config: &Config, store: Option<&Store>, pipeline: &PipelineConfig) -> Result<Note, String> {
    let mut notes = read(&config.data_dir)?;
    let place = LedgerPlace::of(pipeline);
    let before = notes.remove(&pipeline.name).or_else(|| {
        // It was here before there were notes, if it has handled anything.
        let status = store?.status(&pipeline.name, None, None).ok()?;
        let place = LedgerPlace { database: None, ledger: pipeline.name.clone() };
        let used = status.counters[Counter::Handled] > 0;
        used.then_some(Note { place, used, left: Vec::new() })
    });
    let kept_ms = if pipeline.dedup.dedups() { millis(pipeline.expires_after) } else { 0 };
    Ok(Note::moved(before, place, kept_ms, now_ms()))
}

/// Notes which ledger a pipeline has from now on, for the worker that begins it.
pub fn note(config: &Config, store: &Store, pipeline: &PipelineConfig) -> Result<(), String> {
    let note = note_of(config, Some(store), pipeline)?;
    let mut notes = read(&config.data_dir)?;
    // A pipeline that never had another ledger than this one needs no note.
    if note.place.database.is_none() && note.left.is_empty() && !notes.contains_key(&pipeline.name) {
        return Ok(());
    }
    for Left { place, until_ms } in &note.left {
        let until = crate::telemetry::time::rfc3339(*until_ms);
        let name = &pipeline.name;
        tracing::info!(pipeline = %name, "asks the ledger in {place} too, which it has left: until {until}");
    }
    if notes.get(&pipeline.name) == Some(&note) {
        return Ok(());
    }
    notes.insert(pipeline.name.clone(), note);
    write(&config.data_dir, &notes)
}

/// Notes that a pipeline has handled something with the ledger that it has.
pub fn note_use(data_dir: &Path, pipeline: &str) -> Result<(), String> {
    let mut notes = read(data_dir)?;
    let unused = notes.get_mut(pipeline).filter(|note| !note.used);
    let Some(note) = unused else { return Ok(()) };
    note.used = true;
    write(data_dir, &notes)
}

/// Forgets which ledgers a pipeline has left; how many there were.
pub fn forget(data_dir: &Path, pipeline: &str) -> Result<usize, String> {
    let mut notes = read(data_dir)?;
    let Some(note) = notes.get_mut(pipeline) else { return Ok(0) };
    let count = std::mem::take(&mut note.left).len();
    write(data_dir, &notes)?;
    Ok(count)
}

/// Which databases are asked still and are not in the configuration any more, in words. Blocks.
pub fn missing(config: &Config, pipeline: &PipelineConfig) -> Result<Vec<String>, String> {
    let note = note_of(config, None, pipeline)?;
    let is_missing = |left: &&Left| left.place.database.is_some() && home(config, &left.place).is_none();
    Ok(note.left.iter().filter(is_missing).map(|left| is_gone(&pipeline.name, left)).collect())
}

/// The databases that a pipeline has left and that are in the configuration still, each with the name that
/// its ledger has there. Blocks.
pub fn left_databases<'c>(
    config: &'c Config,
    pipeline: &PipelineConfig,
) -> Result<Vec<(&'c HomeConfig, String)>, String> {
    let note = note_of(config, None, pipeline)?;
    let found = |left: &Left| Some((home(config, &left.place)?, left.place.ledger.clone()));
    Ok(note.left.iter().filter_map(found).collect())
}

fn home<'c>(config: &'c Config, place: &LedgerPlace) -> Option<&'c HomeConfig> {
    let name = place.database.as_ref()?;
    let inline = config.pipelines.iter().filter_map(|pipeline| pipeline.ledger.home.as_ref());
    config.databases.iter().chain(inline).find(|home| home.name == *name)
}

fn is_gone(pipeline: &str, left: &Left) -> String {
    let Left { place, until_ms } = left;
    format!(
        "was in {place}, which the configuration does not have any more: what was completed there is \
         known there until {}. Name that database again until then; or let go of it with `pelton ledger \
         leave {pipeline}`, by which messages that come again are handled again",
        crate::telemetry::time::rfc3339(*until_ms)
    )
}

/// The ledger of a pipeline as the engine asks it, with those that it has left. Within the runtime.
pub fn ledger(
    config: &Config,
    (store, homes): (&Store, &Homes),
    pipeline: &PipelineConfig,
    ledger: &PipelineLedger,
) -> Result<Arc<dyn Ledger>, String> {
    let mut port = ledger.port();
    for left in note_of(config, Some(store), pipeline)?.left {
        let old: Arc<dyn Ledger> = match home(config, &left.place) {
            None if left.place.database.is_none() => Arc::new(ledger.own.clone()),
            None => return Err(is_gone(&pipeline.name, &left)),
            Some(home) => {
                let part =
                    homes.left(home, &left.place.ledger, pipeline).map_err(|error| error.to_string())?;
                part.ledger()
            }
        };
        let ms = left.until_ms.saturating_sub(now_ms());
        let until = Instant::now().checked_add(Duration::from_millis(ms));
        port = Arc::new(MovedLedger::new(port, old, until));
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(database: &str) -> LedgerPlace {
        let database = (!database.is_empty()).then(|| database.to_owned());
        LedgerPlace { database, ledger: "orders".to_owned() }
    }

    #[test]
    fn a_ledger_that_was_left_is_known_until_its_keys_have_expired() {
        let at = |before, to, now| Note::moved(before, place(to), 100, now);
        let left = |note: &Note| -> Vec<(Option<String>, u64)> {
            note.left.iter().map(|left| (left.place.database.clone(), left.until_ms)).collect()
        };
        let used = |note: Note| Note { used: true, ..note };
        let first = at(None, "shop", 0);
        assert!(first.left.is_empty(), "it has left none");
        assert!(at(Some(first), "books", 1).left.is_empty(), "it had handled nothing there");
        let here = at(Some(at(None, "", 0)), "shop", 10);
        assert_eq!(left(&here), [(None, 110)]);
        let there = at(Some(used(here.clone())), "books", 20);
        assert_eq!(left(&there), [(None, 110), (Some("shop".to_owned()), 120)]);
        assert_eq!(left(&at(Some(used(there.clone())), "books", 110)), [(Some("shop".to_owned()), 120)]);
        // Back again.
        assert_eq!(
            left(&at(Some(used(there)), "", 30)),
            [(Some("shop".to_owned()), 120), (Some("books".to_owned()), 130)]
        );
        assert_eq!(at(Some(here.clone()), "shop", 20), here);
    }
}
