//! What a handler may do while its cases run. Nothing of it leaves the process, and no secret is read.

use super::effects::{CaseEffects, DEFAULT_STORE};
use super::read::Case;
use super::script::Script;
use crate::harness::World;
use pelton_core::shown::shown;
use pelton_host::{
    Grants, HttpGrant, HttpLimits, HttpSwitch, HttpTarget, IDEMPOTENCY_HEADER, PrivateAddresses, Refuses,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Grants, and what stands behind them.
pub struct CaseGrants {
    /// Values by name.
    config: Option<Vec<(String, String)>>,
    environment: Vec<(String, String)>,
    http: Vec<HttpGrant>,
    http_limits: HttpLimits,
    pub world: World,
    pub script: Arc<Script>,
    /// No pipeline says what is granted: cases may give what they like.
    is_open: bool,
}

impl CaseGrants {
    /// Where no pipeline says what is granted: what the cases use.
    ///
    /// # Errors
    /// A case expects a request to no place.
    pub fn of_cases(cases: &[Case]) -> Result<Self, String> {
        let effects = || cases.iter().map(|case| &case.effects);
        let stores = effects().flat_map(CaseEffects::stores).chain([DEFAULT_STORE]);
        let stores: BTreeSet<&str> = stores.collect();
        let targets: BTreeSet<&str> =
            effects().flat_map(|case| &case.sent).map(|sent| &*sent.target).collect();
        let origins: BTreeSet<&str> =
            effects().flat_map(|case| &case.http).map(super::http::Expected::origin).collect();
        let anything: Refuses = Arc::new(|_| None);
        let targets = targets.into_iter().map(|name| (name.to_owned(), Arc::clone(&anything)));
        Ok(Self {
            config: Some(Vec::new()),
            environment: Vec::new(),
            http: origins.into_iter().map(to).collect::<Result<_, String>>()?,
            http_limits: HttpLimits::default(),
            world: World::new(stores.into_iter().map(str::to_owned).collect(), targets.collect()),
            script: Arc::default(),
            is_open: true,
        })
    }

    /// For a case: with its configuration.
    pub fn of(&self, case: &CaseEffects) -> Arc<Grants> {
        let mut config = self.config.clone();
        for (name, value) in &case.config {
            let values = config.get_or_insert_default();
            values.retain(|(other, _)| other != name);
            values.push((name.clone(), value.clone()));
        }
        Arc::new(Grants {
            config,
            environment: self.environment.clone(),
            state: self.world.state(),
            outbox: self.world.outbox(),
            http: self.http.clone(),
            http_limits: self.http_limits.clone(),
            http_switch: HttpSwitch::Scripted(self.script.clone()),
            secrets: Vec::new(),
        })
    }

    /// Headers that carry idempotency keys, in lower case.
    pub fn key_headers(&self) -> Vec<String> {
        self.http.iter().filter_map(|grant| grant.idempotency.as_deref()).map(str::to_lowercase).collect()
    }

    /// What a case gives or wants that the pipeline does not grant: the handler would not have it there.
    pub fn problems(&self, case: &CaseEffects) -> Vec<String> {
        if self.is_open {
            return Vec::new();
        }
        let is_config = |name: &&String| self.config.iter().flatten().any(|(granted, _)| granted == *name);
        let config =
            case.config.keys().filter(|name| !is_config(name)).map(|name| ("config", name.as_str()));
        let stores = case.stores().filter(|name| !self.world.has_store(name)).map(|name| ("state", name));
        let targets = case.sent.iter().map(|sent| &*sent.target);
        let targets = targets.filter(|name| !self.world.has_target(name)).map(|name| ("outbox", name));
        let problem = |(what, name): (&str, &str)| {
            format!(
                "wanted  what the pipeline does not grant: {what} \"{}\"\nlook at `grants` in pelton.toml",
                shown(name)
            )
        };
        config.chain(stores).chain(targets).map(problem).collect()
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
