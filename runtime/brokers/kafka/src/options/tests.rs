//! The library is asked what it takes.

use super::super::producer::KafkaProducer;
use super::super::reader::Reader;
use super::super::topics::Topics;
use super::*;
use rdkafka::consumer::BaseConsumer;

fn raw(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn what_says_how_to_connect_reaches_every_client_and_the_group_has_one_member() {
    let connects = [
        ("enable.ssl.certificate.verification", "false"),
        ("client.dns.lookup", "resolve_canonical_bootstrap_servers_only"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("api.version.request.timeout.ms", "2000"),
        ("sasl.username", "pelton"),
    ];
    let group = OF_THE_MEMBER.map(|name| (name, "1"));
    let config = KafkaOptions::connection("", &raw(&[&connects[..], &group[..]].concat()));
    for (name, value) in connects {
        assert_eq!(config.get(name), Some(value), "{name}");
    }
    for name in OF_THE_MEMBER {
        assert_eq!(config.get(name), None, "{name}");
    }
}

#[test]
fn no_value_is_in_the_words_of_a_refusal() {
    const SECRET: &str = "s3cr3t,9876543210";
    let (number, flag) = ("9876543210", "s3cr3t");
    for (name, value) in [
        ("sasl.pasword", SECRET),
        ("sasl.password ", SECRET),
        ("ssl.key.pasword", SECRET),
        ("session.timeout.ms", number),
        ("session.timeout.ms", SECRET),
        ("security.protocol", SECRET),
        ("debug", flag),
        ("enable.ssl.certificate.verification", SECRET),
        ("ssl.key.pem", SECRET),
        ("ssl_key", SECRET),
        ("sasl.mechanism", ""),
        ("", SECRET),
    ] {
        let Some(refused) = refused_option(name, value, "classic") else { continue };
        assert!(!refused.contains(flag) && !refused.contains(number), "{name}: {refused}");
    }
    let refused = refused_option("session.timeout.ms", number, "classic");
    assert_eq!(
        refused.as_deref(),
        Some(
            "has a value that the Kafka client refuses: it must be from 1 to 3600000. Correct it, or leave \
             it out"
        )
    );
    assert!(refused_option("sasl.pasword", SECRET, "classic").is_some());
}

/// They are compared with one another, and with what an idempotent producer allows.
#[test]
fn no_client_is_refused_for_limits_that_the_member_may_have() {
    let raw = raw(&[
        ("receive.message.max.bytes", "3000000"),
        ("fetch.max.bytes", "2000000"),
        ("max.in.flight", "100"),
        ("max.poll.interval.ms", "20000"),
        ("session.timeout.ms", "10000"),
        ("compression.type", "zstd"),
        ("isolation.level", "read_uncommitted"),
    ]);
    for (name, value) in &raw {
        assert_eq!(refused_option(name, value, "classic"), None);
    }
    assert_eq!(KafkaProducer::open("", &raw).err(), None);
    assert_eq!(Reader::open("", &raw, Duration::ZERO).err(), None);
    assert_eq!(Topics::open("", &raw, Duration::ZERO).err(), None);
}

#[test]
fn no_two_partitions_have_one_number_in_the_ledger() {
    assert_eq!(in_ledger(0, 0), Some(0));
    assert_eq!(in_ledger(3, 7), Some(3 << 20 | 7));
    assert_eq!(in_ledger(4095, (1 << 20) - 1), Some(u32::MAX));
    for (topic, partition) in [(0, 1 << 20), (0, -1), (0, i32::MIN), (4096, 0), (u32::MAX, 1)] {
        assert_eq!(in_ledger(topic, partition), None, "{topic} {partition}");
    }
}

#[test]
fn the_ids_of_topics_are_logged_whatever_else_is() {
    assert_eq!(KafkaOptions::debug(&[]), "-topic,metadata");
    assert_eq!(KafkaOptions::debug(&raw(&[("debug", ""), ("acks", "1")])), "-topic,metadata");
    for (wanted, logged) in [
        ("cgrp, fetch", "metadata,cgrp,fetch"),
        ("topic,fetch", "metadata,fetch"),
        ("all,-eos", "generic,broker,metadata,"),
    ] {
        let mut config = ClientConfig::new();
        config.set("debug", KafkaOptions::debug(&raw(&[("debug", wanted)])));
        let native = config.create_native_config().expect("the library takes it");
        let debug = native.get("debug").expect("it is set");
        assert!(debug.starts_with(logged), "{debug}");
    }
}

#[test]
fn new_topics_are_seen_soon_unless_somebody_says_otherwise() {
    let name = NEW_TOPICS_MS.0;
    let options = |raw: &[(&str, &str)]| KafkaOptions {
        pipeline: "orders".into(),
        bootstrap_servers: String::new(),
        topics: Vec::new(),
        group_id: "orders".to_owned(),
        auto_offset_reset: "earliest".to_owned(),
        has_read: false,
        out_of_range: "stop".to_owned(),
        group_protocol: "classic".to_owned(),
        order: Order::Key,
        librdkafka: self::raw(raw),
        max_buffered: 1,
        max_buffered_bytes: 1,
        max_uncommitted: 1,
        revoke_timeout: Duration::ZERO,
        forget: Arc::new(|_| None),
        settled: Arc::new(|_, _| {}),
        topic_is: Arc::new(|_, _| None),
        completed: Arc::new(|_, _| None),
        is_done: Arc::new(|_, _| false),
    };
    assert_eq!(options(&[]).client().get(name), Some("30000"));
    assert_eq!(options(&[(name, "700")]).client().get(name), Some("700"));
}

#[test]
fn the_library_refuses_the_same_beside_the_new_protocol() {
    for (name, value) in [
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "1000"),
        ("partition.assignment.strategy", "range"),
        ("group.protocol.type", "consumer"),
        ("group.remote.assignor", "uniform"),
        ("group.instance.id", "one"),
    ] {
        let mut config = ClientConfig::new();
        config.set("group.id", "orders").set("group.protocol", "consumer").set(name, value);
        let refuses = config.create::<BaseConsumer>().is_err();
        assert_eq!(refused_option(name, value, "consumer").is_some(), refuses, "{name}");
        assert_eq!(refused_option(name, value, "classic"), None);
    }
}
