//! What a case says of state, outgoing messages and configuration, and whether what came is what was wanted.

use super::body::{BodyParts, is_part};
use super::http::{self, Expected, RawRequest, missing_header};
use super::sql::{RawSql, SqlWanted};
use super::written::{Headers, base64_of, duration};
use crate::harness::Sent;
use crate::project::grants::OWN_STORE;
use pelton_core::shown::shown;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Keys of a store with their values, for each store.
pub type Stores = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// What a case gives its handler to have effects on, and what it wants of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CaseEffects {
    pub http: Vec<Expected>,
    pub config: BTreeMap<String, String>,
    pub before: Stores,
    /// None: anything may be there.
    pub after: Option<BTreeMap<String, BTreeMap<Vec<u8>, StateWanted>>>,
    pub sent: Vec<SentWanted>,
    pub sql: Vec<SqlWanted>,
}

impl CaseEffects {
    /// The stores that it names.
    pub fn stores(&self) -> impl Iterator<Item = &str> {
        let after = self.after.iter().flat_map(BTreeMap::keys);
        self.before.keys().chain(after).map(String::as_str)
    }
}

/// What a key is to have.
#[derive(Debug, Clone, PartialEq)]
pub enum StateWanted {
    Bytes(Vec<u8>),
    /// This among other things.
    Json(Value),
    Absent,
}

/// A message that is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct SentWanted {
    pub target: String,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    body: BodyParts,
    delay: Option<Duration>,
    topic: Option<String>,
}

type RawStore = BTreeMap<String, toml::Value>;

#[derive(Deserialize, Default)]
pub struct RawEffects {
    #[serde(default)]
    http: Vec<RawRequest>,
    #[serde(default)]
    config: BTreeMap<String, String>,
    state: Option<RawStore>,
    state_after: Option<RawStore>,
    #[serde(default)]
    stores: BTreeMap<String, RawStore>,
    stores_after: Option<BTreeMap<String, RawStore>>,
    #[serde(default)]
    sent: Vec<RawSent>,
    #[serde(default)]
    sql: Vec<RawSql>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSent {
    target: String,
    key: Option<String>,
    headers: Option<Headers>,
    body: Option<String>,
    json: Option<toml::Value>,
    delay: Option<String>,
    topic: Option<String>,
}

impl RawEffects {
    /// As it stands in a file of `folder`.
    pub fn read(self, folder: &Path) -> Result<CaseEffects, String> {
        let request = |(raw, number): (RawRequest, usize)| {
            Expected::read(raw, folder).map_err(|why| format!("http {number}: {why}"))
        };
        let message =
            |(raw, number): (RawSent, usize)| sent(raw).map_err(|why| format!("sent {number}: {why}"));
        let sql = |(raw, number): (RawSql, usize)| raw.read().map_err(|why| format!("sql {number}: {why}"));
        let before = with_default(self.stores, self.state);
        let after = match (self.stores_after, self.state_after) {
            (None, None) => None,
            (stores, own) => Some(with_default(stores.unwrap_or_default(), own)),
        };
        Ok(CaseEffects {
            http: self.http.into_iter().zip(1..).map(request).collect::<Result<_, _>>()?,
            config: self.config,
            before: each("state", before, given)?,
            after: after.map(|after| each("state_after", after, wanted)).transpose()?,
            sent: self.sent.into_iter().zip(1..).map(message).collect::<Result<_, _>>()?,
            sql: self.sql.into_iter().zip(1..).map(sql).collect::<Result<_, _>>()?,
        })
    }
}

fn with_default(
    mut stores: BTreeMap<String, RawStore>,
    own: Option<RawStore>,
) -> BTreeMap<String, RawStore> {
    if let Some(own) = own {
        stores.entry(OWN_STORE.to_owned()).or_default().extend(own);
    }
    stores
}

fn each<T>(
    what: &str,
    stores: BTreeMap<String, RawStore>,
    read: impl Fn(toml::Value) -> Result<T, String>,
) -> Result<BTreeMap<String, BTreeMap<Vec<u8>, T>>, String> {
    let store = |(name, store): (String, RawStore)| {
        let key = |(key, value): (String, toml::Value)| {
            let value = read(value).map_err(|why| format!("{what}: the key {}: {why}", shown(&key)))?;
            Ok((key.into_bytes(), value))
        };
        let keys = store.into_iter().map(key).collect::<Result<_, String>>()?;
        Ok((name, keys))
    };
    stores.into_iter().map(store).collect()
}

/// A value to begin with.
fn given(value: toml::Value) -> Result<Vec<u8>, String> {
    match wanted(value)? {
        StateWanted::Bytes(bytes) => Ok(bytes),
        StateWanted::Json(json) => Ok(json.to_string().into_bytes()),
        StateWanted::Absent => Err("what is not there is left out".to_owned()),
    }
}

/// Text is its bytes, a number is a counter, a table or a list is JSON, `false` is nothing.
fn wanted(value: toml::Value) -> Result<StateWanted, String> {
    match value {
        toml::Value::String(text) => Ok(StateWanted::Bytes(text.into_bytes())),
        toml::Value::Integer(number) => Ok(StateWanted::Bytes(number.to_string().into_bytes())),
        toml::Value::Boolean(false) => Ok(StateWanted::Absent),
        toml::Value::Table(table) if table.len() == 1 && table.contains_key("base64") => {
            base64_of(&table).map(StateWanted::Bytes)
        }
        value @ (toml::Value::Table(_) | toml::Value::Array(_)) => {
            serde_json::to_value(value).map(StateWanted::Json).map_err(|error| error.to_string())
        }
        _ => {
            Err("give a text, a number, JSON as a table or list, { base64 = \"...\" }, or false for a key \
                  that is not there"
                .to_owned())
        }
    }
}

fn sent(raw: RawSent) -> Result<SentWanted, String> {
    Ok(SentWanted {
        target: raw.target,
        key: raw.key.map(String::into_bytes),
        headers: raw.headers.map(Headers::pairs).unwrap_or_default(),
        body: http::parts(raw.body, raw.json)?,
        delay: duration("delay", raw.delay)?,
        topic: raw.topic,
    })
}

impl StateWanted {
    pub fn is(&self, got: Option<&Vec<u8>>) -> bool {
        match (self, got) {
            (Self::Bytes(wanted), Some(got)) => wanted == got,
            (Self::Json(wanted), Some(got)) => {
                serde_json::from_slice(got).is_ok_and(|got: Value| is_part(wanted, &got))
            }
            (Self::Absent, got) => got.is_none(),
            (Self::Bytes(_) | Self::Json(_), None) => false,
        }
    }

