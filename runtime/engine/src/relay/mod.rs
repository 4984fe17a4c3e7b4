//! The way from the outbox to brokers. What handlers send has been committed with what it is the effect of;
//! a relay for each target sends it from there: in batches, in order per key, until the broker has it. What
//! may go next is decided by `order`, which touches nothing.

#[cfg(test)]
pub mod made_up;
mod order;
mod read;
mod run;
mod stats;
#[cfg(test)]
mod tests;

use crate::perform::Arrival;
use pelton_core::broker::OutboxTarget;
use pelton_core::contain::contained;
use pelton_core::effects::{OutboxHome, Target};
pub(crate) use run::wall_ms;
use run::{Phase, Relay};
pub(crate) use stats::OutletStats;
pub use stats::OutletStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// What a pipeline sends to other brokers: who keeps it, and where it goes.
#[derive(Clone)]
pub struct Outbox {
    /// Who keeps it.
    pub home: Arc<dyn OutboxHome>,
    /// Where it goes, each target once. Queues of the home itself are not among them: what is sent there is
    /// there with the commit.
    pub outlets: Vec<Outlet>,
}

/// One target of an outbox.
#[derive(Clone)]
pub struct Outlet {
    /// Its name, as handlers use it.
    pub name: Arc<str>,
    /// Its number, as the home knows it.
    pub target: Target,
    /// The way there.
    pub way: Arc<dyn OutboxTarget>,
}

/// The relays of a pipeline.
pub(crate) struct Relays {
    stats: Arc<[Arc<OutletStats>]>,
    tasks: Vec<JoinHandle<()>>,
    phase: watch::Sender<Phase>,
}

impl Relays {
    /// Begins to send. A panic of one is told to the pipeline's task, as that of any port.
    pub fn start(
        pipeline: &Arc<str>,
        outbox: Option<&Outbox>,
        random: u64,
        answers: &mpsc::UnboundedSender<Arrival>,
    ) -> Self {
        let (phase, phases) = watch::channel(Phase::Running);
        let (mut stats, mut tasks) = (Vec::new(), Vec::new());
        for outlet in outbox.iter().flat_map(|outbox| &outbox.outlets) {
            let home = outbox.map(|outbox| outbox.home.clone());
            let Some(home) = home else { continue };
            let of_outlet = Arc::new(OutletStats::new(outlet, home.clone()));
            stats.push(of_outlet.clone());
            let relay =
                Relay::new(pipeline.clone(), outlet.clone(), home, of_outlet, phases.clone(), random);
            let (answers, name) = (answers.clone(), outlet.name.clone());
            tasks.push(tokio::spawn(async move {
                if let Err(panicked) = contained(relay.run()).await {
                    let panicked = panicked.at(format!("sending to the target {name}"));
                    // The pipeline's task may have ended.
                    drop(answers.send(Arrival::Panicked(panicked)));
                }
            }));
        }
        Self { stats: stats.into(), tasks, phase }
    }

    /// What is known of each, for whoever asks.
    pub fn stats(&self) -> Arc<[Arc<OutletStats>]> {
        self.stats.clone()
    }

    /// How many messages wait.
    pub fn backlog(&self) -> u64 {
        self.stats.iter().map(|outlet| outlet.backlog().rows).sum()
    }

    /// What keeps messages waiting, in words.
    pub fn trouble(&self) -> Option<String> {
        self.stats.iter().find_map(|outlet| outlet.trouble())
    }

    /// Nothing more is committed: sends what can be sent until then, and says what stays. What is being sent
    /// then may still be answered for a while.
    pub async fn finish(self, until: Instant, answer_timeout: Duration) {
        self.phase.send_replace(Phase::Ending(until));
        let last = until.max(Instant::now()) + answer_timeout;
        for task in self.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout_at(last.into(), task).await.is_err() {
                abort.abort();
            }
        }
        for outlet in self.stats.iter() {
            outlet.say_what_stays();
        }
    }

    /// Ends without another word: nothing can be noted any more.
    pub fn abandon(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
