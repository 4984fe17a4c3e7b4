//! The example handler `payments` passes its own cases, and says what is wrong where it does not.

use pelton_tests::binary::root;
use pelton_tests::components::plugin;
use pelton_tests::site::Site;
use serde_json::Value;
use std::path::PathBuf;

/// The project, with its component built, and more cases.
fn project(site: &Site, more: &str) -> PathBuf {
    let (from, to) = (root().join("plugins/payments"), site.path().join("payments"));
    std::fs::create_dir_all(to.join("tests")).expect("a folder can be made");
    for file in ["handler.toml", "pelton.toml"] {
        std::fs::copy(from.join(file), to.join(file)).expect("it is there");
    }
    std::fs::copy(plugin("payments"), to.join("payments.wasm")).expect("it is built");
    let cases = std::fs::read_to_string(from.join("tests/cases.toml")).expect("it has cases");
    std::fs::write(to.join("tests/cases.toml"), cases + more).expect("it is written");
    to
}

/// The cases by name, and the exit code.
fn tested(site: &Site, more: &str, only: &str) -> (i32, Vec<Value>) {
    let dir = project(site, more);
    let dir = dir.to_str().expect("a text");
    let output = site.run(&["test", dir, "--no-build", "--only", only, "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap_or(-1), said["cases"].as_array().expect("a list").clone())
}

#[test]
fn its_cases_hold() {
    let (code, cases) = tested(&Site::new(&[]), "", "e");
    let failed: Vec<&Value> = cases.iter().filter(|case| case["ok"] != true).collect();
    assert!(code == 0 && cases.len() == 8 && failed.is_empty(), "{failed:?}");
}

#[test]
fn what_a_case_does_not_expect_fails_it_and_is_shown() {
    const MORE: &str = r#"
[[case]]
name = "unexpected"
json = { id = 7, customer = "a\u001b[2J", amount_cents = 5 }
state_after = {}
[[case.http]]
url = "https://gateway.example/charges"
answer = { json = { id = "ch_1" } }
[[case]]
name = "unexpected request"
json = { id = 7, customer = "ada", amount_cents = 5 }
outcome = "retry"
[[case.http]]
url = "https://gateway.example/charges"
json = { order = 8 }
[[case]]
name = "unexpected place"
json = { id = 7, customer = "ada", amount_cents = 5 }
config = { gateway = "https://other.example" }
outcome = "retry"
"#;
    let (code, cases) = tested(&Site::new(&[]), MORE, "unexpected");
    let problems = |place: usize| {
        let all = cases[place]["problems"].as_array().expect("a list");
        all.iter().map(|one| one.as_str().expect("a text")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!((code, cases.len()), (1, 3));
    let (effects, request, place) = (problems(0), problems(1), problems(2));
    assert!(effects.contains("no change of the key \"total/a\\x1b[2J\""), "{effects}");
    assert!(effects.contains("a message to receipts") && effects.contains("[[case.sent]]"), "{effects}");
    assert!(request.contains("a body of JSON with {\"order\":8}"), "{request}");
    assert!(
        request.contains("got     POST https://gateway.example/charges\n        {\"order\":7"),
        "{request}"
    );
    assert!(request.contains("[[case.http]]") && request.contains("none that fits"), "{request}");
    assert!(place.contains("https://other.example: no grant"), "{place}");
}
