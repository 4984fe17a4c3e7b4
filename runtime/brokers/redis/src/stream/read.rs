//! Reading: first what is pending for this worker, then what workers that are gone have left, then what
//! is new. One connection, which waits for messages and does nothing else.
//!
//! What the server hands over is pending for this worker before its answer is on the way. An answer that
//! is lost loses nothing: after every new connection the pending entries are looked through again.

use super::Stream;
use super::consumer_name;
use super::group::{Group, see_the_place};
use super::newest::Newest;
use crate::fault::Fault;
use crate::fields::{self, EntryId, Field};
use crate::in_flight::Held;
use crate::number::{Count, Counter};
use crate::points;
use crate::server::ANSWER;
use crate::shared::SourceShared;
use crate::task::{self, BLOCK, BYTES, PAGE, Task};
use pelton_core::contain::standing_at;
use redis::Value;
use redis::aio::MultiplexedConnection;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an entry is taken to weigh before any was seen.
const HEAVY: usize = BYTES / 16;
/// Entries as the server tells them: an id with its fields, or without any when it was deleted.
pub type Entries = Vec<(String, Option<Vec<Field>>)>;

/// An entry that is pending for this worker.
struct Pending {
    id: EntryId,
    idle_ms: u64,
    /// How often it was handed out.
    deliveries: u64,
}

/// Reads until the source closes.
pub async fn run(stream: Arc<Stream>) {
    task::run(Reader {
        group: Group::new(stream.clone()),
        stream,
        own: None,
        claimed: None,
        cursor: EntryId::default(),
        weight: HEAVY,
        read: Instant::now(),
        newest: Newest::Unknown,
    })
    .await;
}

struct Reader {
    stream: Arc<Stream>,
    group: Group,
    /// From where on the entries that are pending for this worker are to be looked through.
    own: Option<EntryId>,
    /// When the last takeover was finished.
    claimed: Option<Instant>,
    /// Where the takeover under way has come to.
    cursor: EntryId,
    /// What an entry of the last page weighed.
    weight: usize,
    /// When there was a read last.
    read: Instant,
    /// What came last as new.
    newest: Newest,
}

impl Task for Reader {
    const DOING: &'static str = "reading";

    fn shared(&self) -> &SourceShared {
        &self.stream.shared
    }

    async fn attach(&mut self) -> Result<MultiplexedConnection, Fault> {
        // Longer than a read waits: an answer that is on its way is not given up on.
        let mut connection = self.stream.shared.server.connect(BLOCK + ANSWER).await?;
        if self.group.find_or_make(&mut connection).await? {
            self.newest = Newest::OfAnother;
        }
        see_the_place(&self.stream, &mut connection).await?;
        consumer_name::begin(&self.stream, &mut connection).await?;
        self.own = Some(EntryId::default());
        Ok(connection)
    }

    /// One step: whatever comes first.
    async fn turn(&mut self, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
        points::reach("redis-read");
        let room = self.stream.shared.room_since(self.read).await;
        self.read = Instant::now();
        let room = room.min((BYTES / self.weight.max(1)).clamp(1, PAGE));
        self.stream.shared.refresh_waiting(self.stream.options.interval() / 2);
        if room == 0 {
            self.stream.shared.wait_for_room(self.stream.options.interval().min(BLOCK)).await;
            return Ok(());
        }
        if let Some(from) = self.own {
            return self.read_own(connection, from, room).await;
        }
        let due = self.claimed.map(|at| at + self.stream.options.interval());
        match due.map(|due| due.saturating_duration_since(Instant::now())) {
            Some(left) if !left.is_zero() => self.read_new(connection, room, left.min(BLOCK)).await,
            _ => self.claim(connection, room).await,
        }
    }
}

impl Reader {
    /// A page of what is pending for this worker, and not here.
    async fn read_own(
        &mut self,
        connection: &mut MultiplexedConnection,
        from: EntryId,
        room: usize,
    ) -> Result<(), Fault> {
        let options = &self.stream.options;
        let mut command = redis::cmd("XPENDING");
        command.arg(&options.stream).arg(&options.group).arg(from.to_string()).arg("+").arg(PAGE);
        command.arg(&options.consumer);
        // Before the question: what is acknowledged meanwhile is not missing.
        let ours = self.stream.shared.shelf().places();
        let page: Vec<(String, Value, Count, Counter)> = command.query_async(connection).await?;
        let pending = |(id, _, idle_ms, deliveries): &(String, Value, Count, Counter)| {
            Some(Pending { id: self.stream.id(id)?, idle_ms: idle_ms.0, deliveries: deliveries.0 })
        };
        let all: Vec<Pending> = page.iter().filter_map(pending).collect();
        let next = all.last().and_then(|last| last.id.after());
        let mut missing = {
            let (shelf, now) = (self.stream.shared.shelf(), Instant::now());
            let is_missing = |one: &Pending| shelf.is_missing((one.id.ms, one.id.seq), &ours, now);
            all.into_iter().filter(is_missing).collect::<Vec<_>>()
        };
        let cut = missing.get(room).map(|one| one.id);
        missing.truncate(room);
        if !missing.is_empty() {
            self.load(connection, &missing).await?;
        }
        self.own = cut.or(next.filter(|_| page.len() == PAGE));
        Ok(())
    }

