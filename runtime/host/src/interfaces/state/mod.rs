//! Key-value state: what `wasi:keyvalue` and the worker's calls have in common.
//!
//! A read sees what this call has written, else what the home of the state shows, and notes the stamp that it
//! saw. A write is staged. Whether what was read still stands is found out by the transaction that completes
//! the messages, and by nobody before.

mod bound;
mod component;
mod draft;
mod draft2;
mod list;

pub use bound::StoreBound;
pub(crate) use list::{Listed, list};

use crate::grants::{Grants, StateGrant};
use crate::guest::state::GuestState;
use crate::interfaces::Interface;
use crate::interfaces::caller::{Caller, NoMessage};
use crate::interfaces::counts::Refused;
use crate::interfaces::staging::OverBounds;
use pelton_core::effects::{Bucket, StateError};
use pelton_core::shown::shown;
use wasmtime::component::{HasSelf, Linker};

/// Key-value state, as pipelines grant it.
pub(crate) const INTERFACE: Interface = Interface {
    name: "state",
    provides,
    is_granted: |grants: &Grants| grants.state.is_some(),
    lines: "[pipelines.PIPELINE.grants]\nstate = true\n",
    link,
};

/// The store that a pipeline has for itself, and the name that wasmtime's own host has for it.
const DEFAULT: &str = "default";
const UNNAMED: &str = "";
/// Bytes of a key.
const KEY_BYTES: usize = 512;
/// Bytes of a value.
const VALUE_BYTES: usize = 1 << 20;
/// Bytes of values that one read of several keys gets.
const READ_BYTES: usize = 4 << 20;
/// Keys that are asked for at once, of which each may have a megabyte.
const READ_KEYS: usize = 8;

/// A store that a component has opened.
#[derive(Debug)]
pub struct OpenStore {
    bucket: Bucket,
    /// Where the last listing by number stopped: so many keys, the last of which is this one.
    listed: Option<(u64, Vec<u8>)>,
}

/// Why a call of the state's is refused.
#[derive(Debug, PartialEq)]
pub(crate) enum StateFailure {
    /// Nothing is granted.
    NotGranted,
    /// The pipeline has no store of this name.
    NoSuchStore(String),
    /// What is asked for is impossible.
    Refused(String),
    /// The call may not stage or read as much.
    Limit(String),
    /// The home of the state cannot answer.
    Unavailable(String),
}

impl StateFailure {
    /// In words for the handler.
    pub(crate) fn words(self) -> String {
        match self {
            Self::NotGranted => "the pipeline grants no state".to_owned(),
            Self::NoSuchStore(name) => format!("the pipeline grants no store `{name}`"),
            Self::Refused(words) | Self::Limit(words) | Self::Unavailable(words) => words,
        }
    }
}

impl From<StateError> for StateFailure {
    fn from(error: StateError) -> Self {
        Self::Unavailable(error.0)
    }
}

impl From<NoMessage> for StateFailure {
    fn from(_: NoMessage) -> Self {
        Self::Refused(NoMessage::WORDS.to_owned())
    }
}

impl From<OverBounds> for StateFailure {
    fn from(over: OverBounds) -> Self {
        Self::Limit(over.0)
    }
}

fn provides(import: &str) -> bool {
    let Some((package, rest)) = import.split_once('/') else { return false };
    let Some((interface, version)) = rest.split_once('@') else { return false };
    package == "wasi:keyvalue"
        && matches!(interface, "store" | "atomics" | "batch")
        && matches!(version, "0.2.0-draft" | "0.2.0-draft2")
}

fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    draft::bindings::Draft::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut GuestState| state)?;
    draft2::bindings::Draft2::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut GuestState| state)
}

fn granted<'a>(caller: &Caller<'a>) -> Result<&'a StateGrant, StateFailure> {
    caller.grants.state.as_ref().ok_or(StateFailure::NotGranted)
}

/// The store of a name.
pub(crate) fn store(caller: &Caller<'_>, name: &str) -> Result<Bucket, StateFailure> {
    caller.counted(Refused::State, find(caller, name))
}

fn find(caller: &Caller<'_>, name: &str) -> Result<Bucket, StateFailure> {
    let wanted = if name == UNNAMED { DEFAULT } else { name };
    let mut stores = granted(caller)?.stores.iter();
    let found = stores.find(|(granted, _)| granted == wanted).map(|(_, bucket)| *bucket);
    found.ok_or_else(|| StateFailure::NoSuchStore(shown(name).at_most(64).to_string()))
}

/// A key, if it can be one.
fn key(bucket: Bucket, text: &str) -> Result<(Bucket, Vec<u8>), StateFailure> {
    match text.len() {
        1..=KEY_BYTES => Ok((bucket, text.as_bytes().to_vec())),
        length => Err(StateFailure::Refused(format!(
            "a key of state has 1 to {KEY_BYTES} bytes, and this one has {length}"
        ))),
    }
}

fn check_value(value: &[u8]) -> Result<(), StateFailure> {
    if value.len() <= VALUE_BYTES {
        return Ok(());
    }
    let length = value.len();
    Err(StateFailure::Refused(format!(
        "a value of state has at most {VALUE_BYTES} bytes, and this one has {length}; keep large things \
         elsewhere, and their address here"
    )))
}

