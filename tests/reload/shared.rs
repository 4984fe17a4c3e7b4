//! Many pipelines with one component: compiled once, and replaced in all of them.

use crate::{COMPONENT, order, taken};
use pelton_tests::components::orders_version;
use pelton_tests::log::Line;
use pelton_tests::site::{Pipeline, Site};
use std::collections::BTreeSet;

const PIPELINES: usize = 50;

/// The components that were compiled: each leaves a marker.
fn compiled(site: &Site) -> BTreeSet<String> {
    let markers = std::fs::read_dir(site.data().join("compiled/checked")).expect("something was compiled");
    markers.flatten().map(|marker| marker.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_file_of_many_pipelines_is_compiled_once_and_replaced_in_all() {
    let names: Vec<String> = (0..PIPELINES).map(|n| format!("p{n}")).collect();
    let pipelines: Vec<Pipeline> = names
        .iter()
        .map(|name| Pipeline::new(name, COMPONENT.into()).with("handler", "concurrency = 1"))
        .collect();
    let site = Site::new(&pipelines);
    std::fs::write(crate::component(&site), orders_version(0)).expect("the component is written");
    let worker = site.worker();
    let started = |line: &Line| line.says("started");
    worker.log.wait_for("all start", PIPELINES, started);
    let before = compiled(&site);
    std::fs::write(crate::component(&site), orders_version(77)).expect("it is written");
    let swapped = |line: &Line| line.says("a new version takes all messages");
    worker.log.wait_for("all are swapped", PIPELINES, swapped);
    let new = compiled(&site).difference(&before).count();
    assert!(new <= 1, "{new} were compiled");
    for (number, name) in (1u64..).zip([&names[0], &names[PIPELINES - 1]]) {
        site.send_lines(name, &[], &[order(number)]);
        worker.log.wait("it is taken", |line| taken(line) == Some((number, 77)));
    }
    // One copy of each component, whoever names it.
    let kept = std::fs::read_dir(site.data().join("versions")).expect("they are kept").flatten();
    let components = kept.filter(|file| file.path().extension().is_some_and(|e| e == "wasm")).count();
    assert_eq!(components, 2);
    worker.stop();
}
