//! What the service manager hears of a running worker.

use crate::systemd;
use pelton_engine::Phase;
use std::time::Duration;
use tokio::sync::watch;

/// Where no watchdog wants to hear anything.
const NEVER: Duration = Duration::from_secs(86_400);

/// Says that the pipelines run, that they still do, and that they end; until it is aborted. A worker that
/// hangs says nothing, and is started anew. `lives` is whether all moves that has to.
pub async fn report(
    mut phase: watch::Receiver<Phase>,
    shutdown_timeout: Duration,
    lives: impl Fn() -> bool,
) {
    systemd::ready();
    let interval = systemd::watchdog_interval();
    let mut draining = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval.unwrap_or(NEVER)) => {
                if interval.is_some() && lives() {
                    systemd::alive();
                }
            }
            () = drains(&mut phase), if !draining => {
                draining = true;
                systemd::stopping(shutdown_timeout);
            }
        }
    }
}

async fn drains(phase: &mut watch::Receiver<Phase>) {
    drop(phase.wait_for(|phase| *phase == Phase::Draining).await);
}