/// The value of a key; none when it is not there.
pub(crate) async fn get(
    caller: &Caller<'_>,
    bucket: Bucket,
    text: &str,
) -> Result<Option<Vec<u8>>, StateFailure> {
    caller.counted(Refused::State, read(caller, bucket, text).await)
}

async fn read(caller: &Caller<'_>, bucket: Bucket, text: &str) -> Result<Option<Vec<u8>>, StateFailure> {
    let key = key(bucket, text)?;
    let bounds = caller.bounds()?;
    if let Some(own) = caller.with(|staging| staging.own(&key).map(|(value, _)| value.map(<[u8]>::to_vec)))
    {
        return Ok(own);
    }
    let home = &granted(caller)?.home;
    let values = home.read(bucket, std::slice::from_ref(&key.1)).await?;
    let value = values.into_iter().next().ok_or_else(short)?;
    caller.with(|staging| staging.note(key, value.stamp, bounds))?;
    Ok(value.bytes)
}

/// The values of keys, in their order.
pub(crate) async fn get_many(
    caller: &Caller<'_>,
    bucket: Bucket,
    texts: &[String],
) -> Result<Vec<Option<Vec<u8>>>, StateFailure> {
    caller.counted(Refused::State, read_many(caller, bucket, texts).await)
}

async fn read_many(
    caller: &Caller<'_>,
    bucket: Bucket,
    texts: &[String],
) -> Result<Vec<Option<Vec<u8>>>, StateFailure> {
    let bounds = caller.bounds()?;
    let home = &granted(caller)?.home;
    let keys = texts.iter().map(|text| key(bucket, text)).collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::with_capacity(keys.len());
    let mut bytes = 0;
    for keys in keys.chunks(READ_KEYS) {
        let asked: Vec<Vec<u8>> = keys.iter().map(|(_, key)| key.clone()).collect();
        let values = home.read(bucket, &asked).await?;
        if values.len() != keys.len() {
            return Err(short());
        }
        for (key, value) in keys.iter().zip(values) {
            let value = caller.with(|staging| match staging.own(key) {
                Some((own, _)) => Ok(own.map(<[u8]>::to_vec)),
                None => staging.note(key.clone(), value.stamp, bounds).map(|()| value.bytes),
            })?;
            bytes += value.as_ref().map_or(0, Vec::len);
            found.push(value);
        }
        if bytes > READ_BYTES {
            return Err(StateFailure::Limit(format!(
                "these values have more than {READ_BYTES} bytes together; ask for fewer at a time"
            )));
        }
    }
    Ok(found)
}

/// Writes keys, or removes them: all, or none when that is refused.
pub(crate) async fn write(
    caller: &Caller<'_>,
    bucket: Bucket,
    writes: Vec<(String, Option<Vec<u8>>)>,
) -> Result<(), StateFailure> {
    caller.counted(Refused::State, stage(caller, bucket, writes).await)
}

async fn stage(
    caller: &Caller<'_>,
    bucket: Bucket,
    writes: Vec<(String, Option<Vec<u8>>)>,
) -> Result<(), StateFailure> {
    let bounds = caller.bounds()?;
    let home = &granted(caller)?.home;
    let mut checked = Vec::with_capacity(writes.len());
    for (text, value) in writes {
        check_value(value.as_deref().unwrap_or_default())?;
        checked.push((key(bucket, &text)?, value));
    }
    if let Some(bound) = caller.grants.state_bounds.iter().find(|bound| bound.is_of(bucket)) {
        let writes: Vec<_> = checked.iter().map(|((_, key), value)| (&**key, value.as_deref())).collect();
        bound.take(&**home, &writes).await?;
    }
    // What one of several has staged before another is refused is the call's own, and it is told.
    caller.with(|staging| {
        let mut each = checked.into_iter();
        each.try_for_each(|(key, value)| staging.write(key, value, home.stamp(), bounds))
    })?;
    Ok(())
}

/// Adds to a counter: decimal text, and zero when it is not there. It must not come below `min`.
pub(crate) async fn increment(
    caller: &Caller<'_>,
    bucket: Bucket,
    text: &str,
    by: i128,
    min: i64,
) -> Result<i64, StateFailure> {
    caller.counted(Refused::State, add(caller, bucket, text, (by, min)).await)
}

async fn add(
    caller: &Caller<'_>,
    bucket: Bucket,
    text: &str,
    (by, min): (i128, i64),
) -> Result<i64, StateFailure> {
    let value = read(caller, bucket, text).await?;
    let refused = |words: String| StateFailure::Refused(words);
    let now = match &value {
        None => 0,
        Some(bytes) => {
            std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<i64>().ok()).ok_or_else(|| {
                refused("the value of this key is no counter: that is a whole number as text".to_owned())
            })?
        }
    };
    let next = i64::try_from(i128::from(now).saturating_add(by)).ok().filter(|next| *next >= min);
    let next = next.ok_or_else(|| {
        refused(format!("the counter is at {now}, and must stay between {min} and {}", i64::MAX))
    })?;
    stage(caller, bucket, vec![(text.to_owned(), Some(next.to_string().into_bytes()))]).await?;
    Ok(next)
}

fn short() -> StateFailure {
    StateFailure::Unavailable("the home of the state answered for fewer keys than it was asked".to_owned())
}
