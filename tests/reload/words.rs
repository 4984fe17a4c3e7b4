//! What is shown: the difference of a deploy, the versions, and the version in a letter.

use crate::{file, in_use, site, taken_by, version, versions};
use pelton_tests::components::made_up;

#[test]
fn a_deploy_shows_what_changes_and_versions_what_was_done() {
    let site = site("", &[("handler", "reload = \"manual\"")]);
    let worker = site.worker().ready();
    taken_by(&site, &worker.log, 1);
    let first = in_use(&site);
    file(&site, "plain.wasm", &made_up("", "", false));
    let said = site.done(&["deploy", "orders", "plain.wasm"]);
    assert!(said.contains(&first) && said.contains("becomes sha256:"), "{said}");
    assert!(said.contains("imports no more: ") && said.contains("wasi:cli/stderr"), "{said}");
    assert!(said.contains("all it imports is granted"), "{said}");
    assert!(site.done(&["deploy", "orders", "plain.wasm"]).contains("has this version already"));
    let all = versions(&site);
    let old = all.iter().find(|v| v["digest"] == *first).expect("it is kept");
    assert_eq!((&old["state"], &old["handled"]), (&"kept".into(), &1.into()), "{old}");
    assert!(old["p99_us"].as_u64().expect("it is measured") > 0, "{old}");
    let status: serde_json::Value =
        serde_json::from_str(&site.done(&["status", "--json"])).expect("it is JSON");
    assert_eq!(status["pipelines"]["orders"]["handler"], in_use(&site));
    worker.stop();
}

#[test]
fn a_letter_names_the_version_that_failed() {
    let site = site("", &[("handler", "reload = \"manual\"")]);
    let worker = site.worker().ready();
    let bad = |number: u64| format!("{{\"id\": {number}, \"customer\": \"c\", \"amount_cents\": -5}}");
    let mut wanted = Vec::new();
    for number in 1..=3u32 {
        site.send_lines("orders", &[], &[bad(number.into())]);
        let count = number as usize;
        pelton_tests::wait::until("the letter is there", || {
            (site.letters("orders").len() == count).then_some(())
        });
        wanted.push(in_use(&site));
        let file = version(&site, number);
        site.done(&["deploy", "orders", &file]);
    }
    let letters = site.letters("orders");
    let named: Vec<&str> = letters.iter().filter_map(|letter| letter["handler"].as_str()).collect();
    assert_eq!(named, wanted);
    worker.stop();
}

#[test]
fn a_component_is_described() {
    let site = site("", &[]);
    let said = site.done(&["inspect", "orders.wasm"]);
    for words in [
        "digest   sha256:",
        "made by",
        "Rust",
        "exports  pelton:handler/message-handler@0.1.0",
        "handler of messages",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    file(&site, "greedy.wasm", &made_up("", "(drop (call $read))", true));
    let said = crate::refused(&site, &["inspect", "greedy.wasm"]);
    assert!(said.contains("test:extra/secrets  (not granted)"), "{said}");
}
