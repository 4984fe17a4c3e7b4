//! What the databases of fleets say.

use super::{FLEET_TIMEOUT, NO_PLACE_INTERVAL, Steering};
use crate::config::HomeConfig;
use crate::control::steering::SteeringStatus;
use crate::worker::pipeline::RunningPipeline;
use pelton_core::database::{DatabaseHome, SteeringChange, SteeringError};
use std::sync::Arc;
use std::time::Instant;

/// How often a change is tried that others come before.
const TRIES: usize = 10;

/// Where a pipeline shares its steering.
pub(super) struct FleetPart {
    pub home: Arc<dyn DatabaseHome>,
    pub ledger: Arc<str>,
}

/// The pipelines of one database.
struct OfHome {
    home: Arc<dyn DatabaseHome>,
    names: Vec<String>,
    ledgers: Vec<Arc<str>>,
}

impl Steering {
    /// None where the pipeline has no fleet. Within the runtime.
    pub(super) fn fleet_part(&self, live: &RunningPipeline) -> Option<FleetPart> {
        let ledger = &live.pipeline.ledger;
        let home = self.home(ledger.home.as_ref()?)?;
        Some(FleetPart { home, ledger: ledger.name.as_str().into() })
    }

    fn home(&self, config: &HomeConfig) -> Option<Arc<dyn DatabaseHome>> {
        // It is open already: a pipeline has its ledger there.
        self.homes.home(config).ok()
    }

    /// Asks the databases of these pipelines. One that does not answer leaves all as it was.
    pub(super) async fn ask_fleets(&self, lives: &[&RunningPipeline]) {
        let _turn = self.changing.lock().await;
        for of in self.by_home(lives) {
            let asked = tokio::time::timeout(FLEET_TIMEOUT, of.home.steering(of.ledgers.clone())).await;
            match asked.unwrap_or_else(|_| Err(SteeringError::Away("it does not answer".to_owned()))) {
                Ok(all) => {
                    for (name, text) in of.names.iter().zip(all) {
                        self.heard(name, text).await;
                    }
                }
                Err(why) => self.not_heard(&of.names, &why),
            }
        }
    }

    fn by_home(&self, lives: &[&RunningPipeline]) -> Vec<OfHome> {
        let mut all: Vec<OfHome> = Vec::new();
        for live in lives {
            if !self.may_ask(&live.pipeline.name) {
                continue;
            }
            let Some(FleetPart { home, ledger }) = self.fleet_part(live) else { continue };
            let known = all.iter().position(|of| Arc::ptr_eq(&of.home, &home));
            let at = known.unwrap_or_else(|| {
                all.push(OfHome { home, names: Vec::new(), ledgers: Vec::new() });
                all.len() - 1
            });
            all[at].names.push(live.pipeline.name.clone());
            all[at].ledgers.push(ledger);
        }
        all
    }

    fn may_ask(&self, name: &str) -> bool {
        let from = self.pipelines().get(name).and_then(|wanted| wanted.asks_from);
        from.is_none_or(|from| from <= Instant::now())
    }

    /// A database has said what holds for a fleet.
    async fn heard(&self, name: &str, text: Option<String>) {
        if let Err(error) = SteeringStatus::read(text.as_deref()) {
            let first = self.reports_first(name);
            if first {
                tracing::warn!(
                    pipeline = name,
                    error,
                    "what operators want of this fleet was said by another version and is not understood: \
                     what was known before holds"
                );
            }
            return;
        }
        let kept = {
            let mut all = self.pipelines();
            let Some(wanted) = all.get_mut(name) else { return };
            (wanted.is_reported, wanted.asks_from) = (false, None);
            if wanted.kept.fleet == text {
                return;
            }
            wanted.kept.fleet = text;
            wanted.kept.clone()
        };
        // It holds anyhow: only a start without the database would not know it.
        if let Err(why) = self.keep_in_store(name, kept).await {
            tracing::warn!(pipeline = name, "what the fleet is told could not be kept here: {why}");
        }
    }

    fn not_heard(&self, names: &[String], why: &SteeringError) {
        for name in names {
            if let (SteeringError::NoPlace(_), Some(wanted)) = (why, self.pipelines().get_mut(name)) {
                wanted.asks_from = Some(Instant::now() + NO_PLACE_INTERVAL);
            }
            if !self.reports_first(name) {
                continue;
            }
            match why {
                SteeringError::NoPlace(why) => tracing::warn!(
                    pipeline = name,
                    "its database has no place for pauses and rates of a fleet ({why}): they hold for each \
                     worker alone, with --here"
                ),
                // The ledger says so too, as it is the same database.
                SteeringError::Away(why) => {
                    tracing::debug!(pipeline = name, "the fleet is not heard of: {why}")
                }
            }
        }
    }

    /// Whether nothing was said yet of what stands against hearing from a database.
    fn reports_first(&self, name: &str) -> bool {
        let mut all = self.pipelines();
        all.get_mut(name).is_some_and(|wanted| !std::mem::replace(&mut wanted.is_reported, true))
    }

    /// Changes what holds for a fleet: it, as it is then. While `changing` is held.
    pub(super) async fn change_fleet(
        &self,
        name: &str,
        shared: &FleetPart,
        edit: impl Fn(&SteeringStatus) -> SteeringStatus,
    ) -> Result<(), String> {
        for _ in 0..TRIES {
            let asked = shared.home.steering(vec![shared.ledger.clone()]);
            let before = within(asked).await?.into_iter().next().flatten();
            let known = SteeringStatus::read(before.as_deref()).unwrap_or_default();
            let after = edit(&known).written();
            if before == after {
                self.heard(name, after).await;
                return Ok(());
            }
            let change = SteeringChange { before, after: after.clone() };
            if within(shared.home.steer(shared.ledger.clone(), change)).await? {
                self.heard(name, after).await;
                return Ok(());
            }
        }
        Err("others change it again and again: ask again".to_owned())
    }
}

async fn within<T>(asked: impl Future<Output = Result<T, SteeringError>>) -> Result<T, String> {
    let answer = tokio::time::timeout(FLEET_TIMEOUT, asked).await;
    let answer = answer.unwrap_or_else(|_| Err(SteeringError::Away("it does not answer".to_owned())));
    answer.map_err(|why| {
        format!(
            "the database of its fleet was not told: {why}. Nothing has changed; --here is for this worker \
             alone"
        )
    })
}
