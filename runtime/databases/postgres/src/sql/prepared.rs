//! Statements that a connection has prepared, by their text.

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io;

/// So many of one connection are kept: the one that was not used for longest goes.
const MOST: usize = 256;

/// The statements of one connection.
///
/// A name is made of the text and the types of its parameters. So behind a pooler, which gives the statements
/// of several clients to one connection of the server, a name never stands for another text.
#[derive(Default)]
pub(crate) struct Prepared {
    known: FxHashMap<String, Known>,
    clock: u64,
}

struct Known {
    name: String,
    used: u64,
}

/// How a statement was sent.
pub(crate) struct Sent {
    /// What to execute: nothing is the statement without a name.
    pub name: String,
    /// What to forget when the server has not taken it; none of one that it had before.
    pub new: Option<String>,
}

impl Prepared {
    /// Prepares a statement under a name, if it is not prepared yet.
    pub(crate) fn name(&mut self, text: &str, types: &[u32], out: &mut BytesMut) -> io::Result<Sent> {
        let key = key_of(text, types);
        self.clock += 1;
        if let Some(known) = self.known.get_mut(&key) {
            known.used = self.clock;
            return Ok(Sent { name: known.name.clone(), new: None });
        }
        if self.known.len() >= MOST {
            self.close_oldest(out)?;
        }
        let name = name_of(&key);
        frontend::parse(&name, text, types.iter().copied(), out)?;
        self.known.insert(key.clone(), Known { name: name.clone(), used: self.clock });
        Ok(Sent { name, new: Some(key) })
    }

    /// One that the server did not take.
    pub(crate) fn forget(&mut self, key: &str) {
        self.known.remove(key);
    }

    fn close_oldest(&mut self, out: &mut BytesMut) -> io::Result<()> {
        let oldest = self.known.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone());
        let Some(known) = oldest.and_then(|key| self.known.remove(&key)) else { return Ok(()) };
        frontend::close(b'S', &known.name, out)
    }
}

/// The text, and the types that are told to the server, where any is.
fn key_of(text: &str, types: &[u32]) -> String {
    let mut key = text.to_owned();
    for (at, kind) in types.iter().enumerate().filter(|(_, kind)| **kind != 0) {
        // A text has no byte 0.
        key.push_str(&format!("\0{at}:{kind}"));
    }
    key
}

fn name_of(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    digest.iter().take(16).fold("pelton_".to_owned(), |mut name, byte| {
        // Text takes all that is written to it.
        name.write_fmt(format_args!("{byte:02x}")).unwrap_or_default();
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_prepared_once_and_the_oldest_goes() {
        let (mut prepared, mut out) = (Prepared::default(), BytesMut::new());
        let first = prepared.name("SELECT 0", &[], &mut out).unwrap();
        assert!(first.new.is_some() && first.name.len() == 39);
        let again = prepared.name("SELECT 0", &[0], &mut out).unwrap();
        assert!(again.new.is_none() && again.name == first.name, "types that are not told are none");
        let other = prepared.name("SELECT 0", &[17], &mut out).unwrap();
        assert!(other.new.is_some() && other.name != first.name);
        prepared.forget(&other.new.unwrap());
        for at in 1..MOST {
            prepared.name(&format!("SELECT {at}"), &[], &mut out).unwrap();
        }
        assert!(prepared.name("SELECT 0", &[], &mut out).unwrap().new.is_none());
        out.clear();
        assert!(prepared.name("SELECT 'one more'", &[], &mut out).unwrap().new.is_some());
        assert_eq!((prepared.known.len(), out[0]), (MOST, b'C'), "one was closed before");
        assert!(prepared.name("SELECT 0", &[], &mut out).unwrap().new.is_none());
        assert!(prepared.name("SELECT 1", &[], &mut out).unwrap().new.is_some(), "that one");
    }
}
