//! Signals: heard from the first moment on, on a thread of its own, whatever else the process does.

pub mod process_one;

use crate::exit::{end, end_now};
use crate::output;
use pelton_engine::Phase;
use rustix::process::{Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// Whether process 1 of a container ends at a signal, as every other process does by itself.
static ENDS: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(true)));

/// For process 1, which the system sends no signal that it does not wait for: a signal ends it. First of all.
///
/// # Errors
/// The system's.
pub fn end_process_one() -> std::io::Result<()> {
    if !getpid().is_init() {
        return Ok(());
    }
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        flag::register_conditional_shutdown(signal, 128 + signal, ENDS.clone())?;
    }
    Ok(())
}

/// A file that may grow no further (`ulimit -f`) is an error of who writes it, as a full disk is: it has
/// words, and a way out. The signal that is sent as well would end the process without.
///
/// # Errors
/// The system's.
pub fn outlive_limits_of_files() -> std::io::Result<()> {
    flag::register(Signal::XFSZ.as_raw(), Arc::default()).map(drop)
}

/// The caller hears SIGTERM and SIGINT itself from now on.
pub fn are_heard() {
    ENDS.store(false, Ordering::SeqCst);
}

/// Names the process that a worker ends with: `pelton dev` leaves none behind, however it ends.
pub const ENDS_WITH: &str = "PELTON_ENDS_WITH";

/// Has the system send SIGTERM when the parent ends, if that is wanted.
fn end_with_parent() -> std::io::Result<()> {
    let Some(parent) = std::env::var_os(ENDS_WITH) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let is_there = getppid().is_some_and(|now| parent.to_str() == Some(&now.to_string()));
    if !is_there {
        // It was too late to be told.
        kill_process(getpid(), Signal::TERM)?;
    }
    Ok(())
}

/// What a process does that a signal can end.
#[derive(Default)]
enum Doing {
    /// It begins: nothing is in work yet.
    #[default]
    Beginning,
    /// It works, and is told here to drain.
    Working(watch::Sender<Phase>),
    /// It drains.
    Draining,
}

/// What signals do to a worker.
#[derive(Clone, Default)]
pub struct WorkerSignals(Arc<SignalState>);

#[derive(Default)]
struct SignalState {
    doing: Mutex<Doing>,
    reload: Notify,
}

/// Begins to listen.
///
/// # Errors
/// The system's.
pub fn listen() -> std::io::Result<WorkerSignals> {
    let signals = WorkerSignals::default();
    let mut coming = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    are_heard();
    let listening = signals.clone();
    let thread = std::thread::Builder::new().name("pelton-signals".to_owned());
    thread.spawn(move || coming.forever().for_each(|signal| listening.handle(signal)))?;
    end_with_parent()?;
    Ok(signals)
}

impl WorkerSignals {
    /// From now on there is something to finish: the first signal has it drained.
    pub fn work(&self, phase: watch::Sender<Phase>) {
        *self.doing() = Doing::Working(phase);
    }

    /// Waits for a SIGHUP; one that came while nobody waited counts.
    pub async fn reload_wanted(&self) {
        self.0.reload.notified().await;
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.0.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first one drains, the second ends.
    fn handle(&self, signal: i32) {
        if signal == SIGHUP {
            return self.0.reload.notify_one();
        }
        let mut doing = self.doing();
        match &*doing {
            Doing::Beginning => {
                tracing::info!("told to end before anything was begun");
                end(0);
            }
            Doing::Working(phase) => {
                tracing::info!(
                    "draining: finishing what runs, handing back the rest; a second signal ends at once"
                );
                phase.send_replace(Phase::Draining);
                *doing = Doing::Draining;
            }
            Doing::Draining => {
                tracing::warn!(
                    "a second signal: ending now; what was in work comes back at the next start"
                );
                output::finish();
                end_now(128 + signal);
            }
        }
    }
}
