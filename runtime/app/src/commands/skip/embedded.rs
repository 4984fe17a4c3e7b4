//! A message of an embedded queue: its letter and its removal are one transaction.

use super::one::Found;
use super::{Look, Place};

pub fn look(place: &Place, queue: &str) -> Result<Look, String> {
    if !place.runs {
        // The letter's transaction removes from the queue that the pipeline reads.
        place.store.queue(&place.ledger, queue).map_err(|error| error.to_string())?;
    }
    let found = place.store.queued(&place.pipeline.name, queue, &place.text);
    let delivery = found.map_err(|error| error.to_string())?.ok_or_else(|| {
        format!("the queue {queue} has no message {}; ids are as `pelton send` says them", place.text)
    })?;
    Ok(Look::Here(Found::read(delivery, true, Box::new(|| Ok(None)))))
}
