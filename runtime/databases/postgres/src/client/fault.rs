//! What a database that says no means, and what to do about it.

use pelton_core::shown;
use std::error::Error as _;
use std::fmt;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// Which kind of no it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It is away, starting, ending or full: nothing was wrong with what was asked. Whether what was under
    /// way was done is not known.
    Away,
    /// It lets nobody in as we come: the login, the database's name, TLS.
    Login,
    /// It cannot be written to: a standby, or set to read only.
    ReadOnly,
    /// Tables or rights are missing, or of a version that this program does not work with.
    Schema,
    /// Others were in the way: 40001, 40P01. Nothing was done.
    Conflict,
    /// It took too long, or somebody held a lock for too long. Nothing was done.
    Slow,
    /// It works, and is not for this worker or pipeline: the words end with what to do.
    Refused,
    /// Anything else: an error of the statement.
    Statement,
}

/// An error of the database, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which kind.
    pub kind: Kind,
    /// SQLSTATE, where the server has answered.
    pub code: Option<String>,
    /// In words.
    pub words: String,
}

impl Fault {
    /// One that no server has said.
    #[must_use]
    pub fn new(kind: Kind, words: impl Into<String>) -> Self {
        Self { kind, code: None, words: words.into() }
    }

    /// What a server has answered, by its SQLSTATE.
    #[must_use]
    pub fn answered(code: &str, message: &str) -> Self {
        let words = format!("{} ({})", shown::shown(message), shown::shown(code));
        Self { kind: kind_of_code(&SqlState::from_code(code)), code: Some(code.to_owned()), words }
    }

    /// The answer took longer than anybody waits.
    #[must_use]
    pub fn no_answer() -> Self {
        Self::new(Kind::Away, "it does not answer")
    }

    /// Whether it works, and a person has to mend something on this side.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.kind == Kind::Refused
    }

    /// What to do about it, as the end of a sentence; none where waiting is all there is to do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match (self.kind, self.code.as_deref()) {
            (Kind::Away, Some("53300")) => {
                "raise `max_connections` of the server, lower it here, or put a pooler before the server"
            }
            (Kind::Away, Some("53100")) => "make room on the server's disk",
            (Kind::Away, _) => "see that the server runs and can be reached from here",
            (Kind::Login, _) => "mend the URL or the password of this database",
            (Kind::ReadOnly, _) => {
                "name the primary in the URL; or name all hosts, and the one that can be written to is taken"
            }
            (Kind::Schema, Some("42501")) => {
                "`pelton check --connect` prints the statement that grants what is missing; `pelton db \
                 init --print` \
                 those that make the tables"
            }
            (Kind::Schema, _) => "run `pelton db init`, or have `pelton db init --print` run by who may",
            (Kind::Slow, _) => "see what holds the lock (pg_blocking_pids), or what makes the server slow",
            (Kind::Conflict | Kind::Statement, _) => "see the server's log",
            (Kind::Refused, _) => "until then nothing is done",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        if let Some(said) = error.as_db_error() {
            return Self::of_server(said);
        }
        let mut next = error.source();
        let causes = std::iter::from_fn(|| {
            let cause = next?;
            next = cause.source();
            Some(cause)
        });
        let mut words = error.to_string();
        let mut kind = if error.is_closed() { Kind::Away } else { kind_of(&error) };
        for cause in causes {
            // A layer often says what the one below it says.
            let cause = cause.to_string();
            if !words.contains(&cause) {
                words = format!("{words}: {cause}");
            }
            if cause.contains("does not allow writes") {
                kind = Kind::ReadOnly;
            }
        }
        Self { kind, code: None, words: shown::shown(&words).to_string() }
    }
}

impl Fault {
    fn of_server(said: &DbError) -> Self {
        Self::answered(said.code().code(), said.message())
    }
}

/// Of an error that the server has not said. The driver's kinds are private; its words are not.
fn kind_of(error: &Error) -> Kind {
    let words = error.to_string();
    let login = ["TLS", "authenticat", "password", "configuration"];
    if login.iter().any(|word| words.contains(word)) { Kind::Login } else { Kind::Away }
}

fn kind_of_code(code: &SqlState) -> Kind {
    let code = code.code();
    match code {
        "40001" | "40P01" => Kind::Conflict,
        "55P03" | "57014" | "25P03" | "25P04" => Kind::Slow,
        "25006" => Kind::ReadOnly,
        "42P01" | "42703" | "42501" | "42883" | "3F000" => Kind::Schema,
        "3D000" | "28000" | "28P01" => Kind::Login,
        // Out of resources, an operator who stops it, an error of the system, of the connection.
        _ if ["53", "57P", "58", "08", "F0"].iter().any(|class| code.starts_with(class)) => Kind::Away,
        _ => Kind::Statement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_of_their_kind() {
        let kinds = [
            (SqlState::T_R_SERIALIZATION_FAILURE, Kind::Conflict),
            (SqlState::T_R_DEADLOCK_DETECTED, Kind::Conflict),
            (SqlState::LOCK_NOT_AVAILABLE, Kind::Slow),
            (SqlState::QUERY_CANCELED, Kind::Slow),
            (SqlState::READ_ONLY_SQL_TRANSACTION, Kind::ReadOnly),
            (SqlState::UNDEFINED_TABLE, Kind::Schema),
            (SqlState::INSUFFICIENT_PRIVILEGE, Kind::Schema),
            (SqlState::INVALID_PASSWORD, Kind::Login),
            (SqlState::INVALID_CATALOG_NAME, Kind::Login),
            (SqlState::TOO_MANY_CONNECTIONS, Kind::Away),
            (SqlState::DISK_FULL, Kind::Away),
            (SqlState::ADMIN_SHUTDOWN, Kind::Away),
            (SqlState::CRASH_SHUTDOWN, Kind::Away),
            (SqlState::CANNOT_CONNECT_NOW, Kind::Away),
            (SqlState::UNIQUE_VIOLATION, Kind::Statement),
        ];
        for (code, kind) in kinds {
            assert_eq!(kind_of_code(&code), kind, "{code:?}");
        }
    }
}
