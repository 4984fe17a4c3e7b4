//! How a source stands, as its broker and the worker say it: for a terminal, and as JSON.

use pelton_core::broker::{Cell, Column, Fact, Facts, Row, SourceStatus};
use serde_json::{Map, Value, json};

/// What the broker says, and for each row what the worker says of it.
pub struct Standing {
    status: SourceStatus,
    /// Null where the worker has nothing of it, or none runs.
    here: Vec<Value>,
}

impl Standing {
    /// `live` is what the worker says of the pipeline.
    pub fn new(status: SourceStatus, live: Option<&Value>) -> Self {
        let own = |row: &Row| {
            let name = row.partition.as_deref()?;
            live?["parts"].get(name).cloned()
        };
        let here = status.rows.iter().map(|row| own(row).unwrap_or_default()).collect();
        Self { status, here }
    }

    /// Messages that are not settled.
    pub fn lag(&self) -> u64 {
        self.status.lag()
    }

    /// What the numbers alone would not tell.
    pub fn remarks(&self) -> impl Iterator<Item = &str> {
        self.status.rows.iter().filter_map(|row| row.remark.as_deref())
    }

    /// The part of `status --json` that a broker adds.
    pub fn to_json(&self) -> Value {
        let row = |(row, here): (&Row, &Value)| {
            let mut json = object(&row.facts);
            json.insert("here".to_owned(), here.clone());
            Value::Object(json)
        };
        let rows: Vec<Value> = self.status.rows.iter().zip(&self.here).map(row).collect();
        json!({ self.status.name: rows })
    }

    /// For people: what the columns are called, and the lines.
    pub fn table(&self, worker_runs: bool) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let (columns, below) = (self.status.columns, self.status.below);
        let more = below.map_or(&[][..], |below| below.columns);
        let heading = columns.iter().chain(more).map(|column| column.title).collect();
        let mut lines = Vec::new();
        for (row, here) in self.status.rows.iter().zip(&self.here) {
            let own: Vec<String> =
                columns.iter().map(|column| cell(column, &row.facts, here, worker_runs)).collect();
            let rows = below.map_or(&[][..], |below| row.facts.rows(below.name));
            if rows.is_empty() {
                lines.push(own);
                continue;
            }
            for (number, facts) in rows.iter().enumerate() {
                let head = if number == 0 { own.clone() } else { vec![String::new(); own.len()] };
                let rest = more.iter().map(|column| cell(column, facts, here, worker_runs));
                lines.push(head.into_iter().chain(rest).collect());
            }
        }
        (heading, lines)
    }
}

fn object(facts: &Facts) -> Map<String, Value> {
    facts.0.iter().map(|(name, fact)| ((*name).to_owned(), value(fact))).collect()
}

fn value(fact: &Fact) -> Value {
    match fact {
        Fact::None => Value::Null,
        Fact::Flag(yes) => (*yes).into(),
        Fact::Count(count) => (*count).into(),
        Fact::Offset(offset) => (*offset).into(),
        Fact::Text(text) => text.as_str().into(),
        Fact::Rows(rows) => rows.iter().map(|facts| Value::Object(object(facts))).collect(),
    }
}

fn cell(column: &Column, facts: &Facts, here: &Value, worker_runs: bool) -> String {
    match column.cell {
        Cell::Fact(name) => facts.shown(name),
        Cell::Of(words) => words(facts),
        Cell::Received if here["received"].is_null() => "-".to_owned(),
        Cell::Received => here["received"].to_string(),
        Cell::WaitsFor(otherwise) => match waits(here, worker_runs) {
            nothing if nothing.is_empty() => otherwise(facts).to_owned(),
            waits => waits,
        },
    }
}

/// What the commit of a partition waits for.
fn waits(here: &Value, worker_runs: bool) -> String {
    if here.is_null() {
        return if worker_runs { "not assigned here" } else { "" }.to_owned();
    }
    let by = &here["blocked_by"];
    if by.is_null() {
        return String::new();
    }
    let seconds = by["held_ms"].as_f64().unwrap_or(0.0) / 1_000.0;
    let doing = by["doing"].as_str().unwrap_or_default();
    let held = if here["crowded"] == true {
        "; paused, too much of it waits for others of its key".to_owned()
    } else if here["held_back"] == true {
        format!("; paused by max_uncommitted, {} behind", here["behind"])
    } else {
        String::new()
    };
    format!("offset {} {doing}, attempt {}, for {seconds:.1} s{held}", by["offset"], by["attempt"])
}
