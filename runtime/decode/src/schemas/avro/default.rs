//! The default of a field, as a schema has it, in the JSON that handlers see.

use super::form;
use super::types::{Type, TypeId, Types, Wire};
use crate::schemas::out::Out;
use serde_json::Value;

/// Bytes of one default, and how deep it may be.
const MAX_BYTES: usize = 64 << 10;
const MAX_DEPTH: usize = 64;

/// The value as JSON. The error goes on where the name of the field stops.
pub(super) fn json(types: &Types, of: TypeId, value: &Value) -> Result<Vec<u8>, String> {
    let mut out = Out::new(MAX_BYTES, true);
    write(types, of, value, MAX_DEPTH, &mut out).ok_or("is not of its type")?;
    if out.full() {
        return Err(format!("has more than {MAX_BYTES} bytes as JSON"));
    }
    Ok(out.into_bytes())
}

/// None where the value is not of the type.
fn write(types: &Types, of: TypeId, value: &Value, depth: usize, out: &mut Out) -> Option<()> {
    let depth = depth.checked_sub(1).filter(|_| !out.full())?;
    match (types.get(of), value) {
        (Type::Null, Value::Null) => out.put(b"null"),
        (Type::Boolean, Value::Bool(flag)) => out.put(if *flag { b"true" } else { b"false" }),
        (Type::Float | Type::Double, Value::Number(number)) => out.put(number.to_string().as_bytes()),
        (Type::Float | Type::Double, Value::String(text)) if form::is_special(text) => out.quoted(text),
        (Type::Value(Wire::Int | Wire::Long, form), Value::Number(number)) => {
            form::integer(*form, number.as_i64()?, out).ok()?;
        }
        (Type::Value(Wire::Text, form), Value::String(text)) => {
            form::bytes(*form, text.as_bytes(), out).ok()?
        }
        (Type::Value(Wire::Bytes | Wire::Fixed(_), form), Value::String(text)) => {
            // Each character is a byte.
            let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            form::bytes(*form, &bytes?, out).ok()?;
        }
        (Type::Enum { symbols, .. }, Value::String(text)) if symbols.contains(text) => out.quoted(text),
        (Type::Array(items), Value::Array(all)) => {
            out.put(b"[");
            for (place, item) in all.iter().enumerate() {
                out.put(if place == 0 { b"" } else { b"," });
                write(types, *items, item, depth, out)?;
            }
            out.put(b"]");
        }
        (Type::Map(values), Value::Object(all)) => {
            out.put(b"{");
            for (place, (name, item)) in all.iter().enumerate() {
                out.put(if place == 0 { b"" } else { b"," });
                out.text(name);
                out.put(b":");
                write(types, *values, item, depth, out)?;
            }
            out.put(b"}");
        }
        (Type::Record { fields, .. }, Value::Object(all)) => {
            out.put(b"{");
            for (place, field) in fields.iter().enumerate() {
                out.put(if place == 0 { b"" } else { b"," });
                out.quoted(&field.name);
                out.put(b":");
                write(types, field.of, all.get(&field.name).or(field.default.as_ref())?, depth, out)?;
            }
            out.put(b"}");
        }
        (Type::Union(variants), value) => {
            // The first by the specification; any of them since Avro 1.12.
            let written = variants.iter().find_map(|variant| {
                let mut one = Out::new(MAX_BYTES, true);
                write(types, *variant, value, depth, &mut one).map(|()| one)
            });
            out.put(&written?.into_bytes());
        }
        _ => return None,
    }
    Some(())
}
