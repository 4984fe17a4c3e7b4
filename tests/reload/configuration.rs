//! The configuration read again: pipelines come, go and change, and the others do not notice.

use crate::{component, refused, site, taken_by, version};
use pelton_tests::components::{orders_version, plugin};
use pelton_tests::log::Line;
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use rustix::process::Signal;

fn edit(site: &Site, change: impl FnOnce(String) -> String) {
    let path = site.path().join("pelton.toml");
    let text = std::fs::read_to_string(&path).expect("it is there");
    std::fs::write(path, change(text)).expect("it is written");
}

fn add(name: &str, more: &str) -> impl FnOnce(String) -> String {
    let section =
        format!("\n[pipelines.{name}]\n{more}\n[pipelines.{name}.handler]\ncomponent = \"orders.wasm\"\n");
    move |text| text + &section
}

fn starts_of(name: &'static str) -> impl Fn(&Line) -> bool {
    move |line| line.says("started") && line.field("pipeline") == name
}

#[test]
fn pipelines_come_change_and_go_beside_one_that_is_not_touched() {
    let site = site("", &[]);
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    assert!(site.done(&["reload"]).contains("nothing has changed"));
    edit(&site, add("more", ""));
    assert!(site.done(&["reload"]).contains("more has begun"));
    site.send_lines("more", &[], &[crate::order(2)]);
    worker
        .log
        .wait("the new one handles", |l| crate::taken(l) == Some((2, 0)) && l.field("pipeline") == "more");
    edit(&site, |text| text.replace("[pipelines.more]\n", "[pipelines.more]\nmax_in_flight = 7\n"));
    assert!(site.done(&["reload", "more"]).contains("more has begun anew"));
    // It reads the same queue again.
    let keys = ["--key", "lane"];
    site.send_lines("more", &keys, &[crate::order(3), crate::order(4)]);
    worker.log.wait("it handles again", |l| crate::taken(l) == Some((4, 0)));
    edit(&site, |text| text.split("\n[pipelines.more]").next().unwrap_or_default().to_owned());
    // By signal.
    worker.signal(Signal::HUP);
    worker.log.wait("it has ended", |line| line.says("more has ended"));
    assert_eq!(taken_by(&site, &worker.log, 5), 0);
    let starts = worker.log.lines().iter().filter(|line| starts_of("orders")(line)).count();
    assert_eq!(starts, 1, "the one that has not changed was left alone");
    worker.stop();
    let status = site.status("orders");
    assert_eq!((status.handled, status.left(), status.retries), (2, 0, 0), "{status:?}");
}

#[test]
fn what_runs_does_not_end_for_what_cannot_be_reached() {
    let site = site("", &[]);
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    // Nobody listens there any more.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let source = format!(
        "\n[pipelines.orders.source]\ntype = \"redis-stream\"\nurl = \"redis://{}\"\nstream = \"orders\"\n\
         group = \"g\"\n",
        free.expect("there is a port")
    );
    edit(&site, |text| text + &source);
    let said = refused(&site, &["reload"]);
    assert!(said.contains("pipelines.orders.source: "), "{said}");
    assert!(said.contains("nothing was reloaded"), "{said}");
    edit(&site, |text| text.replace(&source, ""));
    assert_eq!(taken_by(&site, &worker.log, 2), 0, "the one before it goes on");
    let starts = worker.log.lines().iter().filter(|line| starts_of("orders")(line)).count();
    assert_eq!(starts, 1, "it was never ended");
    worker.stop();
}

#[test]
fn a_configuration_with_a_problem_changes_nothing() {
    let site = site("", &[]);
    let worker = site.worker().ready();
    let base = std::fs::read_to_string(site.path().join("pelton.toml")).expect("it is there");
    let with = |head: &str, more: &str| edit(&site, |_| format!("{head}\n{base}\n{more}\n"));
    with("", "[pipelines.orders.retry]\nmax_attemts = 7");
    let said = crate::said(&site.run(&["reload"]));
    assert!(said.contains("did you mean `max_attempts`"), "{said}");
    std::fs::write(site.path().join("bad.wasm"), "no").expect("it is written");
    with("", "[pipelines.more.handler]\ncomponent = \"bad.wasm\"");
    let said = refused(&site, &["reload"]);
    assert!(
        said.contains("pipelines.more.handler.component") && said.contains("nothing was reloaded"),
        "{said}"
    );
    with("shutdown_timeout = \"9s\"", "");
    let said = refused(&site, &["reload"]);
    assert!(said.contains("shutdown_timeout changed, which takes a restart"), "{said}");
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    worker.stop();
}

