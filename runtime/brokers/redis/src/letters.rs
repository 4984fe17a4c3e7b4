//! Dead letters in a stream or a list: taken by the server before the ledger is told.

use super::dead_letter_record::{LetterPlace, element, entry};
use super::fault::Fault;
use super::publish;
use super::server::{ANSWER, Server};
use pelton_broker_common::clock::wall_ms;
use pelton_broker_common::fate::{self, Fate};
use pelton_broker_common::log_throttle::LogThrottle;
use pelton_broker_common::trouble::Trouble;
use pelton_core::Letter;
use pelton_core::ports::{BoxFuture, DeadLetters, ErrorClass};
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// The port.
pub struct RedisLetters {
    pipeline: Arc<str>,
    server: Server,
    place: LetterPlace,
    noted: Arc<dyn DeadLetters>,
    /// Takes those that the server refuses.
    otherwise: Arc<dyn DeadLetters>,
    /// None until it is needed, and after an error.
    connection: Mutex<Option<MultiplexedConnection>>,
    unsent: LogThrottle,
    refused: LogThrottle,
    trouble: Trouble,
}

impl RedisLetters {
    /// Letters of a pipeline go to a stream or a list. `noted` is told of those that are there. What a
    /// server refuses because it is full is kept by `otherwise`: else the messages that fill it would wait
    /// for room that nobody makes. So is what it takes no letter for: the key has another type, the user
    /// may not write there.
    #[must_use]
    pub fn new(
        pipeline: &str,
        server: Server,
        place: LetterPlace,
        noted: Arc<dyn DeadLetters>,
        otherwise: Arc<dyn DeadLetters>,
    ) -> Self {
        let (connection, unsent, refused, trouble) = Default::default();
        let pipeline = pipeline.into();
        Self { pipeline, server, place, noted, otherwise, connection, unsent, refused, trouble }
    }

    /// For each whether it is there.
    async fn send(&self, letters: &[Letter]) -> Result<Vec<Result<(), Fault>>, Fault> {
        let now = wall_ms();
        let mut connection = self.connection.lock().await;
        let mut open = match connection.take() {
            Some(open) => open,
            None => self.server.connect(ANSWER).await?,
        };
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        for letter in letters {
            match &self.place {
                LetterPlace::Stream(key) => {
                    publish::add(&mut pipe, key, &entry(&self.pipeline, letter, now))
                }
                LetterPlace::List(key) => {
                    pipe.cmd("LPUSH").arg(key).arg(element(&self.pipeline, letter, now));
                }
            }
        }
        let answers: Vec<RedisResult<Value>> = pipe.query_async(&mut open).await?;
        let results: Vec<Result<(), Fault>> =
            answers.into_iter().map(|answer| Ok(answer.map(drop)?)).collect();
        // One that refuses for what it is may be the primary no more.
        let is_good = |result: &Result<(), Fault>| result.as_ref().err().is_none_or(is_kept);
        *connection = results.iter().all(is_good).then_some(open);
        Ok(results)
    }

    /// Where a letter is now, and why it is nowhere.
    fn fate(&self, sent: Result<(), Fault>) -> (Fate, Option<String>) {
        let (pipeline, key) = (&*self.pipeline, self.place.key());
        match sent {
            Ok(()) => (Fate::There, None),
            Err(fault) if is_kept(&fault) => {
                if let Some(times) = self.refused.again(1, Instant::now()) {
                    tracing::warn!(
                        pipeline,
                        key,
                        times,
                        "dead letters could not be written: {fault}. They are kept in data_dir, where \
                         `pelton dlq` finds them too"
                    );
                }
                (Fate::Refused, None)
            }
            Err(fault) => {
                if let Some(times) = self.unsent.again(1, Instant::now()) {
                    tracing::error!(
                        pipeline,
                        key,
                        times,
                        "dead letters could not be written: {fault}. Their messages stay where they are, \
                         and the letters are tried again"
                    );
                }
                (Fate::Unsent, Some(fault.words))
            }
        }
    }
}

/// Whether a letter is kept here rather than tried again: its message would wait for somebody to make room,
/// or to set the place right, and all behind it with it.
fn is_kept(fault: &Fault) -> bool {
    fault.is_full || fault.refuses
}

impl DeadLetters for RedisLetters {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(async move {
            let mut sent = match self.send(&batch).await {
                Ok(sent) => sent.into_iter(),
                Err(fault) => vec![Err(fault); batch.len()].into_iter(),
            };
            let unsaid = || Err(Fault::says("the server did not say whether it has one"));
            let told = batch.iter().map(|_| self.fate(sent.next().unwrap_or_else(unsaid)));
            let (fates, words): (Vec<Fate>, Vec<Option<String>>) = told.unzip();
            self.trouble.show(words.into_iter().flatten().next());
            fate::settle(&batch, fates, &*self.noted, &*self.otherwise).await
        })
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.told()
    }
}
