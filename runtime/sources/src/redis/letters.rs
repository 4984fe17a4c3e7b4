//! Dead letters in a stream or a list: taken by the server before the ledger is told.

use super::fault::Fault;
use super::kept::{LetterPlace, element, entry};
use super::server::{ANSWER, Server};
use crate::seldom::Seldom;
use pelton_core::Letter;
use pelton_core::ports::{Class, DeadLetters, Later};
use redis::aio::MultiplexedConnection;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;

/// The port.
pub struct RedisLetters {
    pipeline: Arc<str>,
    server: Server,
    place: LetterPlace,
    noted: Arc<dyn DeadLetters>,
    /// None until it is needed, and after an error.
    connection: Mutex<Option<MultiplexedConnection>>,
    unsent: Seldom,
}

impl RedisLetters {
    /// Letters of a pipeline go to a stream or a list. `noted` is told of those that are there.
    #[must_use]
    pub fn new(pipeline: &str, server: Server, place: LetterPlace, noted: Arc<dyn DeadLetters>) -> Self {
        let (connection, unsent) = Default::default();
        Self { pipeline: pipeline.into(), server, place, noted, connection, unsent }
    }

    /// All or none are known to be there: a pipeline has one answer.
    async fn send(&self, letters: &[Letter]) -> Result<(), Fault> {
        let now = wall_ms();
        let mut connection = self.connection.lock().await;
        let mut open = match connection.take() {
            Some(open) => open,
            None => self.server.connect(ANSWER).await?,
        };
        let mut pipe = redis::pipe();
        for letter in letters {
            match &self.place {
                LetterPlace::Stream(key) => {
                    let command = pipe.cmd("XADD").arg(key).arg("*");
                    for (name, value) in entry(&self.pipeline, letter, now) {
                        command.arg(name).arg(value);
                    }
                    command.ignore();
                }
                LetterPlace::List(key) => {
                    pipe.cmd("LPUSH").arg(key).arg(element(&self.pipeline, letter, now)).ignore();
                }
            }
        }
        pipe.query_async::<()>(&mut open).await?;
        *connection = Some(open);
        Ok(())
    }
}

impl DeadLetters for RedisLetters {
    fn publish(&self, batch: Vec<Letter>) -> Later<'_, Vec<Result<(), Class>>> {
        Box::pin(async move {
            match self.send(&batch).await {
                Ok(()) => self.noted.publish(batch).await,
                Err(fault) => {
                    if let Some(times) = self.unsent.again(batch.len(), Instant::now()) {
                        tracing::error!(
                            pipeline = %self.pipeline, key = self.place.key(), times,
                            "dead letters could not be written: {fault}. Their messages stay where they are, and the letters are tried again"
                        );
                    }
                    vec![Err(Fault::CLASS); batch.len()]
                }
            }
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "it is written for people, and nothing is measured with it")]
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
