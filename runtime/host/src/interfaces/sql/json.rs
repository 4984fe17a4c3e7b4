//! Values and results of SQL in the JSON of a worker's calls.
//!
//! JSON has one kind of number. So what a reader could take for the other kind is said in an object:
//! `{"integer": "9007199254740993"}`, `{"float": 3.0}`, `{"float": "NaN"}`. Bytes are `{"bytes": BASE64}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pelton_core::effects::{Rows, SqlValue};
use serde_json::{Value, json};

/// What a parameter must be, in words.
pub(crate) const FORM: &str = "list of null, true, false, numbers within 64 bits, texts, \
    {\"bytes\": base64}, {\"integer\": \"text\"} or {\"float\": number}";

/// Up to here a whole number is the same in a double.
const EXACT: u64 = 1 << 53;

/// The parameters of a statement; none when something is none of its values.
pub(crate) fn parameters(list: &[Value]) -> Option<Vec<SqlValue>> {
    list.iter().map(parameter).collect()
}

fn parameter(value: &Value) -> Option<SqlValue> {
    Some(match value {
        Value::Null => SqlValue::Null,
        Value::Bool(truth) => SqlValue::Boolean(*truth),
        Value::String(text) => SqlValue::Text(text.clone()),
        Value::Number(number) if number.is_f64() => SqlValue::Float(number.as_f64()?),
        Value::Number(number) => SqlValue::Integer(number.as_i64()?),
        Value::Object(fields) => {
            let mut fields = fields.iter();
            let (Some((name, value)), None) = (fields.next(), fields.next()) else { return None };
            match name.as_str() {
                "bytes" => SqlValue::Bytes(STANDARD.decode(value.as_str()?).ok()?),
                "integer" => SqlValue::Integer(value.as_str()?.parse().ok()?),
                "float" => SqlValue::Float(float(value)?),
                _ => return None,
            }
        }
        Value::Array(_) => return None,
    })
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What a statement gave.
pub(crate) fn rows(found: &Rows) -> Value {
    let columns = found.columns.iter().map(|one| json!({ "name": one.name, "type": one.type_name }));
    let columns: Vec<Value> = columns.collect();
    let row = |row: &Vec<SqlValue>| Value::Array(row.iter().map(shown).collect());
    let rows: Vec<Value> = found.rows.iter().map(row).collect();
    json!({ "columns": columns, "rows": rows, "affected": found.affected })
}

fn shown(value: &SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Boolean(truth) => json!(truth),
        SqlValue::Integer(number) if number.unsigned_abs() <= EXACT => json!(number),
        SqlValue::Integer(number) => json!({ "integer": number.to_string() }),
        SqlValue::Float(number) if number.is_nan() => json!({ "float": "NaN" }),
        SqlValue::Float(number) if number.is_infinite() => {
            json!({ "float": if number.is_sign_positive() { "Infinity" } else { "-Infinity" } })
        }
        SqlValue::Float(number) if number.fract() == 0.0 => json!({ "float": number }),
        SqlValue::Float(number) => json!(number),
        SqlValue::Text(text) => json!(text),
        SqlValue::Bytes(bytes) => json!({ "bytes": STANDARD.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::effects::Column;

    fn read(json: &str) -> Option<SqlValue> {
        parameter(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn each_value_has_a_form_that_is_read_as_it_was_written() {
        for value in [
            SqlValue::Null,
            SqlValue::Boolean(true),
            SqlValue::Integer(-3),
            SqlValue::Integer(i64::MIN),
            SqlValue::Integer((1 << 53) + 1),
            SqlValue::Float(1.5),
            SqlValue::Float(3.0),
            SqlValue::Float(-0.0),
            SqlValue::Float(f64::INFINITY),
            SqlValue::Float(f64::NEG_INFINITY),
            SqlValue::Float(1e300),
            SqlValue::Text("{\"bytes\": 1}\n".to_owned()),
            SqlValue::Bytes(vec![0, 255]),
        ] {
            let text = shown(&value).to_string();
            assert_eq!(read(&text), Some(value), "{text}");
        }
        let nan = read(&shown(&SqlValue::Float(f64::NAN)).to_string());
        assert!(matches!(nan, Some(SqlValue::Float(number)) if number.is_nan()), "{nan:?}");
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for json in [
            "[]",
            "{}",
            r#"{"bytes":"?"}"#,
            r#"{"bytes":"","float":1}"#,
            r#"{"integer":5}"#,
            r#"{"integer":"5.0"}"#,
            r#"{"float":"nan"}"#,
            r#"{"float":null}"#,
            r#"{"text":"x"}"#,
            "18446744073709551615",
        ] {
            assert_eq!(read(json), None, "{json}");
        }
        assert_eq!(read("9223372036854775807"), Some(SqlValue::Integer(i64::MAX)));
        assert_eq!(read("1.0"), Some(SqlValue::Float(1.0)));
        assert_eq!(read(r#"{"float":1}"#), Some(SqlValue::Float(1.0)));
    }

    #[test]
    fn a_result_has_columns_and_rows() {
        let column = Column { name: "n".to_owned(), type_name: "int8".to_owned() };
        let row = vec![SqlValue::Integer(1)];
        let found = Rows { columns: vec![column], rows: vec![row.clone(), row], affected: 2 };
        let text = r#"{"affected":2,"columns":[{"name":"n","type":"int8"}],"rows":[[1],[1]]}"#;
        assert_eq!(rows(&found).to_string(), text);
    }
}
