//! An item of a processing list: a body, behind the number that it was given when it was taken.

use crate::in_flight::ServerPosition;
use pelton_core::number::of_an_id;
use pelton_core::{Channel, Message, Name, Parts};
use std::sync::Arc;

/// As it is in the processing list.
pub fn of((ms, number): ServerPosition, body: &[u8]) -> Vec<u8> {
    [format!("{ms}-{number}|").as_bytes(), body].concat()
}

/// Its number; none for what is no such item.
pub fn place(bytes: &[u8]) -> Option<ServerPosition> {
    Some(parts(bytes)?.0)
}

/// Its number, for people.
pub fn named(bytes: &[u8]) -> String {
    place(bytes).map_or_else(|| "without a number".to_owned(), |(ms, number)| format!("{ms}-{number}"))
}

/// Takes it apart.
pub fn message(channel: &Arc<Channel>, bytes: &[u8]) -> Option<(ServerPosition, Message)> {
    let (place, body) = parts(bytes)?;
    let name = Name::Pair(place.0, place.1);
    Some((place, Message::new(Parts { channel, name, body, ..Parts::default() })))
}

fn parts(bytes: &[u8]) -> Option<(ServerPosition, &[u8])> {
    let end = bytes.iter().take(64).position(|b| *b == b'|')?;
    let (ms, number) = std::str::from_utf8(&bytes[..end]).ok()?.split_once('-')?;
    // An item is removed by its bytes, which are made of its number again.
    Some(((of_an_id(ms)?, of_an_id(number)?), &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_back() {
        for body in [&b"x"[..], b"", b"|1-2|", &[0, 0xff]] {
            let item = of((7, 9), body);
            let (place, message) =
                message(&Arc::new(Channel::new("p", "orders")), &item).expect("it is one");
            assert_eq!((place, &*message.id().text(), message.body()), ((7, 9), "orders/7-9", body));
        }
        assert_eq!([place(b"x"), place(b"1|x"), place(b"a-1|x")], [None; 3]);
        for odd in [
            "+1-2|x",
            "1-+2|x",
            "01-2|x",
            "1-00|x",
            "-|x",
            "1-|x",
            " 1-2|x",
            "1-2 |x",
            "1--2|x",
            "\u{661}-1|x",
        ] {
            assert_eq!(place(odd.as_bytes()), None, "{odd}: it could not be removed");
        }
        assert_eq!(place(b"0-0|x"), Some((0, 0)));
    }
}
