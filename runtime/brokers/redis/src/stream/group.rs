//! The group: made where it is missing, and made anew only where the stream itself is new.

use super::Stream;
use crate::fault::Fault;
use crate::fields::EntryId;
use crate::number::{Count, Counter};
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Script, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

const HANDING_OUT: &str = "handing out what is new";

/// What one worker knows of its group.
pub struct Group {
    stream: Arc<Stream>,
    /// It was there, or was made, since this worker has started.
    known: bool,
    /// The stream is another one than before, or has lost entries, and no group was found or made since.
    anew: bool,
    /// The process of the server, when it was there last.
    server: Option<String>,
}

/// How a stream stands.
struct GroupPosition {
    /// The last id that it has given.
    last: EntryId,
    first: Option<EntryId>,
    /// It has every entry that it ever had. False where the server cannot tell (before 7.0).
    whole: bool,
}

impl GroupPosition {
    /// Whether this cannot be the stream that has once given the id `before`.
    fn is_another(&self, before: EntryId) -> bool {
        self.last < before
            || (before > EntryId::default() && self.whole && self.first.is_some_and(|first| first > before))
    }
}

impl Group {
    pub fn new(stream: Arc<Stream>) -> Self {
        Self { stream, known: false, anew: false, server: None }
    }

    /// Sees that the group is there. A stream whose last id went back has lost entries, or is another one:
    /// then that was said, and is true.
    pub async fn find_or_make(&mut self, connection: &mut MultiplexedConnection) -> Result<bool, Fault> {
        let (stream, group) = (&self.stream.options.stream, &self.stream.options.group);
        let (before, found) = (self.stream.last_seen(), look(connection, stream).await?);
        let server = process(connection).await;
        if self.known && found.as_ref().is_none_or(|found| found.is_another(before)) {
            self.report(before, found.as_ref());
            self.stream.forget_seen(found.as_ref().map_or(EntryId::default(), |found| found.last));
            self.anew = true;
        }
        if found.is_none() || !has_group(connection, stream, group).await? {
            // A server that has started since may have lost the group, with whatever else.
            let has_restarted = self.server.is_some() && server.is_some() && server != self.server;
            if self.known && !self.anew && !has_restarted {
                return Err(destroyed(stream, group, before));
            }
            // Whatever such a stream has was added since, or is known to the ledger.
            let start = if self.known { "0" } else { self.stream.options.start.as_str() };
            make(connection, stream, group, start).await?;
            tracing::info!(pipeline = %self.stream.shared.pipeline, stream, group, start, "the group was \
                made");
        }
        let is_another = self.anew;
        (self.known, self.anew, self.server) = (true, false, server);
        self.stream.joined.send_replace(true);
        self.stream.seen(found.map_or(EntryId::default(), |found| found.last));
        Ok(is_another)
    }

    fn report(&self, before: EntryId, found: Option<&GroupPosition>) {
        if before == EntryId::default() {
            return;
        }
        let now = match found {
            None => "there is no such stream".to_owned(),
            Some(GroupPosition { last, .. }) if *last < before => format!("its last id is {last}"),
            Some(_) => "it has newer entries alone: it was deleted, and made anew".to_owned(),
        };
        tracing::error!(
            pipeline = %self.stream.shared.pipeline, stream = self.stream.options.stream,
            before = %before, now,
            "the stream went backwards: it was deleted or renamed, or the server has lost entries by a \
             failover, an eviction or a restart from an older copy. What is delivered a second time is \
             known to the ledger; what was added last may be gone"
        );
    }
}

/// Which process the server is, if it says.
async fn process(connection: &mut MultiplexedConnection) -> Option<String> {
    let info: String = redis::cmd("INFO").arg("server").query_async(connection).await.ok()?;
    info.lines().find_map(|line| line.strip_prefix("run_id:")).map(|id| id.trim().to_owned())
}

fn destroyed(stream: &str, group: &str, before: EntryId) -> Fault {
    Fault::says(format!(
        "the group `{group}` of `{stream}` is gone though the stream is not new: somebody has destroyed \
         it, and made anew at a guess it would skip entries or handle old ones again. Make it where it is \
         to go on: XGROUP CREATE {stream} {group} ID, with 0 for all that the stream has, or {before} for \
         what is newer than the last that came here"
    ))
}

