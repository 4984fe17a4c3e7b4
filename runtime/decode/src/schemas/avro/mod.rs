//! Avro: bodies that only their schema can take apart.
//!
//! The library parses schemas. Bodies are read here: its reader takes a string that ends early for none, and
//! goes as deep as a body says. What is read here is written as JSON at once, without a tree in between.

mod default;
mod form;
mod plan;
mod read;
#[cfg(test)]
mod tests;
mod types;

use super::fault::Fault;
use super::out::Out;
use super::{CompiledSchema, Document, Part};
use apache_avro::Schema as Parsed;
use plan::Plan;
pub(super) use types::Types;

/// A schema, ready to read bodies.
pub(super) struct AvroSchema(Plan);

/// Takes a schema with its references apart.
pub(super) fn parse(document: &Document) -> Result<Types, String> {
    let others: Vec<&str> = document.references.iter().map(|one| one.text.as_str()).collect();
    let (schema, others) =
        Parsed::parse_str_with_list(&document.text, others).map_err(|error| error.to_string())?;
    Types::of(&schema, &others)
}

impl AvroSchema {
    /// To read what a writer's schema has made, as the reader's says.
    pub(super) fn new(writer: &Types, reader: Option<&Types>) -> Result<Self, String> {
        Plan::of(writer, reader).map(Self)
    }
}

impl CompiledSchema for AvroSchema {
    fn check(&self, part: Part<'_>, out: &mut Out) -> Result<(), Fault> {
        read::read(&self.0, part.payload, out)
    }
}
