//! What a pipeline grants: what is missing is named, what is in use stays, and a secret is shown nowhere.

use pelton_tests::components::{WithImport, with_import};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

/// A site with a handler of this kind and lines of its grants.
fn site(kind: WithImport, head: &str, grants: &str) -> Site {
    let pipeline = Pipeline::new("p", "handler.wasm".into()).with("grants", grants);
    let site = Site::with(head, &[pipeline.with("retry", "initial_interval = \"20ms\"")]);
    std::fs::write(site.path().join("handler.wasm"), with_import(kind)).expect("it is written");
    site
}

fn change(site: &Site, from: &str, to: &str) {
    let file = site.path().join("pelton.toml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    assert!(text.contains(from), "{text}");
    std::fs::write(&file, text.replacen(from, to, 1)).expect("it is written");
}

/// All that it said.
fn all(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

fn refused(site: &Site, words: &[&str], code: i32) -> String {
    let output = site.run(words);
    let said = all(&output);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    said
}

fn handles(site: &Site, count: u64) {
    site.done(&["send", "p", "--body", "x"]);
    until("it is handled", || (site.status("p").handled == count).then_some(()));
}

fn secret(file: &Path, text: &str, mode: u32) {
    std::fs::write(file, text).expect("it is written");
    std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).expect("it is ours");
}

const CONFIG: &str = "config = { key = \"b\" }";

#[test]
fn what_is_not_granted_is_named_with_the_lines_to_add() {
    let site = site(WithImport::Config, "", "");
    for command in ["check", "run"] {
        let said = refused(&site, &[command], 78);
        assert!(
            said.contains("imports `wasi:config/store@0.2.0-rc.1`, which its pipeline does not grant"),
            "{said}"
        );
        assert!(said.lines().any(|line| line.trim() == "[pipelines.p.grants]"), "{said}");
    }
    let inspected = site.done(&["inspect", "handler.wasm"]);
    assert!(inspected.contains("wasi:config/store@0.2.0-rc.1  (takes a grant)"), "{inspected}");
    let against = site.done(&["inspect", "handler.wasm", "--pipeline", "p"]);
    assert!(against.contains("configuration, which p does not grant; add"), "{against}");
    let said = refused(&site, &["deploy", "p", "handler.wasm"], 1);
    assert!(said.contains("not granted: configuration"), "{said}");
    change(&site, "[pipelines.p.grants]", &format!("[pipelines.p.grants]\n{CONFIG}"));
    site.done(&["check"]);
    let against = site.done(&["inspect", "handler.wasm", "--pipeline", "p"]);
    assert!(against.contains("configuration, which p grants"), "{against}");
    let worker = site.worker().ready();
    handles(&site, 1);
    worker.stop();
    // Another version wants something else.
    std::fs::write(site.path().join("handler.wasm"), with_import(WithImport::Outbox))
        .expect("it is written");
    let against = site.done(&["inspect", "handler.wasm", "--pipeline", "p"]);
    let differs = |what: &str| against.contains(&format!("unlike the version in use, it wants {what}"));
    assert!(differs("too: the outbox") && differs("no more: configuration"), "{against}");
}

#[test]
fn what_the_running_version_uses_is_not_taken_away() {
    let site = site(WithImport::Config, "", CONFIG);
    let worker = site.worker().ready();
    handles(&site, 1);
    change(&site, CONFIG, "");
    let said = refused(&site, &["reload"], 1);
    assert!(said.contains("which its pipeline does not grant"), "{said}");
    assert!(said.contains("its running version goes on"), "{said}");
    handles(&site, 2);
    // And where it would begin anew.
    change(&site, "[pipelines.p.retry]", "[pipelines.p.retry]\nmax_attempts = 3");
    let said = refused(&site, &["reload"], 1);
    assert!(said.contains("grants no configuration, which the running version uses"), "{said}");
    assert!(said.contains("nothing was reloaded"), "{said}");
    handles(&site, 3);
    worker.stop();
}

#[test]
fn a_secret_is_read_again_by_a_reload_and_is_in_no_output() {
    const OLD: &str = "a-s3cr3t-of-before";
    const NEW: &str = "b-s3cr3t-of-after";
    let site = site(WithImport::Config, "", "config = { key = { file = \"key\" } }");
    let file = site.path().join("key");
    secret(&file, &format!("{OLD}\n"), 0o644);
    let mut said = vec![all(&site.run(&["check"]))];
    assert!(said[0].contains("key is open to every user of this machine"), "{}", said[0]);
    secret(&file, &format!("{OLD}\n"), 0o600);
    let worker = site.worker().ready();
    site.done(&["send", "p", "--body", "x"]);
    until("it is rejected", || (site.status("p").dead_letters == 1).then_some(()));
    // What is to come is not here yet: the old value holds.
    std::fs::remove_file(&file).expect("it is there");
    let gone = refused(&site, &["reload"], 1);
    assert!(
        gone.contains("pipelines.p.grants.config.key: comes from ./key, which does not exist"),
        "{gone}"
    );
    secret(&file, NEW, 0o600);
    let reloaded = site.done(&["reload"]);
    assert!(reloaded.contains("p has its new handler"), "{reloaded}");
    handles(&site, 1);
    assert!(!site.done(&["reload"]).contains("new handler"), "nothing has changed since");
    for words in [
        &["check"][..],
        &["status"],
        &["versions", "p"],
        &["inspect", "handler.wasm", "--pipeline", "p"],
        &["dlq", "list", "p", "--json"],
    ] {
        said.push(all(&site.run(words)));
    }
    worker.stop();
    said.extend([gone, reloaded]);
    said.extend(worker.log.lines().iter().map(|line| format!("{line:?}")));
    for text in said {
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}

/// A broker that is not there.
const AWAY: &str =
    "outbox = { audit = { type = \"kafka\", bootstrap_servers = \"127.0.0.1:1\", topic = \"audit\" } }";

#[test]
fn a_target_that_messages_wait_for_cannot_be_dropped() {
    let site = site(WithImport::Outbox, "shutdown_timeout = \"1s\"\n", AWAY);
    let worker = site.worker().ready();
    handles(&site, 1);
    change(&site, AWAY, "outbox = { other = { type = \"embedded\", queue = \"p\" } }");
    let path = "pipelines.p.grants.outbox.audit: is not there, or a queue, and 1 message waits";
    for (command, code) in [("reload", 1), ("check", 78)] {
        let said = refused(&site, &[command], code);
        assert!(said.contains(path) && said.contains("pelton outbox purge p --target audit"), "{said}");
    }
    worker.stop();
    let said = refused(&site, &["run"], 78);
    assert!(said.contains(path), "{said}");
    // Nor can the whole pipeline.
    let file = site.path().join("pelton.toml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    std::fs::write(&file, text.replace("[pipelines.p", "[pipelines.q")).expect("it is written");
    let said = refused(&site, &["check"], 78);
    assert!(said.contains("grants.outbox.audit: is not there, nor its pipeline, and 1 message"), "{said}");
    std::fs::write(&file, text).expect("it is written");
    site.done(&["outbox", "purge", "p", "--target", "audit", "--yes"]);
    site.done(&["check"]);
}
