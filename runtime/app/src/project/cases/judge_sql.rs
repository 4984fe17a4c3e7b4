//! What a case does to tables before its messages, and whether their rows are as it wants them.

use super::sql::{SqlWanted, rows_problem};
use crate::project::sql::CaseDatabase;

/// What is wrong before the messages.
pub fn before(wanted: &[SqlWanted], database: &CaseDatabase) -> Vec<String> {
    let problem = |wanted: &SqlWanted| match wanted {
        SqlWanted::Run(text) => database.run(text).err().map(|why| failed("run", &why)),
        SqlWanted::Query { text, before: Some(rows), .. } => match database.query(text) {
            Ok(got) => rows_problem(text, "before", rows, &got),
            Err(why) => Some(failed("query", &why)),
        },
        SqlWanted::Query { .. } => None,
    };
    wanted.iter().filter_map(problem).collect()
}

/// What is wrong after the messages. The case ends with it, and nothing of it was ever done.
pub fn after(wanted: &[SqlWanted], database: &CaseDatabase) -> Vec<String> {
    let problem = |wanted: &SqlWanted| match wanted {
        SqlWanted::Query { text, after: Some(rows), .. } => match database.query(text) {
            Ok(got) => rows_problem(text, "after", rows, &got),
            Err(why) => Some(failed("query", &why)),
        },
        SqlWanted::Query { .. } | SqlWanted::Run(_) => None,
    };
    let problems = wanted.iter().filter_map(problem).collect();
    database.end();
    problems
}

fn failed(what: &str, why: &str) -> String {
    format!("wanted  `{what}` of [[case.sql]] to run\ngot     {why}")
}
