//! Values on their way there and back.

use crate::shop::{Shop, code, text};
use pelton_core::effects::SqlValue;

/// Each text is what the server itself writes of that value.
const AS_TEXT: [(&str, &str); 24] = [
    ("numeric", "12.50"),
    ("numeric", "-0.00000000000000000000000000001"),
    ("numeric", "123456789012345678901234567890.123456789"),
    ("numeric", "NaN"),
    ("date", "2026-11-30"),
    ("date", "infinity"),
    ("time", "04:05:06.789"),
    ("timetz", "04:05:06+02"),
    ("timestamp", "2026-11-30 04:05:06.000001"),
    ("timestamptz", "2026-11-30 04:05:06+00"),
    ("timestamptz", "0044-03-15 12:00:00+00 BC"),
    ("interval", "1 year 2 mons -3 days +04:05:06"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("json", "{\"a\" : 1}"),
    ("jsonb", "{\"a\": [1, null, \"x\"]}"),
    ("inet", "192.168.0.1/24"),
    ("cidr", "2001:db8::/32"),
    ("text[]", "{a,\"b c\",NULL}"),
    ("int4[]", "{{1,2},{3,4}}"),
    ("int4range", "[1,5)"),
    ("money", "$12.50"),
    ("bit varying", "10101"),
    ("point", "(1.5,2)"),
    ("char(3)", "a  "),
];

#[test]
fn what_has_no_case_of_its_own_is_text_in_the_databases_form_both_ways() {
    let shop = Shop::open();
    let tx = shop.begin();
    tx.execute("SET LOCAL timezone = 'UTC'", &[]).unwrap();
    for (kind, form) in AS_TEXT {
        let rows = tx.query(&format!("SELECT $1::{kind} AS v"), &[text(form)]);
        let rows = rows.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        assert_eq!(rows.rows, [[text(form)]], "{kind}");
        assert_eq!((rows.columns.len(), &*rows.columns[0].name, rows.affected), (1, "v", 1));
    }
}

#[test]
fn what_has_a_case_comes_back_as_it_went() {
    use SqlValue::{Boolean, Bytes, Float, Integer, Null};
    let shop = Shop::open();
    let tx = shop.begin();
    let all_bytes: Vec<u8> = (0..=255).collect();
    let same = [
        ("bool", Boolean(true)),
        ("bool", Boolean(false)),
        ("int2", Integer(-32768)),
        ("int4", Integer(2_147_483_647)),
        ("int8", Integer(i64::MIN)),
        ("float8", Float(0.1)),
        ("float8", Float(f64::MAX)),
        ("float8", Float(5e-324)),
        ("float8", Float(f64::NEG_INFINITY)),
        ("float4", Float(1.1)),
        ("bytea", Bytes(all_bytes)),
        ("bytea", Bytes(Vec::new())),
        ("text", text("")),
        ("text", text("\u{1F600} 'quoted' \\x00 $1")),
        ("int4", Null),
        ("bytea", Null),
        ("text[]", Null),
    ];
    for (kind, value) in same {
        assert_eq!(tx.value(&format!("SELECT $1::{kind}"), std::slice::from_ref(&value)), value, "{kind}");
    }
    let nan = tx.value("SELECT $1::float8", &[Float(f64::NAN)]);
    assert!(matches!(nan, Float(number) if number.is_nan()));
    tx.execute("SET LOCAL bytea_output = 'escape'", &[]).unwrap();
    assert_eq!(tx.value("SELECT '\\x00ff5c61'::bytea", &[]), Bytes(vec![0, 255, 92, 97]));
}

#[test]
fn a_parameter_is_of_the_type_that_its_place_has() {
    use SqlValue::{Bytes, Float, Integer};
    let shop = Shop::open();
    let tx = shop.begin();
    tx.execute("CREATE TABLE t (i int2, n numeric, x text, at timestamptz, b bytea)", &[]).unwrap();
    let parameters =
        [Integer(7), Float(1.5), Integer(9), text("2026-11-30T04:00:00Z"), Bytes(b"\0x".to_vec())];
    let inserted = tx.execute("INSERT INTO t VALUES ($1, $2, $3, $4, $5)", &parameters);
    assert_eq!(inserted, Ok(1));
    assert_eq!(tx.value("SELECT (n, x)::text FROM t WHERE i = $1", &[text("7")]), text("(1.5,9)"));
    // Of a type that is not told it is text.
    assert_eq!(tx.value("SELECT $1", &[Integer(5)]), text("5"));
    assert_eq!(code(tx.query("SELECT $1::int", &[text("five")])), "22P02");
}

#[test]
fn bytes_are_never_taken_for_text() {
    let shop = Shop::open();
    let put = |value| shop.begin().execute("INSERT INTO stock VALUES ($1, 1)", &[value]);
    assert_eq!(code(put(text("a\0b"))), "22021");
    // The server writes bytes as text in its own way, and takes text for nothing else.
    let tx = shop.begin();
    tx.execute("INSERT INTO stock VALUES ($1, 1)", &[SqlValue::Bytes(b"\\x41".to_vec())]).unwrap();
    assert_eq!(tx.value("SELECT item FROM stock", &[]), text("\\x5c783431"));
    assert_eq!(code(tx.query("SELECT $1::int", &[SqlValue::Bytes(vec![0, 0, 0, 1])])), "42846");
}

#[test]
fn the_users_own_types_have_their_names_and_their_form() {
    let shop = Shop::open();
    shop.db.run("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN count AS int CHECK (VALUE > 0)");
    shop.db.run("CREATE TYPE place AS (street text, number int)");
    let tx = shop.begin();
    let ask =
        "SELECT 'ok'::mood AS m, ARRAY['sad']::mood[] AS ms, 3::count AS c, ROW('a b', 1)::place AS p";
    for _ in 0..2 {
        let rows = tx.query(ask, &[]).unwrap();
        let types: Vec<&str> = rows.columns.iter().map(|column| &*column.type_name).collect();
        assert_eq!(types, ["mood", "_mood", "int4", "place"]);
        assert_eq!(rows.rows, [[text("ok"), text("{sad}"), SqlValue::Integer(3), text("(\"a b\",1)")]]);
    }
    assert_eq!(tx.value("SELECT $1::mood", &[text("sad")]), text("sad"));
    assert_eq!(code(tx.query("SELECT $1::mood", &[text("angry")])), "22P02");
}

#[test]
fn how_many_rows_were_changed_or_given() {
    let shop = Shop::open();
    let tx = shop.begin();
    let add = "INSERT INTO stock SELECT 'item ' || n, n FROM generate_series(1, $1::int) n";
    assert_eq!(tx.execute(add, &[SqlValue::Integer(5)]), Ok(5));
    assert_eq!(tx.execute("UPDATE stock SET left_over = left_over + 1 WHERE left_over > 3", &[]), Ok(2));
    assert_eq!(tx.execute("SELECT * FROM stock", &[]), Ok(5));
    assert_eq!(tx.execute("CREATE TABLE other ()", &[]), Ok(0));
    let given = tx.query("DELETE FROM stock WHERE left_over < 3 RETURNING item, left_over", &[]).unwrap();
    assert_eq!((given.affected, given.rows.len(), &*given.columns[1].type_name), (2, 2, "int4"));
    let none = tx.query("DELETE FROM stock WHERE false", &[]).unwrap();
    assert_eq!((none.columns.len(), none.rows.len(), none.affected), (0, 0, 0));
    assert_eq!(tx.query("SELECT FROM stock", &[]).unwrap().rows, [[], [], []] as [[SqlValue; 0]; 3]);
}