    pub fn words(&self) -> String {
        match self {
            Self::Bytes(bytes) => format!("\"{}\"", shown(bytes).at_most(200)),
            Self::Json(json) => format!("JSON with {}", shown(&json.to_string()).at_most(200)),
            Self::Absent => "nothing".to_owned(),
        }
    }
}

impl SentWanted {
    /// What of it is missing in a message, in words; none when it is all there.
    pub fn missing_in(&self, sent: &Sent) -> Option<String> {
        let message = &sent.message;
        if self.target != sent.target {
            return Some(format!("the target {}", shown(&self.target)));
        }
        if let Some(key) = self.key.as_ref().filter(|key| message.key.as_ref() != Some(key)) {
            return Some(format!("the key \"{}\"", shown(key)));
        }
        if let Some(topic) = self.topic.as_ref().filter(|topic| message.topic.as_ref() != Some(topic)) {
            return Some(format!("the topic {}", shown(topic)));
        }
        let delay = message.delay_ms.map(Duration::from_millis);
        if let Some(wanted) = self.delay.filter(|wanted| delay != Some(*wanted)) {
            return Some(format!("a delay of {wanted:?}"));
        }
        let pair = |header: &pelton_core::header::Header| (header.name.clone(), header.value.clone());
        let headers: Vec<(String, Vec<u8>)> = message.headers.iter().map(pair).collect();
        missing_header(&self.headers, &headers).or_else(|| self.body.missing_in(&message.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CaseEffects, String> {
        toml::from_str::<RawEffects>(text).map_err(|error| error.to_string())?.read(Path::new("/p/tests"))
    }

    #[test]
    fn state_is_text_counters_json_or_bytes() {
        let case = read(
            "state = { a = \"x\", n = 7, j = { b = [1] }, z = { base64 = \"AAE=\" } }\n\
             stores.totals = { c1 = 1 }",
        )
        .expect("good");
        let own = &case.before[OWN_STORE];
        let value = |key: &str| own[key.as_bytes()].as_slice();
        assert_eq!((value("a"), value("n"), value("z")), (&b"x"[..], &b"7"[..], &[0, 1][..]));
        assert_eq!(value("j"), br#"{"b":[1]}"#);
        assert_eq!(case.before["totals"][&b"c1"[..]], b"1");
        assert_eq!(case.after, None);
    }

    #[test]
    fn a_case_that_says_nothing_of_state_wants_no_store() {
        let stores = |text: &str| read(text).expect("good").stores().count();
        assert_eq!((stores(""), stores("[config]\na = \"b\""), stores("state = {}")), (0, 0, 1));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("state = { a = true }", "state: the key a: give a text"),
            ("state = { a = false }", "left out"),
            ("state_after = { a = 1.5 }", "give a text"),
            ("state = { a = { base64 = \"%\" } }", "base64"),
            ("[[sent]]\nkey = \"a\"", "target"),
            ("[[sent]]\ntarget = \"a\"\nbodi = \"b\"", "bodi"),
            ("[[sent]]\ntarget = \"a\"\ndelay = \"5\"", "sent 1: delay must be"),
            ("[[http]]\nurl = \"a\"", "http 1: "),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
