//! Where the service is asked, and what for, by the address of a queue and what the environment says.

use crate::{Shop, plain, source, taken};
use pelton_tests::components::plugin;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs_stub::Operation::Receive;
use pelton_tests::sqs_stub::Stub;
use pelton_tests::wait::until;
use std::collections::BTreeSet;

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "tests"), ("AWS_SECRET_ACCESS_KEY", "tests")];

fn shop(queue_url: &str, more: &str) -> Shop {
    Shop::new(&[Pipeline::new("orders", plugin("orders")).with("", &source(queue_url, more))])
}

#[test]
fn the_region_of_a_queue_is_signed_for_or_that_of_the_profile() {
    let stub = Stub::start();
    let dir = tempfile::tempdir().expect("a folder can be made");
    let config = dir.path().join("config");
    std::fs::write(&config, "[default]\nregion = us-west-1\n[profile shop]\nregion = eu-north-1\n")
        .expect("it is written");
    let config = config.to_string_lossy().into_owned();
    let endpoint = format!(", endpoint_url = \"http://{}\"", stub.address);
    let own = stub.queue("orders");
    let vpce = "https://vpce-0a-1b.sqs.eu-west-3.vpce.amazonaws.com/000000000000/orders";
    let (default, shop_profile) = (("AWS_CONFIG_FILE", &*config), ("AWS_PROFILE", "shop"));
    for (url, more, env, region) in [
        (&*own, "", vec![default], "us-west-1"),
        (&*own, &*endpoint, vec![default, shop_profile], "eu-north-1"),
        (&*own, &*endpoint, vec![default, shop_profile, ("AWS_REGION", "ap-south-1")], "ap-south-1"),
        (&*own, ", region = \"sa-east-1\"", vec![default], "sa-east-1"),
        (vpce, &*endpoint, vec![default, ("AWS_REGION", "ap-south-1")], "eu-west-3"),
    ] {
        stub.send("orders", &[plain(1, 0)]);
        let before = stub.calls().len();
        let shop = shop(url, more);
        let worker = shop.0.worker_with(&["--until-empty"], &[&KEYS[..], &env].concat());
        let ended = worker.wait();
        assert_eq!((ended.code, taken(&worker.log).len()), (Some(0), 1), "{}", worker.log.tail());
        let regions: BTreeSet<String> =
            stub.calls().into_iter().skip(before).map(|call| call.region).collect();
        assert_eq!(regions, BTreeSet::from([region.to_owned()]), "{url} {env:?}");
    }
}

/// Who may talk to validated endpoints only is not to talk to another one.
#[test]
fn where_fips_is_asked_for_no_other_host_is_asked() {
    let stub = Stub::start();
    stub.send("orders", &[plain(1, 0)]);
    let shop = shop(&stub.queue("orders"), "");
    let env = [&KEYS[..], &[("AWS_REGION", "us-east-1"), ("AWS_USE_FIPS_ENDPOINT", "true")]].concat();
    let worker = shop.0.worker_with(&[], &env);
    worker.log.wait("it is said", |line| line.says("FIPS"));
    let said = until("the status says it", || shop.status()["trouble"].as_str().map(str::to_owned));
    assert!(said.contains("FIPS"), "{said}");
    assert_eq!(stub.count(&[Receive]), 0, "the other host was asked");
    worker.stop();
}
