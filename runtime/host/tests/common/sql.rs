//! A database for tests of the flow: the text of a statement says what becomes of it, and what the host asks
//! is written down. Real ones are asked elsewhere.

use pelton_core::effects::{
    Column, Database, Effects, OpenTransaction, Rows, SqlError, SqlValue, Statement, Transaction,
    TransactionState,
};
use pelton_core::ports::BoxFuture;
use pelton_host::{Grants, SqlGrant};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// It writes down: `begin 1`, `run TEXT`, `stage TEXT`, `message`, `undo`, `end`.
#[derive(Clone, Default)]
pub struct MadeUp {
    log: Arc<Mutex<Vec<String>>>,
    shared_by: Option<usize>,
    away: Arc<AtomicBool>,
}

struct MadeUpTransaction {
    of: MadeUp,
    standing: Mutex<TransactionState>,
    /// A statement that nobody has waited for will have failed, for good.
    is_late: AtomicBool,
}

impl MadeUp {
    /// Whose transactions are shared by so many messages.
    pub fn sharing(messages: usize) -> Self {
        Self { shared_by: Some(messages), ..Self::default() }
    }

    pub fn grants(&self) -> Grants {
        let sql = SqlGrant { name: "shop".to_owned(), database: Arc::new(self.clone()) };
        Grants { sql: Some(sql), ..Grants::default() }
    }

    pub fn go_away(&self, is_away: bool) {
        self.away.store(is_away, SeqCst);
    }

    /// What was asked since the last look.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn note(&self, words: String) {
        self.log.lock().unwrap().push(words);
    }
}

/// Whether effects have a transaction that could be committed.
pub fn has_transaction(effects: &Effects) -> bool {
    effects
        .transaction
        .as_ref()
        .is_some_and(|OpenTransaction(open)| open.standing() == TransactionState::Open)
}

impl Database for MadeUp {
    fn begin(&self, messages: usize) -> BoxFuture<'_, Result<Arc<dyn Transaction>, SqlError>> {
        Box::pin(async move {
            if self.away.load(SeqCst) {
                return Err(SqlError::Unavailable("it is away".to_owned()));
            }
            self.note(format!("begin {messages}"));
            let begun: Arc<dyn Transaction> = Arc::new(MadeUpTransaction {
                of: self.clone(),
                standing: Mutex::new(TransactionState::Open),
                is_late: AtomicBool::new(false),
            });
            Ok(begun)
        })
    }

    fn shared_by(&self) -> Option<usize> {
        self.shared_by
    }
}

impl Transaction for MadeUpTransaction {
    fn run(&self, statement: Statement, wants_rows: bool) -> BoxFuture<'_, Result<Rows, SqlError>> {
        Box::pin(async move {
            self.of.note(format!("run {}", statement.text));
            if self.is_late.load(SeqCst) {
                *self.standing.lock().unwrap() = TransactionState::Failed("23514 found late".to_owned());
            }
            if let TransactionState::Failed(_) = &*self.standing.lock().unwrap() {
                return Err(failed("25P02"));
            }
            let (what, rest) = statement.text.split_once(' ').unwrap_or((&statement.text, ""));
            match what {
                "echo" => Ok(Rows {
                    columns: vec![Column { name: "value".to_owned(), type_name: "text".to_owned() }],
                    affected: statement.parameters.len() as u64,
                    rows: if wants_rows { vec![statement.parameters] } else { Vec::new() },
                }),
                "rows" => {
                    let row = vec![SqlValue::Text("x".repeat(100))];
                    Ok(Rows { rows: vec![row; rest.parse().unwrap()], ..Rows::default() })
                }
                "values" => Ok(every_value()),
                "refuse" => Err(SqlError::Refused("no such statement".to_owned())),
                "large" => Err(SqlError::TooLarge(10_000)),
                "sleep" => std::future::pending().await,
                "lose" => {
                    *self.standing.lock().unwrap() =
                        TransactionState::Again("the connection was lost".to_owned());
                    Err(SqlError::Unavailable("the connection was lost".to_owned()))
                }
                "conflict" => {
                    *self.standing.lock().unwrap() = TransactionState::Again("40001 too late".to_owned());
                    Err(failed("40001"))
                }
                _ => {
                    *self.standing.lock().unwrap() =
                        TransactionState::Failed("23505 there is one".to_owned());
                    Err(failed("23505"))
                }
            }
        })
    }

    fn stage(&self, statement: Statement) -> BoxFuture<'_, Result<(), SqlError>> {
        self.of.note(format!("stage {}", statement.text));
        self.is_late.fetch_or(statement.text == "late", SeqCst);
        Box::pin(async { Ok(()) })
    }

    fn begins_message(&self) -> BoxFuture<'_, ()> {
        self.of.note("message".to_owned());
        Box::pin(async {})
    }

    fn undoes_message(&self) -> BoxFuture<'_, ()> {
        self.of.note("undo".to_owned());
        let mut standing = self.standing.lock().unwrap();
        if matches!(*standing, TransactionState::Failed(_)) && !self.is_late.load(SeqCst) {
            *standing = TransactionState::Open;
        }
        Box::pin(async {})
    }

    fn standing(&self) -> TransactionState {
        self.standing.lock().unwrap().clone()
    }
}

impl Drop for MadeUpTransaction {
    fn drop(&mut self) {
        self.of.note("end".to_owned());
    }
}

fn failed(code: &str) -> SqlError {
    let code = code.to_owned();
    SqlError::Database { code, message: "there is one".to_owned(), detail: None, constraint: None }
}

fn every_value() -> Rows {
    let row = vec![
        SqlValue::Null,
        SqlValue::Boolean(true),
        SqlValue::Integer(-7),
        SqlValue::Float(2.5),
        SqlValue::Text("text".to_owned()),
        SqlValue::Bytes(b"bytes".to_vec()),
    ];
    Rows { rows: vec![row], affected: 1, ..Rows::default() }
}
