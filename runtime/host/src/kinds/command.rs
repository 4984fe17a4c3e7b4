//! Programs that are run once for each message: the body is their standard input, the rest is in the
//! environment, and the exit code is the answer.

use crate::guest::port::Port;
use crate::guest::reason::REASON_BYTES;
use crate::guest::state::{self, About, Given};
use crate::guest::text;
use crate::interfaces::config;
use crate::kinds::program::{Program, failed};
use crate::kinds::{Answers, Handles, Setting};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pelton_core::outcome::Outcome;
use pelton_core::ports::Work;
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime::Result;

/// Exit codes, as sysexits.h has them: EX_TEMPFAIL and EX_DATAERR.
const RETRY: i32 = 75;
const REJECT: i32 = 65;

/// A command that can be run. It holds no instance between messages.
pub(crate) struct Command {
    setting: Arc<Setting>,
    about: About,
    program: Program,
}

impl Command {
    pub(crate) fn new(setting: &Arc<Setting>, about: &About, program: &Program) -> Self {
        Self { setting: Arc::clone(setting), about: about.clone(), program: program.clone() }
    }

    fn outcome(&self, code: i32) -> Result<Outcome> {
        let reason = || {
            let said = self.about.output.tail();
            let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
            text::clean(last.unwrap_or(&format!("exit code {code}")), REASON_BYTES)
        };
        match code {
            0 => Ok(Outcome::Ok(None)),
            RETRY => Ok(Outcome::Retry { reason: reason(), after_ms: None }),
            REJECT => Ok(Outcome::Reject { reason: reason() }),
            _ => Err(failed(&format!("the command ended with exit code {code}"), &self.about.output)),
        }
    }
}

impl Handles for Command {
    async fn call(&mut self, work: &[Work]) -> Result<Answers> {
        let [work, ..] = work else { return Ok(Answers::Many(Vec::new())) };
        let setting = &*self.setting;
        let port = Port::command(Bytes::copy_from_slice(work.message.body()));
        let environment = config::environment(&setting.shared.grants, environment(work));
        let given = Given { port, environment };
        let store = state::store(setting, self.about.clone(), Some(given));
        let ended = self.program.clone().run(store).await;
        Ok(Answers::One(self.outcome(ended?)?))
    }
}

/// Makes an instance, to see that there can be one; its program is not run.
pub(crate) async fn try_start(setting: &Setting, about: &About, program: &Program) -> Result<()> {
    let given = Given { port: Port::command(Bytes::new()), environment: Vec::new() };
    let mut store = state::store(setting, about.clone(), Some(given));
    program.instantiate(&mut store).await
}

/// What a command is told of its message. Values that are no text are in base64, under a longer name.
fn environment(work: &Work) -> Vec<(String, String)> {
    let message = &work.message;
    let mut all = BTreeMap::new();
    all.insert("PELTON_PROTOCOL".to_owned(), "command".to_owned());
    let mut put = |name: String, value: &[u8]| {
        let text = std::str::from_utf8(value).ok().filter(|text| !text.contains('\0'));
        match text {
            Some(text) => all.entry(name).or_insert_with(|| text.to_owned()),
            None => all.entry(format!("{name}_BASE64")).or_insert_with(|| STANDARD.encode(value)),
        };
    };
    put("PELTON_MESSAGE_ID".to_owned(), message.id().text().as_bytes());
    put("PELTON_PIPELINE".to_owned(), message.pipeline().as_bytes());
    put("PELTON_ORIGIN".to_owned(), message.origin().as_bytes());
    put("PELTON_IDEMPOTENCY_KEY".to_owned(), work.idempotency_key().to_string().as_bytes());
    put("PELTON_ATTEMPT".to_owned(), work.attempt.to_string().as_bytes());
    put("PELTON_BODY_LENGTH".to_owned(), message.body().len().to_string().as_bytes());
    if let Some(key) = message.key() {
        put("PELTON_KEY".to_owned(), key);
    }
    if let Some(ms) = message.published_at_ms() {
        put("PELTON_PUBLISHED_AT_MS".to_owned(), ms.to_string().as_bytes());
    }
    for (name, is) in [("PELTON_REPLAYED", message.replayed()), ("PELTON_TOMBSTONE", message.tombstone())] {
        put(name.to_owned(), if is { b"true" } else { b"false" });
    }
    put("PELTON_HEADERS".to_owned(), message.headers().len().to_string().as_bytes());
    for (number, header) in message.headers().iter().enumerate() {
        put(format!("PELTON_HEADERS_{number}_NAME"), header.name.as_bytes());
        put(format!("PELTON_HEADERS_{number}_VALUE"), header.value);
        put(format!("PELTON_HEADER_{}", variable(header.name)), header.value);
    }
    all.into_iter().collect()
}

/// A header's name as that of a variable: `trace-id` becomes `TRACE_ID`.
fn variable(name: &str) -> String {
    let part = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::work;
    use pelton_core::{Header, HeaderList, Message, Parts};

    #[test]
    fn a_message_becomes_variables() {
        let mut one = work("m\u{e9}");
        let header = |name: &str, value: &[u8]| Header::new(name, value);
        let headers = [header("trace-id", b"a"), header("Trace-Id", b"b"), header("x", b"\0")];
        let headers: HeaderList = headers.iter().collect();
        let parts = Parts { key: Some(&[0xff]), headers: headers.view(), ..one.message.parts() };
        one.message = Message::new(parts);
        let all: BTreeMap<_, _> = environment(&one).into_iter().collect();
        let of = |name: &str| all.get(name).map(String::as_str);
        assert_eq!(of("PELTON_MESSAGE_ID"), Some("m\u{e9}"));
        assert_eq!((of("PELTON_KEY"), of("PELTON_KEY_BASE64")), (None, Some("/w==")));
        assert_eq!((of("PELTON_HEADER_TRACE_ID"), of("PELTON_HEADERS_1_VALUE")), (Some("a"), Some("b")));
        assert_eq!((of("PELTON_HEADERS"), of("PELTON_HEADER_X_BASE64")), (Some("3"), Some("AA==")));
        assert_eq!((of("PELTON_REPLAYED"), of("PELTON_PUBLISHED_AT_MS")), (Some("false"), None));
    }
}
