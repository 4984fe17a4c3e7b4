//! Statements on their way to a connection.

use super::values;
use bytes::BytesMut;
use pelton_core::effects::SqlValue;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use std::error::Error;
use std::io;
use std::sync::Arc;
use tokio_postgres::types::{self, ToSql, Type};

/// A parameter of a statement of ours, with its type.
pub(crate) type Parameter = (Box<dyn ToSql + Sync + Send>, Type);

/// A statement. In a series of them the server skips what follows one that fails.
pub(crate) struct Step {
    text: Text,
    parameters: Parameters,
    /// It is worth a name: it will be sent again.
    pub named: bool,
}

enum Text {
    Fixed(&'static str),
    PipelineLedger(Arc<str>),
    Own(String),
}

enum Parameters {
    OfHandler(Vec<SqlValue>),
    Ours(Vec<Parameter>),
}

impl Step {
    /// A statement of ours, which is prepared once for each connection.
    ///
    /// One of a commit does its work or fails, and so does all that commits with it: a condition that does
    /// not hold has to be an error of the statement, since nobody reads an answer before `COMMIT` is sent.
    pub(crate) fn ours(text: &'static str, parameters: Vec<Parameter>) -> Self {
        Self { text: Text::Fixed(text), parameters: Parameters::Ours(parameters), named: true }
    }

    /// A statement of ours that may end a transaction: under a name, a handler could run it too.
    pub(crate) fn ending(text: &'static str) -> Self {
        Self { text: Text::Fixed(text), parameters: Parameters::Ours(Vec::new()), named: false }
    }

    /// A savepoint, or what ends one.
    pub(crate) fn savepoint(text: String) -> Self {
        Self { text: Text::Own(text), parameters: Parameters::Ours(Vec::new()), named: false }
    }

    /// A setting of a pool.
    pub(crate) fn setting(text: Arc<str>) -> Self {
        Self { text: Text::PipelineLedger(text), parameters: Parameters::Ours(Vec::new()), named: true }
    }

    /// The statement of a handler.
    pub(crate) fn of_handler(text: String, parameters: Vec<SqlValue>) -> Self {
        Self { text: Text::Own(text), parameters: Parameters::OfHandler(parameters), named: true }
    }

    pub(crate) fn text(&self) -> &str {
        match &self.text {
            Text::Fixed(text) => text,
            Text::PipelineLedger(text) => text,
            Text::Own(text) => text,
        }
    }

    /// The types that the server is told.
    pub(crate) fn types(&self) -> Vec<u32> {
        match &self.parameters {
            Parameters::OfHandler(values) => values.iter().map(values::type_of).collect(),
            Parameters::Ours(parameters) => parameters.iter().map(|(_, kind)| kind.oid()).collect(),
        }
    }

    /// How many bytes it is, about.
    pub(crate) fn size(&self) -> usize {
        let parameters = match &self.parameters {
            Parameters::OfHandler(values) => values.iter().map(|value| 8 + values::size_of(value)).sum(),
            Parameters::Ours(parameters) => parameters.len() * 64,
        };
        self.text().len() + parameters
    }

    /// Writes its parameters, for the statement that the server knows by this name. All results are text.
    pub(crate) fn bind(&self, name: &str, out: &mut BytesMut) -> io::Result<()> {
        let bound = match &self.parameters {
            Parameters::OfHandler(values) => {
                let write = |value: &SqlValue, out: &mut BytesMut| {
                    Ok(if values::write(value, out) { IsNull::No } else { IsNull::Yes })
                };
                let formats = values.iter().map(values::format_of);
                frontend::bind("", name, formats, values.iter(), write, [values::TEXT], out)
            }
            Parameters::Ours(parameters) => {
                let formats = parameters.iter().map(|(value, kind)| format_of(&**value, kind));
                frontend::bind("", name, formats, parameters.iter(), write_ours, [values::TEXT], out)
            }
        };
        bound.map_err(|error| match error {
            frontend::BindError::Conversion(error) => io::Error::other(error),
            frontend::BindError::Serialization(error) => error,
        })
    }
}

fn format_of(value: &(dyn ToSql + Sync), kind: &Type) -> i16 {
    match value.encode_format(kind) {
        types::Format::Text => values::TEXT,
        types::Format::Binary => values::BINARY,
    }
}

fn write_ours(
    (value, kind): &Parameter,
    out: &mut BytesMut,
) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
    Ok(match value.to_sql_checked(kind, out)? {
        types::IsNull::No => IsNull::No,
        types::IsNull::Yes => IsNull::Yes,
    })
}
