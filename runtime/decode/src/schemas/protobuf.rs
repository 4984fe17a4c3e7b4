//! Protobuf: from a `.proto` file that is compiled here, or from compiled descriptors.

use super::fault::Fault;
use super::out::{Out, too_large};
use super::wire::message_indexes;
use super::{CompiledSchema, Document, Framing, Part};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FileDescriptor, MessageDescriptor, ReflectMessage,
    SerializeOptions, Value,
};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use std::collections::HashMap;

/// The name that the schema itself goes by where it has none of its own.
const ROOT: &str = "schema.proto";
/// How deep braces may be in a `.proto` text: its parser goes as deep as they do.
const MAX_NESTING: usize = 100;

/// A schema, ready to read bodies.
pub(super) struct ProtobufSchema {
    file: FileDescriptor,
    /// The message of each body; none where bodies say which it is.
    message: Option<MessageDescriptor>,
    options: SerializeOptions,
    /// Whether some field must be there: then each message is looked through.
    has_required: bool,
}

impl ProtobufSchema {
    /// From a text, or from descriptors in base64, which some registries have.
    pub(super) fn new(document: &Document, framing: Framing<'_>) -> Result<Self, String> {
        let mut files = HashMap::new();
        for reference in &document.references {
            files.insert(reference.name.clone(), reference.text.clone());
        }
        files.insert(ROOT.to_owned(), document.text.clone());
        files.values().try_for_each(|text| bounded(text))?;
        let mut resolver = ChainFileResolver::new();
        resolver.add(Given(files));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).open_file(ROOT).map_err(|error| said(&error))?;
        Self::of(&compiler.descriptor_pool(), ROOT, framing)
    }

    /// From what `protoc --descriptor_set_out` writes, with imports.
    pub(super) fn compiled(bytes: &[u8], framing: Framing<'_>) -> Result<Self, String> {
        let pool = DescriptorPool::decode(bytes)
            .map_err(|error| format!("it is no set of descriptors: {error}"))?;
        // Files come behind those that they import.
        let last = pool.files().last().map(|file| file.name().to_owned());
        let last = last.ok_or("it is an empty set of descriptors")?;
        Self::of(&pool, &last, framing)
    }

    fn of(pool: &DescriptorPool, root: &str, framing: Framing<'_>) -> Result<Self, String> {
        let file = pool.get_file_by_name(root).ok_or("it has no file")?;
        let message = match framing {
            Framing::Indexed => None,
            Framing::Named(Some(name)) => Some(
                pool.get_message_by_name(name)
                    .ok_or_else(|| format!("it has no message `{name}`: {}", known(pool)))?,
            ),
            Framing::Named(None) => {
                let mut all = file.messages();
                match (all.next(), all.next()) {
                    (Some(only), None) => Some(only),
                    _ => {
                        return Err(format!(
                            "it has several messages; say which with `message`: {}",
                            known(pool)
                        ));
                    }
                }
            }
        };
        let required = |message: MessageDescriptor| {
            message.fields().any(|field| field.cardinality() == Cardinality::Required)
        };
        let has_required = pool.all_messages().any(required);
        let options = SerializeOptions::new();
        Ok(Self { file, message, options, has_required })
    }

    /// The message that places of declarations lead to.
    fn indexed(&self, indexes: &[usize]) -> Option<MessageDescriptor> {
        let (first, inner) = indexes.split_first()?;
        let first = self.file.messages().nth(*first);
        inner.iter().fold(first, |message, index| message?.child_messages().nth(*index))
    }
}

/// The first names of messages that there are.
fn known(pool: &DescriptorPool) -> String {
    let names: Vec<String> = pool
        .all_messages()
        .filter(|message| !message.is_map_entry() && !message.full_name().starts_with("google.protobuf."))
        .take(5)
        .map(|message| message.full_name().to_owned())
        .collect();
    if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) }
}

fn bounded(text: &str) -> Result<(), String> {
    let mut depth = 0usize;
    for c in text.bytes() {
        match c {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(format!("its braces are more than {MAX_NESTING} deep"));
        }
    }
    Ok(())
}

/// The names of the files that a text imports. Those in comments too: who reads them finds out.
pub(super) fn imported(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let rest = line.trim_start().strip_prefix("import")?.trim_start();
        let rest =
            rest.strip_prefix("public").or_else(|| rest.strip_prefix("weak")).unwrap_or(rest).trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        rest.get(1..)?.split(quote).next().map(str::to_owned)
    };
    text.lines().filter_map(name).collect()
}

