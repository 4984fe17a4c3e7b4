//! Made-up messages for unit tests.

use pelton_core::message::Message;
use pelton_core::ports::Work;
use std::sync::Arc;

/// A message with this id and nothing else.
pub(crate) fn work(id: &str) -> Work {
    Work {
        message: Arc::new(Message {
            id: id.to_owned(),
            pipeline: "p".into(),
            origin: "q".into(),
            ..Message::default()
        }),
        attempt: 1,
        lane: None,
        idempotency_key: id.to_owned(),
    }
}
