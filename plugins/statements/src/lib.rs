//! Runs the statements that its messages say, then answers as they say: for demonstrations, and to see what
//! commits. `{"run": [{"query": "select 1"}], "then": "retry", "times": 1}` asks, and its first attempt
//! leaves nothing. What it is answered is a line of its log.

use pelton_sdk::sql::Value;
use pelton_sdk::{EffectError, Failure, Message, sql};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Script {
    /// What it runs, one after another.
    run: Vec<Step>,
    /// `ok`, `retry`, `reject`, `trap` or `spin`.
    then: String,
    /// The last attempt that answers so; those after it are well.
    times: Option<u32>,
}

/// One statement.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Step {
    /// Its text: asked for its rows, run, or sent and not waited for.
    query: Option<String>,
    execute: Option<String>,
    stage: Option<String>,
    /// What stands for `$1` and those that follow.
    with: Vec<Parameter>,
    /// The name of the database; `shop` where nothing is said.
    of: Option<String>,
    /// How often.
    times: Option<u32>,
    /// An error of it is nothing to it.
    ignore: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Parameter {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Null(()),
}

impl Default for Script {
    fn default() -> Self {
        Self { run: Vec::new(), then: "ok".to_owned(), times: None }
    }
}

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let script: Script = message.json()?;
    for step in &script.run {
        let mut said = String::new();
        for _ in 0..step.times.unwrap_or(1) {
            said = match run(step) {
                Ok(said) => said,
                Err(error) if step.ignore => format!("{}: {error}", error.code()),
                Err(error) => return Err(error.into()),
            };
        }
        println!("{said}");
    }
    let is_over = script.times.is_some_and(|times| message.attempt > times);
    match script.then.as_str() {
        "retry" if !is_over => Err(Failure::retry("asked to retry")),
        "reject" if !is_over => Err(Failure::reject("asked to reject")),
        "trap" if !is_over => panic!("asked to trap"),
        "spin" if !is_over => spin(),
        _ => Ok(()),
    }
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// Runs a statement once; what it has given.
fn run(step: &Step) -> Result<String, EffectError> {
    let database = sql(step.of.as_deref().unwrap_or("shop"));
    let parameters: Vec<Value> = step.with.iter().map(value).collect();
    match (&step.query, &step.execute, &step.stage) {
        (Some(text), ..) => {
            let rows = database.query(text, parameters)?;
            let all: Vec<String> = rows.iter().map(|row| format!("{:?}", row.values())).collect();
            Ok(all.join(" "))
        }
        (None, Some(text), _) => Ok(database.execute(text, parameters)?.to_string()),
        (None, None, Some(text)) => database.stage(text, parameters).map(|()| "staged".to_owned()),
        (None, None, None) => Ok("nothing to run".to_owned()),
    }
}

fn value(parameter: &Parameter) -> Value {
    match parameter {
        Parameter::Null(()) => Value::Null,
        Parameter::Boolean(truth) => Value::Boolean(*truth),
        Parameter::Integer(number) => Value::Integer(*number),
        Parameter::Float(number) => Value::Float(*number),
        Parameter::Text(text) => Value::Text(text.clone()),
    }
}

#[cfg(test)]
mod tests;