/// Where a group stands, and the last id of its stream. Its first and last entries, which the server tells
/// of too, may have a megabyte each, and stay there.
static STANDS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('EXISTS', KEYS[1]) == 0 then return false end
         local function told(list)
           local all = {}
           for i = 1, #list, 2 do all[list[i]] = list[i + 1] end
           return all
         end
         for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
           local stands = told(group)
           if stands['name'] == ARGV[1] then
             local stream = told(redis.call('XINFO', 'STREAM', KEYS[1]))
             return { stands['last-delivered-id'], stream['last-generated-id'] }
           end
         end
         return false",
    )
});

/// Says so where nothing of what is added now is handed out: a group's place can be set to any id, and the
/// last id of a stream back.
pub async fn see_the_place(stream: &Stream, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
    let (name, group) = (&stream.options.stream, &stream.options.group);
    let told: Option<(String, String)> =
        STANDS.prepare_invoke().key(name).arg(group).invoke_async(connection).await?;
    let ids = told.and_then(|(place, last)| EntryId::parse(&place).zip(EntryId::parse(&last)));
    match ids.filter(|(place, last)| place > last) {
        None => stream.shared.works(HANDING_OUT),
        Some((place, last)) => stream.shared.complain(
            HANDING_OUT,
            &Fault::says(format!(
                "the group `{group}` of `{name}` stands at {place}, and the last id of the stream is \
                 {last}: the server hands out nothing of what is added until an id is larger than {place}. \
                 Set it back to the last entry that is done with, or to where the stream is: XGROUP SETID \
                 {name} {group} {last}"
            )),
        ),
    }
    Ok(())
}

/// How a stream stands; none where there is no stream.
async fn look(
    connection: &mut MultiplexedConnection,
    stream: &str,
) -> Result<Option<GroupPosition>, Fault> {
    let exists: Count = redis::cmd("EXISTS").arg(stream).query_async(connection).await?;
    if exists == Count(0) {
        return Ok(None);
    }
    let told: BTreeMap<String, Value> =
        redis::cmd("XINFO").arg("STREAM").arg(stream).query_async(connection).await?;
    let last = get::<String>(&told, "last-generated-id").and_then(|id| EntryId::parse(&id));
    let first = get::<(String, Value)>(&told, "first-entry").and_then(|(id, _)| EntryId::parse(&id));
    let added = get::<Counter>(&told, "entries-added");
    let whole = added.is_some() && added == get(&told, "length");
    Ok(last.map(|last| GroupPosition { last, first, whole }))
}

fn get<T: FromRedisValue>(told: &BTreeMap<String, Value>, name: &str) -> Option<T> {
    redis::from_redis_value(told.get(name)?.clone()).ok()
}

async fn has_group(
    connection: &mut MultiplexedConnection,
    stream: &str,
    group: &str,
) -> Result<bool, Fault> {
    let all: Vec<BTreeMap<String, Value>> =
        redis::cmd("XINFO").arg("GROUPS").arg(stream).query_async(connection).await?;
    let name = |one: &BTreeMap<String, Value>| get::<String>(one, "name");
    Ok(all.iter().filter_map(name).any(|name| name == group))
}

/// Makes a group, on a server too that is at `maxmemory`: it refuses that only as the first write of a
/// script, and a stream that nobody may read would stay as it is for ever.
static MAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('XACK', KEYS[1], ARGV[1], '0-1')
         return redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], ARGV[2], 'MKSTREAM')",
    )
});

async fn make(
    connection: &mut MultiplexedConnection,
    stream: &str,
    group: &str,
    start: &str,
) -> Result<(), Fault> {
    let mut call = MAKE.prepare_invoke();
    match call.key(stream).arg(group).arg(start).invoke_async::<()>(connection).await {
        // Another worker was first.
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
        made => Ok(made?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_never_had_what_came_from_it_is_another_one() {
        let id = |ms| EntryId { ms, seq: 0 };
        let stream = |first, last, whole| GroupPosition { last: id(last), first: Some(id(first)), whole };
        assert!(stream(1, 4, true).is_another(id(5)), "its last id went back");
        assert!(stream(6, 7, true).is_another(id(5)), "all that it ever had is newer");
        assert!(!stream(6, 7, false).is_another(id(5)), "it may have been trimmed");
        assert!(!stream(5, 7, true).is_another(id(5)), "it has what came from it");
        assert!(!stream(1, 7, true).is_another(id(0)), "nothing came from it yet");
    }
}
