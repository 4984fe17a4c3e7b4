//! The way to one database: how it is connected to, and how it stands.
//!
//! Every connection is driven by a task of its own on the I/O runtime. An exchange that has begun is finished
//! by a task too: a future that waits for it may be dropped, the exchange may not.

mod address;
mod blocking;
mod exchange;
mod fault;
mod health;
mod sessions;
mod tls;

pub use address::{Address, TlsMode};
pub use blocking::Blocking;
pub use exchange::{Ask, DURABLE, QUICK, Typed};
pub use fault::{Fault, Kind};
pub use health::Health;
pub use sessions::{Lent, Sessions};
pub use tls::Tls;

use pelton_core::database::Password;
use pelton_core::ports::ErrorClass;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_postgres::{Client, Config};

/// How long an exchange of ours may take before its connection is given up: more than `statement_timeout` of
/// ours, so that a server which can still speak says why.
pub const EXCHANGE: Duration = Duration::from_secs(30);

/// One database of a worker, or of a command.
pub struct Server {
    config: Config,
    password: Option<Password>,
    tls: Tls,
    health: Health,
    runtime: Handle,
}

impl Server {
    /// By an address, with what looks its password up. Within the I/O runtime, which its connections then
    /// run on; nothing is connected.
    ///
    /// # Errors
    /// The certificates to trust cannot be read, in words.
    pub fn new(
        address: &Address,
        password: Option<Password>,
        application: &str,
    ) -> Result<Arc<Self>, String> {
        let whose = format!("{} at {}", address.database(), address.hosts());
        Ok(Arc::new(Self {
            config: address.config(application),
            password,
            tls: Tls::of(address)?,
            health: Health::new(whose),
            runtime: Handle::current(),
        }))
    }

    /// Connects, unless others could not a moment ago: then it waits for the pause to be over if that is
    /// within `patience`. May be asked from any runtime.
    ///
    /// # Errors
    /// It is away or says no; the breaker knows.
    pub async fn connect(self: &Arc<Self>, patience: Duration) -> Result<Session, Fault> {
        self.by(patience, |me| async move { me.open().await }).await
    }

    /// The same by another way than the driver's.
    ///
    /// # Errors
    /// Those of `connect`.
    pub async fn by<T, F>(
        self: &Arc<Self>,
        patience: Duration,
        way: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        let me = self.clone();
        let connected = self.runtime.spawn(async move {
            let deadline = Instant::now() + patience;
            loop {
                match me.health.may_connect(Instant::now()) {
                    Ok(()) => break,
                    Err((_, wait)) if Instant::now() + wait <= deadline => tokio::time::sleep(wait).await,
                    Err((fault, _)) => return Err(fault),
                }
            }
            let connected = way(me.clone()).await;
            match &connected {
                Ok(_) => me.health.connected(),
                Err(fault) => me.health.could_not_connect(fault, Instant::now(), random()),
            }
            connected
        });
        connected.await.unwrap_or_else(|_| Err(Fault::new(Kind::Away, "this process is ending")))
    }

    /// Connects whatever the breaker says.
    async fn open(&self) -> Result<Session, Fault> {
        let config = self.with_password().await?;
        let connecting = config.connect(self.tls.clone());
        let limit = self.config.get_connect_timeout().copied().unwrap_or(EXCHANGE) * 2;
        let connected = tokio::time::timeout(limit, connecting).await.map_err(|_| Fault::no_answer())?;
        let (client, connection) = connected?;
        let driving = self.runtime.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection to a database has ended: {error}");
            }
        });
        Ok(Session { client, driving: driving.abort_handle() })
    }

    /// How to connect. A password that has changed since counts.
    ///
    /// # Errors
    /// The password cannot be looked up.
    pub async fn with_password(&self) -> Result<Config, Fault> {
        let mut config = self.config.clone();
        if let Some(password) = self.password.clone() {
            let looked_up = self.runtime.spawn_blocking(move || password()).await;
            match looked_up {
                Ok(Ok(password)) => drop(config.password(password)),
                Ok(Err(why)) => return Err(Fault::new(Kind::Login, why)),
                Err(_) => return Err(Fault::new(Kind::Away, "this process is ending")),
            }
        }
        Ok(config)
    }

    /// Its TLS.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// How it stands.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The runtime of its connections.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Notes what went wrong with an exchange; what the core is told of it.
    pub fn failed(&self, fault: &Fault) -> ErrorClass {
        // One that works and refuses a pipeline is in no trouble: that pipeline is.
        if !fault.is_refusal() {
            self.health.failed(fault, Instant::now());
        }
        ErrorClass::Transient
    }
}

/// A connection. When it is dropped it is closed, and the server rolls back what it has open.
pub struct Session {
    /// The connection itself.
    pub client: Client,
    driving: AbortHandle,
}

impl Session {
    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Ends the connection at once, whatever it does: for one whose server does not answer.
    pub fn abandon(&self) {
        self.driving.abort();
    }
}

/// A number that nobody foresees, for pauses. Not for secrets.
#[must_use]
pub fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
