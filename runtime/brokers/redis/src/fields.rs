//! Messages as the fields of stream entries, and back.
//!
//! A producer's fields are the body, the key and headers, as the configuration names them. Fields that
//! begin with `pelton-` are ours: what a message has that a stream has no place for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pelton_broker_common::packed::{packed, unpacked};
use pelton_core::broker::Outgoing;
use pelton_core::effects::ID_HEADER;
use pelton_core::number::of_an_id;
use pelton_core::{Channel, Header, HeaderList, Lane, Message, Name, Parts, letter};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The id that a message has, where its producer gave one, or a replay gave it back.
pub const MESSAGE_ID: &str = "pelton-message-id";
/// When it was published, in milliseconds since the epoch, where its entry's id does not tell.
pub const PUBLISHED_AT: &str = "pelton-published-at-ms";
/// Headers that cannot be fields: a JSON array of what `packed` makes of each.
const HEADERS: &str = "pelton-headers";
/// Bytes of an id.
const MAX_ID: usize = 512;
/// What the body is called where nobody has named it.
const BODY: &str = "body";

/// A field: its name and its value.
pub type Field = (Vec<u8>, Vec<u8>);

/// The place of an entry in its stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Milliseconds since the epoch, where the server gives the ids.
    pub ms: u64,
    /// Counts those of one millisecond.
    pub seq: u64,
}

impl EntryId {
    /// Reads `MS-SEQ`, or `MS` alone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (ms, seq) = text.split_once('-').unwrap_or((text, "0"));
        Some(Self { ms: of_an_id(ms)?, seq: of_an_id(seq)? })
    }
}

impl EntryId {
    /// The first id behind this one; none behind the last.
    #[must_use]
    pub fn after(self) -> Option<Self> {
        match (self.ms, self.seq) {
            (u64::MAX, u64::MAX) => None,
            (ms, u64::MAX) => Some(Self { ms: ms + 1, seq: 0 }),
            (ms, seq) => Some(Self { ms, seq: seq + 1 }),
        }
    }

