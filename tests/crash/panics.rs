//! What panics in one pipeline ends this pipeline, and not the process.

use crate::{good, orders};
use pelton_tests::components::plugin;
use pelton_tests::panics::{OTHER, ends_alone, other};
use pelton_tests::site::Site;

#[test]
fn a_panic_of_a_pipeline_ends_it_and_not_the_other() {
    let site = Site::new(&[orders(), other(plugin("orders"))]);
    let mut number = 0;
    let mut send = |pipeline: &str, count: u64| {
        let lines: Vec<String> = (number..number + count).map(good).collect();
        number += count;
        site.send_lines(pipeline, &[], &lines);
    };
    let mut sent = 0;
    for (point, place) in [
        ("driver-turn:3", "at the pipeline's own task"),
        ("queue-read:3", "at receiving"),
        ("received:1", "at receiving"),
        ("guest-chunk:1", "at a thread that runs handlers"),
        ("handled:1", "at a thread that runs handlers"),
        ("settled:1", "at completing"),
    ] {
        let worker = site.worker_with(&[], &[("PELTON_PANIC_AT", point)]).ready();
        send("orders", 10);
        let send = std::cell::RefCell::new(&mut send);
        let given = std::cell::Cell::new(0);
        ends_alone(&worker, &site, &[], place, |pipeline| {
            send.borrow_mut()(pipeline, 1);
            given.set(u64::from(pipeline != OTHER));
        });
        sent += 10 + given.get();
    }
    site.until_empty();
    let status = site.status("orders");
    assert_eq!((status.handled, status.left()), (sent, 0), "each is completed once");
}

/// All pipelines have ended: nobody would notice a worker that goes on.
#[test]
fn a_worker_whose_only_pipeline_panics_ends() {
    let site = Site::new(&[orders()]);
    let worker = site.worker_with(&[], &[("PELTON_PANIC_AT", "driver-turn:1")]);
    let ended = worker.wait();
    assert_eq!(ended.code, Some(70), "{ended:?}{}", worker.log.tail());
}

#[test]
fn a_pipeline_that_has_stopped_begins_again_by_a_reload() {
    let site = Site::new(&[orders(), other(plugin("orders"))]);
    let worker = site.worker_with(&[], &[("PELTON_PANIC_AT", "guest-chunk:1")]).ready();
    site.send_lines("orders", &[], &[good(1)]);
    worker.log.wait("it stops", |line| line.says("this pipeline ends"));
    site.done(&["reload", "orders"]);
    worker.log.wait("its message is taken", |line| line.says(" taken"));
    let all: serde_json::Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
    assert_eq!(all["pipelines"]["orders"]["ready"], true, "{all}");
}
