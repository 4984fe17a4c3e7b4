//! Effects in a handler's own tests, which run natively: answers that a test gives, state and messages that
//! it looks at afterwards.
//!
//! ```
//! use pelton_sdk::testing::{Answer, Effects};
//! use pelton_sdk::{Failure, Message, http, outbox, state};
//!
//! fn handle(message: Message) -> Result<(), Failure> {
//!     http::post("https://api.example/charges").body(message.body).send()?.ok()?;
//!     state::increment("charges", 1)?;
//!     outbox::send("receipts", "charged")?;
//!     Ok(())
//! }
//!
//! let effects = Effects::new().http("POST", "https://api.example/charges", Answer::status(201));
//! assert_eq!(handle(Message::builder().body("7").build()), Ok(()));
//! assert_eq!(effects.requests()[0].body.as_deref(), Some(&b"7"[..]));
//! assert_eq!(effects.state("charges").as_deref(), Some(&b"1"[..]));
//! assert_eq!(effects.sent()[0].target, "receipts");
//! ```

mod sql;

pub use sql::Reply;
pub(crate) use sql::{sql_execute, sql_query, sql_stage};

use crate::http::{Request, Response};
use crate::outbox::Outgoing;
use crate::{EffectError, Header};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;

thread_local! {
    /// A test has a thread of its own.
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct World {
    config: BTreeMap<String, String>,
    /// By store and key.
    state: BTreeMap<(String, String), Vec<u8>>,
    sent: Vec<Outgoing>,
    /// Method, URL, and what is answered; each is used once.
    answers: Vec<(String, String, Result<Answer, EffectError>)>,
    requests: Vec<Request>,
    databases: sql::Databases,
}

/// The effects of one test: what it gives and what came of it, on this thread until it is dropped.
#[derive(Debug)]
pub struct Effects {
    here: PhantomData<*const ()>,
}

/// What a request in a test is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "is given to `Effects::http`"]
pub struct Answer {
    status: u16,
    headers: Vec<Header>,
    body: Vec<u8>,
}

impl Answer {
    /// An answer with this status.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// One more header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// The body; text or bytes.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl Default for Effects {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Effects {
    fn drop(&mut self) {
        WORLD.take();
    }
}

impl Effects {
    /// Effects of a test that knows of nothing yet. Keep it in a variable.
    #[must_use]
    pub fn new() -> Self {
        WORLD.set(Some(World::default()));
        Self { here: PhantomData }
    }

    /// Gives a value of the configuration.
    #[must_use]
    pub fn config(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        with(|world| world.config.insert(name.into(), value.into()));
        self
    }

    /// Answers one request of this method and URL; several for the same are used in their order.
    #[must_use]
    pub fn http(self, method: &str, url: &str, answer: Answer) -> Self {
        with(|world| world.answers.push((method.into(), url.into(), Ok(answer))));
        self
    }

    /// Has one request of this method and URL fail, as with `EffectError::new("connection-timeout", "")`.
    #[must_use]
    pub fn http_fails(self, method: &str, url: &str, error: EffectError) -> Self {
        with(|world| world.answers.push((method.into(), url.into(), Err(error))));
        self
    }

    /// Puts a value into the store `default`.
    #[must_use]
    pub fn with_state(self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.with_state_in("default", key, value)
    }

    /// Puts a value into a store.
    #[must_use]
    pub fn with_state_in(
        self,
        store: impl Into<String>,
        key: impl Into<String>,
        value: impl Into<Vec<u8>>,
    ) -> Self {
        with(|world| world.state.insert((store.into(), key.into()), value.into()));
        self
    }

    /// The requests that were sent, in their order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        with(|world| world.requests.clone()).unwrap_or_default()
    }

    /// The messages that were sent, in their order.
    #[must_use]
    pub fn sent(&self) -> Vec<Outgoing> {
        with(|world| world.sent.clone()).unwrap_or_default()
    }

    /// What the store `default` has at a key.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.state_in("default", key)
    }

    /// What a store has at a key.
    #[must_use]
    pub fn state_in(&self, store: &str, key: &str) -> Option<Vec<u8>> {
        with(|world| world.state.get(&(store.into(), key.into())).cloned()).flatten()
    }
}

fn with<T>(act: impl FnOnce(&mut World) -> T) -> Option<T> {
    WORLD.with_borrow_mut(|world| world.as_mut().map(act))
}

/// A call of a handler: an error where the test has no effects.
fn called<T>(act: impl FnOnce(&mut World) -> Result<T, EffectError>) -> Result<T, EffectError> {
    with(act).unwrap_or_else(|| {
        let text =
            "no Pelton here: begin the test with `let effects = pelton_sdk::testing::Effects::new();`";
        Err(EffectError::new("unavailable", text))
    })
}

