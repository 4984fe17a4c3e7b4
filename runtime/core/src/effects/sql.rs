//! SQL in a transaction of the host's: what a handler may ask, and who keeps the transaction.
//!
//! The transaction is the call's. It begins with the first statement, and whoever keeps the ledger commits it
//! with the completion of the call's messages: it travels there as
//! [`Effects::transaction`](super::Effects::transaction). What is dropped on the way is rolled back.

use crate::ports::BoxFuture;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A value of a parameter, or of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// No value.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A floating point number.
    Float(f64),
    /// Text. As a parameter it is of any type, in the database's own form; as a result it is of every type
    /// that the others do not have.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// One statement, with what stands for `$1` and those that follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its text.
    pub text: String,
    /// Its parameters, in their order.
    pub parameters: Vec<SqlValue>,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the database calls it.
    pub type_name: String,
}

/// What a statement gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// The columns; none for a statement that gives no rows.
    pub columns: Vec<Column>,
    /// The rows, each with a value for each column.
    pub rows: Vec<Vec<SqlValue>>,
    /// How many rows were changed, or given.
    pub affected: u64,
}

/// Why a statement gave nothing, for the handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlError {
    /// The host does not run such a statement, in words.
    Refused(String),
    /// The database's answer.
    Database {
        /// SQLSTATE.
        code: String,
        /// In the database's words.
        message: String,
        /// More of it, if it says more.
        detail: Option<String>,
        /// The constraint that does not hold, if it is one.
        constraint: Option<String>,
    },
    /// The database is away, in words. The message runs again whatever the handler makes of this.
    Unavailable(String),
    /// The result has more than so many rows, or bytes.
    TooLarge(u64),
}

/// How a transaction stands once the handler has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionState {
    /// It can be committed, as far as is known.
    Open,
    /// A statement has failed, in words, and the transaction with it: it cannot be committed, whatever the
    /// handler says.
    Failed(String),
    /// It came to nothing for a reason that is not the message's: others were in its way, or the connection
    /// was lost. In words. The message is to run again, which is no attempt.
    Again(String),
}

/// A database that handlers run statements in. One for each pipeline that is granted it.
pub trait Database: Send + Sync {
    /// A transaction for a call of so many messages: it waits for a connection. Nothing is sent before the
    /// first statement.
    ///
    /// # Errors
    /// The database is away.
    fn begin(&self, messages: usize) -> BoxFuture<'_, Result<Arc<dyn Transaction>, SqlError>>;

    /// Whether the messages of a chunk share one transaction, and how many they may be; none when each has
    /// its own.
    fn shared_by(&self) -> Option<usize> {
        None
    }
}

/// The transaction of one call. The exchange with the database goes on though a future of it is dropped; what
/// is asked after that waits for it.
pub trait Transaction: Any + Send + Sync {
    /// Runs a statement and waits for what it gives. Rows are kept only where they are wanted; else there is
    /// only their number.
    fn run(&self, statement: Statement, wants_rows: bool) -> BoxFuture<'_, Result<Rows, SqlError>>;

    /// Sends a statement whose answer nobody waits for: an error of it fails the message in the end.
    fn stage(&self, statement: Statement) -> BoxFuture<'_, Result<(), SqlError>>;

    /// The next message of a shared transaction begins: what the one before did is kept. Told before the
    /// first statement of each message that runs any, the first one of the transaction too; never of one that
    /// is not shared.
    fn begins_message(&self) -> BoxFuture<'_, ()>;

    /// What the last message did is undone; that of those before it is kept, and it stands as it did then.
    /// Waits for a statement of it that still runs. What has failed before it stays so.
    fn undoes_message(&self) -> BoxFuture<'_, ()>;

    /// How it stands. Asks nobody: what was staged and is not answered is taken for good.
    fn standing(&self) -> TransactionState;
}

/// A transaction on its way to the completion. When the last of it is dropped it is rolled back, unless it
/// was committed.
#[derive(Clone)]
pub struct OpenTransaction(pub Arc<dyn Transaction>);

impl OpenTransaction {
    /// This as a transaction of one database, if it is that database's.
    #[must_use]
    pub fn of<T: Transaction>(&self) -> Option<&T> {
        let any: &dyn Any = &*self.0;
        any.downcast_ref()
    }
}

impl fmt::Debug for OpenTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenTransaction").field(&self.0.standing()).finish()
    }
}
