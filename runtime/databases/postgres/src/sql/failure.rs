//! What a failure means: for the handler, and for the message.

use pelton_core::effects::{SqlError, TransactionState};
use pelton_core::shown::shown;

/// An answer of the server that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ServerError {
    /// SQLSTATE.
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub constraint: Option<String>,
    /// It ends the connection.
    pub is_fatal: bool,
}

/// Why an exchange has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server's answer.
    Server(ServerError),
    /// There is no connection any more, in words.
    Lost(String),
    /// A statement has ended the host's transaction, by this tag.
    Ended(String),
    /// A result that cannot be read, in words. The transaction stands.
    Unreadable(String),
}

impl Failure {
    /// For the handler.
    pub(crate) fn for_handler(&self) -> SqlError {
        match self {
            Self::Server(error) if error.is_fatal => SqlError::Unavailable(error.words()),
            Self::Server(error) => SqlError::Database {
                code: error.code.clone(),
                message: error.message.clone(),
                detail: error.detail.clone(),
                constraint: error.constraint.clone(),
            },
            Self::Lost(why) => SqlError::Unavailable(why.clone()),
            Self::Ended(_) => SqlError::Refused(self.words()),
            Self::Unreadable(why) => {
                let message = format!("{}; cast it to ::text or ::bytea", shown(why).at_most(500));
                SqlError::Database { code: "22021".to_owned(), message, detail: None, constraint: None }
            }
        }
    }

    pub(crate) fn words(&self) -> String {
        match self {
            Self::Server(error) => error.words(),
            Self::Lost(why) | Self::Unreadable(why) => why.clone(),
            Self::Ended(tag) => format!(
                "a statement has ended the transaction, which is the host's ({}): what it did before is not \
                 undone",
                shown(tag)
            ),
        }
    }

    /// Whether the connection is gone with it.
    pub(crate) fn ends_connection(&self) -> bool {
        match self {
            Self::Server(error) => error.is_fatal,
            Self::Lost(_) | Self::Ended(_) => true,
            Self::Unreadable(_) => false,
        }
    }

    /// Whether what was sent behind it may have worked, though nobody was told.
    pub(crate) fn loses_answers(&self) -> bool {
        match self {
            Self::Server(error) => error.is_fatal,
            Self::Lost(_) => true,
            Self::Ended(_) | Self::Unreadable(_) => false,
        }
    }

    /// For the message: whether it has failed, or others were in its way.
    pub(crate) fn standing(&self) -> TransactionState {
        match self {
            Self::Lost(why) => TransactionState::Again(why.clone()),
            Self::Server(error) if error.is_fatal || error.says_nothing_of_the_message() => {
                TransactionState::Again(error.words())
            }
            Self::Server(error) => {
                TransactionState::Failed(format!("a statement failed ({})", error.words()))
            }
            Self::Unreadable(_) => TransactionState::Open,
            Self::Ended(_) => TransactionState::Failed(self.words()),
        }
    }
}

impl ServerError {
    /// `23505: duplicate key value ...`, on one line.
    pub(crate) fn words(&self) -> String {
        format!("{}: {}", shown(&self.code), shown(&self.message).at_most(500))
    }

    fn says_nothing_of_the_message(&self) -> bool {
        is_not_the_messages(&self.code) || self.is_of_a_pooler() || self.is_of_a_stale_plan()
    }

    /// The connection has statements under names that the server does not know, or the other way round: there
    /// is a pooler between that gives each transaction another of its connections.
    pub(crate) fn is_of_a_pooler(&self) -> bool {
        matches!(&*self.code, "26000" | "42P05")
    }

    /// A table has changed under a statement that was prepared before.
    pub(crate) fn is_of_a_stale_plan(&self) -> bool {
        self.code == "0A000" && self.message.contains("cached plan")
    }
}

/// Whether a failure of this SQLSTATE says nothing of the statement: the same would do at another time.
fn is_not_the_messages(code: &str) -> bool {
    // Serialization, deadlock, a lock that others hold; read-only while a server takes over from another; a
    // session that stood still for too long.
    const SINGLE: [&str; 5] = ["40001", "40P01", "55P03", "25006", "25P03"];
    // Connection, resources (disk, memory, connections), the system's own errors, and those of a shutdown.
    const CLASSES: [&str; 4] = ["08", "53", "58", "57P"];
    SINGLE.contains(&code) || CLASSES.iter().any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str) -> Failure {
        Failure::Server(ServerError { code: code.into(), message: "words".into(), ..Default::default() })
    }

    #[test]
    fn what_others_caused_is_run_again() {
        for code in
            ["40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53100", "53200", "53300", "08006"]
        {
            assert_eq!(
                server(code).standing(),
                TransactionState::Again(format!("{code}: words")),
                "{code}"
            );
        }
        assert_eq!(Failure::Lost("gone".into()).standing(), TransactionState::Again("gone".into()));
    }

    #[test]
    fn what_the_statement_caused_has_failed() {
        for code in ["23505", "42601", "22P02", "57014", "25P02", "2D000", "40002", "P0001"] {
            let words = format!("a statement failed ({code}: words)");
            assert_eq!(server(code).standing(), TransactionState::Failed(words), "{code}");
        }
    }

    #[test]
    fn an_end_of_the_connection_is_the_databases_affair() {
        let error = ServerError { code: "57014".into(), is_fatal: true, ..Default::default() };
        assert!(matches!(Failure::Server(error.clone()).standing(), TransactionState::Again(_)));
        assert!(matches!(Failure::Server(error).for_handler(), SqlError::Unavailable(_)));
    }
}
