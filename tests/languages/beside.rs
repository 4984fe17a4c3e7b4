//! A project beside the worker that runs it: what is built and tested is not live before somebody says so.

use crate::project::{Project, command};
use pelton_tests::worker::Worker;
use serde_json::Value;

/// The version in use, and whether another one is tried out.
fn versions(project: &Project) -> (String, bool) {
    let said = project.done(&["versions", &project.name, "--json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let all = said["versions"].as_array().expect("a list").clone();
    let state = |wanted: &str| all.iter().find(|one| one["state"].as_str() == Some(wanted));
    let in_use = state("in use").unwrap_or_else(|| panic!("none is in use: {said}"));
    let trial =
        all.iter().any(|one| one["state"] != "in use" && one["share"].as_f64().is_some_and(|s| s > 0.0));
    (in_use["digest"].as_str().expect("a digest").to_owned(), trial)
}

#[test]
fn a_build_beside_a_worker_is_tried_out_and_taken_as_it_is_told() {
    let project = Project::new("rust", false);
    project.done(&["test"]);
    let worker = Worker::start(command(&project.dir).args(["run", "--log-format", "json"])).ready();
    let first = versions(&project);
    assert!(!first.1);
    project.edit("src/lib.rs", " taken", " accepted");
    // A case asks for the old words: what fails its tests is there, and not live.
    assert_eq!(project.pelton(&["test"]).code, 1);
    let component = project.component();
    project.done(&["send", &project.name, "--body", r#"{"id":7,"amount_cents":1}"#]);
    worker.log.wait("the old version has it", |line| line.says("order 7 taken"));
    assert_eq!(versions(&project), first, "nobody has said so");
    project.done(&["deploy", &project.name, &component, "--canary", "0.5"]);
    assert_eq!(versions(&project), (first.0.clone(), true), "it is on trial");
    project.done(&["rollback", &project.name]);
    project.done(&["deploy", &project.name, &component]);
    let second = versions(&project);
    assert!(second.0 != first.0 && !second.1, "{second:?}");
    project.done(&["send", &project.name, "--body", r#"{"id":8,"amount_cents":1}"#]);
    worker.log.wait("the new version has it", |line| line.says("order 8 accepted"));
    worker.stop();
}
