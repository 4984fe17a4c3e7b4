//! What a case says of tables: statements before its messages, and rows before and after them.

use super::written::base64_of;
use pelton_core::effects::{Rows, SqlValue};
use pelton_core::shown::shown;
use serde::Deserialize;

/// Bytes of a value that are shown.
const SHOWN: usize = 200;
/// Rows that are shown.
const ROWS: usize = 20;

/// One `[[case.sql]]`.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlWanted {
    /// Statements that run before the messages.
    Run(String),
    /// A query, with the rows that it is to give before the messages, and after them.
    Query { text: String, before: Option<Vec<RowWanted>>, after: Option<Vec<RowWanted>> },
}

/// Columns of a row that are to have these values, among others.
pub type RowWanted = Vec<(String, ValueWanted)>;

#[derive(Debug, Clone, PartialEq)]
pub enum ValueWanted {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSql {
    run: Option<String>,
    query: Option<String>,
    before: Option<Vec<toml::Table>>,
    after: Option<Vec<toml::Table>>,
}

impl RawSql {
    pub fn read(self) -> Result<SqlWanted, String> {
        let rows = |rows: Option<Vec<toml::Table>>| {
            rows.map(|rows| rows.into_iter().map(row).collect::<Result<Vec<_>, _>>()).transpose()
        };
        match (self.run, self.query, self.before, self.after) {
            (Some(text), None, None, None) => Ok(SqlWanted::Run(text)),
            (None, Some(_), None, None) => {
                Err("a query wants rows, `before` or `after` the messages".to_owned())
            }
            (None, Some(text), before, after) => {
                Ok(SqlWanted::Query { text, before: rows(before)?, after: rows(after)? })
            }
            _ => Err(
                "give `run` with statements, or `query` with the rows that it gives `before` or `after`"
                    .to_owned(),
            ),
        }
    }
}

fn row(table: toml::Table) -> Result<RowWanted, String> {
    let column = |(name, value): (String, toml::Value)| {
        let value = value_of(value).map_err(|why| format!("the column {}: {why}", shown(&name)))?;
        Ok((name, value))
    };
    table.into_iter().map(column).collect()
}

fn value_of(value: toml::Value) -> Result<ValueWanted, String> {
    match value {
        toml::Value::Boolean(is) => Ok(ValueWanted::Boolean(is)),
        toml::Value::Integer(number) => Ok(ValueWanted::Integer(number)),
        toml::Value::Float(number) => Ok(ValueWanted::Float(number)),
        toml::Value::String(text) => Ok(ValueWanted::Text(text)),
        toml::Value::Table(table) => base64_of(&table).map(ValueWanted::Bytes),
        toml::Value::Datetime(_) | toml::Value::Array(_) => {
            Err("give a truth value, a number, a text as the database writes it, or \
                 { base64 = \"...\" }; for a null query `x is null`"
                .to_owned())
        }
    }
}

impl ValueWanted {
    fn is(&self, got: &SqlValue) -> bool {
        match (self, got) {
            (Self::Boolean(wanted), SqlValue::Boolean(got)) => wanted == got,
            (Self::Integer(wanted), SqlValue::Integer(got)) => wanted == got,
            (Self::Float(wanted), SqlValue::Float(got)) => wanted == got,
            (Self::Text(wanted), SqlValue::Text(got)) => wanted == got,
            (Self::Bytes(wanted), SqlValue::Bytes(got)) => wanted == got,
            // Numbers of other types: a sum of whole numbers, for one, is text.
            (Self::Integer(wanted), SqlValue::Text(got)) => got.parse() == Ok(*wanted),
            (Self::Float(wanted), SqlValue::Text(got)) => got.parse() == Ok(*wanted),
            _ => false,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Boolean(is) => is.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => format!("\"{}\"", shown(text).at_most(SHOWN)),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
        }
    }
}

/// What is wrong with the rows of a query, `when` it was asked; none when they are as wanted.
pub fn rows_problem(text: &str, when: &str, wanted: &[RowWanted], got: &Rows) -> Option<String> {
    let place = |name: &str| got.columns.iter().position(|column| column.name == name);
    if let Some(name) = wanted.iter().flatten().map(|(name, _)| name).find(|name| place(name).is_none()) {
        let columns: Vec<String> =
            got.columns.iter().map(|column| shown(&column.name).to_string()).collect();
        return Some(format!(
            "wanted  the column {} of {}\ngot     the columns {}",
            shown(name),
            query(text),
            columns.join(", ")
        ));
    }
    let is_row = |wanted: &RowWanted, row: &Vec<SqlValue>| {
        wanted.iter().all(|(name, value)| {
            place(name).and_then(|place| row.get(place)).is_some_and(|got| value.is(got))
        })
    };
    let same = wanted.len() == got.rows.len()
        && wanted.iter().zip(&got.rows).all(|(wanted, row)| is_row(wanted, row));
    if same {
        return None;
    }
    let wanted =
        wanted.iter().map(|row| row_words(row.iter().map(|(name, value)| (&**name, value.words()))));
    let got = got.rows.iter().map(|row| {
        row_words(got.columns.iter().zip(row).map(|(column, value)| (&*column.name, value_words(value))))
    });
    let lines = [
        format!("wanted  {when} the messages, of {}", query(text)),
        listed(wanted.collect()),
        "got".to_owned(),
        listed(got.collect()),
    ];
    Some(lines.join("\n"))
}

fn query(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("`{}`", shown(&words).at_most(SHOWN))
}

fn listed(rows: Vec<String>) -> String {
    let more = rows.len().saturating_sub(ROWS);
    let mut lines: Vec<String> = rows.into_iter().take(ROWS).map(|row| format!("        {row}")).collect();
    if lines.is_empty() {
        lines.push("        no row".to_owned());
    }
    if more > 0 {
        lines.push(format!("        and {more} more"));
    }
    lines.join("\n")
}

fn row_words<'a>(columns: impl Iterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<String> = columns.map(|(name, value)| format!("{} = {value}", shown(name))).collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn value_words(value: &SqlValue) -> String {
    match value {
        SqlValue::Null => "null".to_owned(),
        SqlValue::Boolean(is) => is.to_string(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Float(number) => number.to_string(),
        SqlValue::Text(text) => format!("\"{}\"", shown(text).at_most(SHOWN)),
        SqlValue::Bytes(bytes) => format!("{} bytes", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::effects::Column;

    fn read(text: &str) -> Result<SqlWanted, String> {
        toml::from_str::<RawSql>(text).map_err(|error| error.to_string())?.read()
    }

    fn after(text: &str) -> Vec<RowWanted> {
        match read(&format!("query = \"select\"\nafter = {text}")).expect("good") {
            SqlWanted::Query { after, .. } => after.expect("it has them"),
            SqlWanted::Run(_) => panic!("it is a query"),
        }
    }

    fn rows() -> Rows {
        let columns = ["item", "units", "total"];
        let column = |name: &str| Column { name: name.to_owned(), type_name: "t".to_owned() };
        let row = |item: &str, units| {
            vec![SqlValue::Text(item.to_owned()), units, SqlValue::Text("9.00".to_owned())]
        };
        let rows = vec![row("tea", SqlValue::Integer(2)), row("nuts", SqlValue::Null)];
        Rows { columns: columns.map(column).into(), rows, affected: 2 }
    }

    #[test]
    fn rows_are_wanted_by_their_columns_in_their_order() {
        for text in [
            "[{ item = \"tea\", units = 2 }, { item = \"nuts\" }]",
            "[{ total = 9.0 }, { total = \"9.00\" }]",
            "[{}, {}]",
        ] {
            assert_eq!(rows_problem("select", "after", &after(text), &rows()), None, "{text}");
        }
        for text in [
            "[]",
            "[{ item = \"tea\" }]",
            "[{ item = \"nuts\" }, { item = \"tea\" }]",
            "[{}, { units = 0 }]",
        ] {
            assert!(rows_problem("select", "after", &after(text), &rows()).is_some(), "{text}");
        }
    }

    #[test]
    fn what_differs_is_shown_with_its_rows() {
        let problem = rows_problem("select\n  *", "after", &after("[{ units = 3 }]"), &rows());
        let shown = "wanted  after the messages, of `select *`\n        { units = 3 }\ngot\n        \
                     { item = \"tea\", units = 2, total = \"9.00\" }\n        \
                     { item = \"nuts\", units = null, total = \"9.00\" }";
        assert_eq!(problem.as_deref(), Some(shown));
        let problem = rows_problem("select", "before", &after("[{ price = 3 }]"), &rows());
        let shown = "wanted  the column price of `select`\ngot     the columns item, units, total";
        assert_eq!(problem.as_deref(), Some(shown));
        let none = rows_problem("select", "before", &[], &rows()).expect("there are rows");
        assert!(none.contains("\n        no row\ngot\n"), "{none}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("", "give `run`"),
            ("run = \"a\"\nquery = \"b\"", "give `run`"),
            ("query = \"a\"", "wants rows"),
            ("query = \"a\"\nafter = [{ a = [1] }]", "the column a: give a truth value"),
            ("query = \"a\"\nafter = [{ a = { base64 = \"%\" } }]", "base64"),
            ("query = \"a\"\naftr = []", "aftr"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
