//! All pipelines of one worker, from their start to the end of the drain.

use crate::driver::{Driver, PipelineSpec, Ports, Stopped};
use crate::stats::PipelineStats;
use pelton_core::retry::scatter;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// What the worker is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Take messages and handle them.
    Running,
    /// Stop receiving, finish or hand back what is held, end.
    Draining,
}

/// How the worker is steered.
#[derive(Debug, Clone)]
pub struct Control {
    /// The phase; set it to `Draining` once to end the worker.
    pub phase: watch::Receiver<Phase>,
    /// End by itself when nothing is left, scheduled retries included.
    pub until_empty: bool,
    /// How long a drain waits for handlers before it interrupts them.
    pub shutdown_timeout: Duration,
}

/// Runs pipelines until all have ended: drained, or emptied with `until_empty`. When one has to
/// stop, the others are drained too, and the first reason is returned.
///
/// `random` seeds the jitter of retries; the caller draws it.
pub async fn run(
    pipelines: Vec<(PipelineSpec, Ports, Arc<PipelineStats>)>,
    control: Control,
    random: u64,
) -> Result<(), Stopped> {
    let (stop, stopping) = watch::channel(*control.phase.borrow());
    let suspects = Arc::new(Semaphore::new(1));
    let mut tasks = JoinSet::new();
    for (number, (spec, ports, stats)) in (0u64..).zip(pipelines) {
        let control = Control { phase: stopping.clone(), ..control.clone() };
        let seed = scatter(random, number);
        let driver = Driver::new(spec, ports, control, suspects.clone(), seed, stats);
        tasks.spawn(driver.run());
    }
    let mut phase = control.phase;
    let mut outcome = Ok(());
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                None => return outcome,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(stopped))) => {
                    stop.send_replace(Phase::Draining);
                    outcome = outcome.and(Err(stopped));
                }
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            },
            Ok(()) = phase.changed() => {
                stop.send_replace(*phase.borrow());
            }
        }
    }
}
