//! One table of cases for the components of all languages; what is a program has its own in tests/programs.
//! Each handler is compiled from source, in the place of the one of the template.

use crate::project::{Project, command};
use crate::usual::ONE_AT_A_TIME;
use pelton_tests::binary::root;
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use std::sync::PoisonError;

struct Handler {
    project: Project,
}

/// What a deed comes to.
struct Case {
    deed: &'static str,
    outcome: &'static str,
    reason: &'static str,
    log: &'static str,
}

const fn case(deed: &'static str, outcome: &'static str, reason: &'static str, log: &'static str) -> Case {
    Case { deed, outcome, reason, log }
}

/// The same in every language.
const CASES: [Case; 8] = [
    case("nothing", "ok", "", ""),
    case("retry", "retry", "asked to retry at attempt 3", ""),
    case("reject", "reject", "asked to reject", ""),
    case("loop", "timeout", "it ran for longer than", ""),
    case("sleep", "timeout", "it waited in a host call", ""),
    case("flood", "ok", "", "bytes of output dropped"),
    case("print", "ok", "", "printed"),
    case("files", "ok", "", "denied: "),
];

const PYTHON: [Case; 3] = [
    case(
        "uncaught",
        "retry",
        "uncaught ValueError: a plain error\n  File \"handler.py\", line 17, in handle",
        "",
    ),
    case("deep", "retry", "uncaught RecursionError", ""),
    case("memory", "retry", "uncaught MemoryError", ""),
];
const JAVASCRIPT: [Case; 3] = [
    case("uncaught", "retry", "uncaught RangeError: a plain error\n    at handle (src/handler.", ""),
    case("deep", "retry", "uncaught InternalError: too much recursion", ""),
    case("memory", "retry", "uncaught out of memory", ""),
];
/// Its errors are panics, which end the instance.
const RUST: [Case; 3] = [
    case("uncaught", "trap", "panicked at src/lib.rs:15:23: a plain error", ""),
    case("deep", "trap", "call stack exhausted", ""),
    case("memory", "memory", "was refused, the limit is 67108864 bytes", ""),
];

/// Its traps say nothing but where.
const C: [Case; 7] = [
    case("uncaught", "trap", "chaos says goodbye", ""),
    case("deep", "trap", "deep", ""),
    case("memory", "memory", "was refused, the limit is 67108864 bytes", ""),
    case("beyond", "trap", "out of bounds memory access", ""),
    case("exit", "trap", "the handler called exit(", ""),
    case("stdout", "ok", "", "left in a buffer"),
    case("no-text", "reject", "asked to reject ?? \u{fc} ???", ""),
];

impl Handler {
    /// Built of `tests/languages/chaos/`, in the place of the template's.
    fn new(language: &str, chaos: &str, source: &str) -> Self {
        let project = Project::new(language, false);
        let from = root().join("tests/languages/chaos").join(chaos);
        std::fs::copy(from, project.dir.join(source)).expect("the source is there");
        project.done(&["build"]);
        Self { project }
    }

