//! Another worker by the same name: what is pending for one would be handled by both.

use super::Stream;
use crate::redis::facts::consumers;
use crate::redis::fault::Fault;
use redis::aio::MultiplexedConnection;
use std::time::Duration;

/// A worker that lives and has room reads more often than this.
const LOOK: Duration = Duration::from_millis(1_500);

/// Sees that nobody reads by this worker's name. One that was used just now may be this worker's own, before a
/// restart: then it is not used again while this looks on. To be called before the first read.
pub async fn none_lives(stream: &Stream, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
    if silence(stream, connection).await?.is_none_or(|silent| silent >= LOOK) {
        return Ok(());
    }
    stream.shared.pause(LOOK).await;
    match silence(stream, connection).await? {
        Some(after) if after < LOOK && !stream.shared.is_closing() => Err(lives(stream)),
        _ => Ok(()),
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
        "another worker reads `{}` as consumer `{}` of group `{}`: both would handle what is pending for it. Give each worker a `consumer` of its own, or none, and a data_dir of its own; nothing is read here before that one has ended",
        options.stream, options.consumer, options.group
    ))
}
