//! Requests of batch handlers, in several languages: one that names its message has the idempotency key that
//! the message has alone.

use crate::project::{Project, Said};
use pelton_tests::gateway::Gateway;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Each is answered at its second request only. The last of them name no message.
const ORDERS: u64 = 24;
const NAMED: u64 = 20;

#[test]
fn typescript() {
    keys(&Project::new("typescript", true), "src/handler.ts", include_str!("batches/handler.ts"));
}

#[test]
fn rust() {
    keys(&Project::new("rust", true), "src/lib.rs", include_str!("batches/lib.rs"));
}

#[test]
fn c() {
    keys(&Project::new("c", true), "handler.c", include_str!("batches/handler.c"));
}

#[test]
fn go() {
    keys(&Project::new("go", true), "main.go", include_str!("batches/main.go"));
}

fn keys(project: &Project, file: &str, source: &str) {
    let gateway = Gateway::plain();
    let write = |name: &str, text: &str| std::fs::write(project.dir.join(name), text).expect("written");
    write(file, source);
    let manifest = std::fs::read_to_string(project.dir.join("handler.toml")).expect("it is there");
    write("handler.toml", &manifest.replace("\n# uses = ", "\nuses = [\"http\"] # "));
    write("pelton.toml", &configuration(project, &gateway.origin()));
    project.done(&["build"]);
    let order = |id: u64| {
        let url = format!("{}/flaky/2/{id}", gateway.origin());
        json!({"id": id, "named": id <= NAMED, "url": url}).to_string() + "\n"
    };
    write("orders", &(1..=ORDERS).map(order).collect::<String>());
    project.done(&["send", &project.name, "--lines", "orders"]);
    let Said { code, out, err } = project.pelton(&["run", "--until-empty"]);
    assert_eq!(code, 0, "{out}\n{err}");
    let counts: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(counts["pipelines"][&project.name]["handled"], ORDERS, "{counts}\n{err}");
    assert!(
        (2..=ORDERS).any(|many| err.contains(&format!("a call of {many}"))),
        "there was no batch: {err}"
    );
    let by_order = requested(&gateway);
    let mut all = BTreeSet::new();
    for (path, keys) in &by_order {
        let id: u64 = path.rsplit('/').next().and_then(|id| id.parse().ok()).expect("a number");
        if id > NAMED {
            // Among others it is nobody's. In a call of one message, as each may have been, it is that one's.
            continue;
        }
        let same = keys.iter().all(|key| key.is_some() && *key == keys[0]);
        assert!(keys.len() >= 2 && same, "{path} has another key the next time: {keys:?}");
        all.extend(keys[0].clone());
    }
    assert_eq!((by_order.len() as u64, all.len() as u64), (ORDERS, NAMED), "no two messages have one key");
}

/// The keys of the requests to each path, in their order.
fn requested(gateway: &Gateway) -> BTreeMap<String, Vec<Option<String>>> {
    let mut all: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for seen in gateway.seen() {
        all.entry(seen.path.clone()).or_default().push(seen.header("idempotency-key").map(str::to_owned));
    }
    all
}

fn configuration(project: &Project, gateway: &str) -> String {
    let (name, component) = (&project.name, project.component());
    format!(
        "data_dir = \"data\"\n[pipelines.{name}.handler]\ncomponent = \"{component}\"\nconcurrency = 1\n\
         [pipelines.{name}.retry]\nmax_attempts = 20\ninitial_interval = \"10ms\"\nmax_interval = \"10ms\"\n\
         [[pipelines.{name}.grants.http]]\nto = \"{gateway}\"\nprivate = [\"127.0.0.1/32\"]\n"
    )
}
