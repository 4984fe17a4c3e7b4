//! Schemas in files.

use super::{CompiledSchema, Document, Framing, ReadFile, Reference, SchemaConfig, SchemaKind, Wire};
use super::{avro, compiled, protobuf, registry};
use std::path::Path;

/// Bytes of a schema's file.
const FILE_BYTES: usize = 1 << 20;

/// A schema in a file.
pub(super) fn schema(
    config: &SchemaConfig,
    file: &Path,
    read: &ReadFile<'_>,
) -> Result<Box<dyn CompiledSchema>, String> {
    let bytes = read(file, FILE_BYTES)?;
    let framing = match config.wire {
        Wire::Confluent if config.message.is_none() => Framing::Indexed,
        Wire::Confluent | Wire::None | Wire::Glue => Framing::Named(config.message.as_deref()),
    };
    if config.kind == SchemaKind::Protobuf && file.extension().is_none_or(|ending| ending != "proto") {
        return Ok(Box::new(protobuf::ProtobufSchema::compiled(&bytes, framing).map_err(no_schema)?));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is no UTF-8 text".to_owned())?;
    let references = match config.kind {
        SchemaKind::Protobuf => imports(file, &text, read)?,
        SchemaKind::Json | SchemaKind::Avro => Vec::new(),
    };
    compiled(config.kind, &Document { text, references }, framing, None).map_err(no_schema)
}

fn no_schema(why: String) -> String {
    format!("is no schema that can be used: {why}")
}

/// The schema that a reader of Avro has.
pub(super) fn reader(file: &Path, read: &ReadFile<'_>) -> Result<avro::Types, String> {
    let text = String::from_utf8(read(file, FILE_BYTES)?).map_err(|_| "is no UTF-8 text".to_owned())?;
    avro::parse(&Document { text, references: Vec::new() }).map_err(no_schema)
}

/// Files that a `.proto` file imports, and those that these do, beside it.
fn imports(file: &Path, text: &str, read: &ReadFile<'_>) -> Result<Vec<Reference>, String> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut all: Vec<Reference> = Vec::new();
    let mut open = protobuf::imported(text);
    while let Some(name) = open.pop() {
        if name.starts_with("google/protobuf/") || all.iter().any(|one| one.name == name) {
            continue;
        }
        if name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return Err(format!("imports `{name}`, which is not beside it"));
        }
        // What is not there may stand in a comment. If not, the compiler says that it is missing.
        let Ok(bytes) = read(&folder.join(&name), FILE_BYTES) else { continue };
        let text =
            String::from_utf8(bytes).map_err(|_| format!("imports `{name}`, which is no UTF-8 text"))?;
        open.extend(protobuf::imported(&text));
        all.push(Reference { name, text });
        if all.len() > registry::MAX_REFERENCES {
            return Err(format!("imports more than {} files", registry::MAX_REFERENCES));
        }
    }
    Ok(all)
}
