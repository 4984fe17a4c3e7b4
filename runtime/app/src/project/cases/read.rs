//! `tests/*.toml`, as people write them.

use super::effects::{CaseEffects, RawEffects};
use super::written::{Headers, duration, one_body};
use crate::exit::Fail;
use crate::harness::Given;
use crate::input;
use pelton_core::shown::path as shown_path;
use pelton_core::units;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a case may want of a message; the words of `pelton invoke`. The last two are of messages that no
/// handler sees.
const OUTCOMES: &[&str] =
    &["ok", "retry", "reject", "trap", "timeout", "memory", "instantiate", "invalid", "skipped"];

/// One case, ready to run.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its file, relative to the project.
    pub file: PathBuf,
    pub name: String,
    pub steps: Vec<Step>,
    /// What it may do in the world, and what it is to do.
    pub effects: CaseEffects,
    /// Texts that must be in some line of it.
    pub logs: Vec<String>,
    /// Texts that must be in none.
    pub no_logs: Vec<String>,
    /// Limits it runs within.
    pub timeout: Option<Duration>,
    pub memory: Option<usize>,
    /// On an instance of its own.
    pub fresh: bool,
    /// What it is told of the time, in milliseconds since 1970; else the machine's.
    pub now_ms: Option<u64>,
    /// What its random bytes come from; else the machine's.
    pub seed: Option<u64>,
    /// The most that all of it may take.
    pub within: Option<Duration>,
}

/// Messages that are handed over together, each with what is wanted of it.
pub type Step = Vec<(Given, Wanted)>;

/// What is to become of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub outcome: String,
    /// A part of the reason.
    pub reason: Option<String>,
    /// The wait that a retry asks for.
    pub after: Option<Duration>,
    /// Texts that must be in some line of this message.
    pub logs: Vec<String>,
    /// What is given is what the handler sees: it is not decoded.
    pub decoded: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    case: Vec<RawCase>,
}

#[derive(Deserialize)]
struct RawCase {
    name: String,
    #[serde(default)]
    message: Vec<RawMessage>,
    timeout: Option<String>,
    memory: Option<String>,
    within: Option<String>,
    #[serde(default)]
    fresh: bool,
    now_ms: Option<u64>,
    seed: Option<u64>,
    #[serde(default)]
    no_logs: Vec<String>,
    #[serde(flatten)]
    effects: RawEffects,
    /// That of its only message, where it has no `message`; its `logs` are those of the case.
    #[serde(flatten)]
    only: toml::Table,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawMessage {
    body: Option<String>,
    json: Option<toml::Value>,
    body_file: Option<PathBuf>,
    body_base64: Option<String>,
    id: Option<String>,
    key: Option<String>,
    headers: Option<Headers>,
    attempt: Option<u32>,
    published_at_ms: Option<u64>,
    replayed: Option<bool>,
    tombstone: Option<bool>,
    decoded: Option<bool>,
    #[serde(default)]
    again: bool,
    outcome: Option<String>,
    reason: Option<String>,
    after: Option<String>,
    #[serde(default)]
    logs: Vec<String>,
}

/// The cases of a project, file by file.
///
/// # Errors
/// A file cannot be read, or is not what it should be; the text says where.
pub fn read_all(dir: &Path, pipeline: &str) -> Result<Vec<Case>, Fail> {
    let mut files: Vec<PathBuf> = match std::fs::read_dir(dir.join("tests")) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let name = file.strip_prefix(dir).unwrap_or(&file).to_owned();
        let wrong = |why: String| Fail::in_lines(&format!("{}: {why}", shown_path(&name)));
        let text = input::written(&file).map_err(|why| wrong(format!("it {why}")))?;
        cases.extend(parse(&text, &file, &name, pipeline).map_err(wrong)?);
    }
    Ok(cases)
}

fn parse(text: &str, file: &Path, name: &Path, pipeline: &str) -> Result<Vec<Case>, String> {
    let raw: File = toml::from_str(text).map_err(|error| input::not_toml(text, &error))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let case = |case: RawCase| {
        let at = case.name.clone();
        checked(case, folder, name, pipeline).map_err(|why| format!("the case \"{at}\": {why}"))
    };
    raw.case.into_iter().map(case).collect()
}

