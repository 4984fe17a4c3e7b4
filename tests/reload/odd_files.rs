//! Files of every kind in the place of those that are read: none is waited for, none is read without end.

use crate::{COMPONENT, component, said, site, taken_by};
use pelton_tests::components::orders_version;
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use rustix::fs::{CWD, Mode, mkfifoat};
use std::fs::File;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Output, Stdio};

/// What is put in the place of a file, and what must be said of it.
const KINDS: [(&str, &str); 6] = [
    ("pipe", "is a pipe"),
    ("socket", "is a socket"),
    ("folder", "is a folder"),
    ("device", "is a device"),
    ("link to a pipe", "is a pipe"),
    ("huge", "has more than"),
];

/// Puts one there.
fn put(kind: &str, path: &Path) {
    remove(path);
    let pipe = |path: &Path| mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).expect("a pipe can be made");
    match kind {
        "pipe" => pipe(path),
        "socket" => drop(UnixListener::bind(path).expect("a socket can be made")),
        "folder" => std::fs::create_dir(path).expect("a folder can be made"),
        "device" => symlink("/dev/zero", path).expect("a link can be made"),
        "link to a pipe" => {
            let to = path.with_extension("pipe");
            remove(&to);
            pipe(&to);
            symlink(to, path).expect("a link can be made");
        }
        _ => File::create(path).and_then(|file| file.set_len(1 << 40)).expect("a file can be made"),
    }
}

fn remove(path: &Path) {
    drop(std::fs::remove_file(path).or_else(|_| std::fs::remove_dir(path)));
}

/// A command that must end by itself.
fn ends(site: &Site, words: &[&str]) -> Output {
    let mut command = site.command(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("DOCKER_CONFIG", site.path());
    let mut child = command.spawn().expect("pelton can be started");
    until(&format!("{words:?} ends"), || child.try_wait().expect("it is our child"));
    child.wait_with_output().expect("it is our child")
}

#[test]
fn a_worker_goes_on_whatever_lies_in_the_place_of_a_signature() {
    let site = site("", &[("handler", "require_signature = [\"ci.pub\"]")]);
    site.done(&["keygen", "ci"]);
    site.done(&["sign", COMPONENT, "--key", "ci.key"]);
    let worker = site.worker().ready();
    let signature = site.path().join("orders.wasm.sig");
    for (number, (kind, wanted)) in (1..).zip(KINDS) {
        put(kind, &signature);
        std::fs::write(component(&site), orders_version(number)).expect("it is written");
        worker.log.wait(kind, |line| line.says("a signature that cannot be used") && line.says(wanted));
        assert_eq!(taken_by(&site, &worker.log, u64::from(number)), 0, "{kind}");
        let output = ends(&site, &["check"]);
        assert_eq!(output.status.code(), Some(78), "{kind}: {}", said(&output));
    }
    remove(&signature);
    site.done(&["sign", COMPONENT, "--key", "ci.key"]);
    worker.log.wait("it is taken", |line| line.says("a new version takes all messages"));
    put("pipe", &signature);
    worker.stop();
}

#[test]
fn where_no_signature_is_asked_for_an_odd_one_is_said_and_left() {
    let site = site("", &[]);
    put("pipe", &site.path().join("orders.wasm.sig"));
    let worker = site.worker().ready();
    std::fs::write(component(&site), orders_version(1)).expect("it is written");
    worker.log.wait("it is said", |line| line.says("is a pipe, not a file: no signature is kept"));
    worker.log.wait("it is taken", |line| line.says("a new version takes all messages"));
    assert_eq!(taken_by(&site, &worker.log, 1), 1);
    for (kind, _) in KINDS {
        put(kind, &component(&site));
        worker.log.wait(kind, |line| line.says("the running version goes on"));
        assert_eq!(taken_by(&site, &worker.log, 2), 1);
    }
    worker.stop();
}

#[test]
fn no_command_waits_for_a_file_that_is_none() {
    let site = site("", &[("handler", "require_signature = [\"ci.pub\"]")]);
    site.done(&["keygen", "ci"]);
    site.done(&["sign", COMPONENT, "--key", "ci.key"]);
    site.done(&["keygen", "other"]);
    std::fs::write(site.path().join("handler.py"), "").expect("it is written");
    std::fs::create_dir_all(site.path().join("layout/blobs/sha256")).expect("a folder can be made");
    std::fs::write(site.path().join("layout/oci-layout"), "{}").expect("it is written");
    std::fs::create_dir_all(site.path().join("data/versions")).expect("a folder can be made");
    // The file, and a command that reads it.
    let roles: [(&str, &[&str]); 7] = [
        ("odd.toml", &["check", "--config", "odd.toml"]),
        ("ci.pub", &["check"]),
        ("other.key", &["sign", COMPONENT, "--key", "other.key"]),
        ("handler.toml", &["build"]),
        ("layout/index.json", &["inspect", "layout"]),
        ("config.json", &["inspect", "oci://127.0.0.1:1/team/orders:1"]),
        ("odd.wasm", &["sign", "odd.wasm", "--key", "ci.key"]),
    ];
    for (file, words) in roles {
        for (kind, wanted) in KINDS {
            let path = site.path().join(file);
            put(kind, &path);
            let output = ends(&site, words);
            let told = said(&output);
            assert!(!output.status.success(), "{file}, {kind}: {told}");
            // Links are not followed in a layout.
            let is_link = file.starts_with("layout") && told.contains("a link");
            let wanted = wanted.trim_start_matches("is ");
            // A component may be larger than what a test writes; what it is does not come to that.
            let is_large = kind == "huge" && told.contains("larger than");
            assert!(told.contains(wanted) || is_link || is_large, "{file}, {kind}: {told}");
            remove(&path);
        }
        if file == "ci.pub" {
            site.done(&["keygen", "ci2"]);
            std::fs::copy(site.path().join("ci2.pub"), site.path().join(file)).expect("it is copied");
        }
    }
    // What is ours in the data directory is made anew where it is no file.
    put("pipe", &site.path().join("data/versions/orders.json"));
    std::fs::remove_file(site.path().join("orders.wasm.sig")).expect("it is there");
    site.done(&["sign", COMPONENT, "--key", "ci2.key"]);
    let worker = site.worker().ready();
    worker.log.wait("it is said", |line| {
        line.says("what was deployed cannot be read") && line.field("why").contains("a pipe")
    });
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    worker.stop();
}
