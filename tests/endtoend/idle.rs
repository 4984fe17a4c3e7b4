//! What an idle worker costs.

use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site};
use std::time::{Duration, Instant};

/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(4);

/// Processor time of all threads of a process so far.
fn processor_time(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let of_one = |task: std::fs::DirEntry| {
        // The first number: nanoseconds on a processor. A thread may end between the two looks.
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.flatten().map(of_one).sum())
}

#[test]
fn an_idle_worker_with_ten_pipelines_takes_less_than_a_hundredth_of_a_core() {
    let pipelines: Vec<_> = (0..10).map(|n| Pipeline::new(&format!("p{n}"), plugin("orders"))).collect();
    let site = Site::new(&pipelines);
    site.until_empty();
    let worker = site.worker();
    worker
        .log
        .wait("the last pipeline starts", |line| line.says("started") && line.field("pipeline") == "p9");
    // One message, so that all has been set up that is set up once.
    site.done(&["send", "p9", "--body", "{\"id\": 1, \"customer\": \"c\", \"amount_cents\": 1}"]);
    worker.log.wait("it is handled", |line| line.says(" taken"));
    let (begun, before) = (Instant::now(), processor_time(worker.pid));
    assert!(worker.ends_within(WATCHED).is_none(), "it ended by itself");
    let (took, watched) = (processor_time(worker.pid) - before, begun.elapsed());
    assert!(took.as_secs_f64() < watched.as_secs_f64() / 100.0, "{took:?} in {watched:?}");
    worker.stop();
}
