//! How a stream, its group or a list stands: for the lag, for `status` and for `check`.

use super::fault::Fault;
use super::fields::EntryId;
use super::list::Keys;
use super::number::Count;
use redis::aio::MultiplexedConnection;
use redis::{Script, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Entries that are counted one by one where the server cannot tell.
const COUNTED: u64 = 10_000;
/// The same where it can, and may be wrong.
const COUNTED_BESIDE: u64 = 1_000;
const COUNTED_AT_ONCE: u64 = 100;

/// How a group stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFacts {
    /// Entries that were handed to a worker and are not acknowledged.
    pub pending: u64,
    /// Entries that no worker was given yet: exact up to 1,000. Above, it is what the server counts, where it
    /// does, and else at least so many from 10,000 on.
    pub lag: u64,
    /// The last entry that was handed out.
    pub last_delivered: EntryId,
}

impl GroupFacts {
    /// What is not acknowledged, handed out or not.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.pending.saturating_add(self.lag)
    }
}

type Table = BTreeMap<String, Value>;

fn get<T: redis::FromRedisValue>(table: &Table, name: &str) -> Option<T> {
    redis::from_redis_value(table.get(name)?.clone()).ok()
}

/// Asks for a group; none when it, or the stream, is not there.
pub async fn group(
    connection: &mut MultiplexedConnection,
    stream: &str,
    group: &str,
) -> Result<Option<GroupFacts>, Fault> {
    let exists: Count = redis::cmd("EXISTS").arg(stream).query_async(connection).await?;
    if exists == Count(0) {
        return Ok(None);
    }
    let all: Vec<Table> = redis::cmd("XINFO").arg("GROUPS").arg(stream).query_async(connection).await?;
    let Some(told) =
        all.into_iter().find(|one| get::<String>(one, "name").is_some_and(|name| name == group))
    else {
        return Ok(None);
    };
    let last_delivered =
        get::<String>(&told, "last-delivered-id").and_then(|id| EntryId::parse(&id)).unwrap_or_default();
    let told_lag = get::<Option<Count>>(&told, "lag").flatten().map(|Count(lag)| lag);
    let lag = lag(connection, stream, last_delivered, told_lag).await?;
    let pending = get::<Count>(&told, "pending").unwrap_or_default().0;
    Ok(Some(GroupFacts { pending, lag, last_delivered }))
}

/// How many entries come after the last one that was handed out. The server's own count may be off, and
/// stays so (seen with 7.0): what was trimmed away before it was handed out stays in it, a start from the
/// log changes it, and a group may be told to have read more than it has (ENTRIESREAD). So a few are counted
/// one by one, and its count is asked for more.
async fn lag(
    connection: &mut MultiplexedConnection,
    stream: &str,
    last_delivered: EntryId,
    told: Option<u64>,
) -> Result<u64, Fault> {
    let (Count(length), first): (_, String) =
        FIRST.prepare_invoke().key(stream).invoke_async(connection).await?;
    if EntryId::parse(&first).is_none_or(|first| first > last_delivered) {
        return Ok(length);
    }
    // Older servers do not count, and newer ones cannot when entries were deleted.
    let most = if told.is_some() { COUNTED_BESIDE } else { COUNTED };
    let found = count_after(connection, stream, last_delivered, most).await?;
    Ok(if found < most { found } else { found.max(told.unwrap_or(0)).min(length) })
}

/// The length of a stream, and its first id.
static FIRST: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
         return { redis.call('XLEN', KEYS[1]), #first > 0 and first[1][1] or '' }",
    )
});

/// When the oldest entry came that is not acknowledged, in milliseconds since the epoch, as its id says.
pub async fn oldest_ms(
    connection: &mut MultiplexedConnection,
    stream: &str,
    group: &str,
    facts: &GroupFacts,
) -> Result<Option<u64>, Fault> {
    let mut oldest = None;
    if facts.pending > 0 {
        let mut command = redis::cmd("XPENDING");
        command.arg(stream).arg(group).arg("-").arg("+").arg(1);
        let first: Vec<(String, Value, Count, Value)> = command.query_async(connection).await?;
        oldest = first.first().and_then(|(id, ..)| EntryId::parse(id));
    }
    // A group that was set back has older ones to hand out.
    if oldest.is_none_or(|oldest| oldest > facts.last_delivered)
        && let Some(next) = facts.last_delivered.after()
    {
        let first = count_from(connection, stream, next, 1).await?.1;
        oldest = oldest.into_iter().chain(first).min();
    }
    Ok(oldest.map(|id| id.ms))
}

