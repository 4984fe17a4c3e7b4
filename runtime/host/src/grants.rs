//! What a pipeline grants its handler, resolved: names have become places, files have become their contents.
//! Without a grant there is nothing.

pub(crate) mod http;
pub(crate) mod origin;

use crate::guest::given::{ClockSwitch, RandomSwitch};
use crate::interfaces::state::StoreBound;
use http::{HttpGrant, HttpLimits, HttpSwitch};
use pelton_core::effects::{Bucket, Database, StagedMessage, StateHome, Target};
use std::fmt;
use std::sync::Arc;

/// Everything a pipeline grants. The default grants nothing.
#[derive(Clone, Default)]
pub struct Grants {
    /// Configuration by name, secrets among it; none when it is not granted.
    pub config: Option<Vec<(String, String)>>,
    /// Variables of the environment.
    pub environment: Vec<(String, String)>,
    /// Key-value state.
    pub state: Option<StateGrant>,
    /// Stores of it that may not hold more than so much.
    pub state_bounds: Vec<Arc<StoreBound>>,
    /// Outgoing messages.
    pub outbox: Option<OutboxGrant>,
    /// The database that it may run statements in.
    pub sql: Option<SqlGrant>,
    /// Places that it may send HTTP requests to.
    pub http: Vec<HttpGrant>,
    /// How much HTTP it may do.
    pub http_limits: HttpLimits,
    /// Who answers its requests.
    pub http_switch: HttpSwitch,
    /// What it is told of the time.
    pub clock: ClockSwitch,
    /// What it is given for random bytes.
    pub random: RandomSwitch,
    /// Texts that nothing may show: what a handler writes, and its reasons, have a mark in their place.
    pub secrets: Vec<String>,
}

/// Stores of state, by the names that the handler uses.
#[derive(Clone)]
pub struct StateGrant {
    /// Who keeps them.
    pub home: Arc<dyn StateHome>,
    /// Name and place.
    pub stores: Vec<(String, Bucket)>,
}

/// Targets of outgoing messages, by the names that the handler uses.
#[derive(Clone)]
pub struct OutboxGrant {
    /// All of them.
    pub targets: Vec<Outlet>,
}

/// A database, by the name that the handler uses.
#[derive(Clone)]
pub struct SqlGrant {
    /// The handler's name for it.
    pub name: String,
    /// Who runs its statements.
    pub database: Arc<dyn Database>,
}

/// Says what a target cannot carry of a message.
pub type Refuses = Arc<dyn Fn(&StagedMessage) -> Option<String> + Send + Sync>;

/// One target.
#[derive(Clone)]
pub struct Outlet {
    /// The handler's name for it.
    pub name: String,
    /// Its place in the outbox.
    pub target: Target,
    /// What it cannot carry of a message, in words.
    pub refuses: Refuses,
}

/// Says what is granted, and nothing of what it is.
impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants")
            .field("config", &self.config.as_ref().map(Vec::len))
            .field("environment", &self.environment.len())
            .field("state", &self.state.as_ref().map(|state| state.stores.len()))
            .field("outbox", &self.outbox.as_ref().map(|outbox| outbox.targets.len()))
            .field("sql", &self.sql.as_ref().map(|sql| &sql.name))
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

/// Two are the same when a handler could not tell them apart.
impl PartialEq for Grants {
    fn eq(&self, other: &Self) -> bool {
        let stores = |grants: &Self| grants.state.as_ref().map(|state| state.stores.clone());
        let names = |outbox: &OutboxGrant| -> Vec<(String, Target)> {
            outbox.targets.iter().map(|outlet| (outlet.name.clone(), outlet.target)).collect()
        };
        let targets = |grants: &Self| grants.outbox.as_ref().map(names);
        self.config == other.config
            && self.environment == other.environment
            && self.secrets == other.secrets
            && stores(self) == stores(other)
            && targets(self) == targets(other)
            && self.sql.as_ref().map(|sql| &sql.name) == other.sql.as_ref().map(|sql| &sql.name)
            && self.http == other.http
            && self.http_limits == other.http_limits
            && (self.clock, self.random) == (other.clock, other.random)
    }
}
