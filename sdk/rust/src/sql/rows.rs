//! What a query gives.

use super::{FromValue, Value};
use crate::EffectError;
use std::fmt;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the database calls it.
    pub type_name: String,
}

/// The rows of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    affected: u64,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'r> {
    columns: &'r [Column],
    values: &'r [Value],
}

/// Which column: its name, or its place from 0 on.
pub trait Place: fmt::Display {
    /// Its place among these.
    fn place(&self, columns: &[Column]) -> Option<usize>;
}

impl Place for usize {
    fn place(&self, columns: &[Column]) -> Option<usize> {
        (*self < columns.len()).then_some(*self)
    }
}

impl Place for &str {
    /// The first of this name.
    fn place(&self, columns: &[Column]) -> Option<usize> {
        columns.iter().position(|column| column.name == *self)
    }
}

impl Rows {
    pub(crate) fn new(columns: Vec<Column>, rows: Vec<Vec<Value>>, affected: u64) -> Self {
        Self { columns, rows, affected }
    }

    /// With one more row.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn with(mut self, row: Vec<Value>) -> Self {
        self.rows.push(row);
        self.affected += 1;
        self
    }

    /// The columns, in their order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows the statement changed, or gave.
    #[must_use]
    pub fn affected(&self) -> u64 {
        self.affected
    }

    /// One after another.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row { columns: &self.columns, values })
    }

    /// The first row, if there is one.
    #[must_use]
    pub fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }

    /// The only row.
    ///
    /// # Errors
    /// There is none, or there are more.
    pub fn one(&self) -> Result<Row<'_>, EffectError> {
        match self.first() {
            Some(row) if self.len() == 1 => Ok(row),
            _ => Err(EffectError::new("value", format!("one row was expected, there are {}", self.len()))),
        }
    }
}

impl<'r> IntoIterator for &'r Rows {
    type Item = Row<'r>;
    type IntoIter = std::vec::IntoIter<Row<'r>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter().collect::<Vec<_>>().into_iter()
    }
}

impl Row<'_> {
    /// The value of a column, by its name or its place: `let stock: i64 = row.get("stock")?`. `Option` where
    /// it may be null.
    ///
    /// # Errors
    /// There is no such column, or its value is of another type.
    pub fn get<T: FromValue>(&self, column: impl Place) -> Result<T, EffectError> {
        let wrong = |text: String| EffectError::new("value", text);
        let place = column.place(self.columns).ok_or_else(|| {
            let names: Vec<&str> = self.columns.iter().map(|column| &*column.name).collect();
            wrong(format!("there is no column `{column}`: they are {}", names.join(", ")))
        })?;
        let null = Value::Null;
        let value = self.values.get(place).unwrap_or(&null);
        T::from_value(value).ok_or_else(|| {
            let Column { name, type_name } = &self.columns[place];
            let is = if *value == Value::Null { "null" } else { type_name };
            wrong(format!("the column `{name}` is {is}, and {} was asked for", T::NAME))
        })
    }

    /// All values, in the order of the columns.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let column =
            |name: &str, type_name: &str| Column { name: name.into(), type_name: type_name.into() };
        let values = |item: &str, stock| vec![Value::Text(item.into()), stock];
        let rows = vec![values("tea", Value::Integer(3)), values("nut", Value::Null)];
        Rows::new(vec![column("item", "text"), column("stock", "int8")], rows, 2)
    }

    #[test]
    fn values_are_read_by_name_and_by_place() {
        let rows = rows();
        let items: Vec<String> = rows.iter().map(|row| row.get("item").unwrap()).collect();
        assert_eq!(items, ["tea", "nut"]);
        let stocks: Vec<Option<i32>> = (&rows).into_iter().map(|row| row.get(1).unwrap()).collect();
        assert_eq!(stocks, [Some(3), None]);
    }

    #[test]
    fn what_does_not_fit_is_said_with_the_column() {
        let rows = rows();
        let first = rows.first().unwrap();
        let why = |row: Row<'_>, column: &str| row.get::<bool>(column).unwrap_err().text().to_owned();
        assert_eq!(why(first, "stock"), "the column `stock` is int8, and a truth value was asked for");
        assert_eq!(why(first, "x"), "there is no column `x`: they are item, stock");
        let null = rows.iter().nth(1).unwrap();
        assert_eq!(why(null, "stock"), "the column `stock` is null, and a truth value was asked for");
        assert_eq!(rows.one().unwrap_err().text(), "one row was expected, there are 2");
    }
}