/// An error with its causes, without the pictures that the library draws.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A compiled file in base64: as confluent-kafka's clients for Python register it, and some registries give
/// it.
fn serialized(text: &str) -> Option<FileDescriptorProto> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    FileDescriptorProto::decode(&*bytes).ok()
}

/// Files that are in memory: the schema, and what was given with it.
struct Given(HashMap<String, String>);

impl FileResolver for Given {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let text = self.0.get(name).ok_or_else(|| protox::Error::file_not_found(name))?;
        match serialized(text) {
            Some(file) => Ok(File::from_file_descriptor_proto(FileDescriptorProto {
                name: Some(name.to_owned()),
                ..file
            })),
            None => File::from_source(name, text),
        }
    }
}

impl CompiledSchema for ProtobufSchema {
    fn check(&self, part: Part<'_>, out: &mut Out) -> Result<(), Fault> {
        let (message, bytes) = match &self.message {
            Some(message) => (message.clone(), part.payload),
            None => {
                let read = message_indexes(part.of_header.unwrap_or(part.payload));
                let (indexes, rest) =
                    read.ok_or_else(|| Fault::new("it does not say which message it is"))?;
                let message = self.indexed(&indexes);
                let message = message.ok_or_else(|| {
                    Fault::new(format!("its schema has no message at the place {indexes:?}"))
                })?;
                (message, if part.of_header.is_some() { part.payload } else { rest })
            }
        };
        let name = message.full_name().to_owned();
        let message = DynamicMessage::decode(message, bytes)
            .map_err(|error| Fault::new(format!("it is no {name}: {error}")))?;
        if self.has_required {
            complete(&message)?;
        }
        if out.wanted() {
            let mut writer = serde_json::Serializer::new(&mut *out);
            let written = message.serialize_with_options(&mut writer, &self.options);
            written.map_err(|error| Fault::new(format!("it is no {name} that JSON can say: {error}")))?;
        }
        if out.full() {
            return Err(Fault::new(too_large(out.most())));
        }
        Ok(())
    }
}