#[test]
fn a_handler_whose_limits_or_file_changed_is_swapped() {
    let site = site("", &[("handler", "reload = \"manual\"")]);
    let worker = site.worker().ready();
    edit(&site, |text| text.replace("reload = \"manual\"", "reload = \"manual\"\ntimeout = \"5s\""));
    assert!(site.done(&["reload"]).contains("orders has its new handler"));
    let other = version(&site, 1);
    edit(&site, |text| text.replace("orders.wasm", &other));
    site.done(&["reload", "orders"]);
    assert_eq!(taken_by(&site, &worker.log, 1), 1);
    // Without a watch the file counts when it is asked for.
    std::fs::write(site.path().join(&other), orders_version(2)).expect("it is written");
    assert_eq!(taken_by(&site, &worker.log, 2), 1);
    site.done(&["reload", "orders"]);
    assert_eq!(taken_by(&site, &worker.log, 3), 2);
    assert!(component(&site).exists());
    worker.stop();
}

/// The source is opened only when its pipeline begins: whatever stands against that must be known before
/// the old one ends.
#[test]
fn what_cannot_be_opened_ends_nothing() {
    let site = site("", &[]);
    let worker = site.worker().ready();
    edit(&site, add("more", ""));
    site.done(&["reload"]);
    let base = std::fs::read_to_string(site.path().join("pelton.toml")).expect("it is there");
    let pipe = site.path().join("pipe.pem");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("a pipe can be made");
    let reads = |name: &str, setting: &str| {
        format!(
            "source = {{ type = \"kafka\", bootstrap_servers = \"127.0.0.1:1\", topics = [\"{name}\"], \
             group_id = \"{name}\", librdkafka = {{ \"security.protocol\" = \"ssl\", {setting} }} }}"
        )
    };
    let orders = reads("orders", "\"ssl.ca.location\" = \"/nowhere/ca.pem\"");
    let more = reads("more", &format!("\"ssl.key.location\" = {pipe:?}"));
    edit(&site, |_| {
        base.replace("[pipelines.orders]\n", &format!("[pipelines.orders]\n{orders}\n"))
            .replace("[pipelines.more]\n", &format!("[pipelines.more]\n{more}\n"))
    });
    let said = refused(&site, &["reload"]);
    for wanted in [
        "pipelines.orders.source: `ssl.ca.location`",
        "/nowhere/ca.pem",
        "pipe.pem is a pipe",
        "nothing was reloaded",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    edit(&site, |_| base.clone());
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    site.send_lines("more", &[], &[crate::order(2)]);
    worker.log.wait("the other goes on too", |l| crate::taken(l) == Some((2, 0)));
    // What can be opened is taken as ever.
    edit(&site, |_| base.replace("[pipelines.orders]\n", "[pipelines.orders]\nmax_in_flight = 7\n"));
    assert!(site.done(&["reload"]).contains("orders has begun anew"));
    assert_eq!(taken_by(&site, &worker.log, 3), 0);
    worker.stop();
}

/// It was seen to open, and is not there any more when the old one has ended.
#[test]
fn what_cannot_be_opened_in_the_end_goes_on_as_it_was() {
    let site = Site::with("shutdown_timeout = \"4s\"", &[Pipeline::new("orders", plugin("chaos"))]);
    let server = Redis::start();
    server.add("orders", &[vec![("body", b"{}".to_vec())]]);
    site.done(&["send", "orders", "--body", r#"{"do": "sleep"}"#]);
    let worker = site.worker().ready();
    until("it runs", || (site.status("orders").in_flight == 1).then_some(()));
    let source = format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"orders\", group = \"orders\" }}",
        server.url()
    );
    let base = std::fs::read_to_string(site.path().join("pelton.toml")).expect("it is there");
    edit(&site, |_| base.replace("[pipelines.orders]\n", &format!("[pipelines.orders]\n{source}\n")));
    let mut command = site.command(&["reload"]);
    let reloading = command.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    worker.log.wait("all is loaded, and the old one ends", |line| line.says("drains for a reload"));
    // A worker of a stream keeps its name there.
    std::fs::create_dir(site.data().join("worker-name")).expect("it can be made");
    let reloaded = reloading.wait_with_output().expect("it ends");
    let said = crate::said(&reloaded);
    assert_eq!(reloaded.status.code(), Some(1), "{said}");
    assert!(said.contains("worker-name") && said.contains("it goes on as it was before"), "{said}");
    // It reads its old queue, where what was handed back still is.
    edit(&site, |_| base.clone());
    site.done(&["send", "orders", "--body", r#"{"do": "ok"}"#]);
    until("the other is handled", || {
        let status = site.status("orders");
        (status.in_flight == 1 && status.handled == 1).then_some(())
    });
    assert_eq!(worker.kill().signal, Some(9));
}
