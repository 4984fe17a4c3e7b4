//! The order of keys in what is sent: behind a message that was not taken for now, none of its key goes.

use pelton_core::broker::{Outgoing, Published, Unsent};
use std::collections::HashSet;

/// What keeps its order: a destination, where one is named, and a key there.
type OrderedKey = (Option<String>, Vec<u8>);

/// The keys of which a message waits to be sent.
#[derive(Debug, Default)]
pub struct WaitingKeys(HashSet<OrderedKey>);

impl WaitingKeys {
    /// Whether a message has to wait for one before it.
    #[must_use]
    pub fn holds(&self, message: &Outgoing<'_>) -> bool {
        !self.0.is_empty() && key_of(message).is_some_and(|key| self.0.contains(&key))
    }

    /// Notes what became of a message. One that is refused for good lets those behind it pass.
    pub fn note(&mut self, message: &Outgoing<'_>, sent: &Published) {
        if matches!(sent, Err(unsent) if !unsent.for_good) {
            self.0.extend(key_of(message));
        }
    }

    /// What to say of a message that waits.
    #[must_use]
    pub fn unsent() -> Unsent {
        Unsent::for_now("one before it of its key was not sent")
    }
}

fn key_of(message: &Outgoing<'_>) -> Option<OrderedKey> {
    let (destination, key) = message.lane()?;
    Some((destination.map(str::to_owned), key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::broker::Sent;

    fn keyed(key: &str) -> Outgoing<'static> {
        Outgoing { key: Some(key.as_bytes().to_owned().into()), ..Outgoing::of(&b"x"[..]) }
    }

    #[test]
    fn only_what_may_pass_holds_its_key_up() {
        let mut waiting = WaitingKeys::default();
        waiting.note(&keyed("sent"), &Ok(Sent::as_it_is("1")));
        waiting.note(&keyed("refused"), &Err(Unsent::for_good("too large")));
        waiting.note(&keyed("later"), &Err(Unsent::for_now("away")));
        waiting.note(&Outgoing::of(&b"x"[..]), &Err(Unsent::for_now("away")));
        let held = ["sent", "refused", "later"].map(|key| waiting.holds(&keyed(key)));
        assert_eq!((held, waiting.holds(&Outgoing::of(&b"x"[..]))), ([false, false, true], false));
    }
}
