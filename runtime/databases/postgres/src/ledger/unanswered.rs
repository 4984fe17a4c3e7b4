//! Claims whose answers never came. They may stand, and nobody here has started anything: as long as this
//! worker lives, others would wait for it. So they are given back, unless they are asked for again before.

use super::{Key, PipelineLedger};
use crate::client::{Ask, Fault, QUICK};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio_postgres::types::Type;

/// So many are remembered, at most: what is forgotten counts one start too many.
const MOST: usize = 65_536;

/// How often what is not there is looked for: the server may still be at it.
const LOOKS: u32 = 12;

/// Such a start was none. What was completed before is so again.
const GIVE_BACK: &str = "UPDATE pelton_processed p SET at = clock_timestamp(), \
    state = CASE p.state WHEN 'r' THEN 'd'::\"char\" ELSE 'f'::\"char\" END, \
    attempts = greatest(p.attempts - 1, 0) FROM unnest($3::uuid[], $4::int8[]) AS m(key, claim) \
    WHERE p.pipeline = $1 AND p.key = m.key AND p.worker = $2 AND p.claim = m.claim \
    AND p.state IN ('w', 'r') RETURNING p.key, p.claim";

/// Claims whose answers never came: the last of each key, and how often it was looked for.
#[derive(Debug, Default)]
pub struct Unanswered(Mutex<HashMap<Key, (i64, u32)>>);

impl Unanswered {
    /// These were asked for, and their answer never came.
    pub fn add(&self, claims: impl Iterator<Item = (Key, i64)>) {
        let mut all = self.lock();
        if all.len() > MOST {
            all.clear();
        }
        all.extend(claims.map(|(key, claim)| (key, (claim, 0))));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Whether nobody has been told of a claim.
    pub fn contains(&self, key: &Key, claim: i64) -> bool {
        self.lock().get(key).is_some_and(|(unanswered, _)| *unanswered == claim)
    }

    /// A message was claimed anew.
    pub fn remove(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// All of them, sorted by key.
    fn all(&self) -> (Vec<Key>, Vec<i64>) {
        let mut all: Vec<(Key, i64)> = self.lock().iter().map(|(key, (claim, _))| (*key, *claim)).collect();
        all.sort_unstable();
        all.into_iter().unzip()
    }

    /// These were looked for, and those were given back.
    fn looked(&self, asked: &[Key], back: &[(Key, i64)]) {
        let mut all = self.lock();
        for key in asked {
            if let Some((_, looks)) = all.get_mut(key) {
                *looks += 1;
            }
        }
        all.retain(|key, (claim, looks)| *looks < LOOKS && !back.contains(&(*key, *claim)));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (i64, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives back what this worker has claimed so.
///
/// # Errors
/// The database is away, or says no.
pub async fn give_back(shared: &PipelineLedger, worker: i32) -> Result<(), Fault> {
    let (keys, claims) = shared.unanswered.all();
    if keys.is_empty() {
        return Ok(());
    }
    let pipeline = shared.number().await?;
    let parameters = [
        (&pipeline as _, Type::INT2),
        (&worker as _, Type::INT4),
        (&keys as _, Type::UUID_ARRAY),
        (&claims as _, Type::INT8_ARRAY),
    ];
    let rows =
        shared.sessions.transaction(QUICK, &[Ask { sql: GIVE_BACK, parameters: &parameters }]).await?;
    let back = rows.iter().flatten().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let back = back.collect::<Result<Vec<(Key, i64)>, Fault>>()?;
    shared.unanswered.looked(&keys, &back);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_looked_for_a_while_and_what_was_given_back_is_forgotten() {
        let unanswered = Unanswered::default();
        let (one, other) = (Key([1; 16]), Key([2; 16]));
        unanswered.add([(other, 8), (one, 7)].into_iter());
        assert_eq!(unanswered.all(), (vec![one, other], vec![7, 8]));
        assert!(unanswered.contains(&one, 7) && !unanswered.contains(&one, 8));
        unanswered.looked(&[one, other], &[(one, 7), (other, 9)]);
        assert_eq!(unanswered.all(), (vec![other], vec![8]), "another claim of it was given back");
        for _ in 2..LOOKS {
            unanswered.looked(&[other], &[]);
        }
        assert!(unanswered.contains(&other, 8));
        unanswered.looked(&[other], &[]);
        assert_eq!(unanswered.all(), (vec![], vec![]));
    }
}