    /// The last id before this one; none before the first.
    #[must_use]
    pub fn before(self) -> Option<Self> {
        match (self.ms, self.seq) {
            (0, 0) => None,
            (ms, 0) => Some(Self { ms: ms - 1, seq: u64::MAX }),
            (ms, seq) => Some(Self { ms, seq: seq - 1 }),
        }
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// Which fields are what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The field with the body. When it is left out, the only field; or all as a JSON object.
    pub body: Option<String>,
    /// The field with the ordering key, if there is one.
    pub key: Option<String>,
}

/// Whether its producer gave it an id.
pub fn is_named(fields: &[Field]) -> bool {
    fields.iter().any(|(name, _)| name == MESSAGE_ID.as_bytes())
}

/// Takes an entry apart: the message, and its lane.
pub fn message(
    channel: &Arc<Channel>,
    id: EntryId,
    fields: Vec<Field>,
    names: &Names,
) -> (Message, Option<Lane>) {
    let named =
        |name: &str| fields.iter().find(|(n, _)| n == name.as_bytes()).map(|(_, value)| value.clone());
    let text = |name: &str| named(name).and_then(|value| String::from_utf8(value).ok());
    let key = names.key.as_deref().and_then(named);
    let is_id = |id: &String| (1..=MAX_ID).contains(&id.len()) && !id.contains(char::is_control);
    let own_id = text(MESSAGE_ID).filter(is_id);
    let published = text(PUBLISHED_AT).and_then(|ms| ms.parse().ok()).unwrap_or(id.ms);
    let replay = named(letter::REPLAY);
    let packed = text(HEADERS).and_then(|text| unpacked(&text)).unwrap_or_default();
    let own: Vec<Field> = fields.into_iter().filter(|(name, _)| !is_ours(name)).collect();
    let (body, mut headers) = body_and_headers(own, names);
    packed.iter().for_each(|header| headers.push(&header.name, header.value()));
    replay.iter().for_each(|value| headers.push(letter::REPLAY, Some(value)));
    let lane = key.as_deref().map(Lane::of);
    let message = Message::new(Parts {
        channel,
        name: own_id.as_deref().map_or(Name::Pair(id.ms, id.seq), Name::Text),
        key: key.as_deref(),
        headers: headers.view(),
        tombstone: body.is_none(),
        body: body.as_deref().unwrap_or_default(),
        published_at_ms: Some(published),
        replayed: replay.is_some(),
    });
    (message, lane)
}

/// Whether a field is a mark of ours, as of headers.
fn is_ours(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(letter::is_ours)
}

/// The body, and what is neither that nor the key. Of several fields with such a name the first is it.
fn body_and_headers(own: Vec<Field>, names: &Names) -> (Option<Vec<u8>>, HeaderList) {
    let first = |wanted: &str| own.iter().position(|(name, _)| name == wanted.as_bytes());
    let key_at = names.key.as_deref().and_then(first);
    let Some(body) = &names.body else {
        let is_id = |(name, _): &&Field| name == ID_HEADER.as_bytes();
        let mut others = own.iter().enumerate().filter(|(at, field)| Some(*at) != key_at && !is_id(field));
        let body = match (others.next(), others.next()) {
            (None, _) => None,
            (Some((_, (_, only))), None) => Some(only.clone()),
            (Some(_), Some(_)) => Some(as_json(own.iter().filter(|field| !is_id(field)))),
        };
        let mut headers = HeaderList::default();
        own.iter().filter(is_id).for_each(|(name, value)| headers.push_bytes(name, Some(value)));
        return (body, headers);
    };
    let (body_at, mut found, mut headers) = (first(body), None, HeaderList::default());
    for (at, (name, value)) in own.into_iter().enumerate() {
        if Some(at) == body_at {
            found = Some(value);
        } else if Some(at) != key_at {
            headers.push_bytes(&name, Some(&value));
        }
    }
    (found, headers)
}

/// All fields as one object. A name that comes again has a list, in order; bytes that are no text are
/// `{"base64": "..."}`, and in a name what headers make of them.
fn as_json<'f>(fields: impl Iterator<Item = &'f Field>) -> Vec<u8> {
    let mut all: Map<String, Value> = Map::new();
    for (name, value) in fields {
        let value = match std::str::from_utf8(value) {
            Ok(text) => json!(text),
            Err(_) => json!({ "base64": STANDARD.encode(value) }),
        };
        match all.entry(Header::of_bytes(name, None).name) {
            serde_json::map::Entry::Vacant(place) => drop(place.insert(value)),
            serde_json::map::Entry::Occupied(mut place) => match place.get_mut() {
                Value::Array(list) => list.push(value),
                first => *first = json!([first.take(), value]),
            },
        }
    }
    Value::Object(all).to_string().into_bytes()
}

