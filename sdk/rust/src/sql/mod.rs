//! SQL in the transaction that completes the message. It begins with the first statement and is Pelton's: it
//! commits when the handler has answered `Ok`, together with the record that says that the message was
//! processed. On any other answer nothing of it was ever done.
//!
//! ```no_run
//! # fn main() -> Result<(), pelton_sdk::EffectError> {
//! use pelton_sdk::sql;
//!
//! let shop = sql("shop");
//! let rows = shop.query("select item, stock from items where id = $1", (7,))?;
//! for row in &rows {
//!     let (item, stock): (String, i64) = (row.get("item")?, row.get("stock")?);
//! }
//! let changed = shop.execute("update items set stock = stock - $2 where id = $1", (7, 2))?;
//! shop.stage("insert into log (item, note) values ($1, $2)", (7, "sold"))?;
//! # Ok(()) }
//! ```
//!
//! - `$1` and those that follow stand for the parameters: a tuple, a list of [`Value`]s, or `()` for none.
//! - A text binds to any type, in the database's own form: `"12.50"` to a `numeric`, `"2026-11-30"` to a
//!   `date`, `"{a,b}"` to an array.
//! - What comes back is truth values, whole numbers, floating point numbers, bytes and text. All other types
//!   are text in the database's form: a `numeric` is `"12.50"`, so that no digit is lost.
//! - When a statement fails, the transaction is over. The handler may look at [`EffectError::code`] and
//!   [`EffectError::constraint`] and say reject, with words; `Ok` would be a retry.

mod from;
mod params;
mod rows;

pub use from::FromValue;
pub use params::Parameters;
pub use rows::{Column, Place, Row, Rows};

use crate::{EffectError, backend};

/// A value of a parameter, or of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A floating point number.
    Float(f64),
    /// Text; as a parameter of any type, as a result of all that the others are not.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A statement with its parameters. Tests look at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The database's name.
    pub database: String,
    /// Its text.
    pub text: String,
    /// What stands for `$1` and those that follow.
    pub parameters: Vec<Value>,
}

/// A database of the pipeline's, by name. Whether it grants it shows at the first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Database<'a> {
    name: &'a str,
}

/// The database of this name.
#[must_use]
pub fn sql(name: &str) -> Database<'_> {
    Database { name }
}

impl Database<'_> {
    /// Runs a statement, and gives its rows.
    ///
    /// # Errors
    /// The statement failed: the code is the database's (`23505`) or `refused`, `unavailable`, `too-large`,
    /// `unknown-database`.
    pub fn query(&self, statement: &str, parameters: impl Parameters) -> Result<Rows, EffectError> {
        backend::sql_query(self.statement(statement, parameters))
    }

    /// Runs a statement, and gives how many rows it changed.
    ///
    /// # Errors
    /// As [`Database::query`].
    pub fn execute(&self, statement: &str, parameters: impl Parameters) -> Result<u64, EffectError> {
        backend::sql_execute(self.statement(statement, parameters))
    }

    /// Sends a statement and does not wait for what it gives: it costs no round trip. If it fails, the
    /// message fails with it when it is to be committed. For statements whose result does not matter.
    ///
    /// # Errors
    /// It was not sent.
    pub fn stage(&self, statement: &str, parameters: impl Parameters) -> Result<(), EffectError> {
        backend::sql_stage(self.statement(statement, parameters))
    }

    fn statement(&self, text: &str, parameters: impl Parameters) -> Statement {
        Statement { database: self.name.into(), text: text.into(), parameters: parameters.values() }
    }
}
