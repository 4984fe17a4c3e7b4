//! `pelton invoke`: one message through the real sandbox, without a pipeline.

mod decoded;
mod effects;

use super::{find, load, table};
use crate::cli::{InvokeArgs, LogFormat};
use crate::exit::{Fail, REFUSED};
use crate::harness::{Answered, Committed, Decoding, Given, Harness, Line, time, told};
use crate::telemetry::logs;
use crate::telemetry::time::now_ms;
use crate::{input, output};
use effects::Tried;
use pelton_core::Outcome;
use pelton_core::ports::Work;
use pelton_host::{HandlerSpec, Isolation};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

/// What the outcome ends the command with. Those of a command's own exit codes where there is one.
const RETRY: u8 = 75;
const REJECT: u8 = 65;
const FAULT: u8 = 2;
/// The largest body that a pipeline can be told to take.
const LARGEST: usize = 256 << 20;

/// The calls of one invocation: the first, and then all others together.
struct Calls {
    first: Answered,
    warm: Option<Answered>,
}

/// Handles a message as often as asked; the exit code tells the last outcome.
pub fn invoke(config: &Path, args: &InvokeArgs) -> Result<u8, Fail> {
    let (mut spec, tried, decoding) = spec(config, args)?;
    spec.grants = tried.grants.clone();
    let given = message(args)?;
    // Why a request has no answer is said there.
    logs::start(LogFormat::Text);
    let harness = Harness::load("invoke", &args.file, &spec)?;
    let work = match decoded::of(given, decoding.as_ref())? {
        Ok(work) => work,
        Err(unhandled) => return Ok(unhandled.show(&harness, args.json)),
    };
    let calls = call(&harness, &work, args.times as usize)?;
    let done = tried.commit(calls.outcomes());
    if harness.denied() > 0 && args.allow_http.is_empty() {
        note!(
            "requests were denied ({}): `--allow-http URL` lets the handler send them to a place",
            table::number(harness.denied())
        );
    }
    if args.json {
        output::json(&as_json(&harness, &calls, &tried, &done));
    } else {
        print(&harness, &spec, &calls, || tried.print(&done));
    }
    let last = calls.outcomes().last();
    Ok(last.map_or(REFUSED, code))
}

/// Limits, grants and what is decoded: those of a pipeline, if one is named, and what is asked for beside.
fn spec(file: &Path, args: &InvokeArgs) -> Result<(HandlerSpec, Tried, Option<Decoding>), Fail> {
    let (mut spec, tried, decoding) = match &args.pipeline {
        Some(name) => {
            let config = load(file)?;
            let pipeline = find(&config, name)?;
            let (spec, decoding) = (pipeline.handler.spec.clone(), Decoding::of(pipeline)?);
            (spec, Tried::of(file, config, name, &args.allow_http)?, decoding)
        }
        None => (HandlerSpec::default(), Tried::alone(&args.allow_http), None),
    };
    spec.digest = None;
    spec.protocol = args.protocol.or(spec.protocol);
    spec.concurrency = 1;
    spec.timeout = args.timeout.unwrap_or(spec.timeout);
    spec.memory = args.memory.unwrap_or(spec.memory);
    if args.fresh {
        spec.isolation = Isolation::Message;
    }
    Ok((spec, tried, decoding))
}

fn message(args: &InvokeArgs) -> Result<Given, Fail> {
    let bytes = |(name, value): &(String, String)| (name.clone(), value.clone().into_bytes());
    Ok(Given {
        id: args.id.clone(),
        pipeline: args.pipeline.clone().unwrap_or_else(|| "invoke".to_owned()),
        origin: "invoke".to_owned(),
        key: args.key.clone().map(String::into_bytes),
        headers: args.headers.iter().map(bytes).collect(),
        body: body(args)?,
        attempt: args.attempt,
        published_at_ms: Some(now_ms()),
        ..Given::default()
    })
}

fn body(args: &InvokeArgs) -> Result<Vec<u8>, Fail> {
    match (&args.body, &args.body_file) {
        (Some(text), _) => Ok(text.clone().into_bytes()),
        (None, Some(path)) => {
            input::file(path, LARGEST).map_err(|why| Fail::refused(input::of(path, &why)))
        }
        (None, None) if std::io::stdin().is_terminal() => {
            Err(Fail::usage("there is no body: give --body TEXT or --body-file FILE, or pipe it in"))
        }
        (None, None) => {
            let body = input::standard(LARGEST);
            let body = body.map_err(|why| Fail::refused(format!("standard input {why}")))?;
            if body.is_empty() {
                return Err(Fail::usage("standard input is empty: for an empty body give --body ''"));
            }
            Ok(body)
        }
    }
}