pub(crate) fn send(request: &Request) -> Result<Response, EffectError> {
    called(|world| {
        world.requests.push(request.clone());
        let fits =
            |(method, url, _): &(String, String, _)| *method == request.method && *url == request.url;
        let Some(found) = world.answers.iter().position(fits) else {
            let text = format!("the test has no answer for {} {}", request.method, request.url);
            return Err(EffectError::new("HTTP-request-denied", text));
        };
        let Answer { status, headers, body } = world.answers.remove(found).2?;
        Ok(Response { status, headers, body, of: request.shown() })
    })
}

pub(crate) fn config_get(name: &str) -> Result<Option<String>, EffectError> {
    called(|world| Ok(world.config.get(name).cloned()))
}

pub(crate) fn config_all() -> Result<Vec<(String, String)>, EffectError> {
    called(|world| Ok(world.config.clone().into_iter().collect()))
}

pub(crate) fn state_get(store: &str, key: &str) -> Result<Option<Vec<u8>>, EffectError> {
    called(|world| Ok(world.state.get(&(store.into(), key.into())).cloned()))
}

pub(crate) fn state_set(store: &str, key: &str, value: &[u8]) -> Result<(), EffectError> {
    called(|world| {
        world.state.insert((store.into(), key.into()), value.into());
        Ok(())
    })
}

pub(crate) fn state_delete(store: &str, key: &str) -> Result<(), EffectError> {
    called(|world| {
        world.state.remove(&(store.into(), key.into()));
        Ok(())
    })
}

pub(crate) fn state_increment(store: &str, key: &str, by: i64) -> Result<i64, EffectError> {
    let is = state_get(store, key)?.unwrap_or_else(|| b"0".to_vec());
    let number = std::str::from_utf8(&is).ok().and_then(|text| text.parse::<i64>().ok());
    let sum = number
        .and_then(|number| number.checked_add(by))
        .ok_or_else(|| EffectError::new("refused", format!("what is at `{key}` is no number to add to")))?;
    state_set(store, key, sum.to_string().as_bytes())?;
    Ok(sum)
}

pub(crate) fn state_list(store: &str) -> Result<Vec<String>, EffectError> {
    called(|world| {
        let of = world.state.keys().filter(|(name, _)| name == store);
        Ok(of.map(|(_, key)| key.clone()).collect())
    })
}

pub(crate) fn send_message(message: Outgoing) -> Result<String, EffectError> {
    called(|world| {
        world.sent.push(message);
        Ok(format!("test-{}", world.sent.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, http, outbox, state};

    #[test]
    fn without_effects_the_error_says_what_a_test_begins_with() {
        let error = state::get("a").unwrap_err();
        assert!(error.to_string().contains("Effects::new()"), "{error}");
    }

    #[test]
    fn answers_are_used_in_their_order_and_once() {
        let url = "https://a.example/b";
        let effects = Effects::new()
            .http("GET", url, Answer::status(503))
            .http_fails("GET", url, EffectError::new("connection-timeout", ""))
            .http("POST", url, Answer::status(201).header("a", "b").body("c"));
        assert_eq!(http::get(url).send().unwrap().status, 503);
        assert!(http::get(url).send().unwrap_err().is_timeout());
        assert!(http::get(url).send().unwrap_err().is_denied());
        let answer = http::post(url).json(&[1]).send().unwrap();
        assert_eq!((answer.header("A"), answer.text()), (Some("b"), "c".into()));
        assert_eq!(effects.requests().len(), 4);
        assert_eq!(effects.requests()[3].headers[0].value, b"application/json");
    }

    #[test]
    fn state_is_kept_by_store_and_key() {
        let effects = Effects::new().with_state("n", "41").with_state("text", "a");
        assert_eq!(state::increment("n", 1), Ok(42));
        assert_eq!(state::increment("m", -1), Ok(-1));
        assert_eq!(state::increment("text", 1).unwrap_err().code(), "refused");
        assert_eq!(state::compare_and_set("text", Some(b"b"), "c"), Ok(false));
        assert_eq!(state::compare_and_set("text", Some(b"a"), "c"), Ok(true));
        assert_eq!(state::store("totals").compare_and_set("new", None, "1"), Ok(true));
        state::set_json("json", &vec![1, 2]).unwrap();
        assert_eq!(state::get_json("json"), Ok(Some(vec![1, 2])));
        state::delete("m").unwrap();
        assert_eq!(state::list(), Ok(vec!["json".into(), "n".into(), "text".into()]));
        assert_eq!(effects.state_in("totals", "new").as_deref(), Some(&b"1"[..]));
    }

    #[test]
    fn configuration_and_messages_are_those_of_the_test() {
        let effects = Effects::new().config("region", "eu");
        assert_eq!(config::get("region"), Ok(Some("eu".into())));
        assert!(config::require("key").unwrap_err().to_string().contains("grants.config"));
        let id = outbox::to("mails").key("c-1").header("a", "b").body("hello").send().unwrap();
        assert_ne!(id, outbox::send("mails", "again").unwrap());
        assert_eq!(effects.sent()[0].key.as_deref(), Some(&b"c-1"[..]));
    }
}
