//! SQL as components ask for it.

use super::{Asked, SqlFailure, execute, query, stage, weight};
use crate::guest::state::GuestState;
use pelton_core::effects::{self, SqlError, SqlValue, Statement};

#[allow(missing_docs)]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/effects",
        inline: "package pelton:host-sql; world sql { import pelton:effects/sql@0.1.0; }",
        world: "pelton:host-sql/sql",
        imports: { default: async | trappable },
    });
}

use bindings::pelton::effects::sql::{Column, DbError, Error, Host, Rows, Value};

impl Host for GuestState {
    async fn query(
        &mut self,
        database: String,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<Rows, Error>> {
        let asked = asked(database, statement, parameters);
        let found = match query(&self.caller(), asked, self.limits.room()).await {
            Ok(rows) => rows,
            Err(failure) => return Ok(Err(failure.into())),
        };
        // The guest's own copy is made when this returns, and the host's goes then.
        let bytes = weight(&found);
        self.limits.host(0, bytes)?;
        self.limits.host(bytes, 0)?;
        Ok(Ok(found.into()))
    }

    async fn execute(
        &mut self,
        database: String,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let asked = asked(database, statement, parameters);
        Ok(execute(&self.caller(), asked).await.map_err(Error::from))
    }

    async fn stage(
        &mut self,
        database: String,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let asked = asked(database, statement, parameters);
        Ok(stage(&self.caller(), asked).await.map_err(Error::from))
    }
}

fn asked(database: String, text: String, parameters: Vec<Value>) -> Asked {
    let parameters = parameters.into_iter().map(SqlValue::from).collect();
    Asked { database, statement: Statement { text, parameters } }
}

impl From<Value> for SqlValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(truth) => Self::Boolean(truth),
            Value::Integer(number) => Self::Integer(number),
            Value::Float(number) => Self::Float(number),
            Value::Text(text) => Self::Text(text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<SqlValue> for Value {
    fn from(value: SqlValue) -> Self {
        match value {
            SqlValue::Null => Self::Null,
            SqlValue::Boolean(truth) => Self::Boolean(truth),
            SqlValue::Integer(number) => Self::Integer(number),
            SqlValue::Float(number) => Self::Float(number),
            SqlValue::Text(text) => Self::Text(text),
            SqlValue::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<effects::Rows> for Rows {
    fn from(rows: effects::Rows) -> Self {
        let column = |column: effects::Column| Column { name: column.name, type_name: column.type_name };
        let row = |row: Vec<SqlValue>| row.into_iter().map(Value::from).collect();
        Self {
            columns: rows.columns.into_iter().map(column).collect(),
            rows: rows.rows.into_iter().map(row).collect(),
            affected: rows.affected,
        }
    }
}

impl From<SqlFailure> for Error {
    fn from(failure: SqlFailure) -> Self {
        match failure {
            SqlFailure::UnknownDatabase(words) => Self::UnknownDatabase(words),
            SqlFailure::Failed(SqlError::Refused(words)) => Self::Refused(words),
            SqlFailure::Failed(SqlError::Unavailable(words)) => Self::Unavailable(words),
            SqlFailure::Failed(SqlError::TooLarge(most)) => Self::TooLarge(most),
            SqlFailure::Failed(SqlError::Database { code, message, detail, constraint }) => {
                Self::Database(DbError { code, message, detail, constraint })
            }
        }
    }
}