fn checked(mut raw: RawCase, folder: &Path, file: &Path, pipeline: &str) -> Result<Case, String> {
    let mut logs = Vec::new();
    if raw.message.is_empty() {
        raw.message.push(message(raw.only)?);
    } else {
        // Of what a message has, only the logs can be wanted of the whole case.
        let whole: RawMessage = message(raw.only.clone())?;
        logs = whole.logs;
        let others = raw.only.keys().filter(|key| *key != "logs").cloned().collect::<Vec<_>>();
        if !others.is_empty() {
            return Err(format!(
                "with [[case.message]], put {} into the message it is about",
                others.join(", ")
            ));
        }
    }
    let mut steps: Vec<Step> = vec![Vec::new()];
    let mut last: Option<(Given, Wanted)> = None;
    for (place, raw) in raw.message.into_iter().enumerate() {
        let again = raw.again;
        let (given, wanted) = delivery(raw, last.as_ref(), folder, pipeline)
            .map_err(|why| format!("message {}: {why}", place + 1))?;
        // What comes again comes when the delivery before it has its outcome.
        if again || steps.last().is_some_and(|step| step.iter().any(|(other, _)| other.id == given.id)) {
            steps.push(Vec::new());
        }
        last = Some((given.clone(), wanted.clone()));
        if let Some(step) = steps.last_mut() {
            step.push((given, wanted));
        }
    }
    Ok(Case {
        file: file.to_owned(),
        name: raw.name,
        steps,
        effects: raw.effects.read(folder)?,
        logs,
        no_logs: raw.no_logs,
        timeout: duration("timeout", raw.timeout)?,
        memory: raw
            .memory
            .map(|text| units::size(&text).ok_or(format!("memory must be {}", units::SIZE)))
            .transpose()?,
        fresh: raw.fresh,
        now_ms: raw.now_ms,
        seed: raw.seed,
        within: duration("within", raw.within)?,
    })
}

