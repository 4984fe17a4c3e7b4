//! Who may depend on whom. A direction that holds in every manifest holds in the code.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// What each crate of the runtime takes of the others. The binary alone takes all, brokers the same each.
const DIRECTIONS: [(&str, &[&str]); 5] = [
    ("pelton-core", &[]),
    ("pelton-engine", &["pelton-core"]),
    ("pelton-store", &["pelton-core"]),
    ("pelton-host", &["pelton-core"]),
    ("pelton-broker-common", &["pelton-core"]),
];
const OF_BROKERS: [&str; 2] = ["pelton-broker-common", "pelton-core"];

/// What cargo says of the workspace.
pub fn metadata(more: &[&str]) -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let words = ["metadata", "--locked", "--format-version", "1"];
    let out = Command::new(cargo).args(words).args(more).current_dir("../..").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn crates_depend_in_one_direction() {
    let metadata = metadata(&["--no-deps"]);
    let takes = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        // Tests may take what they need.
        let ours = all.filter(|one| one["kind"].is_null() && one["path"].is_string());
        let mut names: Vec<String> = ours.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let packages = metadata["packages"].as_array().unwrap();
    let found: BTreeMap<&str, Vec<String>> =
        packages.iter().map(|package| (package["name"].as_str().unwrap(), takes(package))).collect();
    for (name, wanted) in DIRECTIONS {
        assert_eq!(found[name], wanted, "what {name} takes of the other crates");
    }
    for broker in brokers() {
        let name = format!("pelton-{broker}");
        assert_eq!(found[&*name], OF_BROKERS, "what {name} takes of the other crates");
    }
}

/// The brokers by their folders, which their features are named after.
pub fn brokers() -> Vec<String> {
    let folders = std::fs::read_dir("../../runtime/brokers").unwrap();
    let names = folders.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let brokers: Vec<String> = names.filter(|name| name != "common").collect();
    assert!(!brokers.is_empty());
    brokers
}

#[test]
fn the_core_takes_no_library_that_does_anything() {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().unwrap();
    let core = packages.iter().find(|package| package["name"] == "pelton-core").unwrap();
    let taken: Vec<&Value> =
        core["dependencies"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(taken, ["rustc-hash"], "the core has no I/O, clock or randomness: nor has what it takes");
}
