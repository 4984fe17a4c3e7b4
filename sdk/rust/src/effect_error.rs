//! Why an effect did not happen.

use std::fmt;

/// Why an effect did not happen: a code for programs, and words for people.
///
/// It is a usual error, so `?` makes a retry of it. The code is one of
///
/// - `not-granted`: the pipeline grants no such store, or nothing of the kind;
/// - `unknown-target`: the pipeline grants no target of outgoing messages of this name;
/// - `refused`: it is not allowed as it is (a key that is too long, a header that is none), and never will
///   be;
/// - `limit`: this message has done as much as one may;
/// - `unavailable`: not now;
/// - of HTTP, the names that `wasi:http` has: `connection-timeout`, `connection-refused`,
///   `HTTP-request-denied`, `destination-IP-prohibited`, `HTTP-response-body-size` and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectError {
    code: String,
    text: String,
}

impl EffectError {
    /// An error with a code and words. For tests, which answer with it.
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into() }
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Whether time ran out: connecting, before the answer began, or within it.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.code.ends_with("timeout")
    }

    /// Whether nothing but another configuration makes it succeed.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(
            self.code.as_str(),
            "not-granted" | "unknown-target" | "HTTP-request-denied" | "destination-IP-prohibited"
        )
    }
}

impl fmt::Display for EffectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.as_str() {
            "" => f.write_str(&self.code),
            text => write!(f, "{text} ({})", self.code),
        }
    }
}

impl std::error::Error for EffectError {}
