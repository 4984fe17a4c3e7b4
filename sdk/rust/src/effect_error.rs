//! Why an effect did not happen.

use std::fmt;

/// Why an effect did not happen: a code for programs, and words for people.
///
/// It is a usual error, so `?` makes a retry of it. The code is one of
///
/// - `not-granted`: the pipeline grants no such store, or nothing of the kind;
/// - `unknown-target`: the pipeline grants no target of outgoing messages of this name;
/// - `unknown-database`: the pipeline grants no database of this name;
/// - `refused`: it is not allowed as it is (a key that is too long, a header that is none, a statement that
///   would end the transaction), and never will be;
/// - `limit`: this message has done as much as one may;
/// - `too-large`: a statement gave more rows or bytes than one may;
/// - `unavailable`: not now;
/// - `value`: what is there is of another type or shape than was asked for;
/// - of SQL, the database's own code, as `23505`: the SQLSTATE;
/// - of HTTP, the names that `wasi:http` has: `connection-timeout`, `connection-refused`,
///   `HTTP-request-denied`, `destination-IP-prohibited`, `HTTP-response-body-size` and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectError {
    code: String,
    text: String,
    /// What only a database says. In a box: most errors have none, and all are answers of functions.
    of_database: Option<Box<OfDatabase>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct OfDatabase {
    detail: Option<String>,
    constraint: Option<String>,
}

impl EffectError {
    /// An error with a code and words. For tests, which answer with it.
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into(), of_database: None }
    }

    /// With the constraint that does not hold. For tests.
    #[must_use]
    pub fn with_constraint(mut self, name: impl Into<String>) -> Self {
        self.of_database.get_or_insert_default().constraint = Some(name.into());
        self
    }

    /// With more of what the database says. For tests.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.of_database.get_or_insert_default().detail = Some(detail.into());
        self
    }

    /// A statement has given more rows, or bytes, than this.
    #[cfg(target_family = "wasm")]
    pub(crate) fn too_large(most: u64) -> Self {
        Self::new("too-large", format!("the result has more than {most} rows or bytes: ask for less"))
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The words, without the code.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The constraint that does not hold, where a statement failed for one: what to tell errors apart by that
    /// are the message's own.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        self.of_database.as_ref()?.constraint.as_deref()
    }

    /// What the database says besides, such as the values that are there already.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.of_database.as_ref()?.detail.as_deref()
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
            "not-granted"
                | "unknown-target"
                | "unknown-database"
                | "HTTP-request-denied"
                | "destination-IP-prohibited"
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
