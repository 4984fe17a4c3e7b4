//! Only what one of the keys has signed runs: at the start, by a deploy, from a watched file.

use crate::{COMPONENT, component, refused, said, site, taken_by, version};
use pelton_tests::components::orders_version;
use pelton_tests::site::Site;
use std::os::unix::fs::PermissionsExt;

/// A site that asks for signatures by `ci`, with version 0 signed; there is another key, too.
fn signing() -> Site {
    let site = site("", &[("handler", "require_signature = [\"ci.pub\"]")]);
    site.done(&["keygen", "ci"]);
    site.done(&["keygen", "other"]);
    let unsigned = site.run(&["check"]);
    assert_eq!(unsigned.status.code(), Some(78), "{}", said(&unsigned));
    assert!(said(&unsigned).contains("is not signed"), "{}", said(&unsigned));
    site.done(&["sign", COMPONENT, "--key", "ci.key"]);
    site.done(&["check"]);
    site
}

#[test]
fn what_is_not_signed_by_a_known_key_is_not_deployed() {
    let site = signing();
    let mode = std::fs::metadata(site.path().join("ci.key")).expect("it was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let worker = site.worker().ready();
    let file = version(&site, 1);
    assert!(refused(&site, &["deploy", "orders", &file]).contains("is not signed"));
    site.done(&["sign", &file, "--key", "other.key"]);
    assert!(refused(&site, &["deploy", "orders", &file]).contains("none of the keys"));
    // That of another file.
    let sig = site.path().join(format!("{file}.sig"));
    std::fs::copy(site.path().join("orders.wasm.sig"), &sig).expect("it is copied");
    assert!(refused(&site, &["deploy", "orders", &file]).contains("none of the keys"));
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    site.done(&["sign", &file, "--key", "ci.key"]);
    site.done(&["deploy", "orders", &file]);
    assert_eq!(taken_by(&site, &worker.log, 2), 1);
    assert_eq!(worker.kill().signal, Some(9));
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 3), 1);
    site.done(&["rollback", "orders"]);
    assert_eq!(taken_by(&site, &worker.log, 4), 0);
    worker.stop();
}

/// What nobody has signed is not even looked into.
#[test]
fn check_looks_at_the_signature_before_anything_else() {
    let site = signing();
    std::fs::write(component(&site), "no component at all").expect("it is written");
    for words in [&["check"][..], &["run", "--until-empty"]] {
        let output = site.run(words);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("none of the keys") && !said.contains("WebAssembly"), "{said}");
    }
}

#[test]
fn a_watched_file_waits_for_its_signature() {
    let site = signing();
    let worker = site.worker().ready();
    std::fs::write(component(&site), orders_version(2)).expect("it is written");
    worker.log.wait("it is refused", |line| line.says("none of the keys"));
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    site.done(&["sign", COMPONENT, "--key", "ci.key"]);
    worker.log.wait("it is taken", |line| line.says("a new version takes all messages"));
    assert_eq!(taken_by(&site, &worker.log, 2), 2);
    worker.stop();
}
