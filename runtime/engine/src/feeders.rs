//! Pipelines that send into what another reads: it is not empty for good while one of them runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The names of the pipelines that run.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunningNames(Arc<Mutex<HashSet<Arc<str>>>>);

impl RunningNames {
    fn lock(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, name: &Arc<str>) {
        self.lock().insert(name.clone());
    }

    pub(crate) fn remove(&self, name: &str) {
        self.lock().remove(name);
    }
}

/// Those of one pipeline.
#[derive(Debug)]
pub(crate) struct Feeders {
    names: Vec<Arc<str>>,
    running: RunningNames,
    /// None ran when its source was last asked what is left.
    gone: bool,
}

impl Feeders {
    pub(crate) fn new(names: Vec<Arc<str>>, running: RunningNames) -> Self {
        Self { names, running, gone: false }
    }

    /// Before its source is asked what is left: what they sent until they ended is there then.
    pub(crate) fn look(&mut self) {
        let running = self.running.lock();
        self.gone = !self.names.iter().any(|name| running.contains(name));
    }

    pub(crate) fn are_gone(&self) -> bool {
        self.gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_gone_when_the_last_has_ended() {
        let running = RunningNames::default();
        let names: Vec<Arc<str>> = vec!["orders".into(), "payments".into()];
        names.iter().for_each(|name| running.add(name));
        let mut feeders = Feeders::new(names, running.clone());
        for (ends, gone) in [("others", false), ("orders", false), ("payments", true)] {
            running.remove(ends);
            feeders.look();
            assert_eq!(feeders.are_gone(), gone, "{ends}");
        }
    }
}
