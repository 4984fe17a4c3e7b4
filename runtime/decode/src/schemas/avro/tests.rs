use super::*;
use apache_avro::types::Value;
use serde_json::json;

fn parsed(text: &str) -> Types {
    parse(&Document { text: text.to_owned(), references: Vec::new() }).unwrap()
}

/// What a handler sees of a body.
fn seen(writer: &str, reader: Option<&str>, body: &[u8]) -> Result<serde_json::Value, String> {
    let schema = AvroSchema::new(&parsed(writer), reader.map(parsed).as_ref()).unwrap();
    let mut out = Out::new(1 << 20, true);
    let checked = schema.check(Part { of_header: None, payload: body }, &mut out);
    checked.map_err(|fault| fault.describe())?;
    Ok(serde_json::from_slice(&out.into_bytes()).expect("it is JSON"))
}

/// A body by the library's own writer.
fn written(schema: &str, value: Value) -> Vec<u8> {
    let schema = Parsed::parse_str(schema).unwrap();
    apache_avro::writer::datum::GenericDatumWriter::builder(&schema)
        .build()
        .unwrap()
        .write_value_to_vec(value)
        .unwrap()
}

const ORDER: &str = r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": "long"},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
    {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
        {"name": "sku", "type": "string"}, {"name": "count", "type": "int"}]}}},
    {"name": "tags", "type": {"type": "map", "values": "double"}},
    {"name": "raw", "type": "bytes"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "next", "type": ["null", "Order"], "default": null}]}"#;

fn order(next: Value) -> Value {
    let line = |sku: &str, count| {
        Value::Record(vec![("sku".into(), Value::String(sku.into())), ("count".into(), Value::Int(count))])
    };
    Value::Record(vec![
        ("id".into(), Value::Long(1 << 60)),
        ("note".into(), Value::Union(1, Box::new(Value::String("a \"note\"\n".into())))),
        ("state".into(), Value::Enum(1, "PAID".into())),
        ("lines".into(), Value::Array(vec![line("a", 1), line("b", -2)])),
        ("tags".into(), Value::Map([("x".to_owned(), Value::Double(0.5))].into())),
        ("raw".into(), Value::Bytes(vec![0, 255])),
        ("at".into(), Value::TimestampMillis(1_796_083_200_123)),
        ("next".into(), next),
    ])
}

fn none() -> Value {
    Value::Union(0, Box::new(Value::Null))
}

#[test]
fn a_body_becomes_plain_json() {
    let body = written(ORDER, order(Value::Union(1, Box::new(order(none())))));
    let seen = seen(ORDER, None, &body).unwrap();
    let mut inner = seen["next"].clone();
    assert_eq!(inner["id"], seen["id"]);
    let next = inner["next"].take();
    let wanted = json!({
        "id": 1u64 << 60, "note": "a \"note\"\n", "state": "PAID", "tags": {"x": 0.5}, "raw": "AP8=",
        "lines": [{"sku": "a", "count": 1}, {"sku": "b", "count": -2}],
        "at": "2026-12-01T00:00:00.123Z", "next": null,
    });
    assert_eq!((next, inner), (serde_json::Value::Null, wanted));
}

#[test]
fn every_body_that_is_cut_or_goes_on_is_wrong() {
    let body = written(ORDER, order(none()));
    assert!(seen(ORDER, None, &body).is_ok());
    for end in 0..body.len() {
        assert!(seen(ORDER, None, &body[..end]).is_err(), "cut at {end}");
    }
    let longer = [&body[..], &[0]].concat();
    assert_eq!(seen(ORDER, None, &longer), Err("it goes on for 1 bytes behind its end".to_owned()));
}

#[test]
fn a_fault_says_where_it_is() {
    let lines = r#"{"type": "record", "name": "O", "fields": [{"name": "lines", "type": {"type": "array",
        "items": {"type": "record", "name": "L", "fields": [{"name": "ok", "type": "boolean"}]}}}]}"#;
    assert_eq!(seen(lines, None, &[4, 1, 7, 0]), Err("at /lines/1/ok: is no boolean but [7]".to_owned()));
    assert_eq!(
        seen("\"int\"", None, &[254, 255, 255, 255, 31]),
        Err("4294967295 has no place in an int".to_owned())
    );
    let state = r#"{"type": "enum", "name": "S", "symbols": ["A"]}"#;
    assert_eq!(seen(state, None, &[2]), Err("1 is not one of its 1 symbols".to_owned()));
    assert_eq!(
        seen(r#"["null", "int"]"#, None, &[4]),
        Err("2 is not one of the 2 types of its union".to_owned())
    );
}

#[test]
fn a_reader_sees_its_own_fields() {
    let writer = r#"{"type": "record", "name": "O", "fields": [
        {"name": "id", "type": "int"}, {"name": "gone", "type": {"type": "array", "items": "string"}},
        {"name": "old", "type": "string"},
        {"name": "state", "type": {"type": "enum", "name": "S", "symbols": ["A", "B"]}},
        {"name": "maybe", "type": "int"}]}"#;
    let reader = r#"{"type": "record", "name": "O", "fields": [
        {"name": "id", "type": "double"}, {"name": "new", "aliases": ["old"], "type": "string"},
        {"name": "state", "type": {"type": "enum", "name": "S", "symbols": ["A", "X"], "default": "X"}},
        {"name": "maybe", "type": ["null", "string", "long"]},
        {"name": "raw", "type": "bytes", "default": "\u00ff"},
        {"name": "list", "default": [0],
            "type": {"type": "array", "items": {"type": "int", "logicalType": "date"}}},
        {"name": "none", "type": ["null", "int"], "default": null}]}"#;
    // id 7, gone ["x"], old "y", state B, maybe 9.
    let body = [14, 2, 2, b'x', 0, 2, b'y', 2, 18];
    let wanted = json!({
        "id": 7, "new": "y", "state": "X", "maybe": 9, "raw": "/w==", "list": ["1970-01-01"], "none": null,
    });
    assert_eq!(seen(writer, Some(reader), &body), Ok(wanted));
}

