//! Statements in the transaction that completes the messages at hand: `pelton:effects/sql`, and the calls of
//! a worker.
//!
//! The transaction begins with the first statement, and is the host's: it is kept here until the handler has
//! answered, and what is made of it then is decided where chunks are run. What may be asked is bounded here;
//! what a statement may be is the database's matter.

mod component;
mod in_chunk;
mod json;

pub(crate) use in_chunk::{CallEnd, InChunk};
pub(crate) use json::{FORM, parameters, rows};

use crate::grants::{Grants, SqlGrant};
use crate::guest::link::is_number;
use crate::guest::state::GuestState;
use crate::interfaces::Interface;
use crate::interfaces::caller::{Caller, NoMessage};
use crate::interfaces::counts::Refused;
use pelton_core::effects::{Rows, SqlError, SqlValue, Statement, Transaction};
use pelton_core::shown::shown;
use std::sync::Arc;
use wasmtime::component::{HasSelf, Linker};

/// SQL, as pipelines grant it.
pub(crate) const INTERFACE: Interface = Interface {
    name: "SQL",
    provides,
    is_granted: |grants: &Grants| grants.sql.is_some(),
    lines: "[pipelines.PIPELINE.grants]\nsql = [\"DATABASE\"]\n\n\
            [databases.DATABASE]\nurl = \"postgres://USER@HOST/NAME\"\n",
    link,
};

const SQL: &str = "pelton:effects/sql@0.1.";

/// Statements that one message may run.
const STATEMENTS: usize = 10_000;
/// Bytes of the text of a statement.
const TEXT_BYTES: usize = 1 << 20;
/// Bytes of its parameters together.
const PARAMETER_BYTES: usize = 4 << 20;
/// Its parameters: as many as the protocols of databases can count.
const PARAMETERS: usize = 65_535;
/// What a row, a value or the name of a column takes beside its bytes.
const FIXED_BYTES: usize = 32;
/// Bytes of a name that are shown in a sentence.
const NAME_SHOWN: usize = 64;

/// A statement, and where it is to run.
pub(crate) struct Asked {
    /// The handler's name for the database.
    pub(crate) database: String,
    pub(crate) statement: Statement,
}

/// Why a statement gives nothing.
#[derive(Debug, PartialEq)]
pub(crate) enum SqlFailure {
    /// The pipeline grants no such database, in words.
    UnknownDatabase(String),
    Failed(SqlError),
}

impl From<SqlError> for SqlFailure {
    fn from(error: SqlError) -> Self {
        Self::Failed(error)
    }
}

impl From<NoMessage> for SqlFailure {
    fn from(_: NoMessage) -> Self {
        refused(NoMessage::WORDS.to_owned())
    }
}

fn provides(import: &str) -> bool {
    import.strip_prefix(SQL).is_some_and(is_number)
}

fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    component::bindings::Sql::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut GuestState| state)
}

fn refused(words: String) -> SqlFailure {
    SqlFailure::Failed(SqlError::Refused(words))
}

/// Runs a statement; its rows, if there is so much room for them.
pub(crate) async fn query(caller: &Caller<'_>, asked: Asked, room: usize) -> Result<Rows, SqlFailure> {
    noted(caller, run(caller, asked, true).await.and_then(|rows| fits(rows, room)))
}

/// Runs a statement; how many rows it has changed.
pub(crate) async fn execute(caller: &Caller<'_>, asked: Asked) -> Result<u64, SqlFailure> {
    noted(caller, run(caller, asked, false).await.map(|rows| rows.affected))
}

/// Sends a statement whose answer nobody waits for.
pub(crate) async fn stage(caller: &Caller<'_>, asked: Asked) -> Result<(), SqlFailure> {
    let staged = async {
        let transaction = transaction(caller, &asked).await?;
        Ok(transaction.stage(asked.statement).await?)
    };
    noted(caller, staged.await)
}

async fn run(caller: &Caller<'_>, asked: Asked, wants_rows: bool) -> Result<Rows, SqlFailure> {
    let transaction = transaction(caller, &asked).await?;
    Ok(transaction.run(asked.statement, wants_rows).await?)
}

/// The transaction that a statement is to run in: begun with the first one.
async fn transaction(caller: &Caller<'_>, asked: &Asked) -> Result<Arc<dyn Transaction>, SqlFailure> {
    let grant = granted(caller, &asked.database)?;
    let messages = caller.call()?.messages().len();
    if caller.about.is_shadow() {
        caller.about.refuse_to_shadow();
        return Err(refused("the version is in the shadow, where no statements are run".to_owned()));
    }
    check(&asked.statement)?;
    let control = caller.about.control();
    control.sql.count(messages.saturating_mul(STATEMENTS)).map_err(|max| {
        refused(format!("at most {max} statements are run for {}; do more with each", whose(messages)))
    })?;
    Ok(control.sql.transaction(&*grant.database, messages).await?)
}

fn whose(messages: usize) -> &'static str {
    if messages == 1 { "a message" } else { "the messages of a call" }
}

fn granted<'a>(caller: &Caller<'a>, name: &str) -> Result<&'a SqlGrant, SqlFailure> {
    let unknown = |words: String| Err(SqlFailure::UnknownDatabase(words));
    match &caller.grants.sql {
        Some(grant) if grant.name == name => Ok(grant),
        Some(grant) => {
            let (name, granted) = (shown(name).at_most(NAME_SHOWN), &grant.name);
            unknown(format!("the pipeline grants no database `{name}`; it grants `{granted}`"))
        }
        None => unknown(NOT_GRANTED.to_owned()),
    }
}

