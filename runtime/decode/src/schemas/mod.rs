//! Schemas, by which bodies are looked at before a handler sees them.
//!
//! A schema comes from a file, or from a registry that messages name it in. What a schema or a body says is
//! from outside: sizes, depth and steps are bounded. Everything here blocks; it is called on threads for
//! that.

mod avro;
mod check;
mod config;
mod expansion;
mod fault;
mod file;
mod json;
mod out;
mod protobuf;
mod registry;
mod resources;
mod wire;

use avro::AvroSchema;
pub use check::Schemas;
pub use config::{Auth, Pass, RegistryConfig, SchemaConfig, SchemaKind, Wire};
use fault::Fault;
use out::Out;
use pelton_core::contain::contain;
use std::path::Path;

/// Reads files: at most so many bytes of one. The error goes on where the file's name stops.
pub type ReadFile<'r> = dyn Fn(&Path, usize) -> Result<Vec<u8>, String> + 'r;

/// The text of a schema, with what it refers to.
#[derive(Debug, Default)]
struct Document {
    text: String,
    references: Vec<Reference>,
}

/// A schema that another refers to, by the name that it has there.
#[derive(Debug)]
struct Reference {
    name: String,
    text: String,
}

/// What of a message a schema looks at.
#[derive(Clone, Copy)]
struct Part<'b> {
    /// What followed the schema's name in a header.
    of_header: Option<&'b [u8]>,
    payload: &'b [u8],
}

/// How a message of Protobuf is told.
#[derive(Debug, Clone, Copy)]
enum Framing<'n> {
    /// Each body says it.
    Indexed,
    /// All are the same: of this name, or the only one that there is.
    Named(Option<&'n str>),
}

/// A schema that is ready to look at bodies.
trait CompiledSchema: Send + Sync {
    /// Looks at a body, and writes it as JSON where that is wanted.
    fn check(&self, part: Part<'_>, out: &mut Out) -> Result<(), Fault>;
}

/// Compiles a schema. What is from outside may meet a bug of a library: a panic is an error like others.
fn compiled(
    kind: SchemaKind,
    document: &Document,
    framing: Framing<'_>,
    reader: Option<&avro::Types>,
) -> Result<Box<dyn CompiledSchema>, String> {
    let compile = || -> Result<Box<dyn CompiledSchema>, String> {
        Ok(match kind {
            SchemaKind::Json => Box::new(json::JsonSchema::new(document)?),
            SchemaKind::Avro => Box::new(AvroSchema::new(&avro::parse(document)?, reader)?),
            SchemaKind::Protobuf => Box::new(protobuf::ProtobufSchema::new(document, framing)?),
        })
    };
    contain(compile).unwrap_or_else(|panicked| Err(format!("what compiles it has failed: {panicked}")))
}
