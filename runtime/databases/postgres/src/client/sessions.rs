//! Connections that are lent for an exchange, or a transaction, and given back when it is over.

use super::{Fault, Kind, Server, Session};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections to one server, so many at most. One that is not given back is closed.
pub struct Sessions {
    server: Arc<Server>,
    room: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Session>>>,
}

impl Sessions {
    /// None yet; at most so many.
    #[must_use]
    pub fn new(server: Arc<Server>, most: usize) -> Self {
        Self { server, room: Arc::new(Semaphore::new(most.max(1))), idle: Arc::default() }
    }

    /// One that nobody uses, or a new one. Waits until there is room; then for the breaker, within
    /// `patience`.
    ///
    /// # Errors
    /// It cannot be connected to.
    pub async fn lend(&self, patience: Duration) -> Result<Lent, Fault> {
        let ending = |_| Fault::new(Kind::Away, "this process is ending");
        let permit = self.room.clone().acquire_owned().await.map_err(ending)?;
        let session = match self.idle() {
            Some(session) => session,
            None => self.server.connect(patience).await?,
        };
        Ok(Lent { session: Some(session), idle: self.idle.clone(), _permit: permit })
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Closes those that nobody uses.
    pub fn close_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The one that was used last: the others may be closed for being idle.
    fn idle(&self) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are of no use; a server that was started again has ended all.
        std::iter::from_fn(|| idle.pop()).find(|session| !session.is_closed())
    }
}

/// A connection that is lent. Dropped without being given back it is closed: nobody knows how it stands.
pub struct Lent {
    session: Option<Session>,
    idle: Arc<Mutex<Vec<Session>>>,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    /// Gives it back: no transaction is open, and every answer was read.
    pub fn give_back(mut self) {
        if let Some(session) = self.session.take().filter(|session| !session.is_closed()) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        }
    }
}

impl Deref for Lent {
    type Target = Session;

    fn deref(&self) -> &Session {
        match &self.session {
            Some(session) => session,
            None => unreachable!("only giving it back takes it, and that consumes this"),
        }
    }
}
