//! What leaves as CloudEvents: the setting `envelope` of targets and of places of dead letters.

use crate::settings::Section;
use pelton_core::broker::{DeadLetterPlace, OutboxTarget};
use pelton_decode::{EventLetters, EventTarget, Form};
use std::sync::Arc;

fn is_wanted(section: &Section<'_>) -> bool {
    section.word("envelope", &[("none", false), ("cloudevents", true)], false)
}

/// A target of what `pipeline` sends, with events where the file wants them.
pub fn target(
    section: &Section<'_>,
    target: Arc<dyn OutboxTarget>,
    form: Form,
    pipeline: &str,
) -> Arc<dyn OutboxTarget> {
    if is_wanted(section) { Arc::new(EventTarget::new(target, form, pipeline)) } else { target }
}

/// Letters at a broker, as events where the file wants them.
pub fn letters(
    section: &Section<'_>,
    place: Arc<dyn DeadLetterPlace>,
    form: Form,
) -> Arc<dyn DeadLetterPlace> {
    if !is_wanted(section) {
        return place;
    }
    if place.is_of_source() {
        let what = "is given beside `redrive`, by which the queue moves messages as they are; leave one of \
                    them out";
        section.problem("envelope", what);
        return place;
    }
    Arc::new(EventLetters::new(place, form))
}

/// What `what` are is read by Pelton alone.
pub fn none(section: &Section<'_>, what: &str) {
    if is_wanted(section) {
        let why =
            format!("is for brokers that others read, and {what} are read by Pelton alone; leave it out");
        section.problem("envelope", why);
    }
}
