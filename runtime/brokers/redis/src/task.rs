//! What a source does again and again, on a connection of its own.

use crate::fault::Fault;
use crate::server::backoff;
use crate::shared::SourceShared;
use redis::aio::MultiplexedConnection;
use std::time::Duration;

/// Messages of one read.
pub const PAGE: usize = 256;
/// Bytes that one read is to bring at most, more or less.
pub const BYTES: usize = 8 << 20;
/// How long the server waits for a message: so long may closing take.
pub const BLOCK: Duration = Duration::from_secs(1);

/// What is done in turns.
pub trait Task: Send {
    /// In words, for what goes wrong.
    const DOING: &'static str;

    /// What it shares with the other tasks of its source.
    fn shared(&self) -> &SourceShared;

    /// Connects, and does what comes first on a new connection.
    fn attach(&mut self) -> impl Future<Output = Result<MultiplexedConnection, Fault>> + Send;

    /// One turn. After a fault the connection is given up.
    fn turn(
        &mut self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Bounds the pause after a fault.
    fn longest_pause(&self) -> Duration {
        Duration::MAX
    }
}

/// Takes turns until the source closes.
pub async fn run(mut task: impl Task) {
    let (mut connection, mut failures) = (None, 0);
    while !task.shared().is_closing() {
        let turned = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => task.attach().await?,
            };
            task.turn(&mut open).await?;
            Ok::<_, Fault>(open)
        };
        match turned.await {
            Ok(open) => {
                (connection, failures) = (Some(open), 0);
                works(&task);
            }
            Err(fault) => {
                failures += 1;
                complain(&task, &fault);
                task.shared().pause(backoff(failures).min(task.longest_pause())).await;
            }
        }
    }
}

fn works<T: Task>(task: &T) {
    task.shared().works(T::DOING);
}

fn complain<T: Task>(task: &T, fault: &Fault) {
    task.shared().complain(T::DOING, fault);
}
