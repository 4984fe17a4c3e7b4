//! New versions that are no good: the old one goes on, and why is said, once.

use crate::{component, file, in_use, refused, site, taken_by};
use pelton_tests::components::{bomb, made_up, orders_version};

/// Name, bytes, words of the refusal.
fn bad() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = orders_version(1);
    vec![
        ("trap-at-start", made_up("unreachable", "", false), "cannot be started"),
        ("spin-at-start", made_up("(loop $l (br $l))", "", false), "cannot be started"),
        ("no-handler", wat::parse_str("(component)").expect("it is well formed"), "exports nothing"),
        ("greedy", made_up("", "(drop (call $read))", true), "test:extra/secrets"),
        ("truncated", good[..good.len() / 2].to_vec(), "is not a valid component"),
        ("text", b"not a component".to_vec(), "is not WebAssembly"),
        ("empty", Vec::new(), "is empty"),
        ("core-module", b"\0asm\x01\0\0\0".to_vec(), "core WebAssembly module"),
    ]
}

#[test]
fn what_cannot_be_a_handler_is_refused_and_the_old_one_goes_on() {
    let site = site("", &[("handler", "reload = \"manual\"")]);
    let worker = site.worker().ready();
    let before = in_use(&site);
    for (place, (name, bytes, words)) in (1u64..).zip(bad()) {
        file(&site, name, &bytes);
        let said = refused(&site, &["deploy", "orders", name]);
        assert!(said.contains(words) && said.contains(name), "{name}: {said}");
        assert_eq!(in_use(&site), before, "{name}");
        assert_eq!(taken_by(&site, &worker.log, place), 0, "{name}");
    }
    let folder = refused(&site, &["deploy", "orders", "data"]);
    assert!(folder.contains("is a folder"), "{folder}");
    let missing = refused(&site, &["deploy", "orders", "nowhere.wasm"]);
    assert!(missing.contains("does not exist"), "{missing}");
    worker.stop();
}

#[test]
fn a_bomb_ends_at_the_limit_of_its_time() {
    // What runs was compiled before: only the bomb has the short limit.
    let site = site("compile_timeout = \"100ms\"", &[("handler", "reload = \"manual\"")]);
    // `check` keeps what it has compiled where there is a data directory.
    std::fs::create_dir_all(site.data()).expect("a folder can be made");
    let long = std::fs::read_to_string(site.path().join("pelton.toml")).expect("it is there");
    let patient = file(&site, "patient.toml", long.replace("\"100ms\"", "\"2m\"").as_bytes());
    site.done(&["check", "--config", patient.to_str().expect("a plain name")]);
    site.until_empty();
    let worker = site.worker().ready();
    file(&site, "bomb.wasm", &bomb());
    let said = refused(&site, &["deploy", "orders", "bomb.wasm"]);
    assert!(said.contains("cannot be compiled"), "{said}");
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    worker.stop();
}

#[test]
fn a_bad_file_that_is_watched_is_told_of_once() {
    let site = site("", &[]);
    let worker = site.worker().ready();
    let warned = |words: &'static str| {
        move |line: &pelton_tests::log::Line| line.says(words) && line.says("the running version goes on")
    };
    std::fs::write(component(&site), "not a component").expect("it is written");
    worker.log.wait("it is refused", warned("is not WebAssembly"));
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    std::fs::remove_file(component(&site)).expect("it is there");
    std::os::unix::fs::symlink("/etc/passwd", component(&site)).expect("a link can be made");
    worker.log.wait("a link is refused", warned("is a link"));
    std::fs::remove_file(component(&site)).expect("it is there");
    std::fs::create_dir(component(&site)).expect("a folder can be made");
    worker.log.wait("a folder is refused", warned("is a folder"));
    std::fs::remove_dir(component(&site)).expect("it is there");
    std::fs::write(component(&site), orders_version(3)).expect("it is written");
    worker.log.wait("a good one is taken", |line| line.says("a new version takes all messages"));
    assert_eq!(taken_by(&site, &worker.log, 2), 3);
    let once = |words: &'static str| worker.log.lines().iter().filter(|line| warned(words)(line)).count();
    let counts = ["is not WebAssembly", "is a link", "is a folder"].map(once);
    assert_eq!(counts, [1, 1, 1], "said once, not at every look");
    worker.stop();
}

#[test]
fn a_pin_refuses_another_file() {
    let site = site("", &[]);
    let digest = crate::digest(&site, &component(&site));
    let config = site.path().join("pelton.toml");
    let text = std::fs::read_to_string(&config).expect("it is there");
    let pinned = text.replace(
        "component = \"orders.wasm\"",
        &format!("component = \"orders.wasm\"\ndigest = \"{digest}\""),
    );
    std::fs::write(&config, pinned).expect("it is written");
    let worker = site.worker().ready();
    let other = crate::version(&site, 4);
    let said = refused(&site, &["deploy", "orders", &other]);
    assert!(said.contains("pins") && said.contains("change `digest`"), "{said}");
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    worker.stop();
}
