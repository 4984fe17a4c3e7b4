//! What a handler may do that is invoked, and what it has done: state in memory, an outbox that is shown, and
//! requests to where who typed the command lets it.

use crate::config::{Config, Invalid, PipelineConfig};
use crate::exit::Fail;
use crate::grants::{self, Home, targets};
use crate::harness::{Committed, Sent, World};
use base64::Engine;
use pelton_core::Outcome;
use pelton_core::effects::Staged;
use pelton_core::shown::shown;
use pelton_host::{Grants, HttpGrant, HttpSwitch, HttpTarget, IDEMPOTENCY_HEADER, PrivateAddresses};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// The store that a handler has for itself.
const OWN_STORE: &str = "default";
/// Bytes of a value that are shown.
const SHOWN: usize = 2 << 10;

/// Where a message has its effects.
pub struct Tried {
    pub grants: Arc<Grants>,
    world: World,
}

impl Tried {
    /// What nobody has configured: a store of its own, and no target. Requests go to `allowed` alone.
    pub fn alone(allowed: &[HttpTarget]) -> Self {
        let world = World::new(vec![OWN_STORE.to_owned()], Vec::new());
        Self::with(Grants { config: Some(Vec::new()), ..Grants::default() }, world, allowed)
    }

    /// What a pipeline grants, read as a worker reads it. Requests go to `allowed` alone, with what the
    /// pipeline puts into them.
    ///
    /// # Errors
    /// A value cannot be read.
    pub fn of(file: &Path, mut config: Config, name: &str, allowed: &[HttpTarget]) -> Result<Self, Fail> {
        config.pipelines.retain(|pipeline| pipeline.name == name);
        let found = grants::resolve(&mut config, Home::Nowhere).map_err(super::super::store_fail)?;
        if !found.problems.is_empty() {
            let (file, problems) = (file.to_owned(), found.problems);
            return Err(Fail::invalid(&Invalid { file, problems }));
        }
        let max = config.max_message_bytes;
        let pipeline = config.pipelines.first().ok_or_else(|| anyhow::anyhow!("the pipeline is gone"))?;
        Ok(Self::with((*pipeline.handler.spec.grants).clone(), world(pipeline, max), allowed))
    }

    fn with(granted: Grants, world: World, allowed: &[HttpTarget]) -> Self {
        let place = |to: &HttpTarget| {
            granted.http.iter().find(|grant| grant.to == *to).cloned().unwrap_or_else(|| plain(to))
        };
        let mut http: Vec<HttpGrant> = allowed.iter().map(place).collect();
        let mut http_switch = HttpSwitch::Real;
        if http.is_empty() {
            // A component that wants HTTP is not refused for that: its requests are.
            http.extend(HttpTarget::parse("https://nowhere.invalid").iter().map(plain));
            http_switch = HttpSwitch::Refused;
        }
        let (state, outbox) = (Some(world.state()), Some(world.outbox()));
        Self { grants: Arc::new(Grants { http, http_switch, state, outbox, ..granted }), world }
    }

    /// Commits what messages have staged, in their order.
    pub fn commit<'o>(&self, outcomes: impl Iterator<Item = &'o Outcome>) -> Committed {
        let mut done = Committed::default();
        let mut last: Option<&Staged> = None;
        for outcome in outcomes {
            let Outcome::Ok(Some(staged)) = outcome else { continue };
            // Messages of one batch have it together.
            if last != Some(staged)
                && let Ok(committed) = self.world.commit(staged)
            {
                done.add(committed);
            }
            last = Some(staged);
        }
        done
    }

    /// What is there of what was written.
    fn written(&self, done: &Committed) -> Vec<(String, Vec<u8>, Option<Vec<u8>>)> {
        let mut places = done.written.clone();
        places.sort();
        places.dedup();
        let entries = self.world.entries();
        let value = |(store, key): (String, Vec<u8>)| {
            let entry = entries.iter().find(|(s, k, _)| *s == store && *k == key);
            let value = entry.map(|(_, _, value)| value.clone());
            (store, key, value)
        };
        places.into_iter().map(value).collect()
    }

    /// For people.
    pub fn print(&self, done: &Committed) {
        for (store, key, value) in self.written(done) {
            let place = if store == OWN_STORE { String::new() } else { format!("{}: ", shown(&store)) };
            match value {
                Some(value) => {
                    say!("state    {place}{} = {}", shown(&key), shown(&value).at_most(SHOWN));
                }
                None => say!("state    {place}{} is gone", shown(&key)),
            }
        }
        for Sent { target, message } in &done.sent {
            let key = message.key.as_ref().map(|key| format!(" key {}", shown(key))).unwrap_or_default();
            let after = message.delay_ms.map(|ms| format!(" after {ms} ms")).unwrap_or_default();
            say!("outbox   {}{key}{after}: {}", shown(target), shown(&message.body).at_most(SHOWN));
        }
    }

    /// For programs: the members `state` and `outbox`.
    pub fn json(&self, done: &Committed) -> (Value, Value) {
        let state = |(store, key, value): (String, Vec<u8>, Option<Vec<u8>>)| {
            let value = value.map(|value| text(&value));
            json!({ "store": store, "key": text(&key), "value": value })
        };
        let sent = |Sent { target, message }: &Sent| {
            let header = |header: &pelton_core::header::Header| json!([header.name, text(&header.value)]);
            json!({
                "target": target, "id": &*message.id, "topic": message.topic,
                "key": message.key.as_ref().map(|key| text(key)),
                "headers": message.headers.iter().map(header).collect::<Vec<_>>(),
                "body": text(&message.body), "delay_ms": message.delay_ms,
            })
        };
        (self.written(done).into_iter().map(state).collect(), done.sent.iter().map(sent).collect())
    }
}

fn world(pipeline: &PipelineConfig, max: usize) -> World {
    World::new(pipeline.grants.state.clone(), targets(&pipeline.grants, max))
}

/// Somebody at a terminal says where to: any address that it has is meant.
fn plain(to: &HttpTarget) -> HttpGrant {
    let any = ["0.0.0.0/0", "::/0"].iter().filter_map(|range| range.parse().ok()).collect();
    HttpGrant {
        to: to.clone(),
        methods: Vec::new(),
        headers: Vec::new(),
        idempotency: Some(IDEMPOTENCY_HEADER.to_owned()),
        private: PrivateAddresses::Only(any),
        shadow: false,
    }
}

/// Text as it is, anything else as `{"base64": ...}`.
fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": base64::engine::general_purpose::STANDARD.encode(bytes) }),
    }
}