    /// Gets the content of entries that are pending for this worker; what has none any more is done with.
    async fn load(
        &mut self,
        connection: &mut MultiplexedConnection,
        wanted: &[Pending],
    ) -> Result<(), Fault> {
        let options = &self.stream.options;
        let asked = Instant::now();
        let mut found = Entries::new();
        // What was idle for long may have become another's just now: that is not taken back.
        let (long, lately): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|one| one.idle_ms >= options.idle_ms());
        for (min_idle, some) in [(options.idle_ms(), long), (0, lately)] {
            if some.is_empty() {
                continue;
            }
            let mut command = redis::cmd("XCLAIM");
            command.arg(&options.stream).arg(&options.group).arg(&options.consumer).arg(min_idle);
            for one in some {
                command.arg(one.id.to_string());
            }
            let told: Vec<Option<(String, Option<Vec<Field>>)>> = command.query_async(connection).await?;
            found.extend(told.into_iter().flatten().filter(|(_, fields)| fields.is_some()));
        }
        let there: HashSet<EntryId> = found.iter().filter_map(|(id, _)| self.stream.id(id)).collect();
        let absent: Vec<String> =
            wanted.iter().filter(|one| !there.contains(&one.id)).map(|one| one.id.to_string()).collect();
        if !absent.is_empty() {
            self.give_up_on_gone(connection, &absent).await?;
        }
        let deliveries: HashMap<EntryId, u64> = wanted.iter().map(|one| (one.id, one.deliveries)).collect();
        self.take_in(found, asked, |id| deliveries.get(&id).copied().unwrap_or(0));
        Ok(())
    }

    /// Acknowledges those that the stream does not have any more; the others are somebody else's now.
    async fn give_up_on_gone(
        &self,
        connection: &mut MultiplexedConnection,
        ids: &[String],
    ) -> Result<(), Fault> {
        let options = &self.stream.options;
        let mut pipe = redis::pipe();
        for id in ids {
            pipe.cmd("XRANGE").arg(&options.stream).arg(id).arg(id);
        }
        let told: Vec<Vec<(String, Vec<Field>)>> = pipe.query_async(connection).await?;
        let gone: Vec<&String> =
            ids.iter().zip(told).filter(|(_, entries)| entries.is_empty()).map(|(id, _)| id).collect();
        let Some(example) = gone.first() else { return Ok(()) };
        // Newer servers have done so already.
        let mut command = redis::cmd("XACK");
        command.arg(&options.stream).arg(&options.group).arg(&gone);
        command.query_async::<()>(connection).await?;
        self.stream.shared.lose(gone.len(), example);
        Ok(())
    }

    /// Takes over what has been idle for long, page by page. What was taken over is pending for this worker
    /// then, and is read as such.
    async fn claim(&mut self, connection: &mut MultiplexedConnection, room: usize) -> Result<(), Fault> {
        let options = &self.stream.options;
        let mut command = redis::cmd("XAUTOCLAIM");
        command.arg(&options.stream).arg(&options.group).arg(&options.consumer).arg(options.idle_ms());
        command.arg(self.cursor.to_string()).arg("COUNT").arg(room).arg("JUSTID");
        let told: Vec<Value> = command.query_async(connection).await?;
        let texts =
            |at: usize| told.get(at).and_then(|v| redis::from_redis_value::<Vec<String>>(v.clone()).ok());
        let next: Option<String> = told.first().and_then(|v| redis::from_redis_value(v.clone()).ok());
        self.cursor = next.as_deref().and_then(|id| self.stream.id(id)).unwrap_or_default();
        let claimed: Vec<EntryId> =
            texts(1).unwrap_or_default().iter().filter_map(|id| self.stream.id(id)).collect();
        // Those are off the pending list already.
        let gone = texts(2).unwrap_or_default();
        self.stream.shared.lose(gone.len(), gone.first().map_or("", String::as_str));
        if let Some(first) = claimed.iter().min() {
            self.stream.shared.take_over(claimed.len());
            tracing::info!(
                pipeline = %self.stream.shared.pipeline, stream = options.stream, entries = claimed.len(),
                "took over entries that had been idle for {:?}", options.claim_min_idle
            );
            self.own = Some(*first);
        }
        if self.cursor == EntryId::default() {
            self.claimed = Some(Instant::now());
        }
        Ok(())
    }

    async fn read_new(
        &mut self,
        connection: &mut MultiplexedConnection,
        room: usize,
        block: Duration,
    ) -> Result<(), Fault> {
        let options = &self.stream.options;
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(&options.group).arg(&options.consumer).arg("COUNT").arg(room);
        command
            .arg("BLOCK")
            .arg(u64::try_from(block.as_millis().max(1)).unwrap_or(1))
            .arg("STREAMS")
            .arg(&options.stream)
            .arg(">");
        let told: Option<Vec<(String, Entries)>> = command.query_async(connection).await?;
        let entries: Entries = told.into_iter().flatten().flat_map(|(_, entries)| entries).collect();
        self.newest.see(&self.stream, &entries).await;
        self.take_in(entries, Instant::now(), |_| 0);
        Ok(())
    }

    fn take_in(&mut self, entries: Entries, since: Instant, deliveries: impl Fn(EntryId) -> u64) {
        let (options, shared) = (&self.stream.options, &self.stream.shared);
        let until = since + options.lease();
        let (mut bytes, count) = (0, entries.len());
        let mut shelf = shared.shelf();
        for (id, fields) in entries {
            let (Some(id), Some(fields)) = (self.stream.id(&id), fields) else { continue };
            self.stream.seen(id);
            let named = fields::is_named(&fields);
            let made = || {
                points::reach("redis-entry");
                fields::message(&self.stream.channel, id, fields, &options.names)
            };
            let (message, lane) = standing_at(|| format!("{}/{id}", options.stream), made);
            // Before this one.
            let receives = u32::try_from(deliveries(id).saturating_add(1)).unwrap_or(u32::MAX);
            let place = (id.ms, id.seq);
            bytes += message.weight();
            shelf.hold(Held { place, message, lane, named, receives, until, ending: false });
        }
        drop(shelf);
        shared.arrived.notify_one();
        self.weight = bytes.checked_div(count).unwrap_or(self.weight);
    }
}
