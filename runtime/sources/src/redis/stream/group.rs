//! The group: made where it is missing, and made anew only where the stream itself is new.

use super::Stream;
use crate::redis::fault::Fault;
use crate::redis::fields::EntryId;
use redis::Value;
use redis::aio::MultiplexedConnection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one worker knows of its group.
pub struct Group {
    stream: Arc<Stream>,
    /// It was there, or was made, since this worker has started.
    known: bool,
    /// The process of the server, when it was there last.
    server: Option<String>,
}

impl Group {
    pub fn new(stream: Arc<Stream>) -> Self {
        Self { stream, known: false, server: None }
    }

    /// Sees that the group is there. A stream whose last id went back has lost entries, or is another one.
    pub async fn find_or_make(&mut self, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
        let (stream, group) = (&self.stream.options.stream, &self.stream.options.group);
        let (before, last) = (self.stream.last_seen(), last_id(connection, stream).await?);
        let server = process(connection).await;
        let went_back = self.known && last.is_none_or(|last| last < before);
        if went_back {
            self.report(before, last);
            self.stream.forget_seen(last.unwrap_or_default());
        }
        if last.is_none() || !has_group(connection, stream, group).await? {
            // A server that has started since may have lost the group, with whatever else.
            let has_restarted = self.server.is_some() && server.is_some() && server != self.server;
            if self.known && !went_back && !has_restarted {
                return Err(destroyed(stream, group, before));
            }
            // Whatever such a stream has was added since, or is known to the ledger.
            let start = if self.known { "0" } else { self.stream.options.start.as_str() };
            make(connection, stream, group, start).await?;
            tracing::info!(pipeline = %self.stream.shared.pipeline, stream, group, start, "the group was made");
        }
        (self.known, self.server) = (true, server);
        self.stream.joined.send_replace(true);
        self.stream.seen(last.unwrap_or_default());
        Ok(())
    }

    fn report(&self, before: EntryId, last: Option<EntryId>) {
        if before == EntryId::default() {
            return;
        }
        let now =
            last.map_or("there is no such stream".to_owned(), |last| format!("its last id is {last}"));
        tracing::error!(
            pipeline = %self.stream.shared.pipeline, stream = self.stream.options.stream, before = %before, now,
            "the stream went backwards: the server has lost entries, by a failover or a restart from an older copy. What it delivers a second time is known to the ledger; what was added last may be gone"
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
        "the group `{group}` of `{stream}` is gone though the stream is not new: somebody has destroyed it, and made anew at a guess it would skip entries or handle old ones again. Make it where it is to go on: XGROUP CREATE {stream} {group} ID, with 0 for all that the stream has, or {before} for what is newer than the last that came here"
    ))
}

/// The last id that the stream has given; none where there is no stream.
pub async fn last_id(
    connection: &mut MultiplexedConnection,
    stream: &str,
) -> Result<Option<EntryId>, Fault> {
    let exists: u64 = redis::cmd("EXISTS").arg(stream).query_async(connection).await?;
    if exists == 0 {
        return Ok(None);
    }
    let told: BTreeMap<String, Value> =
        redis::cmd("XINFO").arg("STREAM").arg(stream).query_async(connection).await?;
    let last =
        told.get("last-generated-id").and_then(|v| redis::from_redis_value::<String>(v.clone()).ok());
    Ok(last.as_deref().and_then(EntryId::parse))
}

async fn has_group(
    connection: &mut MultiplexedConnection,
    stream: &str,
    group: &str,
) -> Result<bool, Fault> {
    let all: Vec<BTreeMap<String, Value>> =
        redis::cmd("XINFO").arg("GROUPS").arg(stream).query_async(connection).await?;
    let name =
        |one: &BTreeMap<String, Value>| redis::from_redis_value::<String>(one.get("name")?.clone()).ok();
    Ok(all.iter().filter_map(name).any(|name| name == group))
}

async fn make(
    connection: &mut MultiplexedConnection,
    stream: &str,
    group: &str,
    start: &str,
) -> Result<(), Fault> {
    let mut command = redis::cmd("XGROUP");
    command.arg("CREATE").arg(stream).arg(group).arg(start).arg("MKSTREAM");
    match command.query_async::<()>(connection).await {
        // Another worker was first.
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
        made => Ok(made?),
    }
}
