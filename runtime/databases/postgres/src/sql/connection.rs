//! One connection, and the task that owns it. Every exchange that has begun is finished here, whoever has
//! stopped waiting for it; and nobody gets a connection that is in a transaction, or that answers are still
//! owed on.

use super::course::Course;
use super::exchange::{Exchange, Purpose, Request};
use super::failure::{Failure, ServerError};
use super::pool::Pool;
use super::prepared::Prepared;
use super::step::Step;
use super::wire::{Endpoint, Message, Status, Wire, cancel};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

/// A connection that nobody uses is closed after so long.
const IDLE: Duration = Duration::from_secs(300);
/// How long undoing a transaction may take, a cancel request included.
const UNDO: Duration = Duration::from_secs(5);

/// The way to a connection. Whoever has it is the only one who has.
pub(crate) struct Line(mpsc::UnboundedSender<Command>);

enum Command {
    Run(Request),
    End(End),
}

/// The end of a lease.
struct End {
    line: Line,
    permit: OwnedSemaphorePermit,
    /// What it does now is not wanted any more.
    cancels: bool,
}

impl Line {
    /// Gives a connection to a task of its own. Within the I/O runtime.
    pub(crate) fn open(wire: Wire, endpoint: Endpoint, pool: &Arc<Pool>) -> Self {
        let (sender, commands) = mpsc::unbounded_channel();
        let connection = Connection {
            wire,
            endpoint,
            pool: Arc::downgrade(pool),
            prepared: Prepared::default(),
            under_way: std::collections::VecDeque::new(),
            status: Status::Idle,
            since: Instant::now(),
        };
        tokio::spawn(connection.serve(commands));
        Self(sender)
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Sends a request. One whose connection has ended is answered at once.
    pub(crate) fn run(&self, request: Request) {
        if let Err(mpsc::error::SendError(Command::Run(request))) = self.0.send(Command::Run(request)) {
            Exchange::of(request).lost("the connection to the database was lost");
        }
    }

    /// Gives the connection back, once all answers are there and nothing is open. `cancels`: what it does now
    /// is ended before its time.
    pub(crate) fn end(self, permit: OwnedSemaphorePermit, cancels: bool) {
        let sender = self.0.clone();
        // Of one that has ended nothing is given back but the permit.
        drop(sender.send(Command::End(End { line: self, permit, cancels })));
    }
}

struct Connection {
    wire: Wire,
    endpoint: Endpoint,
    pool: Weak<Pool>,
    prepared: Prepared,
    under_way: std::collections::VecDeque<Exchange>,
    status: Status,
    /// When the first exchange under way became the first, or the last one ended.
    since: Instant,
}

impl Connection {
    async fn serve(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let why = loop {
            let until = self.until();
            let served = tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Run(request)) => self.send(request),
                    Some(Command::End(end)) => self.end(end).await,
                    None => break None,
                },
                stepped = Self::step(&mut self.wire, until) => {
                    stepped.and_then(|message| self.take(message))
                }
            };
            if let Err(why) = served {
                break Some(why);
            }
        };
        commands.close();
        let lost = why.as_deref().unwrap_or("the connection is closed");
        tracing::debug!("a connection to a database has ended: {lost}");
        self.under_way.drain(..).for_each(|exchange| exchange.lost(lost));
        while let Ok(command) = commands.try_recv() {
            if let Command::Run(request) = command {
                Exchange::of(request).lost(lost);
            }
        }
        if why.is_none() {
            self.wire.close().await;
        }
    }

    /// Until when the server may be silent. One that is in a transaction waits for its handler, which the
    /// server bounds.
    fn until(&self) -> Instant {
        let idle = || match (self.status, self.pool.upgrade()) {
            (Status::Open | Status::Failed, Some(pool)) => pool.settings().idle_timeout * 2,
            (Status::Idle, _) | (_, None) => IDLE,
        };
        self.since + self.under_way.front().map_or_else(idle, |exchange| exchange.request.patience)
    }

    async fn step(wire: &mut Wire, until: Instant) -> Result<Message, String> {
        match tokio::time::timeout_at(until, wire.next()).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) => Err(format!("the connection to the database was lost: {error}")),
            Err(_) => Err("the connection to the database was lost: it does not answer".to_owned()),
        }
    }

    fn send(&mut self, request: Request) -> Result<(), String> {
        let named = self.pool.upgrade().is_some_and(|pool| pool.prepares());
        let mut exchange = Exchange::of(request);
        let encoded = exchange.encode(&mut self.prepared, named, &mut self.wire.out);
        if self.under_way.is_empty() {
            self.since = Instant::now();
        }
        self.under_way.push_back(exchange);
        encoded.map_err(|error| format!("a statement cannot be sent: {error}"))
    }

    fn take(&mut self, message: Message) -> Result<(), String> {
        match message {
            Message::Ready(status) => {
                self.status = status;
                self.since = Instant::now();
                let ended = self.under_way.pop_front();
                ended.map_or(Ok(()), |exchange| self.finish(exchange))
            }
            Message::Copy => Err("a statement asked for a copy, which is not for handlers".to_owned()),
            message => match (self.under_way.front_mut(), message) {
                (Some(exchange), message) => exchange.take(message),
                (None, Message::Error(error)) => Err(error.words()),
                (None, _) => Ok(()),
            },
        }
    }

    /// An exchange is over: what it says of the connection, and of the transaction.
    fn finish(&mut self, mut exchange: Exchange) -> Result<(), String> {
        exchange.unprepared().for_each(|key| self.prepared.forget(&key));
        let purpose = exchange.request.purpose;
        let ended =
            purpose == Purpose::Within && (self.status == Status::Idle || exchange.ends_transaction());
        if ended && exchange.answer.failure.is_none() {
            exchange.answer.failure = Some(Failure::Ended(exchange.answer.tag.clone()));
        }
        let is_first = exchange.note();
        let useless = match &exchange.answer.failure {
            Some(Failure::Server(error)) if is_first => self.has_useless_statements(error),
            _ => false,
        };
        exchange.answer();
        if useless { Err("its prepared statements are of no use any more".to_owned()) } else { Ok(()) }
    }

    /// Whether what is prepared here is of no use, by an error of the server: then the connection is closed.
    fn has_useless_statements(&self, error: &ServerError) -> bool {
        if let Some(pool) = self.pool.upgrade().filter(|_| error.is_of_a_pooler()) {
            pool.stop_preparing(error);
        }
        error.is_of_a_stale_plan() || error.is_of_a_pooler()
    }

    /// Waits for all answers that are owed.
    async fn drain(&mut self) -> Result<(), String> {
        while !self.under_way.is_empty() {
            let until = self.until();
            let message = Self::step(&mut self.wire, until).await?;
            self.take(message)?;
        }
        Ok(())
    }

    async fn end(&mut self, end: End) -> Result<(), String> {
        if !end.cancels {
            // A commit takes its time.
            self.drain().await?;
        }
        let undone = tokio::time::timeout(UNDO, self.undo()).await;
        undone.unwrap_or_else(|_| Err("a transaction could not be undone in time".to_owned()))?;
        if let Some(pool) = self.pool.upgrade() {
            pool.give(end.line);
        }
        drop(end.permit);
        Ok(())
    }

    /// Ends what the connection does, and the transaction that is open.
    async fn undo(&mut self) -> Result<(), String> {
        if let Some(pool) = self.pool.upgrade().filter(|_| !self.under_way.is_empty()) {
            let (endpoint, key) = (self.endpoint.clone(), self.wire.key);
            let server = pool.server().clone();
            let asking = tokio::spawn(async move {
                let config = server.with_password().await?;
                cancel(&config, server.tls(), &endpoint, key).await
            });
            self.drain().await?;
            // Only after the server has it: it may not hit what comes next.
            match asking.await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => return Err(format!("a cancel request failed: {fault}")),
                Err(_) => return Err("a cancel request failed".to_owned()),
            }
        }
        if self.status != Status::Idle {
            let rollback = vec![Step::ending("ROLLBACK")];
            self.send(Request::new(rollback, Purpose::Undo, Arc::new(Course::default()), UNDO))?;
            self.drain().await?;
        }
        match self.status {
            Status::Idle => Ok(()),
            Status::Open | Status::Failed => Err("a transaction could not be undone".to_owned()),
        }
    }
}
