//! Which messages share an instance, seen through the engine.

use pelton_tests::components::only_the_first;
use pelton_tests::site::{Pipeline, Site, Status};

/// How many of 200 messages found their instance fresh.
fn fresh(isolation: &str) -> u64 {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let handler = format!("isolation = \"{isolation}\"\nconcurrency = 2\nmax_batch = 10");
    let site =
        Site::new(&[Pipeline::new("first", only_the_first(folder.path())).with("handler", &handler)]);
    site.send_lines("first", &[], &vec!["x".to_owned(); 200]);
    let (_, ended) = site.until_empty();
    let status = Status::of(&ended.out, "first");
    assert_eq!(status.handled + status.dead_letters, 200, "{status:?}");
    status.handled
}

#[test]
fn instances_are_shared_by_all_by_a_chunk_or_by_nobody() {
    assert_eq!(fresh("message"), 200, "an instance for each message");
    let chunks = fresh("batch");
    assert!((20..200).contains(&chunks), "an instance for each chunk of at most ten: {chunks}");
    let warm = fresh("reuse");
    assert!((1..=4).contains(&warm), "instances stay warm: {warm}");
}
