//! Claims: looked up, counted, recorded as one row per chunk.

use super::How;
use crate::ledger::Pipeline;
use crate::ledger::identity::{Item, encode, encode_items};
use crate::ledger::key::Key;
use crate::ledger::ranges::{self, RangeKind};
use crate::numbers::signed;
use pelton_core::ports::{Claim, ClaimItem, Verdict};
use pelton_core::{Identity, Message, Position, letter};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

/// Verdicts that hold once the group has committed.
pub struct Claimed {
    chunk: u64,
    verdicts: Vec<Verdict>,
    items: Vec<Option<Item>>,
}

impl Claimed {
    /// Makes the claims live.
    pub fn take_effect(self, pipeline: &Pipeline) -> Vec<Verdict> {
        if self.items.iter().any(Option::is_some) {
            pipeline.state().live.insert(self.chunk, self.items);
        }
        self.verdicts
    }
}

/// What `attempts` knows of a message.
struct Past {
    attempts: u32,
    suspect: bool,
    lettered: Option<Vec<u8>>,
}

pub fn claim(
    db: &Connection,
    pipeline: &Pipeline,
    chunk: u64,
    items: &[ClaimItem],
    how: How,
) -> rusqlite::Result<Claimed> {
    let mut verdicts = Vec::with_capacity(items.len());
    let (mut started, mut recorded) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    let mut completed = if how.redo { Vec::new() } else { completed(db, pipeline, items)? }.into_iter();
    for (index, item) in (0u32..).zip(items) {
        let past = past(db, pipeline, item.identity)?;
        let own = past.as_ref().map_or(0, |past| past.attempts).saturating_add(1);
        let ended = match item.identity {
            _ if how.redo => None,
            Identity::Key(_) => completed.next().unwrap_or(false).then_some(Verdict::Duplicate),
            Identity::Position(position) => ended(db, pipeline, position)?,
        };
        let verdict = ended.unwrap_or_else(|| judge(past, item, how, Claim { chunk, index }));
        started.push(match verdict {
            Verdict::Fresh { attempt, .. } => Some((item.identity, attempt)),
            _ => None,
        });
        if let Verdict::Fresh { attempt, .. } = verdict {
            // Who dies in company may not be to blame: what others counted is held against it when it is
            // alone.
            recorded.push((item.identity, if items.len() == 1 { attempt } else { own }));
        }
        verdicts.push(verdict);
    }
    let count = recorded.len();
    if count > 0 {
        let sql = "INSERT INTO started(chunk, pipeline, count, items) VALUES (?1, ?2, ?3, ?4)";
        let record = encode_items(recorded.into_iter());
        db.prepare_cached(sql)?.execute(params![signed(chunk), pipeline.id, signed(count), record])?;
    }
    Ok(Claimed { chunk, verdicts, items: started })
}

fn judge(past: Option<Past>, item: &ClaimItem, how: How, claim: Claim) -> Verdict {
    let (known, suspect, lettered) = match past {
        Some(p) => (p.attempts, p.suspect, p.lettered),
        None => (0, false, None),
    };
    if !how.redo && lettered.is_some_and(|l| l == mark(&item.message)) {
        return Verdict::AlreadyDeadLettered;
    }
    if suspect && !how.alone {
        return Verdict::Suspect;
    }
    Verdict::Fresh { claim, attempt: known.max(item.attempts) + 1, crashed: suspect }
}

/// What is left of a message that has a letter: enough to know it again. One that came back from its
/// letter has the id it had, and is another.
pub fn mark(message: &Message) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update(message.id().text().as_bytes());
    let replay = message.headers().find(letter::REPLAY).filter(|_| message.replayed());
    if let Some(replay) = replay {
        digest.update([0]);
        digest.update(replay.value);
    }
    digest.finalize()[..16].to_vec()
}

/// Which of these were completed before, by key or by position.
pub fn were_completed(
    db: &Connection,
    pipeline: &Pipeline,
    items: &[ClaimItem],
) -> rusqlite::Result<Vec<bool>> {
    let mut keys = completed(db, pipeline, items)?.into_iter();
    let is_completed = |item: &ClaimItem| match item.identity {
        Identity::Key(_) => keys.next().unwrap_or(false),
        Identity::Position(position) => pipeline.dedup && pipeline.completed(position),
    };
    Ok(items.iter().map(is_completed).collect())
}

/// Whether the keys among these were completed, asked all at once. None without deduplication.
fn completed(db: &Connection, pipeline: &Pipeline, items: &[ClaimItem]) -> rusqlite::Result<Vec<bool>> {
    let key = |item| match item {
        &ClaimItem { identity: Identity::Key(key), .. } => Some((item, key)),
        ClaimItem { identity: Identity::Position(_), .. } => None,
    };
    let (keyed, keys): (Vec<&ClaimItem>, Vec<Key>) =
        items.iter().filter(|_| pipeline.dedup).filter_map(key).unzip();
    let completed = pipeline.state().entries.completed_at(db, &keys)?;
    let mut completed: Vec<bool> = completed.iter().map(Option::is_some).collect();
    if let Some(former) = pipeline.former.get() {
        former.mark(db, pipeline, &keyed, &mut completed)?;
    }
    Ok(completed)
}

/// How what lies at a position ended before, if it did. That it has a letter elsewhere holds without
/// deduplication as well: a letter is written once.
fn ended(db: &Connection, pipeline: &Pipeline, position: Position) -> rusqlite::Result<Option<Verdict>> {
    if !pipeline.completed(position) {
        return Ok(None);
    }
    let lettered = ranges::is_within(db, pipeline.id, RangeKind::Lettered, position)?;
    let duplicate = pipeline.dedup.then_some(Verdict::Duplicate);
    Ok(if lettered { Some(Verdict::AlreadyDeadLettered) } else { duplicate })
}

/// How often what has this identity was started before.
pub fn starts(db: &Connection, pipeline: &Pipeline, identity: Identity) -> rusqlite::Result<u32> {
    Ok(past(db, pipeline, identity)?.map_or(0, |past| past.attempts))
}

fn past(db: &Connection, pipeline: &Pipeline, identity: Identity) -> rusqlite::Result<Option<Past>> {
    if !pipeline.state().attempted.may_have(identity) {
        return Ok(None);
    }
    let sql = "SELECT attempts, suspect, lettered FROM attempts WHERE pipeline = ?1 AND identity = ?2";
    let row =
        |r: &rusqlite::Row<'_>| Ok(Past { attempts: r.get(0)?, suspect: r.get(1)?, lettered: r.get(2)? });
    db.prepare_cached(sql)?.query_row(params![pipeline.id, encode(identity)], row).optional()
}