#[test]
fn what_a_reader_cannot_have_is_wrong_only_when_it_comes() {
    let writer = r#"["string", "int"]"#;
    assert_eq!(seen(writer, Some("\"long\""), &[2, 6]), Ok(json!(3)));
    let why = seen(writer, Some("\"long\""), &[0, 2, b'x']).unwrap_err();
    assert_eq!(why, "is a string, and the reader wants a long");
    let (one, two) = (
        r#"{"type": "record", "name": "A", "fields": []}"#,
        r#"{"type": "record", "name": "A", "fields":
        [{"name": "id", "type": "int"}]}"#,
    );
    assert_eq!(
        seen(one, Some(two), &[]),
        Err("has no field `id`, for which the reader has no default".to_owned())
    );
}

/// What would take the stack, the memory or the time of a reader that believes what bodies say.
#[test]
fn hostile_bodies_end_soon() {
    let list = r#"{"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}"#;
    assert!(seen(list, None, &[2, 2, 2, 0]).is_ok());
    let deep = seen(list, None, &vec![2; 1 << 20]).unwrap_err();
    assert!(deep.contains("is more than 100 deep"), "{deep}");
    let huge = [254, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    let nulls = r#"{"type": "array", "items": "null"}"#;
    assert_eq!(
        seen(nulls, None, &huge),
        Err("has more values than its bytes can say".to_owned())
            .map_err(|why: String| { format!("at /{}: {why}", super::read::values(huge.len()) - 1) })
    );
    for (schema, words) in [
        ("\"bytes\"", "ends early"),
        ("\"string\"", "ends early"),
        (r#"{"type": "map", "values": "null"}"#, "ends early"),
    ] {
        let why = seen(schema, None, &huge).unwrap_err();
        assert!(why.contains(words), "{schema}: {why}");
    }
    // A thousand million records of no byte each, by 30 types.
    let mut fields = r#""null""#.to_owned();
    for n in 0..30 {
        fields = if n == 0 {
            r#"{"type": "record", "name": "R0", "fields": []}"#.to_owned()
        } else {
            format!(
                r#"{{"type": "record", "name": "R{n}", "fields": [
                    {{"name": "a", "type": {fields}}}, {{"name": "b", "type": "R{}"}}]}}"#,
                n - 1
            )
        };
    }
    assert!(seen(&fields, None, &[]).unwrap_err().contains("has more values than its bytes can say"));
    let negative = [1, 1];
    assert!(seen("\"bytes\"", None, &negative).is_err());
}

#[test]
fn what_is_written_is_bounded() {
    let schema = AvroSchema::new(&parsed(r#"{"type": "array", "items": "boolean"}"#), None).unwrap();
    let mut body = vec![200, 1];
    body.extend([0; 100]);
    body.push(0);
    let mut out = Out::new(100, true);
    let fault = schema.check(Part { of_header: None, payload: &body }, &mut out).unwrap_err();
    assert!(fault.describe().contains("as JSON it has more than 100 bytes"), "{}", fault.describe());
    assert!(out.into_bytes().len() <= 100);
}

/// Random bytes, and bodies with one byte changed: never a panic, and where the library reads one whole, so
/// do we.
#[test]
fn any_bytes_are_read_or_refused() {
    let schemas = [
        ORDER,
        r#"{"type": "map", "values": ["null", "int", {"type": "array", "items": "string"}]}"#,
        "\"string\"",
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let sound = written(ORDER, order(none()));
    for turn in 0..20_000 {
        let schema = schemas[turn % 3];
        let mut body = if turn % 3 == 0 {
            sound.clone()
        } else {
            (0..next() % 40).map(|_| next().to_le_bytes()[0] % 16).collect()
        };
        if let Some(byte) = usize::try_from(next()).ok().and_then(|at| {
            let len = body.len().max(1);
            body.get_mut(at % len)
        }) {
            *byte = next().to_le_bytes()[0];
        }
        let ours = seen(schema, None, &body);
        let parsed = Parsed::parse_str(schema).unwrap();
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(&parsed).build().unwrap();
        let theirs = reader.read_value(&mut &body[..]);
        assert!(ours.is_err() || theirs.is_ok(), "{body:?}: {ours:?}, {theirs:?}");
    }
}

#[test]
fn references_are_resolved_in_any_order() {
    let reference =
        |name: &str, text: &str| crate::schemas::Reference { name: name.to_owned(), text: text.to_owned() };
    let line = reference(
        "shop.Line",
        r#"{"type": "record", "name": "Line", "namespace": "shop", "fields": [
            {"name": "sku", "type": "shop.Sku"}]}"#,
    );
    let sku = reference("shop.Sku", r#"{"type": "fixed", "name": "Sku", "namespace": "shop", "size": 2}"#);
    let text = r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": [
        {"name": "line", "type": "Line"}]}"#;
    let document = Document { text: text.to_owned(), references: vec![line, sku] };
    let schema = AvroSchema::new(&parse(&document).unwrap(), None).unwrap();
    let mut out = Out::new(100, true);
    schema.check(Part { of_header: None, payload: b"ab" }, &mut out).unwrap();
    assert_eq!(out.into_bytes(), b"{\"line\":{\"sku\":\"YWI=\"}}");
    let missing = Document { text: text.to_owned(), references: Vec::new() };
    assert!(parse(&missing).is_err());
}
