//! What a worker says of its queue, its leases and its requests.

use crate::{Shop, plain};
use pelton_tests::components::plugin;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Sent, Sqs};
use pelton_tests::wait::until;
use serde_json::Value;

#[test]
fn a_worker_tells_what_it_holds_and_what_it_has_asked() {
    let sqs = Sqs::start();
    let (url, letters) = (sqs.queue("orders", &[]), sqs.queue("letters", &[]));
    let source = format!(
        "source = {{ type = \"sqs\", queue_url = \"{url}\", wait_time = \"1s\", visibility_timeout = \
         \"2s\" }}"
    );
    let shop = Shop::new(&[Pipeline::new("orders", plugin("chaos"))
        .with("", &source)
        .with("handler", "timeout = \"5m\"\nconcurrency = 2")
        .with("dead_letter", &format!("queue_url = \"{letters}\""))]);
    assert!(shop.status()["counted"].is_null(), "no worker runs");
    sqs.send(&url, &[Sent { body: "{\"do\": \"sleep\"}".into(), ..Sent::default() }]);
    let later = Sent { delay_s: 600, ..plain(1, 0) };
    sqs.send(&url, &[Sent { body: "nothing it knows".into(), ..plain(0, 0) }, later]);
    let worker = shop.worker();
    let status = until("one lease is extended, one is a letter", || {
        let status = shop.status();
        let count = |name: &str| status["counted"][name].as_u64().unwrap_or(0);
        let all = count("in_flight") == 1 && count("leases_extended") > 0 && count("send_requests") > 0;
        all.then(|| status.clone())
    });
    let count = |name: &str| status["counted"][name].as_u64().expect("a number");
    assert!(count("receive_requests") > 0 && count("delete_requests") > 0, "{status}");
    assert!(count("visibility_requests") > 0 && count("attributes_requests") == 0, "{status}");
    let queue = &status["broker"]["queues"][0];
    assert_eq!((&queue["delayed"], &queue["approximate"]), (&1.into(), &Value::Bool(true)));
    let said = shop.done(&["status"]);
    for words in ["this worker, since it began: ", " receive requests", " leases lost", "about 1"] {
        assert!(said.contains(words), "{words} is missing:\n{said}");
    }
    drop(worker);
}
