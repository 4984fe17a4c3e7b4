//! Another worker by the same name: what is pending for one would be handled by both.
//!
//! Reading does not show that a consumer lives while there is nothing to read (before Redis 7.2), so each
//! shows it at intervals. One who begins by a name that was used just now looks on: its own, before a
//! restart, is not used again.

use super::Stream;
use crate::facts::{ConsumerFacts, consumers};
use crate::fault::Fault;
use crate::server::ANSWER;
use redis::Script;
use redis::aio::MultiplexedConnection;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two signs of life.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// Who is silent for so long has died, or stands still.
const SILENCE_LIMIT: Duration = HEARTBEAT_INTERVAL.saturating_mul(3);
/// By so much two clocks that count milliseconds may differ.
const CLOCK_SLACK: Duration = Duration::from_millis(10);
/// An id that nothing comes after. Not the very last: that the server takes for `>`, and hands out what is
/// new.
const LATE: &str = "18446744073709551615-0";

/// Takes a consumer out of the group that has nothing pending.
static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
         redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
         return 1",
    )
});

/// Takes the name into use, once, before the first read. An error says that another worker uses it.
pub async fn begin(stream: &Stream, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
    if stream.named.load(Ordering::Acquire) {
        return Ok(());
    }
    if silence(stream, connection).await?.is_some_and(|silent| silent < SILENCE_LIMIT) {
        stream.shared.pause(SILENCE_LIMIT).await;
        let silent = silence(stream, connection).await?;
        if silent.is_some_and(|silent| silent < SILENCE_LIMIT) && !stream.shared.is_closing() {
            return Err(lives(stream));
        }
    }
    stream.named.store(true, Ordering::Release);
    show(stream, connection).await
}

/// Shows that the worker lives, once its name is in use: asks for what is pending after an id that none
/// will have.
pub async fn show(stream: &Stream, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
    if !stream.named.load(Ordering::Acquire) {
        return Ok(());
    }
    let options = &stream.options;
    let mut command = redis::cmd("XREADGROUP");
    command.arg("GROUP").arg(&options.group).arg(&options.consumer).arg("STREAMS");
    Ok(command.arg(&options.stream).arg(LATE).query_async(connection).await?)
}

/// Gives the name up, where nothing is pending for it: who begins by it next need not look on.
pub async fn leave(stream: &Stream) -> Result<(), Fault> {
    if !stream.named.load(Ordering::Acquire) {
        return Ok(());
    }
    let mut connection = stream.shared.server.connect(ANSWER).await?;
    let mut call = LEAVE.prepare_invoke();
    call.key(&stream.options.stream).arg(&stream.options.group).arg(&stream.options.consumer);
    Ok(call.invoke_async(&mut connection).await?)
}

/// The consumers of a group that show themselves while they are looked at. One that has just left does not,
/// whatever is pending for it.
pub async fn live(
    connection: &mut MultiplexedConnection,
    stream: &str,
    group: &str,
) -> Result<Vec<String>, Fault> {
    let (began, mut seen) = (Instant::now(), BTreeSet::new());
    loop {
        // Asked for before the server looks: what was silent for less has shown itself since the first look.
        let looked_for = began.elapsed();
        let all = consumers(connection, stream, group).await?;
        let silent = |one: &ConsumerFacts| Duration::from_millis(one.silent_ms) + CLOCK_SLACK;
        seen.extend(all.iter().filter(|one| silent(one) < looked_for).map(|one| one.name.clone()));
        // Who was silent for long at the first look does not begin to live now.
        let may_live = all.iter().any(|one| silent(one) < looked_for + SILENCE_LIMIT);
        if !may_live || looked_for > 2 * SILENCE_LIMIT {
            return Ok(seen.into_iter().collect());
        }
        tokio::time::sleep(HEARTBEAT_INTERVAL / 2).await;
    }
}

/// How long the name has not been used; none when the group does not know it.
async fn silence(
    stream: &Stream,
    connection: &mut MultiplexedConnection,
) -> Result<Option<Duration>, Fault> {
    let options = &stream.options;
    let all = consumers(connection, &options.stream, &options.group).await?;
    let ours = all.into_iter().find(|one| one.name == options.consumer);
    Ok(ours.map(|one| Duration::from_millis(one.silent_ms)))
}

fn lives(stream: &Stream) -> Fault {
    let options = &stream.options;
    Fault::says(format!(
        "another worker reads `{}` as consumer `{}` of group `{}`: both would handle what is pending for \
         it. Give each worker a `consumer` of its own, or none, and a data_dir of its own; nothing is read \
         here before that one has ended",
        options.stream, options.consumer, options.group
    ))
}
