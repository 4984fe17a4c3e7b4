//! Listing keys: those that are committed, with what this call has written and removed itself.

use super::{StateFailure, granted};
use crate::interfaces::caller::Caller;
use pelton_core::effects::Bucket;
use std::collections::BTreeSet;

/// Keys of one page.
pub(super) const PAGE: usize = 1_000;

/// A page of keys, in their order.
#[derive(Debug, PartialEq)]
pub(crate) struct Listed {
    pub(crate) keys: Vec<Vec<u8>>,
    /// Where the next page begins, if there may be one: behind this key.
    pub(crate) next: Option<Vec<u8>>,
}

/// At most `max` keys behind `after`, as this call sees them. Nothing is noted: a key that another message
/// adds meanwhile is no conflict.
pub(crate) async fn list(
    caller: &Caller<'_>,
    bucket: Bucket,
    after: Option<Vec<u8>>,
    max: usize,
) -> Result<Listed, StateFailure> {
    let home = &granted(caller)?.home;
    caller.bounds()?;
    let max = max.clamp(1, PAGE);
    let mut after = after;
    loop {
        let page = home.keys(bucket, after.as_deref(), max).await?;
        let last = if page.len() < max { None } else { page.last().cloned() };
        let merged = caller.with(|staging| {
            let mut all: BTreeSet<Vec<u8>> = page.into_iter().collect();
            for (key, is_there) in staging.own_keys(bucket, after.as_deref(), last.as_deref()) {
                if is_there {
                    all.insert(key.to_vec());
                } else {
                    all.remove(key);
                }
            }
            all
        });
        if merged.is_empty() && last.is_some() {
            // This call has removed all of them.
            after = last;
            continue;
        }
        let is_cut = merged.len() > max;
        let keys: Vec<Vec<u8>> = merged.into_iter().take(max).collect();
        let next = if is_cut { keys.last().cloned() } else { last };
        return Ok(Listed { keys, next });
    }
}

/// Goes behind so many keys; the last of them.
pub(super) async fn skip(
    caller: &Caller<'_>,
    bucket: Bucket,
    mut count: u64,
) -> Result<Option<Vec<u8>>, StateFailure> {
    let mut after = None;
    while count > 0 {
        let page = usize::try_from(count).unwrap_or(PAGE).min(PAGE);
        let listed = list(caller, bucket, after.clone(), page).await?;
        count = count.saturating_sub(listed.keys.len() as u64);
        match (listed.keys.into_iter().next_back(), listed.next) {
            (Some(last), None) => return Ok(Some(last)),
            (Some(last), Some(_)) if count == 0 => return Ok(Some(last)),
            (_, Some(next)) => after = Some(next),
            (None, None) => return Ok(after),
        }
    }
    Ok(after)
}