/// What a handler hears that is granted no database at all.
const NOT_GRANTED: &str = "the pipeline grants no database";

fn check(statement: &Statement) -> Result<(), SqlFailure> {
    let Statement { text, parameters } = statement;
    if text.len() > TEXT_BYTES {
        let length = text.len();
        return Err(refused(format!(
            "a statement has at most {TEXT_BYTES} bytes, and this one has {length}; give what is large as \
             parameters"
        )));
    }
    if text.contains('\0') {
        return Err(refused("a statement has no zero byte in its text, and this one has one".to_owned()));
    }
    let count = parameters.len();
    if count > PARAMETERS {
        return Err(refused(format!(
            "a statement has at most {PARAMETERS} parameters, and this one has {count}"
        )));
    }
    let bytes: usize = parameters.iter().map(bytes).sum();
    if bytes > PARAMETER_BYTES {
        return Err(refused(format!(
            "the parameters of a statement have at most {PARAMETER_BYTES} bytes, and these have {bytes}"
        )));
    }
    Ok(())
}

fn bytes(value: &SqlValue) -> usize {
    match value {
        SqlValue::Text(text) => text.len(),
        SqlValue::Bytes(bytes) => bytes.len(),
        SqlValue::Null | SqlValue::Boolean(_) | SqlValue::Integer(_) | SqlValue::Float(_) => 0,
    }
}

/// Bytes that a result takes of the host, for as long as the guest has not got it.
fn weight(rows: &Rows) -> usize {
    let columns =
        rows.columns.iter().map(|column| column.name.len() + column.type_name.len() + FIXED_BYTES);
    let row = |row: &Vec<SqlValue>| row.iter().map(|value| bytes(value) + FIXED_BYTES).sum::<usize>();
    columns.sum::<usize>() + rows.rows.iter().map(|one| row(one) + FIXED_BYTES).sum::<usize>()
}

/// A result that the guest has room for.
fn fits(rows: Rows, room: usize) -> Result<Rows, SqlFailure> {
    if weight(&rows) <= room {
        return Ok(rows);
    }
    Err(SqlError::TooLarge(u64::try_from(room).unwrap_or(u64::MAX)).into())
}

/// Counts a failure: the handler is told in words, the operator by a number. One that is not the message's is
/// kept too, since it runs again whatever the handler makes of it.
fn noted<T>(caller: &Caller<'_>, result: Result<T, SqlFailure>) -> Result<T, SqlFailure> {
    let what = match &result {
        Ok(_) => return result,
        Err(SqlFailure::UnknownDatabase(_) | SqlFailure::Failed(SqlError::Refused(_))) => {
            Refused::Statements
        }
        Err(SqlFailure::Failed(SqlError::TooLarge(_))) => Refused::Results,
        Err(SqlFailure::Failed(SqlError::Database { .. })) => Refused::ByDatabase,
        Err(SqlFailure::Failed(SqlError::Unavailable(words))) => {
            caller.about.control().sql.lose(words);
            Refused::NoDatabase
        }
    };
    caller.counted(what, result)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn statement(text: &str, parameters: Vec<SqlValue>) -> Statement {
        Statement { text: text.to_owned(), parameters }
    }

    fn words(checked: Result<(), SqlFailure>) -> String {
        match checked {
            Err(SqlFailure::Failed(SqlError::Refused(words))) => words,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_statement_is_bounded() {
        check(&statement("select $1", vec![SqlValue::Null; PARAMETERS])).unwrap();
        check(&statement("select $1", vec![SqlValue::Bytes(vec![0; PARAMETER_BYTES])])).unwrap();
        let long = words(check(&statement(&"x".repeat(TEXT_BYTES + 1), Vec::new())));
        assert!(long.contains("at most 1048576 bytes, and this one has 1048577"), "{long}");
        assert!(words(check(&statement("select '\0'", Vec::new()))).contains("no zero byte"));
        let many = words(check(&statement("", vec![SqlValue::Null; PARAMETERS + 1])));
        assert!(many.contains("at most 65535 parameters"), "{many}");
        let text = |length| SqlValue::Text("x".repeat(length));
        let large = words(check(&statement("", vec![text(PARAMETER_BYTES), text(1)])));
        assert!(large.contains("these have 4194305"), "{large}");
    }

    #[test]
    fn a_result_weighs_what_its_values_do_and_more_for_each() {
        let row = vec![SqlValue::Null, SqlValue::Text("abc".to_owned())];
        let rows = Rows { columns: Vec::new(), rows: vec![row; 10], affected: 10 };
        assert_eq!(weight(&rows), 10 * (3 + 3 * FIXED_BYTES));
        assert!(fits(rows.clone(), weight(&rows)).is_ok());
        let over = fits(rows.clone(), weight(&rows) - 1);
        assert_eq!(over, Err(SqlFailure::Failed(SqlError::TooLarge(weight(&rows) as u64 - 1))));
    }

    #[test]
    fn it_goes_by_every_patch_of_its_version() {
        assert!(provides("pelton:effects/sql@0.1.0") && provides("pelton:effects/sql@0.1.12"));
        assert!(!provides("pelton:effects/sql@0.2.0") && !provides("pelton:effects/outbox@0.1.0"));
    }
}