    /// What `pelton invoke --json` says, and the exit code.
    fn invoke(&self, words: &[&str], body: &[u8]) -> (i32, Value) {
        let mut command = command(&self.project.dir);
        command.args(["invoke", &self.project.component(), "--json"]).args(words);
        // An empty standard input is taken for a mistake; an empty body is said to be one.
        command.args(body.is_empty().then_some(["--body", ""]).into_iter().flatten());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it can be started");
        child.stdin.take().expect("it is piped").write_all(body).expect("the body is taken");
        let output = child.wait_with_output().expect("it is our child");
        let said = String::from_utf8_lossy(&output.stdout);
        let json = serde_json::from_str(&said);
        let json =
            json.unwrap_or_else(|_| panic!("{words:?}: {said}{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap_or(-1), json)
    }

    fn does(&self, case: &Case) {
        let Case { deed, outcome, reason, log } = case;
        let header = format!("do={deed}");
        let words = ["--header", &header, "--attempt", "3", "--timeout", "5s", "--memory", "64MiB"];
        let (code, said) = self.invoke(&words, b"body");
        let call = &said["calls"][0];
        let wanted = match *outcome {
            "ok" => 0,
            "retry" => 75,
            "reject" => 65,
            _ => 2,
        };
        assert_eq!((call["outcome"].as_str(), code), (Some(*outcome), wanted), "{deed}: {call}");
        assert!(call["reason"].as_str().unwrap_or_default().contains(reason), "{deed}: {call}");
        assert_eq!(call["after_ms"].as_u64(), (*deed == "retry").then_some(250), "{deed}");
        assert!(log.is_empty() || logs(&said).iter().any(|line| line.contains(log)), "{deed}: {said}");
        assert!(!logs(&said).iter().any(|line| line.eq_ignore_ascii_case("denied: false")), "{said}");
    }

    fn takes_whole(&self, body: &[u8]) {
        let words = [
            "--header",
            "do=echo",
            "--header",
            "n\u{e4}me=\u{1f980}",
            "--header",
            "n\u{e4}me=",
            "--id",
            "m\u{fc}",
        ];
        for (key, shown) in [(None, "none"), (Some("--key="), "\"\""), (Some("--key=a b"), "\"a b\"")] {
            let words: Vec<&str> = words.iter().copied().chain(key).collect();
            let (_, said) = self.invoke(&words, body);
            let lines = logs(&said);
            let rest = body.iter().fold(0u64, |rest, byte| (rest * 256 + u64::from(*byte)) % 4_294_967_291);
            let wanted = format!("id m\u{fc}, key {shown}, attempt 1, body {} {rest}", body.len());
            assert_eq!(lines.last(), Some(&wanted), "{said}");
            assert_eq!(lines[1..3], ["header n\u{e4}me=\u{1f980}", "header n\u{e4}me="]);
        }
    }

    /// A thousand messages on one instance take no more memory than a hundred; collectors have some slack.
    fn keeps_nothing(&self) {
        let memory = |said: &Value| said["memory_bytes"].as_u64().expect("a number");
        let times = |times| self.invoke(&["--header", "do=nothing", "--times", times], &[b'x'; 10_000]);
        let (few, (code, many)) = (times("100").1, times("1000"));
        let calls = many["calls"].as_array().expect("a list");
        assert!(code == 0 && calls.len() == 1_000 && calls.iter().all(|call| call["outcome"] == "ok"));
        assert!(memory(&many) <= memory(&few) + (8 << 20), "{} {}", memory(&few), memory(&many));
    }
}

/// The lines of its log.
fn logs(said: &Value) -> Vec<String> {
    let lines = said["logs"].as_array().expect("a list").iter();
    lines.map(|line| line["text"].as_str().expect("a text").to_owned()).collect()
}

fn all(language: &str, chaos: &str, source: &str, own: &[Case]) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let handler = Handler::new(language, chaos, source);
    CASES.iter().chain(own).for_each(|case| handler.does(case));
    let binary: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1u32 << 20).map(|n| ((n * 7) >> 3) as u8).collect();
    for body in [&b""[..], b"a\nb", &binary, &large] {
        handler.takes_whole(body);
    }
    handler.keeps_nothing();
}

#[test]
fn python() {
    all("python", "handler.py", "handler.py", &PYTHON);
}

#[test]
fn javascript() {
    all("javascript", "handler.js", "src/handler.js", &JAVASCRIPT);
}

#[test]
fn typescript() {
    all("typescript", "handler.ts", "src/handler.ts", &JAVASCRIPT);
}

#[test]
fn rust() {
    all("rust", "lib.rs", "src/lib.rs", &RUST);
}

#[test]
fn c() {
    all("c", "handler.c", "handler.c", &C);
}