fn call(harness: &Harness, work: &Work, times: usize) -> Result<Calls, Fail> {
    let first = harness.handle(vec![work.clone()])?;
    let warm = (times > 1).then(|| harness.handle(vec![work.clone(); times - 1])).transpose()?;
    Ok(Calls { first, warm })
}

impl Calls {
    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.first.outcomes.iter().chain(self.warm.iter().flat_map(|warm| &warm.outcomes))
    }

    fn logs(&self) -> impl Iterator<Item = &Line> {
        self.first.logs.iter().chain(self.warm.iter().flat_map(|warm| &warm.logs))
    }

    /// What one of the later calls took, on average.
    fn each(&self) -> Option<(u32, Duration)> {
        let warm = self.warm.as_ref()?;
        let count = u32::try_from(warm.outcomes.len()).ok()?;
        Some((count, warm.took / count))
    }
}

fn code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Ok(_) => 0,
        Outcome::Retry { .. } | Outcome::Again { .. } => RETRY,
        Outcome::Reject { .. } => REJECT,
        Outcome::Fault { .. } => FAULT,
        // The harness settles these itself.
        Outcome::BatchFault | Outcome::NotStarted | Outcome::Interrupted => REFUSED,
    }
}

fn as_json(harness: &Harness, calls: &Calls, tried: &Tried, done: &Committed) -> Value {
    let outcome = |outcome: &Outcome| {
        let (word, reason, after_ms) = told(outcome);
        json!({ "outcome": word, "reason": reason, "after_ms": after_ms })
    };
    let line = |line: &Line| {
        let (stream, level) = (line.stream, line.level());
        json!({ "stream": stream, "level": level, "message_id": line.message_id, "text": line.text })
    };
    let micros = |took: Duration| took.as_secs_f64() * 1e6;
    let loaded = harness.loaded();
    let (state, outbox) = tried.json(done);
    json!({
        "digest": harness.info().digest,
        "kind": harness.info().kind.words(),
        "calls": calls.outcomes().map(outcome).collect::<Vec<_>>(),
        "logs": calls.logs().map(line).collect::<Vec<_>>(),
        "state": state,
        "outbox": outbox,
        "load_us": micros(loaded.took),
        "compiled": loaded.compiled,
        "first_us": micros(calls.first.took),
        "each_us": calls.each().map(|(_, took)| micros(took)),
        "memory_bytes": harness.memory_used(),
    })
}

fn print(harness: &Harness, spec: &HandlerSpec, calls: &Calls, print_effects: impl FnOnce()) {
    for line in calls.logs() {
        say!("{:<8} {}", line.stream, line.text);
    }
    let mut last: Option<(&Outcome, u64)> = None;
    for outcome in calls.outcomes() {
        last = match last {
            Some((same, count)) if same == outcome => Some((same, count + 1)),
            other => {
                other.inspect(|(outcome, count)| print_outcome(outcome, *count));
                Some((outcome, 1))
            }
        };
    }
    last.inspect(|(outcome, count)| print_outcome(outcome, *count));
    print_effects();
    let loaded = harness.loaded();
    let how = if loaded.compiled { "compiled now" } else { "compiled before" };
    say!("load     {} ({how})", time(loaded.took));
    let each = calls.each().map(|(count, took)| {
        format!(" the first, then {} at {} each", table::number(count.into()), time(took))
    });
    say!("call     {}{}", time(calls.first.took), each.unwrap_or_default());
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    say!("memory   {:.1} MiB of {:.0} MiB", mib(harness.memory_used()), mib(spec.memory));
}

fn print_outcome(outcome: &Outcome, count: u64) {
    let (word, reason, after_ms) = told(outcome);
    let after = after_ms.map(|ms| format!(" after {ms} ms")).unwrap_or_default();
    let times = if count > 1 { format!(" ({} times)", table::number(count)) } else { String::new() };
    // A fault has the guest's frames below its first line.
    let mut lines = reason.map(|reason| reason.trim_end().split('\n')).into_iter().flatten();
    let first = lines.next().map(|first| format!(": {first}")).unwrap_or_default();
    say!("outcome  {word}{after}{times}{first}");
    lines.for_each(|line| say!("         {line}"));
}
