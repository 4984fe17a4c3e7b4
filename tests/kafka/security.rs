//! TLS and logins, by the table of raw settings: for every client that a pipeline has.

use crate::{order, taken};
use pelton_tests::components::plugin;
use pelton_tests::kafka::Record;
use pelton_tests::kafka_secure::{PASSWORD, SecureBroker, USER};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;

fn site(broker: &SecureBroker, topic: &str, mechanism: &str, password: &str) -> Site {
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"{topic}\"], group_id = \
         \"{topic}\", \
         librdkafka = {{ \"security.protocol\" = \"SASL_SSL\", \"sasl.mechanism\" = \"{mechanism}\", \
         \"sasl.username\" = \"{USER}\", \"sasl.password\" = \"{password}\", \"ssl.ca.location\" = {:?} }} \
         }}",
        broker.address, broker.certificate
    );
    Site::new(&[Pipeline::new("orders", plugin("orders")).with("", &source)])
}

#[test]
fn a_worker_and_every_command_log_in_over_tls() {
    let broker = SecureBroker::start();
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let topic = format!("orders-{}", mechanism.to_lowercase());
        broker.broker.topic(&topic, 1);
        let bad = Record { value: Some(b"no order".to_vec()), ..Record::default() };
        broker.broker.produce(&topic, &[order(1, "k", 0), bad]);
        let site = site(&broker, &topic, mechanism, PASSWORD);
        assert!(site.done(&["check", "--connect"]).contains("is good"));
        site.done(&["send", "orders", "--key", "k", "--body", &order(2, "k", 0).text()]);
        let (worker, _) = site.until_empty();
        assert_eq!(taken(&worker.log), [1, 2]);
        assert_eq!(site.status("orders").queued, 0);
        assert_eq!(site.letters("orders").len(), 1);
        site.done(&["dlq", "replay", "orders", "--all"]);
        assert_eq!(site.status("orders").queued, 1);
        site.done(&["replay", "orders", "--from-beginning"]);
    }
}

#[test]
fn a_login_that_is_refused_is_said_and_tried_again() {
    let broker = SecureBroker::start();
    broker.broker.topic("orders", 1);
    broker.broker.produce("orders", &[order(1, "k", 0)]);
    let site = site(&broker, "orders", "SCRAM-SHA-512", "wrong");
    let checked = site.run(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(78), "{said}");
    assert!(
        said.contains("pipelines.orders.source") && said.contains("Check the user name and password"),
        "{said}"
    );
    assert!(!said.contains("wrong"), "a password is shown: {said}");
    let worker = site.worker();
    worker.log.wait("it says so", |line| line.says("Check the user name and password"));
    until("status says so", || {
        let said = site.done(&["status"]);
        (said.contains("orders is not ready") && said.contains("Check the user name")).then_some(())
    });
    worker.stop();
}
