//! Where a handler gets to, by whatever spelling, and where it does not.

use crate::rig::*;
use pelton_host::{HttpLimits, PrivateAddresses};
use pelton_tests::gateway::Gateway;
use serde_json::json;
use std::time::Duration;

/// Ways to say this machine, a cloud's metadata, or another host than the granted one. PORT is the gateway's.
const SPELLINGS: [&str; 62] = [
    "http://127.0.0.1:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0x7f.0.0.1:PORT/",
    "http://0x7f000001:PORT/",
    "http://0X7F000001:PORT/",
    "http://2130706433:PORT/",
    "http://017700000001:PORT/",
    "http://127.000.000.001:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://0x0:PORT/",
    "http://127.0.0.1.nip.example:PORT/",
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[::]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://[64:ff9b::7f00:1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2001:0:7f00:1::]:PORT/",
    "http://[fe80::1]:PORT/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]:PORT/",
    "http://[::1%25lo]:PORT/",
    "http://[::1%lo]:PORT/",
    "http://[::1:PORT/",
    "http://::1:PORT/",
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/",
    "http://ip6-localhost:PORT/",
    "http://localhost.localdomain:PORT/",
    "http://localhost:+PORT/",
    "http://localhost:0PORT/",
    "http://169.254.169.254/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://metadata.google.internal/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://user@granted.example:PORT/",
    "http://user:word@granted.example:PORT/",
    "http://granted.example:PORT@127.0.0.1:PORT/",
    "http://granted.example@127.0.0.1:PORT/",
    "http://granted.example%00.evil.example:PORT/",
    "http://granted.example#@127.0.0.1:PORT/",
    "http://granted.example\\@127.0.0.1:PORT/",
    "http://granted.example.evil.example:PORT/",
    "http://evilgranted.example:PORT/",
    "http://granted.example:PORT1/",
    "https://granted.example:PORT/",
    "http://\u{ff11}27.0.0.1:PORT/",
    "http://\u{24d6}ranted.example:PORT/",
];

#[test]
fn no_spelling_gets_past_the_grants() {
    let gateway = Gateway::plain();
    let port = gateway.port.to_string();
    let names = Names::new(&[("granted.example", &[&["127.0.0.1"]]), ("localhost", &[&["127.0.0.1"]])]);
    let host = host_with(Some(names));
    let granted_one = grant(&format!("http://granted.example:{port}"));
    // Whatever has a grant may be at loopback: nothing but the name keeps the rest away.
    let handler = load(&host, &granted(vec![granted_one], limits()));
    assert_eq!(said(&handler, &format!("http://granted.example:{port}/ok")), "200");
    for spelling in SPELLINGS {
        let url = spelling.replace("PORT", &port);
        let error = said(&handler, &url);
        let refused = [
            "HttpRequestDenied",
            "HttpRequestUriInvalid",
            "url: authority",
            "url: path",
            "HttpProtocolError",
        ];
        assert!(refused.iter().any(|word| error.contains(word)), "{url}: {error}");
    }
    assert_eq!(gateway.count(), 1, "{:?}", gateway.seen());
    let counts = handler.http_counts();
    assert!(counts.denied > 40 && counts.failed == 0, "{counts:?}");
}

#[test]
fn a_name_is_not_reached_at_an_address_that_is_not_public() {
    let gateway = Gateway::plain();
    let port = gateway.port;
    let lists: [&[&str]; 14] = [
        &["127.0.0.1"],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["10.0.0.1"],
        &["169.254.169.254"],
        &["192.168.1.1"],
        &["100.64.0.1"],
        &["fd00:ec2::254"],
        &["fe80::1"],
        &["64:ff9b::7f00:1"],
        &["0.0.0.0"],
        &["::"],
        // One bad address among good ones, at either end.
        &["93.184.215.14", "127.0.0.1"],
        &["127.0.0.1", "93.184.215.14"],
    ];
    for list in lists {
        let host = host_with(Some(Names::new(&[("granted.example", &[list])])));
        let mut one = grant(&format!("http://granted.example:{port}"));
        one.private = PrivateAddresses::Refused;
        let handler = load(&host, &granted(vec![one], limits()));
        let error = said(&handler, &format!("http://granted.example:{port}/"));
        assert!(error.contains("DestinationIpProhibited"), "{list:?}: {error}");
    }
    // Private networks are no word for loopback.
    let host = host_with(Some(Names::new(&[("granted.example", &[&["127.0.0.1"]])])));
    let mut one = grant(&format!("http://granted.example:{port}"));
    one.private = PrivateAddresses::Allowed;
    let handler = load(&host, &granted(vec![one], limits()));
    assert!(said(&handler, &format!("http://granted.example:{port}/")).contains("DestinationIpProhibited"));
    assert_eq!(gateway.connections(), 0);
}

#[test]
fn an_address_in_a_grant_still_needs_its_word() {
    let gateway = Gateway::plain();
    let origin = format!("http://127.0.0.1:{}", gateway.port);
    let mut one = grant(&origin);
    one.private = PrivateAddresses::Refused;
    let refused = load(&host(), &granted(vec![one], limits()));
    assert!(said(&refused, &format!("{origin}/")).contains("DestinationIpProhibited"));
    let listed = load(&host(), &granted(vec![grant(&origin)], limits()));
    assert_eq!(said(&listed, &format!("{origin}/")), "200");
}

#[test]
fn a_name_that_changes_its_address_is_looked_at_each_time() {
    let gateway = Gateway::plain();
    let port = gateway.port;
    let names = Names::new(&[("granted.example", &[&["127.0.0.1"], &["127.0.0.2"]])]);
    let mut one = grant(&format!("http://granted.example:{port}"));
    one.private = PrivateAddresses::Only(vec!["127.0.0.1/32".parse().expect("a net")]);
    let handler = load(&host_with(Some(names)), &granted(vec![one], limits()));
    let url = |path: &str| format!("http://granted.example:{port}{path}");
    assert_eq!(said(&handler, &url("/last")), "200");
    pelton_tests::wait::until("the connection is closed", || (!gateway.closed().is_empty()).then_some(()));
    // The kept connection is gone, so the name is asked for again.
    let error = pelton_tests::wait::until("it is refused", || {
        let said = said(&handler, &url("/ok"));
        said.contains("Prohibited").then_some(said)
    });
    assert!(error.contains("DestinationIpProhibited"), "{error}");
}

#[test]
fn redirects_are_the_handlers_own_and_are_looked_at_again() {
    let (gateway, elsewhere) = (Gateway::plain(), Gateway::plain());
    let handler = caller(&host(), &[&gateway]);
    let to = elsewhere.url("/secret");
    let done = one(&handler, &json!({ "url": gateway.url(&format!("/redirect?{to}")) }));
    assert_eq!(done["status"], 302);
    assert!(said(&handler, &to).contains("HttpRequestDenied"));
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_name_that_is_not_resolved_is_an_error_in_time() {
    let host = host_with(Some(Names::new(&[])));
    let short = HttpLimits { connect_timeout: Duration::from_millis(200), ..limits() };
    let grants = vec![grant("http://hangs.example"), grant("http://missing.example")];
    let handler = load(&host, &granted(grants, short));
    let error = said(&handler, "http://hangs.example/");
    assert!(error.contains("DnsTimeout") || error.contains("ConnectionTimeout"), "{error}");
    assert!(said(&handler, "http://missing.example/").contains("DnsError"));
}
