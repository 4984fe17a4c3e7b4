//! The last failure of a message, until its letter is written: the letter is its consequence.

use pelton_core::Message;
use pelton_core::trace::{SpanContext, TraceId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Failures that are remembered. A letter of an older one is a part of its trace all the same.
const MOST: usize = 4_096;

/// Failures by what their messages are known by.
#[derive(Default)]
pub struct Recent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    spans: BTreeMap<TraceId, SpanContext>,
    order: VecDeque<TraceId>,
}

impl Recent {
    /// A handler has failed.
    pub fn note(&self, message: &Message, span: SpanContext) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = TraceId::of_message(message);
        if kept.spans.insert(key, span).is_none() {
            kept.order.push_back(key);
        }
        if kept.order.len() > MOST
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.spans.remove(&oldest);
        }
    }

    /// The last failure.
    pub fn take(&self, message: &Message) -> Option<SpanContext> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let span = kept.spans.remove(&TraceId::of_message(message))?;
        // Its place in the order goes when it is the oldest.
        Some(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::Parts;
    use pelton_core::trace::SpanId;

    #[test]
    fn the_oldest_are_forgotten() {
        let recent = Recent::default();
        let message = |n: usize| Message::new(Parts::named(&n.to_string()));
        let span = |n: usize| {
            let trace = TraceId::of_message(&message(n));
            SpanContext { trace, span: SpanId::scattered(1, 1), sampled: true, random: false }
        };
        (0..=MOST).for_each(|n| recent.note(&message(n), span(n)));
        assert_eq!([recent.take(&message(0)), recent.take(&message(1))], [None, Some(span(1))]);
        assert_eq!(recent.take(&message(1)), None);
        (0..3 * MOST).for_each(|n| {
            recent.note(&message(n), span(n));
            recent.take(&message(n));
        });
        let kept = recent.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(kept.order.len() <= MOST && kept.spans.len() <= MOST, "{}", kept.order.len());
    }
}
