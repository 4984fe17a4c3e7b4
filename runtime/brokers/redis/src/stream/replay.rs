//! A part of a stream read once more, beside the group and without its knowledge: a source with an end.

use crate::fault::Fault;
use crate::fields::{self, EntryId, Field, Names};
use crate::in_flight::instance;
use crate::server::{ANSWER, Server};
use pelton_broker_common::replay::{REPLAY_CAPABILITIES, ReplayProgress};
use pelton_core::broker::BoundedSource;
use pelton_core::ports::{BoxFuture, Capabilities, ErrorClass, Lag, Scope, Settle, Source};
use pelton_core::shown::shown;
use pelton_core::{Channel, Delivery, Message, Receipt};
use redis::aio::MultiplexedConnection;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Entries of one question. Each may have a megabyte.
const AHEAD: usize = 64;
/// What a rate may have an entry wait for.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// Questions in a row that may go wrong.
const MAX_FAILURES: u32 = 5;

/// What is read again, and how.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The pipeline's name, for messages.
    pub pipeline: Arc<str>,
    /// The stream.
    pub stream: Arc<str>,
    /// Which fields are what.
    pub names: Names,
    /// The first entry, and the last.
    pub range: (EntryId, EntryId),
    /// Entries a second.
    pub rate: Option<f64>,
}

/// Reads each entry once, in order, at most at a rate. Everything it hands over is marked as replayed;
/// nothing is acknowledged anywhere.
pub struct StreamReplay {
    options: ReplayOptions,
    channel: Arc<Channel>,
    server: Server,
    scope: Scope,
    reading: Mutex<Reading>,
    began: Instant,
    progress: ReplayProgress<String>,
}

struct Reading {
    connection: Option<MultiplexedConnection>,
    next: EntryId,
    ahead: VecDeque<Delivery>,
    failures: u32,
}

impl StreamReplay {
    /// Reads when it is asked to.
    #[must_use]
    pub fn open(options: ReplayOptions, server: Server) -> Self {
        let next = options.range.0;
        Self {
            channel: Arc::new(Channel::new(&options.pipeline, &options.stream)),
            options,
            scope: server.scope(),
            server,
            reading: Mutex::new(Reading { connection: None, next, ahead: VecDeque::new(), failures: 0 }),
            began: Instant::now(),
            progress: ReplayProgress::default(),
        }
    }

    /// Gets the next entries; none at the end.
    async fn fetch(&self, reading: &mut Reading) -> Result<(), Fault> {
        let mut open = match reading.connection.take() {
            Some(open) => open,
            None => self.server.connect(ANSWER).await?,
        };
        let mut command = redis::cmd("XRANGE");
        command.arg(&*self.options.stream).arg(reading.next.to_string());
        command.arg(self.options.range.1.to_string()).arg("COUNT").arg(AHEAD);
        let page: Vec<(String, Vec<Field>)> = command.query_async(&mut open).await?;
        reading.connection = Some(open);
        // One without an id that can be read could be neither skipped nor gone on from.
        let page = page.into_iter().map(identified).collect::<Result<Vec<_>, _>>()?;
        if page.len() < AHEAD {
            self.progress.end();
        }
        for (id, entry) in page {
            match id.after() {
                Some(next) => reading.next = next,
                None => self.progress.end(),
            }
            reading.ahead.push_back(self.delivery(id, entry));
        }
        Ok(())
    }

    fn delivery(&self, id: EntryId, entry: Vec<Field>) -> Delivery {
        let (message, lane) = fields::message(&self.channel, id, entry, &self.options.names);
        let instance = Some(instance((id.ms, id.seq)));
        let receipt = Receipt(self.progress.read_one());
        Delivery { receipt, lane, instance, ..Delivery::of(message.replay()) }
    }

    /// Waits until the next one may go; false when the source closes.
    async fn may_go(&self, next: Option<&Delivery>) -> bool {
        let turn = self.options.rate.zip(next).map(|(rate, next)| {
            let passed = Duration::try_from_secs_f64(next.receipt.0 as f64 / rate);
            self.began + passed.unwrap_or(LONGEST).min(LONGEST)
        });
        if let Some(turn) = turn {
            tokio::select! {
                () = tokio::time::sleep_until(turn) => {}
                () = self.progress.closed() => return false,
            }
        }
        !self.progress.is_closing()
    }

    async fn next(&self, max: usize, max_bytes: usize) -> Result<Vec<Delivery>, ErrorClass> {
        let mut reading = self.reading.lock().await;
        if reading.ahead.is_empty() && !self.progress.has_ended() {
            let fetched = self.fetch(&mut reading).await;
            if let Err(fault) = fetched {
                reading.failures += 1;
                if reading.failures >= MAX_FAILURES {
                    self.progress.fail(fault.words);
                    self.progress.end();
                }
                return Err(Fault::CLASS);
            }
            reading.failures = 0;
        }
        if reading.ahead.is_empty() {
            // Read to the end: there is nothing to wait for but the end of the source.
            self.progress.closed().await;
            return Ok(Vec::new());
        }
        if !self.may_go(reading.ahead.front()).await {
            return Ok(Vec::new());
        }
        let most = if self.options.rate.is_some() { 1 } else { max };
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < most
            && let Some(next) = reading.ahead.pop_front()
        {
            bytes += next.message.weight();
            if bytes > max_bytes && !taken.is_empty() {
                reading.ahead.push_front(next);
                break;
            }
            taken.push(next);
        }
        Ok(taken)
    }
}

fn identified((id, entry): (String, Vec<Field>)) -> Result<(EntryId, Vec<Field>), Fault> {
    let odd = || format!("the server named an entry {}, which is not of the form MS-SEQ", shown(&id));
    Ok((EntryId::parse(&id).ok_or_else(|| Fault::says(odd()))?, entry))
}

impl BoundedSource for StreamReplay {
    fn settled(&self) -> u64 {
        self.progress.settled()
    }

    fn is_complete(&self) -> bool {
        self.progress.is_complete()
    }

    fn failed(&self) -> Option<String> {
        self.progress.failed()
    }
}

impl Source for StreamReplay {
    fn capabilities(&self) -> Capabilities {
        REPLAY_CAPABILITIES
    }

    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        Box::pin(self.next(max, max_bytes))
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(std::future::ready(self.progress.settle(&batch)))
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(std::future::ready(vec![Ok(()); batch.len()]))
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        Box::pin(std::future::ready(Ok(self.progress.lag())))
    }

    fn scope(&self, _message: &Message) -> Scope {
        self.scope.clone()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.progress.close();
        Box::pin(std::future::ready(()))
    }
}
