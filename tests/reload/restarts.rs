//! What is deployed stays deployed: over kills, half-written files and without the file it came from.

use crate::{component, in_use, site, taken_by, version};
use pelton_tests::components::orders_version;

#[test]
fn a_restart_goes_on_with_what_was_deployed_and_back_needs_no_file() {
    let site = site("", &[]);
    let worker = site.worker().ready();
    let first = in_use(&site);
    for number in [1, 2] {
        let file = version(&site, number);
        site.done(&["deploy", "orders", &file]);
        std::fs::remove_file(site.path().join(file)).expect("it was there");
    }
    assert_eq!(taken_by(&site, &worker.log, 1), 2);
    assert_eq!(worker.kill().signal, Some(9));
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 2), 2);
    let said = site.done(&["rollback", "orders"]);
    assert!(said.contains("again"), "{said}");
    assert_eq!(taken_by(&site, &worker.log, 3), 1);
    assert_eq!(worker.kill().signal, Some(9));
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 4), 1);
    // Back once more: not forth to what was left.
    site.done(&["rollback", "orders"]);
    assert_eq!(in_use(&site), first);
    let all = site.done(&["versions", "orders"]);
    assert!(all.contains("left") && all.contains("in use"), "{all}");
    let forth = site.done(&[
        "rollback",
        "orders",
        "--to",
        &crate::versions(&site)[1]["digest"].as_str().unwrap_or_default()[..15],
    ]);
    assert!(forth.contains("again"), "{forth}");
    assert_eq!(taken_by(&site, &worker.log, 5), 1);
    worker.stop();
}

#[test]
fn a_file_that_changed_meanwhile_counts_if_it_is_whole() {
    let site = site("", &[]);
    site.until_empty();
    let whole = orders_version(7);
    std::fs::write(component(&site), &whole[..whole.len() / 3]).expect("it is written");
    let worker = site.worker().ready();
    worker.log.wait("it is said", |line| line.says("the version that was in use goes on"));
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    worker.stop();
    std::fs::write(component(&site), &whole).expect("it is written");
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 2), 7);
    worker.stop();
    std::fs::remove_file(component(&site)).expect("it was there");
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 3), 7);
    worker.stop();
}

#[test]
fn without_a_worker_the_next_start_is_changed() {
    let site = site("", &[]);
    site.until_empty();
    let file = version(&site, 3);
    let said = site.done(&["deploy", "orders", &file]);
    assert!(said.contains("no worker runs") && said.contains("next start"), "{said}");
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 1), 3);
    worker.stop();
    let said = site.done(&["rollback", "orders"]);
    assert!(said.contains("no worker runs"), "{said}");
    assert!(site.done(&["versions", "orders"]).contains("no worker runs"));
    assert!(site.done(&["reload"]).contains("no worker runs"));
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 2), 0);
    worker.stop();
}

#[test]
fn a_version_that_is_damaged_on_disk_is_not_run() {
    let site = site("", &[]);
    let worker = site.worker().ready();
    let file = version(&site, 1);
    site.done(&["deploy", "orders", &file]);
    let kept = in_use(&site).replace("sha256:", "");
    worker.stop();
    let kept = site.data().join("versions").join(kept).with_extension("wasm");
    let mut bytes = std::fs::read(&kept).expect("it is kept");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&kept, bytes).expect("it is damaged");
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 1), 0, "the configured file");
    worker.stop();
}
