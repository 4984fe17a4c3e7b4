//! Made-up messages for unit tests.

use pelton_core::message::{Channel, Message, Parts};
use pelton_core::ports::Work;
use std::sync::Arc;

/// A message with this id and nothing else.
pub(crate) fn work(id: &str) -> Work {
    Work {
        message: Message::new(Parts { channel: &Arc::new(Channel::new("p", "q")), ..Parts::named(id) }),
        attempt: 1,
        lane: None,
        key: None,
        scope: None,
        redo: None,
    }
}
