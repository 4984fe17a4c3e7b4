//! Workers in a pipeline: hostile messages cost nobody else, and a worker is replaced while it works.

use crate::program;
use pelton_tests::log::Line;
use pelton_tests::site::{Pipeline, Site};

const EACH: usize = 10;
const GOOD: [&str; 4] = ["nothing", "print", "echo", "flood"];
const BAD: [&str; 7] = ["reject", "error", "uncaught", "exit", "deep", "memory", "loop"];

fn site(worker: &str) -> Site {
    let limits = "timeout = \"3s\"\nmemory = \"16MiB\"\nconcurrency = 2";
    let pipeline = Pipeline::new("orders", "handler.wasm".into())
        .with("handler", limits)
        .with("retry", "max_attempts = 2\ninitial_interval = \"10ms\"");
    let site = Site::new(&[pipeline]);
    std::fs::copy(program(worker), site.path().join("handler.wasm")).expect("the program is copied");
    site
}

fn send(site: &Site, deed: &str, count: usize) {
    let lines: Vec<String> = (0..count).map(|n| format!("{deed} {n}")).collect();
    site.send_lines("orders", &["--header", &format!("do={deed}")], &lines);
}

#[test]
fn hostile_messages_cost_nobody_else() {
    for worker in ["chaos-go", "chaos-c"] {
        let site = site(worker);
        for (bad, good) in BAD.iter().zip(GOOD.iter().cycle()) {
            // What costs its whole timeout comes twice only.
            send(&site, bad, if *bad == "loop" { 2 } else { EACH });
            send(&site, good, 5 * EACH);
        }
        site.until_empty();
        let status = site.status("orders");
        let bad = (BAD.len() - 1) * EACH + 2;
        assert_eq!(
            (status.handled as usize, status.dead_letters as usize),
            (BAD.len() * 5 * EACH, bad),
            "{worker}"
        );
        assert_eq!(status.left(), 0, "{worker}");
        let letters = site.letters("orders");
        let of = |kind: &str| letters.iter().filter(|letter| letter["failure"] == kind).count();
        assert_eq!(
            (of("reject"), of("retry"), of("timeout"), of("memory")),
            (EACH, EACH, 2, EACH),
            "{worker}"
        );
        assert_eq!(of("trap"), 3 * EACH, "{worker}");
    }
}

/// The worker in C is replaced by the one in Go, and loses nothing.
#[test]
fn a_worker_is_replaced_while_it_works() {
    const SENT: usize = 4_000;
    let site = site("chaos-c");
    let worker = site.worker().ready();
    send(&site, "print", SENT / 2);
    let file = site.path().join("handler.wasm");
    std::fs::copy(program("chaos-go"), site.path().join("new.wasm")).expect("the program is copied");
    std::fs::rename(site.path().join("new.wasm"), file).expect("it is put in place");
    send(&site, "print", SENT / 2);
    worker.log.wait("it is replaced", |line: &Line| line.says("a new version takes all messages"));
    send(&site, "print", 1);
    pelton_tests::wait::until("all are handled", || (site.status("orders").left() == 0).then_some(()));
    worker.stop();
    let status = site.status("orders");
    assert_eq!((status.handled as usize, status.dead_letters, status.retries), (SENT + 1, 0, 0));
}

/// A program that ends before it asks for a message is refused, and the version before it goes on.
#[test]
fn a_worker_that_does_not_start_changes_nothing() {
    let site = site("chaos-c");
    let worker = site.worker().ready();
    let marked = site.path().join("handler.wasm");
    let text = "(module (memory (export \"memory\") 1) (func (export \"pelton_worker\")) (func (export \
        \"_start\")))";
    std::fs::write(&marked, wat::parse_str(text).expect("it is right")).expect("it is written");
    worker.log.wait("it is refused", |line: &Line| line.says("before it asked for a message"));
    send(&site, "print", 1);
    pelton_tests::wait::until("it is handled", || (site.status("orders").handled == 1).then_some(()));
    worker.stop();
}
