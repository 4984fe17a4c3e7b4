//! The example commands, as docs/handlers/plain-programs.md describes them.

use crate::{invoke, logs, program};
use pelton_tests::binary::pelton;
use pelton_tests::site::{Pipeline, Site};
use std::process::Command;

#[test]
fn commands_answer_by_their_exit_codes() {
    for command in ["command-c", "command-go"] {
        for (body, attempt, outcome, words) in [
            ("{}", "1", "ok", "order m-7 taken"),
            ("{\"gateway_down\": true}", "3", "ok", "order m-7 taken"),
            ("{\"gateway_down\": true}", "2", "retry", "the payment gateway is down"),
            ("no", "1", "reject", "not JSON"),
        ] {
            let words_given =
                ["--protocol", "command", "--id", "m-7", "--attempt", attempt, "--times", "3"];
            let (_, said) = invoke(command, &words_given, body.as_bytes());
            for call in said["calls"].as_array().expect("a list") {
                assert_eq!(call["outcome"], outcome, "{command} {body}: {said}");
                let reason = call["reason"].as_str();
                assert!(reason.is_none_or(|reason| reason.contains(words)), "{command} {body}: {said}");
            }
            assert!(logs(&said).iter().any(|line| line.contains(words)), "{command} {body}: {said}");
        }
    }
}

#[test]
fn a_program_that_does_not_say_what_it_is_is_refused() {
    let file = program("command-c");
    let run = |words: &[&str]| {
        let output = Command::new(pelton()).args(words).arg(&file).output().expect("pelton can be started");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let (code, said) = run(&["invoke", "--body", "{}"]);
    assert!(code == Some(1) && said.contains("write `protocol = \"command\"`"), "{said}");
    let (code, said) = run(&["inspect"]);
    assert!(code == Some(0) && said.contains("a plain WASI program"), "{said}");
    let (code, said) = run(&["invoke", "--body", "{}", "--protocol", "batch"]);
    let words = "must be one of worker, worker-batch, worker-2, worker-batch-2, command";
    assert!(code == Some(64) && said.contains(words), "{said}");
}

/// And nothing else of the worker's own environment.
#[test]
fn a_command_has_its_configuration_in_its_environment() {
    let grants = "config = { region = \"eu\", api_key = { env = \"API_KEY\" } }\nenvironment = [\"TZ\"]";
    let pipeline = Pipeline::new("orders", "handler.wasm".into())
        .with("handler", "protocol = \"command\"")
        .with("grants", grants);
    let site = Site::new(&[pipeline]);
    std::fs::copy(program("environment"), site.path().join("handler.wasm")).expect("the program is copied");
    site.send_lines("orders", &[], &["{}".to_owned()]);
    let given = [("API_KEY", "known to nobody"), ("TZ", "Asia/Tokyo"), ("PELTON_CONFIG_OTHER", "x")];
    let worker = site.worker_with(&["--until-empty"], &given);
    assert_eq!(worker.wait().code, Some(0), "{}", worker.log.tail());
    let lines = worker.log.lines();
    let is_there = |text: &str| lines.iter().any(|line| line.field("message") == text);
    for text in [
        "PELTON_CONFIG_REGION=eu",
        "PELTON_CONFIG_API_KEY=[secret]",
        "PELTON_CONFIG_OTHER=none",
        "TZ=Asia/Tokyo",
        "HOME=none",
    ] {
        assert!(is_there(text), "{text}:{}", worker.log.tail());
    }
}