/// How many entries there are from one on, of so many at most, and the last of them. (By the id behind the
/// last one: nothing may be asked for that is behind the very last id.) They stay at the server: each may
/// have a megabyte.
static COUNT_FROM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local some = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
         return { #some, #some > 0 and some[#some][1] or '' }",
    )
});

async fn count_from(
    connection: &mut MultiplexedConnection,
    stream: &str,
    from: EntryId,
    at_most: u64,
) -> Result<(u64, Option<EntryId>), Fault> {
    let mut call = COUNT_FROM.prepare_invoke();
    call.key(stream).arg(from.to_string()).arg(at_most);
    let (count, last): (Count, String) = call.invoke_async(connection).await?;
    Ok((count.0, EntryId::parse(&last)))
}

async fn count_after(
    connection: &mut MultiplexedConnection,
    stream: &str,
    after: EntryId,
    most: u64,
) -> Result<u64, Fault> {
    let (mut count, mut next) = (0, after.after());
    while let Some(from) = next
        && count < most
    {
        let (some, last) = count_from(connection, stream, from, COUNTED_AT_ONCE).await?;
        count += some;
        next = last.filter(|_| some >= COUNTED_AT_ONCE).and_then(EntryId::after);
    }
    Ok(count)
}

/// How a list stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFacts {
    /// Messages that no worker has taken.
    pub length: u64,
    /// The workers that may hold some.
    pub workers: Vec<WorkerFacts>,
}

impl ListFacts {
    /// What workers have taken and not finished.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.workers.iter().fold(0, |all, worker| all.saturating_add(worker.held))
    }

    /// What is not finished, taken or not.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.length.saturating_add(self.held())
    }
}

/// One worker of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerFacts {
    /// Its name.
    pub name: String,
    /// It has given a sign of life lately.
    pub alive: bool,
    /// Messages that it has taken and not finished.
    pub held: u64,
}

/// The length of a list, and for each worker whether it lives and what it has. In one piece: a message that
/// is moved meanwhile is counted once. (The client library cannot stand a transaction that is refused.)
/// Where another tool has put something else no worker has left a message.
static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local function length(key)
           local held = redis.pcall('LLEN', key)
           return type(held) == 'number' and held or 0
         end
         local told = { redis.call('LLEN', KEYS[1]) }
         for i = 2, #KEYS, 3 do
           table.insert(told, redis.call('EXISTS', KEYS[i]))
           table.insert(told, length(KEYS[i + 1]))
           table.insert(told, length(KEYS[i + 2]))
         end
         return told",
    )
});

/// The names of all workers that may hold something, in their order. What is no text no worker has put there.
pub async fn workers(connection: &mut MultiplexedConnection, keys: &Keys) -> Result<Vec<String>, Fault> {
    let told: Vec<Vec<u8>> = redis::cmd("SMEMBERS").arg(keys.workers()).query_async(connection).await?;
    let mut names: Vec<String> = told.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
    names.sort_unstable();
    Ok(names)
}

/// Asks for a list and its workers.
pub async fn list(
    connection: &mut MultiplexedConnection,
    list: &str,
    keys: &Keys,
) -> Result<ListFacts, Fault> {
    let names = workers(connection, keys).await?;
    let mut call = COUNT.prepare_invoke();
    call.key(list);
    for name in &names {
        call.key(keys.alive(name)).key(keys.processing(name)).key(keys.arriving(name));
    }
    let told: Vec<Count> = call.invoke_async(connection).await?;
    let (length, rest) = told.split_first().map_or((0, &[][..]), |(length, rest)| (length.0, rest));
    let worker = |(name, told): (String, &[Count])| {
        let (alive, held) = (told[0] > Count(0), told[1].0.saturating_add(told[2].0));
        WorkerFacts { name, alive, held }
    };
    Ok(ListFacts { length, workers: names.into_iter().zip(rest.chunks_exact(3)).map(worker).collect() })
}

