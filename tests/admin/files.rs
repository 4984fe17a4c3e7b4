//! Tokens and certificates that change while the worker runs.

use crate::client::{Answer, text};
use crate::rig::{ADMIN, HEAD, Rig, VIEWER, chaos, secret, site};
use pelton_tests::gateway::{Certificates, Leaf};
use pelton_tests::wait::until;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

#[test]
fn a_token_that_is_replaced_holds_no_more_and_one_that_is_gone_neither() {
    let rig = Rig::new();
    let asks = |token: &str| rig.asks(token, "GET /v1/pipelines", None).status;
    assert_eq!((asks(ADMIN), asks(VIEWER)), (200, 200));
    let next = "another-token-0123456789abcdef";
    secret(&rig.site, "admin", next);
    until("the new one holds", || (asks(next) == 200).then_some(()));
    assert_eq!((asks(ADMIN), asks(VIEWER)), (401, 200));
    std::fs::remove_file(rig.site.path().join("secrets/viewer")).expect("it is there");
    until("it holds no more", || (asks(VIEWER) == 401).then_some(()));
    rig.worker.log.wait("it is said", |line| line.says("its token holds no more"));
    secret(&rig.site, "viewer", "short");
    assert_eq!((asks(VIEWER), asks("short"), asks(next)), (401, 401, 200));
    secret(&rig.site, "viewer", VIEWER);
    until("it holds again", || (asks(VIEWER) == 200).then_some(()));
    // The configuration has not changed.
    assert!(rig.site.done(&["reload"]).contains("nothing has changed"));
    let said: Vec<String> = rig.worker.log.lines().iter().map(|line| line.text.clone()).collect();
    assert!(!said.iter().any(|line| line.contains(next) || line.contains(ADMIN)), "no token is logged");
    rig.worker.stop();
}

#[test]
fn settings_of_the_api_take_a_restart_and_a_reload_says_so() {
    let rig = Rig::new();
    let path = rig.site.path().join("pelton.toml");
    let text = std::fs::read_to_string(&path).expect("a file");
    std::fs::write(&path, text.replace("role = \"operator\"", "role = \"admin\"")).expect("a file");
    let output = rig.site.run(&["reload"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("[admin] changed, which takes a restart"), "{said}");
    rig.worker.stop();
}

/// What an answer over TLS says, and which certificate it came with.
fn over_tls(rig: &Rig, ca: &Path) -> Result<(Answer, Vec<u8>), String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("it can be trusted");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut stream = StreamOwned::new(tls, crate::client::connect(rig.address("api")));
    let token = format!("authorization: Bearer {ADMIN}");
    stream
        .write_all(&text("GET /v1/pipelines", &["host: localhost", &token], b""))
        .map_err(|e| e.to_string())?;
    let certificate = stream.conn.peer_certificates().expect("there is one")[0].to_vec();
    Ok((Answer::read(stream), certificate))
}

#[test]
fn tls_is_answered_alone_and_takes_the_certificate_that_is_there_now() {
    let made = Certificates::make();
    let head = HEAD.replace("[admin]", "[admin]\ntls = { cert = \"tls/cert.pem\", key = \"tls/key.pem\" }");
    let site = site(&head, &[chaos()]);
    let tls = site.path().join("tls");
    std::fs::create_dir(&tls).expect("a folder");
    let put = |made: &Certificates, leaf: Leaf| {
        for (end, name) in [("pem", "cert.pem"), ("key", "key.pem")] {
            std::fs::copy(made.file(leaf, end), tls.join("new")).expect("a copy");
            std::fs::rename(tls.join("new"), tls.join(name)).expect("it is put in place");
        }
    };
    put(&made, Leaf::Good);
    let rig = Rig::of(site);
    let (answer, first) = over_tls(&rig, &made.ca_file()).expect("it is trusted");
    assert_eq!(answer.status, 200, "{answer:?}");
    // Without TLS there is no answer, and no token is asked for.
    let mut plain = crate::client::connect(rig.address("api"));
    drop(plain.write_all(b"GET /v1/pipelines HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    let mut all = Vec::new();
    drop(std::io::Read::read_to_end(&mut plain, &mut all));
    assert!(!String::from_utf8_lossy(&all).contains("HTTP/1.1"), "{all:?}");
    // A key that does not go with its certificate changes nothing.
    std::fs::copy(made.file(Leaf::Expired, "key"), tls.join("key.pem")).expect("a copy");
    rig.worker.log.wait("it is said", |line| line.says("stays in use"));
    assert_eq!(over_tls(&rig, &made.ca_file()).expect("it is trusted").1, first);
    let again = Certificates::make();
    put(&again, Leaf::Good);
    let second = until("the new one is taken", || over_tls(&rig, &again.ca_file()).ok());
    assert_eq!(second.0.status, 200);
    assert_ne!(second.1, first);
    rig.worker.stop();
}
