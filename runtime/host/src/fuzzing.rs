//! Doors for the fuzz targets: what a worker may write to its standard output, and what its calls may say.

use crate::grants::Grants;
use crate::guest::pipeline_log::PipelineLog;
use crate::guest::protocol::{Answers, Call, Version};
use crate::guest::sink::TracingSink;
use crate::guest::state::About;
use crate::interfaces::http::{Net, Outgoing};
use crate::interfaces::{Caller, Granted, worker_calls};
use crate::memory_state::MemoryState;
use crate::run::control::Control;
use pelton_core::effects::{Bucket, Target};
use pelton_core::message::{Channel, Message, Parts};
use pelton_core::ports::Work;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Answers to so many messages, as they come. However they are cut, they come to the same.
///
/// # Panics
/// When they do not.
pub fn answers(asked: usize, bytes: &[u8], cut: usize) {
    let mut whole = Answers::default();
    whole.ask(asked);
    let at_once = whole.write(bytes).is_ok();
    let mut parts = Answers::default();
    parts.ask(asked);
    let in_parts = bytes.chunks(cut.max(1)).all(|part| parts.write(part).is_ok());
    assert_eq!(at_once, in_parts, "a cut makes no difference");
    if at_once {
        assert_eq!(whole.complete(), parts.complete(), "a cut makes no difference");
        assert_eq!(whole.take(), parts.take(), "a cut makes no difference");
    }
}

/// The calls that these bytes are, answered with state, an outbox and configuration that are granted. Every
/// answer is one that a worker can read.
///
/// # Panics
/// When it is not.
pub fn calls(bytes: &[u8]) {
    static GRANTED: LazyLock<(About, Granted)> = LazyLock::new(granted);
    let (about, shared) = &*GRANTED;
    let mut answers = Answers::new(Version::Two, Arc::default());
    answers.ask(1);
    about.output.begin(0, 1);
    for byte in bytes.chunks(1) {
        if answers.write(byte).is_err() {
            break;
        }
        if let Some(call) = answers.take_call() {
            checked(&answered(&Caller::new(about, shared, 1 << 20), call));
        }
    }
    drop(about.in_call.end());
}

fn answered(caller: &Caller<'_>, call: Call) -> Vec<u8> {
    let mut answer = std::pin::pin!(worker_calls::answer(caller, call));
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("nothing of what is granted here waits"),
    }
}

/// `result LENGTH` or `error CODE LENGTH`, so many bytes, and a line feed.
fn checked(answer: &[u8]) {
    let Some(end) = answer.iter().position(|b| *b == b'\n') else { panic!("it begins with no line") };
    let Ok(line) = std::str::from_utf8(&answer[..end]) else { panic!("its line is no text") };
    let words: Vec<&str> = line.split(' ').collect();
    let length = match words[..] {
        ["result", length] => length,
        ["error", code, length] => {
            assert!(
                !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
                "{line}"
            );
            length
        }
        _ => panic!("no answer: {line}"),
    };
    let text = &answer[end + 1..answer.len() - 1];
    assert_eq!((length.parse(), answer.last()), (Ok(text.len()), Some(&b'\n')), "{line}");
    let is_json = serde_json::from_slice::<serde_json::Value>(text).is_ok();
    assert!(words[0] != "result" || is_json, "a result is JSON: {line}");
}

fn granted() -> (About, Granted) {
    let outlet = crate::Outlet { name: "t".to_owned(), target: Target(1), refuses: Arc::new(|_| None) };
    let stores = vec![("default".to_owned(), Bucket(1))];
    let grants = Arc::new(Grants {
        config: Some(vec![("name".to_owned(), "value".to_owned())]),
        state: Some(crate::StateGrant { home: Arc::new(MemoryState::default()), stores }),
        outbox: Some(crate::OutboxGrant { targets: vec![outlet] }),
        ..Grants::default()
    });
    let log = PipelineLog::new("p", Arc::new(TracingSink), Arc::default(), 0, 0);
    let about = About::new(&log, &Arc::new(Control::new(Duration::MAX, true)));
    let message = Message::new(Parts { channel: &Arc::new(Channel::new("p", "q")), ..Parts::named("m") });
    let work = Work { message, attempt: 1, lane: None, key: None, scope: None, redo: None };
    let work: Arc<[Work]> = Arc::new([work]);
    about.output.assign(work);
    let http = Outgoing::new("p", &grants, &Arc::new(Net::new(None)));
    (about, Granted { grants, http, refusals: Arc::default() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn what_was_found_before_is_answered() {
        for entry in std::fs::read_dir("../../fuzz/corpus/worker_calls").unwrap() {
            super::calls(&std::fs::read(entry.unwrap().path()).unwrap());
        }
    }
}