/// How a stream stands, and what its group's consumers have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamFacts {
    /// Entries, handled or not.
    pub length: u64,
    /// None when it is not there.
    pub group: Option<GroupFacts>,
    /// Those that have ever asked.
    pub consumers: Vec<ConsumerFacts>,
    /// How long the oldest pending entry has been idle, in milliseconds.
    pub oldest_idle_ms: Option<u64>,
    /// The first pending entry.
    pub first_pending: Option<EntryId>,
}

/// One consumer of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerFacts {
    /// Its name.
    pub name: String,
    /// Entries that it was handed and has not acknowledged.
    pub pending: u64,
    /// How long it has been silent, in milliseconds.
    pub silent_ms: u64,
}

/// Asks for a stream, a group and its consumers.
pub async fn stream(
    connection: &mut MultiplexedConnection,
    stream: &str,
    name: &str,
) -> Result<StreamFacts, Fault> {
    let Count(length) = redis::cmd("XLEN").arg(stream).query_async(connection).await?;
    let Some(facts) = group(connection, stream, name).await? else {
        return Ok(StreamFacts { length, ..StreamFacts::default() });
    };
    let consumers = consumers(connection, stream, name).await?;
    let oldest: Vec<(String, Value, Count, Value)> = redis::cmd("XPENDING")
        .arg(stream)
        .arg(name)
        .arg("-")
        .arg("+")
        .arg(100)
        .query_async(connection)
        .await?;
    let first_pending = oldest.first().and_then(|(id, ..)| EntryId::parse(id));
    let oldest_idle_ms = oldest.iter().map(|(_, _, idle, _)| idle.0).max();
    Ok(StreamFacts { length, group: Some(facts), consumers, oldest_idle_ms, first_pending })
}

/// Asks for the consumers of a group that is there.
pub async fn consumers(
    connection: &mut MultiplexedConnection,
    stream: &str,
    group: &str,
) -> Result<Vec<ConsumerFacts>, Fault> {
    let all: Vec<Table> =
        redis::cmd("XINFO").arg("CONSUMERS").arg(stream).arg(group).query_async(connection).await?;
    // Other tools' names may be any bytes.
    let name = |told: &Table| {
        let bytes: Vec<u8> = get(told, "name").unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let consumer = |told: &Table| ConsumerFacts {
        name: name(told),
        pending: get::<Count>(told, "pending").unwrap_or_default().0,
        silent_ms: get::<Count>(told, "idle").unwrap_or_default().0,
    };
    Ok(all.iter().map(consumer).collect())
}

/// What a server is, and what it may lose. None where it does not say, or we may not ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// Major and minor.
    pub version: Option<(u32, u32)>,
    /// Whether every write goes to an append-only file.
    pub append_only: Option<bool>,
    /// When that is on disk: `always`, `everysec` or `no`.
    pub fsync: Option<String>,
    /// Whether it makes snapshots by itself.
    pub snapshots: Option<bool>,
    /// Changes since the last snapshot.
    pub unsaved: Option<u64>,
    /// What is dropped when memory is full.
    pub eviction: Option<String>,
    /// When memory is full, in bytes; 0 for never.
    pub max_memory: Option<u64>,
    /// It copies another server, and takes no writes.
    pub is_replica: bool,
}

/// Asks for it.
pub async fn server(connection: &mut MultiplexedConnection) -> Result<ServerFacts, Fault> {
    let info: Result<String, _> = redis::cmd("INFO").query_async(connection).await;
    let info = info.unwrap_or_default();
    let said = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let mut asked = BTreeMap::new();
    for name in ["appendonly", "appendfsync", "maxmemory-policy", "maxmemory", "save"] {
        let told: Result<Vec<String>, _> =
            redis::cmd("CONFIG").arg("GET").arg(name).query_async(connection).await;
        asked.extend(told.ok().and_then(|told| Some((name, told.get(1)?.clone()))));
    }
    Ok(ServerFacts {
        version: said("redis_version").and_then(version),
        append_only: asked.get("appendonly").map(|value| value == "yes"),
        fsync: asked.remove("appendfsync"),
        snapshots: asked.get("save").map(|when| !when.is_empty()),
        unsaved: said("rdb_changes_since_last_save").and_then(|count| count.parse().ok()),
        eviction: asked.remove("maxmemory-policy"),
        max_memory: asked.get("maxmemory").and_then(|bytes| bytes.parse().ok()),
        is_replica: said("role") == Some("slave"),
    })
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}
