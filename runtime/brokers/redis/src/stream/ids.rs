//! The ids of entries, as the server writes them.

use super::Stream;
use crate::fields::EntryId;
use pelton_broker_common::log_throttle::LogThrottle;
use pelton_core::shown::shown;
use std::time::Instant;

/// Reads ids. An entry whose id is none cannot be asked for or acknowledged: it is left alone, which is said.
#[derive(Debug, Default)]
pub struct Ids(LogThrottle);

impl Ids {
    /// Otherwise how many there were since it was said last, when it is to be said now.
    fn read(&self, text: &str, now: Instant) -> Result<EntryId, Option<u64>> {
        EntryId::parse(text).ok_or_else(|| self.0.again(1, now))
    }
}

impl Stream {
    /// The id of an entry.
    pub fn id(&self, text: &str) -> Option<EntryId> {
        match self.ids.read(text, Instant::now()) {
            Ok(id) => return Some(id),
            Err(Some(times)) => tracing::warn!(
                pipeline = %self.shared.pipeline, stream = self.shared.key, times, example = %shown(text),
                "the server named entries by ids that are not of the form MS-SEQ: they cannot be \
                 acknowledged and are skipped. Look at what stands between Pelton and the server"
            ),
            Err(None) => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_broker_common::log_throttle::SAY_AGAIN;

    #[test]
    fn what_is_no_id_is_counted_and_said_once_in_a_while() {
        let (ids, now) = (Ids::default(), Instant::now());
        assert_eq!(ids.read("5-3", now), Ok(EntryId { ms: 5, seq: 3 }));
        let odd = ["", "-", "5-", "5-3-1", "x-1", "-5-3", "18446744073709551616-0", "5-3\n"];
        let told: Vec<_> = odd.iter().map(|text| ids.read(text, now)).collect();
        assert_eq!(told[0], Err(Some(1)), "at once");
        assert_eq!(told[1..], [Err(None); 7], "not each");
        assert_eq!(ids.read("?", now + SAY_AGAIN), Err(Some(8)), "none is forgotten");
    }
}
