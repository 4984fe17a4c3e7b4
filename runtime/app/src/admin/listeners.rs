//! Who listens to events: so many at once.

use super::problem::Problem;
use axum::http::StatusCode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clients at once, and those of them that one name may have.
const CLIENTS: usize = 32;
const OF_ONE: usize = 4;

/// How many times each name listens.
#[derive(Default)]
pub struct Listeners(Mutex<HashMap<Arc<str>, usize>>);

/// One that listens, until it is dropped.
pub struct Listening(Arc<Listeners>, Arc<str>);

impl Listeners {
    fn all(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place.
    pub fn begin(this: &Arc<Self>, name: &Arc<str>) -> Result<Listening, Problem> {
        let mut all = this.all();
        let too_many = |what: String| Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, what));
        if all.values().sum::<usize>() >= CLIENTS {
            return too_many(format!("{CLIENTS} clients listen to events already"));
        }
        let own = all.get(name).copied().unwrap_or(0);
        if own >= OF_ONE {
            return too_many(format!("`{name}` listens to events {OF_ONE} times already"));
        }
        all.insert(name.clone(), own + 1);
        Ok(Listening(this.clone(), name.clone()))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut all = self.0.all();
        let left = all.get(&self.1).map_or(0, |own| own.saturating_sub(1));
        if left == 0 {
            all.remove(&self.1);
        } else {
            all.insert(self.1.clone(), left);
        }
    }
}
