//! How a source stands, as its broker and the worker say it: for a terminal, and as JSON.

use crate::control::protocol::{BlockedBy, PartitionReport, RunningStatus};
use pelton_core::broker::{Cell, Column, Fact, Facts, Row, SourceStatus};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What the broker says, and for each row what the worker says of it.
pub struct SourceTable {
    status: SourceStatus,
    /// None where the worker has nothing of it, or none runs.
    here: Vec<Option<PartitionReport>>,
}

impl SourceTable {
    /// `running` is what the worker says of the pipeline.
    pub fn new(status: SourceStatus, running: Option<&RunningStatus>) -> Self {
        let own = |row: &Row| running?.partitions.get(row.partition.as_deref()?).cloned();
        let here = status.rows.iter().map(own).collect();
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
        let row = |(row, here): (&Row, &Option<PartitionReport>)| {
            let mut json = object(&row.facts);
            json.insert("here".to_owned(), json!(here));
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
                columns.iter().map(|column| cell(column, &row.facts, here.as_ref(), worker_runs)).collect();
            let rows = below.map_or(&[][..], |below| row.facts.rows(below.name));
            if rows.is_empty() {
                lines.push(own);
                continue;
            }
            for (number, facts) in rows.iter().enumerate() {
                let head = if number == 0 { own.clone() } else { vec![String::new(); own.len()] };
                let rest = more.iter().map(|column| cell(column, facts, here.as_ref(), worker_runs));
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

fn cell(column: &Column, facts: &Facts, here: Option<&PartitionReport>, worker_runs: bool) -> String {
    match column.cell {
        Cell::Fact(name) => facts.shown(name),
        Cell::Of(words) => words(facts),
        Cell::Received => {
            here.and_then(|here| here.received).map_or_else(|| "-".to_owned(), |offset| offset.to_string())
        }
        Cell::WaitsFor(otherwise) => match waits(here, worker_runs) {
            nothing if nothing.is_empty() => otherwise(facts).to_owned(),
            waits => waits,
        },
    }
}

/// What the commit of a partition waits for.
fn waits(here: Option<&PartitionReport>, worker_runs: bool) -> String {
    let Some(here) = here else {
        return if worker_runs { "not assigned here" } else { "" }.to_owned();
    };
    let Some(BlockedBy { offset, held_ms, attempt, doing }) = &here.blocked_by else {
        return if here.paused { "paused" } else { "" }.to_owned();
    };
    let held = if here.paused {
        "; paused by an operator".to_owned()
    } else if here.crowded {
        "; paused, too much of it waits for others of its key".to_owned()
    } else if here.held_back {
        format!("; paused by max_uncommitted, {} behind", here.behind)
    } else {
        String::new()
    };
    let held_for = Duration::from_millis(*held_ms).as_secs_f64();
    format!("offset {offset} {doing}, attempt {attempt}, for {held_for:.1} s{held}")
}