/// The fields of a message, as `message` reads them.
///
/// # Errors
/// When the stream has no place for its key, in words.
pub fn fields(message: &Outgoing<'_>, names: &Names) -> Result<Vec<Field>, String> {
    let mut all: Vec<Field> = Vec::new();
    let mut put = |name: &[u8], value: Vec<u8>| all.push((name.to_vec(), value));
    match (&names.key, &message.key) {
        (Some(name), Some(key)) => put(name.as_bytes(), key.to_vec()),
        (None, Some(_)) => {
            return Err(
                "it has a key, and the source has no `key_field` to put it into: name one".to_owned()
            );
        }
        (_, None) => {}
    }
    let own: Vec<Header> = letter::own(&message.headers).collect();
    let is_taken =
        |h: &&Header| Some(&h.name) == names.body.as_ref() || Some(&h.name) == names.key.as_ref();
    if names.body.is_some() && !own.iter().any(|h| is_taken(&h) || h.null) {
        own.into_iter().for_each(|h| put(&h.name_bytes(), h.value.clone()));
    } else if !own.is_empty() {
        put(HEADERS.as_bytes(), own.iter().map(packed).collect::<Value>().to_string().into_bytes());
    }
    let text = |text: &str| text.as_bytes().to_vec();
    let ours = [
        (MESSAGE_ID, message.id.as_deref().map(text)),
        (PUBLISHED_AT, message.published_at_ms.map(|ms| text(&ms.to_string()))),
        (letter::REPLAY, message.replay.as_ref().map(|replay| text(&replay.name))),
        (names.body.as_deref().unwrap_or(BODY), message.body.as_deref().map(<[u8]>::to_vec)),
    ];
    ours.into_iter()
        .for_each(|(name, value)| value.into_iter().for_each(|value| put(name.as_bytes(), value)));
    if all.is_empty() {
        // An entry has at least one field.
        all.push((HEADERS.as_bytes().to_vec(), b"[]".to_vec()));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(body: Option<&str>, key: Option<&str>) -> Names {
        Names { body: body.map(str::to_owned), key: key.map(str::to_owned) }
    }

    fn read(fields: &[(&str, &[u8])], names: &Names) -> Message {
        let fields = fields.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.to_vec())).collect();
        message(&Arc::new(Channel::new("p", "orders")), EntryId { ms: 7, seq: 1 }, fields, names).0
    }

    #[test]
    fn ids_sort_by_their_numbers() {
        let ids = ["9-10", "10-2", "10-10"].map(|id| EntryId::parse(id).unwrap());
        assert!(ids.is_sorted());
        assert_eq!(ids[2].to_string(), "10-10");
        let last = EntryId { ms: u64::MAX, seq: u64::MAX };
        assert_eq!((last.after(), EntryId::default().before()), (None, None));
        assert_eq!(
            EntryId { ms: 5, seq: u64::MAX }.after().map(|id| id.to_string()).as_deref(),
            Some("6-0")
        );
        assert!(ids.iter().all(|id| id.after().and_then(EntryId::before) == Some(*id)));
        assert_eq!(EntryId::parse("5"), Some(EntryId { ms: 5, seq: 0 }));
        assert_eq!([EntryId::parse(""), EntryId::parse("a-b"), EntryId::parse("$")], [None; 3]);
    }

    #[test]
    fn a_body_is_a_field_the_only_one_or_all_as_json() {
        let one = read(
            &[("tenant", b"n"), ("data", b"x"), ("customer", b"c")],
            &names(Some("data"), Some("customer")),
        );
        assert_eq!((one.body(), one.key(), one.headers().len()), (&b"x"[..], Some(&b"c"[..]), 1));
        assert_eq!((&*one.id().text(), one.published_at_ms()), ("orders/7-1", Some(7)));
        let only = read(&[("customer", b"c"), ("any", b"x")], &names(None, Some("customer")));
        assert_eq!((only.body(), only.key()), (&b"x"[..], Some(&b"c"[..])));
        let all = read(&[("a", b"1"), ("b", b"2"), ("a", &[0xff])], &names(None, None));
        assert_eq!(std::str::from_utf8(all.body()).unwrap(), r#"{"a":["1",{"base64":"/w=="}],"b":"2"}"#);
        let twice = [("k", &b"c"[..]), ("data", b"x"), ("k", b"d"), ("data", b"y")];
        let both = read(&twice, &names(Some("data"), Some("k")));
        let left: Vec<(&str, &[u8])> = both.headers().iter().map(|h| (h.name, h.value)).collect();
        assert_eq!((both.body(), both.key()), (&b"x"[..], Some(&b"c"[..])));
        assert_eq!(left, [("k", &b"d"[..]), ("data", b"y")], "nothing is dropped");
        let none = read(&[("a", b"1")], &names(Some("data"), None));
        assert!(none.tombstone() && none.body().is_empty());
    }

    #[test]
    fn what_is_written_is_read() {
        let channel = Arc::new(Channel::new("p", "s"));
        let header = |name: &str, value: &[u8]| Header::new(name, value);
        for names in [names(Some("data"), Some("k")), names(None, Some("k"))] {
            for headers in [
                vec![],
                vec![header("a", b"1"), header("a", &[0xff])],
                vec![header("data", b"1")],
                vec![header("pelton-id", b"7")],
            ] {
                let sent = Outgoing {
                    id: Some("mine".into()),
                    key: Some(vec![0xff].into()),
                    headers: headers.clone().into(),
                    published_at_ms: Some(3),
                    ..Outgoing::of(&b"x"[..])
                };
                let fields = fields(&sent, &names).unwrap();
                let (read, lane) = message(&channel, EntryId::default(), fields, &names);
                assert_eq!(read.headers().to_vec(), headers);
                assert_eq!((read.body(), read.key()), (&b"x"[..], sent.key.as_deref()));
                assert_eq!(
                    (&*read.id().text(), read.published_at_ms(), lane.is_some()),
                    ("mine", Some(3), true)
                );
            }
        }
        let none = fields(&Outgoing::default(), &names(None, None)).unwrap();
        assert!(message(&channel, EntryId::default(), none, &names(None, None)).0.tombstone());
        let keyed = Outgoing { key: Some(Vec::new().into()), ..Outgoing::default() };
        assert!(fields(&keyed, &names(None, None)).unwrap_err().contains("`key_field`"));
    }
}
