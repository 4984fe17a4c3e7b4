//! How the ledger of a fleet stands: for a terminal, and as JSON.

use super::fleet::FleetLedger;
use super::table;
use crate::config::{Config, PipelineConfig};
use crate::control::steering::SteeringStatus;
use pelton_core::database::{FleetStatus, FleetWorker};
use pelton_core::shown::shown;
use serde_json::{Value, json};

/// Bytes of the name of a worker that are shown.
const NAME: usize = 128;

/// What the database of a pipeline's ledger says.
pub struct LedgerReport {
    /// Where it is, and what it is called there.
    place: String,
    name: String,
    /// `Err` says why nothing is known.
    pub stands: Result<Stands, String>,
}

/// How it stands, with the letters that are kept beside it.
pub struct Stands {
    fleet: FleetStatus,
    pub letters: Option<u64>,
    /// What operators want of all its workers; none where that is not known.
    pub steering: Option<SteeringStatus>,
}

impl LedgerReport {
    /// None where the ledger is in the data directory. Blocks.
    pub fn of(config: &Config, pipeline: &PipelineConfig) -> Option<Self> {
        let home = pipeline.ledger.home.as_ref()?;
        let (place, name) = (home.database.describe(), pipeline.ledger.name.clone());
        Some(Self { place, name, stands: stands(config, pipeline) })
    }

    /// What is said of it, a line each.
    pub fn lines(&self) -> Vec<String> {
        let Self { place, name, stands } = self;
        let stands = match stands {
            Ok(Stands { fleet, .. }) => fleet,
            Err(why) => return vec![format!("the ledger {name} cannot be asked: {why}")],
        };
        let n = table::number;
        let claimed = n(stands.claimed);
        let mut lines =
            vec![format!("the ledger {name} in {place}: {claimed} messages in work, of all workers")];
        lines.extend(stands.workers.iter().map(|FleetWorker { name, heard_ms_ago, claimed }| {
            let name = shown(name).at_most(NAME);
            format!("  {name}: {} in work, heard of {} s ago", n(*claimed), n(heard_ms_ago / 1_000))
        }));
        lines
    }

    pub fn to_json(&self) -> Value {
        let mut json = json!({ "database": self.place, "name": self.name });
        match &self.stands {
            Ok(Stands { fleet, .. }) => {
                let worker = |worker: &FleetWorker| {
                    let FleetWorker { name, claimed, heard_ms_ago } = worker;
                    json!({ "name": name, "claimed": claimed, "heard_ms_ago": heard_ms_ago })
                };
                json["claimed"] = fleet.claimed.into();
                json["workers"] = fleet.workers.iter().map(worker).collect();
            }
            Err(why) => json["problem"] = why.as_str().into(),
        }
        json
    }
}

fn stands(config: &Config, pipeline: &PipelineConfig) -> Result<Stands, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let ledger = FleetLedger::open(config, pipeline).map_err(|fail| fail.words())?;
    let mut ledger = ledger.ok_or("it is in the data directory")?;
    let fleet = ledger.status().map_err(|error| words(&error))?;
    let keeps = pipeline.letter_places().iter().any(|place| place.database().is_some());
    let letters = keeps.then(|| ledger.letter_count()).transpose().map_err(|error| words(&error))?;
    let steering = ledger.steering().ok();
    Ok(Stands { fleet, letters, steering })
}
