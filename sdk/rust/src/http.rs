//! Requests over HTTP, to what the pipeline grants.
//!
//! ```no_run
//! use pelton_sdk::{Failure, Message, http};
//!
//! #[pelton_sdk::handler]
//! fn handle(message: Message) -> Result<(), Failure> {
//!     let answer = http::post("https://api.payments.example/charges").body(message.body).send()?;
//!     answer.ok()?; // another status than 2xx is a retry
//!     Ok(())
//! }
//! ```

use crate::{EffectError, Header, Message, backend};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The header by which the host is told which message a request belongs to. It takes it out.
const MESSAGE: &str = "pelton-message";

/// A request, to be sent with [`Request::send`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "ends with `send`"]
pub struct Request {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// Where to, with scheme and host.
    pub url: String,
    /// In the order in which they were added.
    pub headers: Vec<Header>,
    /// What is sent; `None` is no body at all.
    pub body: Option<Vec<u8>>,
    /// How long connecting may take, and each wait for the answer; else what the pipeline grants.
    pub timeout: Option<Duration>,
    pub(crate) fault: Option<EffectError>,
}

/// A `GET`.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// A `POST`.
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// A `PUT`.
pub fn put(url: impl Into<String>) -> Request {
    request("PUT", url)
}

/// A `PATCH`.
pub fn patch(url: impl Into<String>) -> Request {
    request("PATCH", url)
}

/// A `DELETE`.
pub fn delete(url: impl Into<String>) -> Request {
    request("DELETE", url)
}

/// A request with any method.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> Request {
    let (method, url) = (method.into(), url.into());
    Request { method, url, headers: Vec::new(), body: None, timeout: None, fault: None }
}

impl Request {
    /// One more header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// The body: text or bytes.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The body as JSON, and its content type. What is none is an error of [`Request::send`].
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.header("content-type", "application/json").body(body),
            Err(error) => {
                self.fault = Some(EffectError::new("refused", format!("the body is no JSON: {error}")));
                self
            }
        }
    }

    /// How long connecting may take, and each wait for the answer. The pipeline's own limits hold besides.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The message that it is sent for, in a batch handler: the idempotency key that the host adds is then
    /// the one that the message would have alone. Without it a request of a batch has none.
    pub fn message(self, message: &Message) -> Self {
        self.header(MESSAGE, message.idempotency_key.as_str())
    }

    /// Sends it, and reads the whole answer. A status like 404 or 500 is an answer, too: see
    /// [`Response::ok`].
    ///
    /// # Errors
    /// There is no answer: not granted, no connection, no time left, an answer that is cut off or too large.
    pub fn send(self) -> Result<Response, EffectError> {
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => backend::send(&self),
        }
    }

    /// What errors call it. Without the query, where secrets may stand.
    pub(crate) fn shown(&self) -> String {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let place = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(place);
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{} {scheme}://{host}{path}", self.method)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200, 404 and so on.
    pub status: u16,
    /// In the server's order.
    pub headers: Vec<Header>,
    /// All of it.
    pub body: Vec<u8>,
    pub(crate) of: String,
}

impl Response {
    /// Whether the status is one of 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, if it is text. Upper and lower case are the same.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(&found.value).ok()
    }

    /// The body as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is none, or of another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, EffectError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            EffectError::new("answer", format!("{}: the answer's JSON does not fit: {error}", self.of))
        })
    }

    /// The answer itself, if its status is one of 200 to 299.
    ///
    /// # Errors
    /// Another status, with the beginning of the body in words.
    pub fn ok(self) -> Result<Self, EffectError> {
        if self.is_success() {
            return Ok(self);
        }
        let said: String = self.text().chars().take(200).collect();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Err(EffectError::new("status", format!("{}: {}{said}", self.of, self.status)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_show_no_query_and_no_password() {
        let shown = |url| get(url).shown();
        assert_eq!(shown("https://a.example/b/c?key=secret#x"), "GET https://a.example/b/c");
        assert_eq!(shown("https://user:secret@a.example"), "GET https://a.example");
        assert_eq!(shown("nonsense"), "GET ://nonsense");
    }

    #[test]
    fn another_status_is_an_error_only_where_it_is_asked() {
        let of = |status| Response {
            status,
            headers: vec![Header { name: "Retry-After".into(), value: b"3".to_vec() }],
            body: b"{\"a\":1}".to_vec(),
            of: "GET https://a.example".into(),
        };
        assert_eq!(of(204).ok(), Ok(of(204)));
        assert_eq!(of(503).header("retry-after"), Some("3"));
        let error = of(503).ok().unwrap_err();
        assert_eq!(error.to_string(), "GET https://a.example: 503: {\"a\":1} (status)");
        assert!(of(200).json::<u32>().unwrap_err().to_string().contains("does not fit"));
    }
}
