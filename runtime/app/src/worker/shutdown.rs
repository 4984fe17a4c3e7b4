//! How a worker ends.

use crate::exit::{Fail, INTERNAL};
use pelton_engine::{Stopped, Why};
use pelton_store::Store;

/// Says what ended though nobody told it to.
pub fn stopped_fail(store: &Store, stopped: &[Stopped]) -> Fail {
    let of_store = stopped.iter().find(|one| one.why == Why::Store).zip(store.failed());
    if let Some((Stopped { pipeline, .. }, why)) = of_store {
        return Fail::new(
            INTERNAL,
            anyhow::anyhow!(
                "the worker stopped, because the store failed in pipeline {pipeline}: {why}. Nothing that \
                 was confirmed is lost; check the disk, then start again"
            ),
        );
    }
    if stopped.iter().all(|one| matches!(one.why, Why::Paused(_))) {
        let one =
            |Stopped { pipeline, why }: &Stopped| format!("pipeline {pipeline} was not emptied: {why}");
        return Fail::refused(stopped.iter().map(one).collect::<Vec<_>>().join("; "));
    }
    let one = |Stopped { pipeline, why }: &Stopped| format!("pipeline {pipeline} stopped: {why}");
    let all: Vec<String> = stopped.iter().map(one).collect();
    Fail::new(
        INTERNAL,
        anyhow::anyhow!(
            "{}. Nothing that was confirmed is lost; mend that, then start again",
            all.join("; ")
        ),
    )
}
