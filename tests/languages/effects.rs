//! Handlers that do all that a handler may do beside its answer, one in each language: in cases, and in a
//! worker against a server that misbehaves.

use crate::project::{Project, Said};
use pelton_tests::gateway::Gateway;
use serde_json::Value;
use std::fmt::Write;

/// A handler, and what its language says of requests that are not answered.
struct Guest {
    language: &'static str,
    /// Where it is written, and what is there.
    source: (&'static str, &'static str),
    /// Whether its errors of HTTP have the standard's codes: `fetch` has none.
    has_codes: bool,
}

/// What the server does with a request, and what the error is called.
const MISBEHAVES: [(&str, &[&str]); 5] = [
    ("/close", &["connection-terminated"]),
    ("/short", &["HTTP-response-incomplete", "HTTP-protocol-error"]),
    ("/garbage", &["HTTP-protocol-error"]),
    ("/hang", &["timeout"]),
    ("/big/2000000", &["HTTP-response-body-size"]),
];

/// Orders that are charged, one of them at the second attempt.
const ORDERS: [&str; 3] = ["/charge", "/flaky/2", "/charge"];

#[test]
fn python() {
    let source = ("handler.py", include_str!("effects/handler.py"));
    everything(&Guest { language: "python", source, has_codes: true });
}

#[test]
fn javascript() {
    let source = ("src/handler.js", include_str!("effects/handler.js"));
    everything(&Guest { language: "javascript", source, has_codes: false });
}

#[test]
fn rust() {
    let source = ("src/lib.rs", include_str!("effects/lib.rs"));
    everything(&Guest { language: "rust", source, has_codes: true });
}

#[test]
fn c() {
    let source = ("handler.c", include_str!("effects/handler.c"));
    everything(&Guest { language: "c", source, has_codes: true });
}

#[test]
fn c_worker() {
    let project = Project::made("c", &["--kind", "worker"]);
    let source = ("handler.c", include_str!("effects/handler.c"));
    runs(&project, &Guest { language: "c", source, has_codes: true });
}

#[test]
fn go() {
    let source = ("main.go", include_str!("effects/main.go"));
    everything(&Guest { language: "go", source, has_codes: true });
}

fn everything(guest: &Guest) {
    runs(&Project::new(guest.language, false), guest);
}

fn runs(project: &Project, guest: &Guest) {
    let (to, source) = guest.source;
    std::fs::write(project.dir.join(to), source).expect("the handler is written");
    // The template's own are of the template's handler.
    let manifest = std::fs::read_to_string(project.dir.join("handler.toml")).expect("it is there");
    let uses = "\nuses = [\"http\", \"config\", \"state\", \"outbox\"] # ";
    let manifest = manifest.replace("\ntest = ", "\n# test = ").replace("\n# uses = ", uses);
    std::fs::write(project.dir.join("handler.toml"), manifest).expect("it is written");
    std::fs::write(project.dir.join("tests/cases.toml"), include_str!("effects/cases.toml"))
        .expect("written");
    let mut count = 3;
    if guest.has_codes {
        let more = include_str!("effects/cases-errors.toml");
        std::fs::write(project.dir.join("tests/errors.toml"), more).expect("written");
        count += 1;
    }
    std::fs::write(project.dir.join("pelton.toml"), configuration(project, "https://a.example"))
        .expect("written");
    let tested = project.done(&["test"]);
    assert!(tested.contains(&format!("{count} cases passed")), "{tested}");
    in_a_worker(project, guest.has_codes);
}

/// The worker's configuration: orders, and a pipeline for their receipts.
fn configuration(project: &Project, gateway: &str) -> String {
    let mut text = "data_dir = \"data\"\n[stores.totals]\n".to_owned();
    for pipeline in [project.name.as_str(), "receipts"] {
        write!(
            text,
            "[pipelines.{pipeline}.handler]\ncomponent = \"{}\"\n\
             [pipelines.{pipeline}.retry]\ninitial_interval = \"10ms\"\n\
             [[pipelines.{pipeline}.grants.http]]\nto = \"{gateway}\"\nprivate = [\"127.0.0.1/32\"]\n\
             [pipelines.{pipeline}.grants.http_limits]\nmax_response = \"1MiB\"\ntimeout = \"3s\"\n\
             [pipelines.{pipeline}.grants]\nconfig = {{ gateway = \"{gateway}\" }}\n\
             state = [\"default\", \"totals\"]\n\
             [pipelines.{pipeline}.grants.outbox.receipts]\ntype = \"embedded\"\n",
            project.component()
        )
        .expect("memory");
    }
    text
}

fn in_a_worker(project: &Project, has_codes: bool) {
    let gateway = Gateway::plain();
    std::fs::write(project.dir.join("pelton.toml"), configuration(project, &gateway.origin()))
        .expect("written");
    let paths = ORDERS.iter().chain(MISBEHAVES.iter().map(|(path, _)| path));
    let lines: String = paths
        .enumerate()
        .map(|(id, path)| format!("{{\"id\":{id},\"path\":\"{path}\",\"cents\":5}}\n"))
        .collect();
    std::fs::write(project.dir.join("orders"), lines).expect("written");
    project.done(&["send", &project.name, "--lines", "orders"]);
    let (counts, log) = emptied(project);
    assert_eq!(counts[&project.name]["handled"], ORDERS.len(), "{counts}\n{log}");
    // Each counts on from the one before, whichever that was.
    let last = format!(" {} count", ORDERS.len());
    assert!(
        log.contains("the first") && log.contains(&last),
        "state is kept from message to message: {log}"
    );
    assert_eq!(counts["receipts"]["handled"], ORDERS.len(), "{counts}\n{log}");
    for id in 0..ORDERS.len() {
        assert!(log.contains(&format!("receipt {id} of k, r")), "{log}");
    }
    if has_codes {
        reasons(project);
    }
    // Two were charged, each by a key of its own. What read state that has changed ran again, by the same.
    let charges = gateway.charges();
    assert!(charges.len() == 2 && charges.keys().all(|key| key.len() == 32), "{charges:?}");
}

/// What the pipelines have counted when their queues are empty, and what was logged.
fn emptied(project: &Project) -> (Value, String) {
    let Said { code, out, err } = project.pelton(&["run", "--until-empty"]);
    assert_eq!(code, 0, "{out}\n{err}");
    let mut counts: Value = serde_json::from_str(&out).expect("JSON");
    (counts["pipelines"].take(), err)
}

/// Each request that was not answered is a dead letter, with what went wrong.
fn reasons(project: &Project) {
    let letters = project.done(&["dlq", "list", &project.name, "--json"]);
    let letters: Vec<Value> =
        letters.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for (number, (path, codes)) in MISBEHAVES.iter().enumerate() {
        // Ids of the queue count from 1.
        let id = format!("/{}", ORDERS.len() + number + 1);
        let is_it = |letter: &&Value| letter["message_id"].as_str().is_some_and(|is| is.ends_with(&id));
        let letter =
            letters.iter().find(is_it).unwrap_or_else(|| panic!("{path} is no letter: {letters:?}"));
        let reason = letter["reason"].as_str().expect("it has one");
        assert!(codes.iter().any(|code| reason.contains(code)), "{path}: {reason}");
    }
}
