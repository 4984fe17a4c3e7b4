//! Who has changed what: a line for each write, in the log and in `data_dir`.

use crate::config::Role;
use crate::telemetry::time::{now_ms, rfc3339};
use pelton_core::shown::shown;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const FILE: &str = "audit.jsonl";
/// The one before it.
const FORMER: &str = "audit.1.jsonl";
/// Bytes of a file before another is begun.
const FILE_BYTES: u64 = 4 << 20;
/// Entries that can be asked for.
const KEPT: usize = 1_000;
/// Bytes of what was asked, and of why it was refused.
const TEXT_BYTES: usize = 1_000;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub at: String,
    pub at_ms: u64,
    /// The name of the token, or the user of the socket.
    pub who: String,
    pub role: String,
    /// An address, or `socket`.
    pub from: String,
    pub method: String,
    pub path: String,
    /// What was asked, as far as it is text.
    pub asked: String,
    /// As in HTTP.
    pub status: u16,
    /// Why it was not done.
    pub refused: Option<String>,
}

impl Entry {
    /// Of now, not answered yet.
    pub fn new(who: &str, role: Role, from: &str, (method, path): (&str, &str), asked: &str) -> Self {
        let (now, short) = (now_ms(), |text: &str| shown(text).at_most(TEXT_BYTES).to_string());
        Self {
            at: rfc3339(now),
            at_ms: now,
            who: who.to_owned(),
            role: role.word().to_owned(),
            from: from.to_owned(),
            method: method.to_owned(),
            path: short(path),
            asked: short(asked),
            status: 0,
            refused: None,
        }
    }

    /// What became of it.
    pub fn answered(self, status: u16, refused: Option<&str>) -> Self {
        let refused = refused.map(|why| shown(why).at_most(TEXT_BYTES).to_string());
        Self { status, refused, ..self }
    }
}

/// All of them.
pub struct Audit {
    data_dir: PathBuf,
    kept: Mutex<VecDeque<Entry>>,
}

impl Audit {
    /// With the last ones of the worker before. Blocks.
    pub fn open(data_dir: &Path) -> Self {
        let mut kept = VecDeque::new();
        for name in [FORMER, FILE] {
            // None is there before the first write.
            let text = last(&data_dir.join(name)).unwrap_or_default();
            kept.extend(text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()));
        }
        let more = kept.len().saturating_sub(KEPT);
        kept.drain(..more);
        Self { data_dir: data_dir.to_owned(), kept: Mutex::new(kept) }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a write that has been answered. Blocks.
    pub fn note(&self, entry: Entry) {
        tracing::info!(
            who = entry.who,
            role = entry.role,
            from = entry.from,
            asked = entry.asked,
            status = entry.status,
            refused = entry.refused,
            "audit: {} {}",
            entry.method,
            entry.path
        );
        let mut kept = self.kept();
        if let Err(error) = self.write(&entry) {
            tracing::warn!(%error, "the audit could not be written to data_dir; the line before has it");
        }
        kept.push_back(entry);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    fn write(&self, entry: &Entry) -> std::io::Result<()> {
        let path = self.data_dir.join(FILE);
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        if file.metadata()?.len() > FILE_BYTES {
            std::fs::rename(&path, self.data_dir.join(FORMER))?;
            file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        }
        file.write_all(&line)
    }

    /// The last ones before a time, the newest first.
    pub fn last(&self, most: usize, before_ms: Option<u64>) -> Vec<Entry> {
        let is_before = |entry: &&Entry| before_ms.is_none_or(|before| entry.at_ms < before);
        self.kept().iter().rev().filter(is_before).take(most).cloned().collect()
    }
}

/// The end of a file, as far as its entries are kept.
fn last(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(FILE_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