/// That the fields are there that must be, here and in all messages within.
fn complete(message: &DynamicMessage) -> Result<(), Fault> {
    for field in message.descriptor().fields() {
        if field.cardinality() == Cardinality::Required && !message.has_field(&field) {
            return Err(Fault::new("is missing").within(field.json_name()));
        }
    }
    for (field, value) in message.fields() {
        let within = |fault: Fault| fault.within(field.json_name());
        match value {
            Value::Message(inner) => complete(inner).map_err(within)?,
            Value::List(items) => {
                for (place, item) in items.iter().enumerate() {
                    item.as_message()
                        .map_or(Ok(()), complete)
                        .map_err(|fault| within(fault.within(place)))?;
                }
            }
            Value::Map(entries) => {
                for item in entries.values() {
                    item.as_message().map_or(Ok(()), complete).map_err(within)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::Reference;

    const ORDER: &str = r#"syntax = "proto3"; package shop;
        import "google/protobuf/timestamp.proto"; import "line.proto";
        message Ping {}
        message Order { int64 id = 1; repeated Line lines = 2; google.protobuf.Timestamp at = 3;
            Order next = 4;
            repeated bool flags = 5; message Inner { string name = 1; } }"#;
    const LINE: &str =
        r#"syntax = "proto3"; package shop; message Line { string sku = 1; int32 count = 2; }"#;

    fn order(framing: Framing<'_>) -> Result<ProtobufSchema, String> {
        let references = vec![Reference { name: "line.proto".to_owned(), text: LINE.to_owned() }];
        ProtobufSchema::new(&Document { text: ORDER.to_owned(), references }, framing)
    }

    fn text(text: &str) -> Result<ProtobufSchema, String> {
        ProtobufSchema::new(
            &Document { text: text.to_owned(), references: Vec::new() },
            Framing::Named(None),
        )
    }

    fn seen(schema: &ProtobufSchema, of_header: Option<&[u8]>, payload: &[u8]) -> Result<String, String> {
        let mut out = Out::new(10_000, true);
        schema.check(Part { of_header, payload }, &mut out).map_err(|fault| fault.describe())?;
        Ok(String::from_utf8(out.into_bytes()).unwrap())
    }

    #[test]
    fn a_body_says_which_message_it_is() {
        let schema = order(Framing::Indexed).unwrap();
        // Order: id 7, lines [{sku "a"}], at 1 s.
        let body = [8, 7, 18, 3, 10, 1, b'a', 26, 2, 8, 1];
        let json = r#"{"id":"7","lines":[{"sku":"a"}],"at":"1970-01-01T00:00:01Z"}"#;
        assert_eq!(seen(&schema, None, &[&[2, 2][..], &body].concat()).as_deref(), Ok(json));
        assert_eq!(seen(&schema, Some(&[2, 2]), &body).as_deref(), Ok(json));
        assert_eq!(seen(&schema, None, &[0]).as_deref(), Ok("{}"), "the short form of the first");
        assert_eq!(seen(&schema, None, &[2, 0]).as_deref(), Ok("{}"), "its long form");
        assert_eq!(seen(&schema, None, &[4, 2, 0, 10, 1, b'x']).as_deref(), Ok(r#"{"name":"x"}"#));
        assert!(seen(&schema, None, &[2, 8]).unwrap_err().contains("no message at the place [4]"));
        assert!(seen(&schema, None, &[]).unwrap_err().contains("does not say which"));
        assert!(seen(&schema, None, &[2, 2, 8]).unwrap_err().starts_with("it is no shop.Order: "));
    }

    #[test]
    fn a_file_has_one_message_or_says_which() {
        assert!(order(Framing::Named(None)).err().unwrap().contains("say which with `message`: it has"));
        assert!(
            order(Framing::Named(Some("shop.Nobody"))).err().unwrap().contains("no message `shop.Nobody`")
        );
        let named = order(Framing::Named(Some("shop.Line"))).unwrap();
        assert_eq!(seen(&named, None, &[16, 3]).as_deref(), Ok(r#"{"count":3}"#));
        let alone = ProtobufSchema::new(
            &Document { text: ORDER.to_owned(), ..Document::default() },
            Framing::Indexed,
        );
        assert!(alone.err().unwrap().contains("line.proto"), "what is imported has to be there");
    }

    #[test]
    fn a_schema_may_be_compiled_already() {
        let mut compiler = Compiler::with_file_resolver(Given([(ROOT.to_owned(), LINE.to_owned())].into()));
        let set = compiler.open_file(ROOT).unwrap().file_descriptor_set();
        let file = set.file.first().unwrap().encode_to_vec();
        let schema = text(&STANDARD.encode(&file)).unwrap();
        assert_eq!(seen(&schema, None, &[16, 3]).as_deref(), Ok(r#"{"count":3}"#));
        let schema = ProtobufSchema::compiled(&set.encode_to_vec(), Framing::Named(None)).unwrap();
        assert_eq!(seen(&schema, None, &[16, 3]).as_deref(), Ok(r#"{"count":3}"#));
        assert!(ProtobufSchema::compiled(b"junk", Framing::Named(None)).is_err());
    }

    #[test]
    fn fields_that_must_be_there_are_missed() {
        let schema =
            text(r#"syntax = "proto2"; message A { required int32 id = 1; repeated A more = 2; }"#)
                .unwrap();
        assert_eq!(seen(&schema, None, &[8, 1]).as_deref(), Ok(r#"{"id":1}"#));
        assert_eq!(seen(&schema, None, &[]), Err("at /id: is missing".to_owned()));
        assert_eq!(seen(&schema, None, &[8, 1, 18, 0]), Err("at /more/0/id: is missing".to_owned()));
    }

    #[test]
    fn hostile_bodies_and_schemas_end_soon() {
        let schema = order(Framing::Named(Some("shop.Order"))).unwrap();
        let mut deep = Vec::new();
        for _ in 0..200 {
            let mut length = vec![34];
            prost_reflect::prost::encoding::encode_varint(u64::try_from(deep.len()).unwrap(), &mut length);
            deep = [length, deep].concat();
        }
        assert!(seen(&schema, None, &deep).unwrap_err().contains("recursion limit"));
        // Each of a thousand bytes is five of JSON.
        let mut flags = vec![42, 0xa0, 0x1f];
        flags.extend([1; 4_000]);
        assert!(seen(&schema, None, &flags).unwrap_err().contains("as JSON it has more than 10000 bytes"));
        let nested = "message A { ".repeat(50_000);
        assert!(text(&format!("syntax = \"proto3\"; {nested}")).err().unwrap().contains("deep"));
        for bad in [
            "",
            "syntax = \"proto3\"; message A { B b = 1; }",
            "syntax = \"proto3\"; import \"../x.proto\";",
        ] {
            assert!(text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn imports_are_found() {
        let text =
            "import \"a.proto\";\n  import public 'b/c.proto';\nimport weak \"d.proto\"; // import \"x\"\n";
        assert_eq!(imported(text), ["a.proto", "b/c.proto", "d.proto"]);
    }
}
