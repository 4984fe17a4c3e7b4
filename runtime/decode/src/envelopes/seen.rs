//! What a handler sees of an opened envelope.

use super::Opened;
use pelton_core::{HeaderList, Message, Parts, letter};

/// Bytes of the headers that an envelope adds: names and values.
const MAX_BYTES: usize = 64 << 10;

/// Headers that are made of an envelope.
#[derive(Debug)]
pub struct Attributes {
    /// What the names of its own facts begin with. Whatever else has such a name gives way: a handler may
    /// rely on who has written it.
    prefix: &'static str,
    facts: Vec<(String, Vec<u8>)>,
    /// What else of the broker's headers says nothing of what is in the envelope.
    without: Vec<&'static str>,
    senders: Vec<(String, Vec<u8>)>,
}

impl Attributes {
    /// None yet; facts of the envelope have names that begin with this.
    pub fn new(prefix: &'static str) -> Self {
        Self { prefix, facts: Vec::new(), without: Vec::new(), senders: Vec::new() }
    }

    /// A fact of the envelope, by its name behind the prefix.
    pub fn fact(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.facts.push((format!("{}{name}", self.prefix), value.into()));
    }

    /// A header that the sender chose the name of. It cannot be a fact, nor a mark of ours.
    pub fn senders(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        let name = name.into();
        let begins =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(prefix));
        if !begins(self.prefix) && !begins(letter::PREFIX) {
            self.senders.push((name, value.into()));
        }
    }

    /// The header of this name that the broker has is not handed on.
    pub fn without(&mut self, name: &'static str) {
        self.without.push(name);
    }

    /// The message with these headers behind those that its broker has, and with this body. A header of the
    /// broker gives way to one of the same name.
    pub fn seen(self, message: &Message, body: &[u8]) -> Result<Opened, String> {
        self.seen_but(message, body, |_| false)
    }

    /// The same without further headers of the broker.
    pub fn seen_but(
        self,
        message: &Message,
        body: &[u8],
        gives_way: impl Fn(&str) -> bool,
    ) -> Result<Opened, String> {
        let added: Vec<&(String, Vec<u8>)> = self.facts.iter().chain(&self.senders).collect();
        let bytes: usize = added.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MAX_BYTES {
            return Err(format!(
                "its attributes have {bytes} bytes, and at most {MAX_BYTES} are taken: put large values into \
                 the data"
            ));
        }
        let names = || added.iter().map(|(name, _)| name.as_str()).chain(self.without.iter().copied());
        let stays = |name: &str| {
            let is_fact =
                name.get(..self.prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(self.prefix));
            !is_fact && !gives_way(name) && !names().any(|other| other.eq_ignore_ascii_case(name))
        };
        let mut headers: HeaderList =
            message.headers().iter().filter(|header| stays(header.name)).collect();
        added.iter().for_each(|(name, value)| headers.push_bytes(name.as_bytes(), Some(value)));
        let parts = Parts { headers: headers.view(), body, tombstone: false, ..message.parts() };
        Ok(Opened::Seen(Message::new(parts)))
    }
}