fn message(table: toml::Table) -> Result<RawMessage, String> {
    table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

fn delivery(
    raw: RawMessage,
    last: Option<&(Given, Wanted)>,
    folder: &Path,
    pipeline: &str,
) -> Result<(Given, Wanted), String> {
    let was_decoded = raw.again && last.is_some_and(|(_, wanted)| wanted.decoded);
    let last = last.map(|(given, _)| given);
    let given = match (raw.again, last) {
        (true, None) => return Err("`again` wants a message before it".to_owned()),
        (true, Some(last)) => Given { attempt: last.attempt + 1, ..last.clone() },
        (false, last) => Given {
            id: next_id(last),
            pipeline: pipeline.to_owned(),
            origin: pipeline.to_owned(),
            ..Given::default()
        },
    };
    let wanted = Wanted { decoded: raw.decoded.unwrap_or(was_decoded), ..wanted(&raw)? };
    let body = one_body(raw.body, raw.json, raw.body_file, raw.body_base64, folder)?;
    let attempt = raw.attempt.unwrap_or(given.attempt);
    if attempt == 0 {
        return Err("attempt counts from 1".to_owned());
    }
    let given = Given {
        id: raw.id.unwrap_or(given.id),
        pipeline: given.pipeline,
        origin: given.origin,
        key: raw.key.map(String::into_bytes).or(given.key),
        headers: raw.headers.map_or(given.headers, Headers::pairs),
        body: body.unwrap_or(given.body),
        attempt,
        published_at_ms: raw.published_at_ms.or(given.published_at_ms),
        replayed: raw.replayed.unwrap_or(given.replayed),
        tombstone: raw.tombstone.unwrap_or(given.tombstone),
        seen: None,
    };
    Ok((given, wanted))
}

fn wanted(raw: &RawMessage) -> Result<Wanted, String> {
    let outcome = raw.outcome.clone().unwrap_or_else(|| "ok".to_owned());
    if !OUTCOMES.contains(&outcome.as_str()) {
        return Err(format!("the outcome `{outcome}` is none of {}", OUTCOMES.join(", ")));
    }
    if ["ok", "skipped"].contains(&outcome.as_str()) && raw.reason.is_some() {
        return Err(format!("what is {outcome} has no reason"));
    }
    if outcome != "retry" && raw.after.is_some() {
        return Err("only a retry comes `after` a while".to_owned());
    }
    let after = duration("after", raw.after.clone())?;
    Ok(Wanted { outcome, reason: raw.reason.clone(), after, logs: raw.logs.clone(), decoded: false })
}

/// `message-1`, `message-2`, ...
fn next_id(last: Option<&Given>) -> String {
    let number = last.and_then(|last| last.id.strip_prefix("message-")?.parse::<u32>().ok());
    format!("message-{}", number.map_or(1, |number| number + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Case>, String> {
        parse(text, Path::new("/p/tests/a.toml"), Path::new("tests/a.toml"), "orders")
    }

    #[test]
    fn a_case_of_one_message_is_flat() {
        let cases = read(
            "[[case]]\nname = \"a\"\njson = { id = 7 }\noutcome = \"retry\"\nafter = \
            \"2s\"\nlogs = [\"x\"]",
        )
        .expect("good");
        let (given, wanted) = &cases[0].steps[0][0];
        assert_eq!(given.body, br#"{"id":7}"#);
        assert_eq!((given.attempt, given.id.as_str(), given.pipeline.as_str()), (1, "message-1", "orders"));
        assert_eq!(wanted.after, Some(Duration::from_secs(2)));
        assert_eq!(wanted.logs, ["x"]);
    }

    #[test]
    fn a_second_delivery_is_the_same_message_and_comes_after_the_first() {
        let cases = read(
            "[[case]]\nname = \"a\"\nlogs = [\"y\"]\n[[case.message]]\nbody = \
             \"1\"\n[[case.message]]\nbody = \"2\"\n[[case.message]]\nagain = true",
        )
        .expect("good");
        let steps = &cases[0].steps;
        assert_eq!(steps.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        let (second, again) = (&steps[0][1].0, &steps[1][0].0);
        assert_eq!((&second.id, &second.body, second.attempt), (&again.id, &again.body, 1));
        assert_eq!(again.attempt, 2);
        assert_eq!(cases[0].logs, ["y"]);
    }

    #[test]
    fn effects_belong_to_the_case_whatever_messages_it_has() {
        let cases = read(
            "[[case]]\nname = \"a\"\nbody = \"x\"\nstate = { a = 1 }\n[[case.http]]\nurl = \"http://a\"\n\
             [[case]]\nname = \"b\"\nconfig = { k = \"v\" }\n[[case.message]]\nbody = \"x\"\n\
             [[case.message]]\nagain = true\n[[case.sent]]\ntarget = \"t\"",
        )
        .expect("good");
        assert_eq!((cases[0].effects.http.len(), cases[0].effects.before.len()), (1, 1));
        assert_eq!((cases[1].effects.sent.len(), &*cases[1].effects.config["k"]), (1, "v"));
        assert_eq!(cases[1].steps.len(), 2);
    }

    #[test]
    fn headers_may_repeat() {
        let cases =
            read("[[case]]\nname = \"a\"\nheaders = [[\"t\", \"1\"], [\"t\", \"2\"]]").expect("good");
        assert_eq!(cases[0].steps[0][0].0.headers.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let refused = [
            ("[[case]]\nname = \"a\"\nbodi = \"x\"", "bodi"),
            ("[[case]]\nname = \"a\"\nbody = \"x\"\njson = 1", "give one of"),
            ("[[case]]\nname = \"a\"\noutcome = \"fine\"", "none of ok"),
            ("[[case]]\nname = \"a\"\nafter = \"1s\"", "only a retry"),
            ("[[case]]\nname = \"a\"\nattempt = 0", "from 1"),
            ("[[case]]\nname = \"a\"\ntimeout = \"5\"", "timeout must be"),
            ("[[case]]\nname = \"a\"\nagain = true", "before it"),
            ("[[case]]\nname = \"a\"\nbody = \"x\"\n[[case.message]]\nbody = \"y\"", "into the message"),
            ("[[cases]]\nname = \"a\"", "cases"),
            ("[[case]]\nbody = \"x\"", "name"),
            ("[[case]]\nname = \"a\"\n[[case.http]]\nmethod = \"GET\"", "url"),
            ("[[case]]\nname = \"a\"\nstate = { k = true }", "the key k"),
        ];
        for (text, why) in refused {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
