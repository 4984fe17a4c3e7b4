//! P21: what it costs to look at bodies by a schema, before a handler that does nothing.

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load};
use crate::ours::{self, Dedup, Ours};
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::{Result, anyhow};
use pelton_core::ports::Decoder;
use pelton_decode::MessageDecoder;
use pelton_decode::schemas::{Pass, SchemaConfig, SchemaKind, Schemas, Wire};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const JSON: &str = r#"{"type": "array", "prefixItems": [{"type": "integer"}, {"type": "object",
    "required": ["customer", "lines"], "properties": {"customer": {"type": "string", "minLength": 1},
    "lines": {"type": "array", "items": {"type": "object", "required": ["sku"], "properties": {
        "sku": {"type": "string"}, "count": {"type": "integer", "minimum": 1}}}}}}]}"#;
const AVRO: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "kind", "type": {"type": "fixed", "name": "Kind", "size": 1}}, {"name": "id", "type": "string"},
    {"name": "customer", "type": "string"}, {"name": "lines", "type": {"type": "array", "items": {
        "type": "record", "name": "Line", "fields": [
            {"name": "sku", "type": "string"}, {"name": "count", "type": "int"}]}}}]}"#;
const PROTOBUF: &str = r#"syntax = "proto3"; message Order { string id = 1; string customer = 2;
    repeated Line lines = 3;
    message Line { string sku = 1; int32 count = 2; } }"#;

/// Longer than any digit is low: no byte of a length behind a number is one.
const CUSTOMER: &str = "a customer with a name of forty letters!";
const LINES: usize = 4;

/// A body of a number, which stands from its third byte on: there the book looks for it.
type Body = fn(u64) -> Vec<u8>;

const FORMATS: [(SchemaKind, &str, &str, Body); 3] = [
    (SchemaKind::Json, "JSON Schema", JSON, json),
    (SchemaKind::Avro, "Avro", AVRO, avro),
    (SchemaKind::Protobuf, "Protobuf", PROTOBUF, protobuf),
];

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let without = Ours::new(&setup.guest)?;
    let row = |(kind, name, schema, body)| {
        let with = Ours::new(&setup.guest)?.decoding(decoder(kind, schema)?);
        row(setup, (&with, &without), name, body)
    };
    FORMATS.into_iter().map(row).collect()
}

fn row(setup: &Setup, (with, without): (&Ours, &Ours), name: &str, body: Body) -> Result<Row> {
    let load = Load { level: Level::None, first: 1, count: Level::None.messages(setup.quick) };
    let mut void = None;
    let [a, b] = alternate(setup.runs, |side| {
        let dir = tempfile::tempdir_in(&setup.work_dir)?;
        ours::fill_with(dir.path(), load, body)?;
        let ours = if side == 0 { with } else { without };
        let drained = ours.drain(dir.path(), load, Dedup::MessageId)?;
        void = void.take().or_else(|| Set::differs(load.produced(), drained.delivered));
        Ok(load.count as f64 / drained.took.as_secs_f64())
    })?;
    let bytes = body(load.first).len();
    Ok(Row {
        id: "P21",
        what: format!("embedded queue, {bytes} bytes looked at by {name}, against not looked at"),
        unit: "messages/s",
        ours: a,
        theirs: Some(b),
        goal: Goal::Compare,
        void,
    })
}

fn decoder(kind: SchemaKind, schema: &'static str) -> Result<Arc<dyn Decoder>> {
    let file = if kind == SchemaKind::Protobuf { "order.proto" } else { "order.json" };
    let config = SchemaConfig {
        kind,
        file: Some(PathBuf::from(file)),
        registry: None,
        wire: Wire::None,
        message: None,
        pass: Pass::Original,
        max_message_bytes: 1 << 20,
    };
    let agent = ureq::Agent::new_with_defaults();
    let read = |_: &Path, _: usize| Ok(schema.as_bytes().to_vec());
    let schemas = Schemas::open(&config, agent, &read).map_err(|why| anyhow!("{file} {why}"))?;
    Ok(Arc::new(MessageDecoder::new().schema(Arc::new(schemas))))
}

fn json(number: u64) -> Vec<u8> {
    let line = r#"{"sku": "A-17", "count": 3}"#;
    let lines = [line; LINES].join(", ");
    format!(r#"[ {number}, {{"customer": "{CUSTOMER}", "lines": [{lines}]}}]"#).into_bytes()
}

/// Behind its length, which takes one byte.
fn text(text: &str, twice: bool) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap_or(0);
    [&[if twice { 2 * length } else { length }], text.as_bytes()].concat()
}

fn avro(number: u64) -> Vec<u8> {
    let line = [text("A-17", true), vec![6]].concat();
    let parts = [
        b"n".to_vec(),
        text(&number.to_string(), true),
        text(CUSTOMER, true),
        vec![8],
        line.repeat(LINES),
        vec![0],
    ];
    parts.concat()
}

fn protobuf(number: u64) -> Vec<u8> {
    let line = [vec![26, 8, 10], text("A-17", false), vec![16, 3]].concat();
    [vec![10], text(&number.to_string(), false), vec![18], text(CUSTOMER, false), line.repeat(LINES)]
        .concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::ports::Decoded;
    use pelton_core::{Message, Parts};

    #[test]
    fn bodies_are_as_their_schemas_say_and_tell_their_numbers() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (kind, name, schema, body) in FORMATS {
            let decoder = decoder(kind, schema).unwrap();
            for number in [1, 7, 123_456] {
                let bytes = body(number);
                assert_eq!(crate::load::number(&bytes), number, "{name}");
                let message = |body| Message::new(Parts { body, ..Parts::default() });
                let cut = message(&bytes[..bytes.len() - 1]);
                let decoded = runtime.block_on(decoder.decode(vec![message(&bytes), cut]));
                assert_eq!(decoded[0], Decoded::AsItIs, "{name}");
                assert!(matches!(decoded[1], Decoded::Invalid(_)), "{name}");
            }
        }
    }
}
