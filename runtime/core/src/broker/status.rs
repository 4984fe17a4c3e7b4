//! How a source stands at its broker, as a table. What a terminal shows and what JSON says derive from it.

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Not known, or not there.
    None,
    /// Yes or no.
    Flag(bool),
    /// So many.
    Count(u64),
    /// A place in a log; it may be below zero where a broker says so.
    Offset(i64),
    /// Words.
    Text(String),
    /// Rows of their own: the consumers of a stream.
    Rows(Vec<Facts>),
}

/// Values by their names, in the order in which they are said. The names are those of JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(pub Vec<(&'static str, Fact)>);

impl Facts {
    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> &Fact {
        self.0.iter().find(|(known, _)| *known == name).map_or(&Fact::None, |(_, fact)| fact)
    }

    /// A value as a person reads it; `-` where nothing is known.
    #[must_use]
    pub fn shown(&self, name: &str) -> String {
        match self.get(name) {
            Fact::None | Fact::Rows(_) => "-".to_owned(),
            Fact::Flag(yes) => yes.to_string(),
            Fact::Count(count) => count.to_string(),
            Fact::Offset(offset) => offset.to_string(),
            Fact::Text(text) => text.clone(),
        }
    }

    /// Rows below this one; none where there are none.
    #[must_use]
    pub fn rows(&self, name: &str) -> &[Facts] {
        match self.get(name) {
            Fact::Rows(rows) => rows,
            _ => &[],
        }
    }
}

impl From<Option<u64>> for Fact {
    fn from(count: Option<u64>) -> Self {
        count.map_or(Self::None, Self::Count)
    }
}

impl From<Option<i64>> for Fact {
    fn from(offset: Option<i64>) -> Self {
        offset.map_or(Self::None, Self::Offset)
    }
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// One queue, partition or key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// What the broker says of it.
    pub facts: Facts,
    /// Messages that are not settled there.
    pub lag: u64,
    /// The name by which the worker speaks of it, where it has something of its own to say: `orders/3`.
    pub partition: Option<String>,
    /// What the numbers alone would not tell, and what to do about it.
    pub remark: Option<String>,
}

/// A column of the table that a terminal shows.
#[derive(Clone, Copy)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// What stands in it.
    pub cell: Cell,
}

/// What stands in a column.
#[derive(Clone, Copy)]
pub enum Cell {
    /// A fact, as it is.
    Fact(&'static str),
    /// Made of the facts of a row.
    Of(fn(&Facts) -> String),
    /// The last offset that the worker has received, which only it knows.
    Received,
    /// What the commit of a partition waits for, which only the worker knows. Where it waits for nothing of
    /// ours, these words of the broker's side are said; empty for none.
    WaitsFor(fn(&Facts) -> &'static str),
}

/// A table that every row goes on into, a line for each of the rows below it.
#[derive(Clone, Copy)]
pub struct Below {
    /// The name of those rows among the facts.
    pub name: &'static str,
    /// Their columns, beside those of the row.
    pub columns: &'static [Column],
}

/// How a source stands.
#[derive(Clone)]
pub struct SourceStatus {
    /// What JSON calls the list of rows: `partitions`.
    pub name: &'static str,
    /// The table's columns.
    pub columns: &'static [Column],
    /// What each row goes on into.
    pub below: Option<Below>,
    /// The rows.
    pub rows: Vec<Row>,
}

impl SourceStatus {
    /// Messages that are not settled, in all rows.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.rows.iter().fold(0, |all, row| all.saturating_add(row.lag))
    }
}
