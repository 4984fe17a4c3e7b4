//! Since when the oldest message of a source waits, also where its broker does not say.

/// What is known at one look. Times are milliseconds since the epoch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    pub now_ms: u64,
    /// Messages that are not settled.
    pub unsettled: u64,
    /// When the oldest of them was published, where the source knows that.
    pub source_ms: Option<u64>,
    /// The same of those that are held here.
    pub held_ms: Option<u64>,
    /// When what was received last was published.
    pub received_ms: Option<u64>,
    pub paused: bool,
}

/// What earlier looks have told.
#[derive(Debug, Default)]
pub struct Age {
    /// When there was nothing, the last time.
    empty_ms: Option<u64>,
    /// The oldest that was known: what is given back at a pause is still there.
    known_ms: Option<u64>,
    first_ms: Option<u64>,
}

impl Age {
    /// When the oldest unsettled message was published; none when there is none. Where nobody says it, it is
    /// the latest time before which it cannot have been, as far as was seen from here.
    pub fn look(&mut self, look: Look) -> Option<u64> {
        let first = *self.first_ms.get_or_insert(look.now_ms);
        if look.unsettled == 0 && look.held_ms.is_none() {
            (self.empty_ms, self.known_ms) = (Some(look.now_ms), None);
            return None;
        }
        let told = look.source_ms.into_iter().chain(look.held_ms).min();
        if told.is_some() {
            self.known_ms = told;
            return told;
        }
        // What is behind the last one received is newer than that, unless it was given back.
        let behind = if look.paused { self.known_ms } else { look.received_ms };
        Some(behind.max(self.empty_ms).unwrap_or(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(now_ms: u64, unsettled: u64) -> Look {
        Look { now_ms, unsettled, ..Look::default() }
    }

    #[test]
    fn a_source_that_knows_is_believed_and_so_is_what_is_held() {
        let mut age = Age::default();
        let both = Look { source_ms: Some(40), held_ms: Some(30), ..look(100, 5) };
        assert_eq!(age.look(both), Some(30));
        assert_eq!(age.look(Look { held_ms: Some(60), ..look(110, 0) }), Some(60), "its count lags behind");
        assert_eq!(age.look(look(120, 0)), None);
    }

    #[test]
    fn of_a_paused_pipeline_the_oldest_stays_the_oldest() {
        let mut age = Age::default();
        assert_eq!(age.look(Look { held_ms: Some(50), received_ms: Some(90), ..look(100, 5) }), Some(50));
        let paused = Look { received_ms: Some(90), paused: true, ..look(1_000, 5) };
        assert_eq!(age.look(paused), Some(50));
        assert_eq!(age.look(Look { paused: false, ..paused }), Some(90), "all that was held is settled");
    }

    #[test]
    fn what_came_while_nobody_looked_came_after_there_was_nothing() {
        let mut age = Age::default();
        assert_eq!(age.look(look(100, 0)), None);
        let waits = |now| Look { paused: true, ..look(now, 3) };
        assert_eq!(age.look(waits(115)), Some(100));
        assert_eq!(age.look(waits(900)), Some(100), "it grows older");
        assert_eq!(Age::default().look(waits(900)), Some(900), "it cannot be known how old it is");
    }
}
