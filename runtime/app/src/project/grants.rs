//! What a project's handler may do where it is built and tested: what its pipeline in `pelton.toml` grants,
//! or, where there is none, anything. Nothing of it leaves the process, and no secret is read.

use super::{Project, limits};
use crate::grants::{no_database, stand_ins, targets};
use crate::harness::World;
use pelton_core::effects::Database;
use pelton_host::{
    Grants, HttpGrant, HttpScript, HttpSwitch, HttpTarget, IDEMPOTENCY_HEADER, PrivateAddresses, Refuses,
    SqlGrant,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The store that a handler has for itself.
pub const OWN_STORE: &str = "default";

/// What a database is called where no pipeline says it.
const OWN_DATABASE: &str = "main";

/// Grants, and what stands for the world.
pub struct ProjectGrants {
    base: Grants,
    /// Variables that the pipeline grants.
    environment: Vec<String>,
    pub world: World,
    /// No pipeline says what is granted.
    is_open: bool,
}

/// What is used of an interface where no pipeline says what is granted.
#[derive(Debug, Default)]
pub struct Uses {
    pub stores: Vec<String>,
    pub targets: Vec<String>,
    /// Schemes and hosts.
    pub origins: Vec<String>,
}

impl ProjectGrants {
    /// # Errors
    /// One of the origins of `uses` is none.
    pub fn of(project: &Project, uses: &Uses) -> Result<Self, String> {
        let Some(pipeline) = limits::pipeline(project) else { return Self::open(uses) };
        let (granted, max) = (&pipeline.config.grants, pipeline.max_message_bytes);
        Ok(Self {
            base: stand_ins(granted),
            environment: granted.environment.clone(),
            world: World::new(granted.state.clone(), targets(granted, max)),
            is_open: false,
        })
    }

    fn open(uses: &Uses) -> Result<Self, String> {
        let anything: Refuses = Arc::new(|_| None);
        let targets = uses.targets.iter().map(|name| (name.clone(), Arc::clone(&anything))).collect();
        let mut stores = uses.stores.clone();
        stores.push(OWN_STORE.to_owned());
        stores.sort();
        stores.dedup();
        // A component that wants HTTP is not refused for that.
        let nowhere = "https://nowhere.invalid".to_owned();
        let http =
            uses.origins.iter().chain([&nowhere]).map(|origin| to(origin)).collect::<Result<_, _>>()?;
        let sql = Some(no_database(OWN_DATABASE));
        let base = Grants { config: Some(Vec::new()), sql, http, ..Grants::default() };
        Ok(Self { base, environment: Vec::new(), world: World::new(stores, targets), is_open: true })
    }

    /// What the handler calls its database; none when it is granted none.
    pub fn database(&self) -> Option<&str> {
        self.base.sql.as_ref().map(|granted| &*granted.name)
    }

    /// Statements run in this database from now on.
    pub fn run_in(&mut self, database: Arc<dyn Database>) {
        let name = self.database().unwrap_or(OWN_DATABASE).to_owned();
        self.base.sql = Some(SqlGrant { name, database });
    }

    /// Whether no pipeline says what is granted.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// With these values of configuration, and requests that are answered by a script or refused.
    pub fn with(
        &self,
        values: &BTreeMap<String, String>,
        script: Option<Arc<dyn HttpScript>>,
    ) -> Arc<Grants> {
        let mut config = self.base.config.clone();
        let mut environment = Vec::new();
        for (name, value) in values {
            let pair = (name.clone(), value.clone());
            if self.environment.contains(name) {
                environment.push(pair);
            } else if let Some(config) = &mut config {
                config.retain(|(other, _)| other != name);
                config.push(pair);
            }
        }
        let (state, outbox) = (self.world.state(), self.world.outbox());
        Arc::new(Grants {
            config,
            environment,
            state: (!state.stores.is_empty()).then_some(state),
            outbox: (self.is_open || !outbox.targets.is_empty()).then_some(outbox),
            http_switch: script.map_or(HttpSwitch::Refused, HttpSwitch::Scripted),
            ..self.base.clone()
        })
    }

    /// Headers that carry idempotency keys, in lower case.
    pub fn key_headers(&self) -> Vec<String> {
        let names = self.base.http.iter().filter_map(|grant| grant.idempotency.as_deref());
        names.map(str::to_ascii_lowercase).collect()
    }

    /// Whether there can be a value of this name.
    pub fn has_config(&self, name: &str) -> bool {
        let is_granted = |(granted, _): &(String, String)| granted == name;
        self.is_open
            || self.environment.iter().any(|granted| granted == name)
            || self.base.config.iter().flatten().any(is_granted)
    }
}

fn to(origin: &str) -> Result<HttpGrant, String> {
    Ok(HttpGrant {
        to: HttpTarget::parse(origin)?,
        methods: Vec::new(),
        headers: Vec::new(),
        idempotency: Some(IDEMPOTENCY_HEADER.to_owned()),
        private: PrivateAddresses::Refused,
        shadow: false,
    })
}
