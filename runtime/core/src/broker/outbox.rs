//! Where messages of an outbox go: a place at a broker, as a pipeline grants it to its handler.

use super::{Diagnosis, OpenError, Publisher};
use crate::effects::StagedMessage;
use std::any::Any;
use std::fmt::Debug;

/// A place at a broker that a pipeline sends to. It is made from its table of the configuration; nothing is
/// asked of the broker before `diagnose` or `publisher`.
pub trait OutboxPlace: Any + Debug + Send + Sync {
    /// Where it is, for people: `kafka audit`. Without a login.
    fn describe(&self) -> String;

    /// Whether another is configured alike: then a reload leaves what sends there alone.
    fn is_same(&self, other: &dyn OutboxPlace) -> bool;

    /// What stands against sending there, as far as that is known without asking the broker. Nothing begins.
    /// Blocks.
    fn probe(&self) -> Vec<String>;

    /// Asks the broker whether it is there, and whether this user may send. Nothing is sent. Blocks.
    fn diagnose(&self) -> Diagnosis;

    /// What of a message it could never carry, in words for the handler that sends it. A delay is no reason:
    /// what the broker lacks of it, the relay keeps.
    fn refuses(&self, message: &StagedMessage) -> Option<String>;

    /// The longest delay that the broker keeps for a message by itself, in milliseconds; none is 0. The relay
    /// keeps longer ones.
    fn longest_delay_ms(&self) -> u64;

    /// The way out. Blocks, where the broker is asked for it.
    ///
    /// # Errors
    /// Nothing could ever be sent like that, or the broker does not answer.
    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError>;
}

impl dyn OutboxPlace {
    /// This as the configuration of one broker's place, if it is that broker's.
    pub fn of<T: OutboxPlace>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}
