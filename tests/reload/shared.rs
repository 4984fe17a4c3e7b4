//! Many pipelines with one component: compiled once, and replaced in all of them.

use crate::{COMPONENT, order, taken};
use pelton_tests::components::orders_version;
use pelton_tests::log::Line;
use pelton_tests::memory::{code, resident};
use pelton_tests::site::{Pipeline, Site};
use std::collections::BTreeSet;

const PIPELINES: usize = 50;
/// As many as one process is to have.
const MANY: usize = 1_000;
/// What each further pipeline may take, in KiB: its instance, its state, its part of the store.
const EACH_KIB: u64 = 1_024;

/// The components that were compiled: each leaves a marker.
fn compiled(site: &Site) -> BTreeSet<String> {
    let markers = std::fs::read_dir(site.data().join("compiled/checked")).expect("something was compiled");
    markers.flatten().map(|marker| marker.file_name().to_string_lossy().into_owned()).collect()
}

/// A site with so many pipelines on one file.
fn site(pipelines: usize) -> Site {
    let one = |n| Pipeline::new(&format!("p{n}"), COMPONENT.into()).with("handler", "concurrency = 1");
    let site = Site::new(&(0..pipelines).map(one).collect::<Vec<_>>());
    std::fs::write(crate::component(&site), orders_version(0)).expect("the component is written");
    site
}

#[test]
fn a_thousand_pipelines_on_one_file_have_its_code_once() {
    let sizes = [1, MANY].map(|pipelines| {
        let site = site(pipelines);
        let worker = site.worker();
        worker.log.wait_for("all start", pipelines, |line: &Line| line.says("started"));
        assert_eq!(
            compiled(&site).iter().filter(|name| name.starts_with(&digits())).count(),
            1,
            "it was compiled once"
        );
        let last = format!("p{}", pipelines - 1);
        site.send_lines(&last, &[], &[order(1)]);
        worker.log.wait("it is taken", |line| taken(line) == Some((1, 0)));
        let sizes = code(worker.pid).zip(resident(worker.pid)).expect("the worker runs");
        worker.stop();
        sizes
    });
    let [(code, one), (code_of_many, many)] = sizes;
    assert!(code > 0, "it has code");
    assert_eq!(code, code_of_many, "one copy of the code");
    let each = many.saturating_sub(one) / (MANY as u64 - 1);
    println!("one pipeline: {one} KiB; {MANY}: {many} KiB; each further: {each} KiB");
    assert!(each < EACH_KIB, "{one} KiB with one, {many} KiB with {MANY}");
}

/// The digest of version 0, without what it is.
fn digits() -> String {
    pelton_tests::registry::digest(&orders_version(0))[7..].to_owned()
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
