//! TLS, and both versions of HTTP over it.

use crate::rig::*;
use pelton_core::outcome::Outcome;
use pelton_host::HttpLimits;
use pelton_tests::gateway::{Certificates, Gateway, Leaf};
use serde_json::json;
use std::sync::LazyLock;

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::make);

#[test]
fn a_certificate_that_is_not_good_is_refused() {
    let host = host();
    for leaf in Leaf::ALL {
        let gateway = Gateway::tls(&CERTIFICATES, leaf, true);
        let trusting = HttpLimits { ca: Some(CERTIFICATES.ca()), ..limits() };
        let handler = load(&host, &granted(vec![grant(&gateway.origin())], trusting));
        let said = said(&handler, &gateway.url("/ok"));
        let word = if leaf == Leaf::Good { "200" } else { "TlsCertificateError" };
        assert!(said.contains(word), "{leaf:?}: {said}");
        assert_eq!(gateway.count(), usize::from(leaf == Leaf::Good), "{leaf:?}");
    }
    // Without `ca_file` the authority is nobody's.
    let gateway = Gateway::tls(&CERTIFICATES, Leaf::Good, true);
    let handler = load(&host, &granted(vec![grant(&gateway.origin())], limits()));
    assert!(said(&handler, &gateway.url("/ok")).contains("TlsCertificateError"));
    // A server that speaks no TLS.
    let plain = Gateway::plain();
    let origin = format!("https://localhost:{}", plain.port);
    let handler = load(&host, &granted(vec![grant(&origin)], limits()));
    assert!(
        said(&handler, &format!("{origin}/ok")).contains("ConnectionTimeout"),
        "it waits for a request"
    );
}

#[test]
fn both_versions_are_spoken_over_few_connections() {
    let host = host();
    for (h2, version) in [(true, "2"), (false, "1.1")] {
        let gateway = Gateway::tls(&CERTIFICATES, Leaf::Good, h2);
        let trusting = HttpLimits { ca: Some(CERTIFICATES.ca()), max_concurrent: 8, ..limits() };
        let handler = load(&host, &granted(vec![grant(&gateway.origin())], trusting));
        let step = json!({ "method": "POST", "url": gateway.url("/charge"), "body": "hello" });
        let order = json!({ "steps": vec![step; 40], "together": true, "ok": true }).to_string();
        for n in 0..5 {
            assert_eq!(run(&handler, vec![work(&format!("m{n}"), &order)]), [Outcome::Ok(None)]);
        }
        let seen = gateway.seen();
        assert_eq!(seen.len(), 200);
        assert!(seen.iter().all(|one| one.version == version && one.body == b"hello"), "{:?}", seen[0]);
        // Eight begin before anybody knows that one of HTTP/2 would do, and some before one is free again.
        assert!(gateway.connections() <= 20, "{} connections", gateway.connections());
        assert_eq!(gateway.charges().len(), 200);
        let big = one(&handler, &json!({ "url": gateway.url("/big/3000000") }));
        assert_eq!(big["read"], 3_000_000, "{big}");
        let large =
            one(&handler, &json!({ "method": "POST", "url": gateway.url("/ok"), "size": 1_000_000 }));
        assert_eq!(large["status"], 200, "{large}");
    }
}
