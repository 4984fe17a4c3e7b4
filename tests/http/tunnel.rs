//! Requests over TLS that go through a proxy: a tunnel, and TLS of the handler's own place in it.

use crate::rig::*;
use pelton_host::HttpLimits;
use pelton_tests::gateway::{Certificates, Gateway, Leaf};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A proxy that answers each connection in this way. The heads that it was sent.
fn proxy(answer: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it listens").port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = seen.clone();
            thread::spawn(move || connects(stream, answer, &seen));
        }
    });
    (port, heads)
}

fn connects(client: TcpStream, answer: &str, heads: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head)?;
    }
    let place = head.split(' ').nth(1).expect("CONNECT PLACE").replace("localhost", "127.0.0.1");
    heads.lock().expect("no panic").push(head);
    let mut client = client;
    client.write_all(answer.as_bytes())?;
    if !answer.contains(" 200 ") {
        return Ok(());
    }
    let server = TcpStream::connect(place)?;
    let (from, mut to) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || copy(from, &mut to));
    let mut server = server;
    // What the reader has is the client's too.
    copy(reader, &mut server)
}

fn copy(mut from: impl Read, to: &mut TcpStream) -> io::Result<()> {
    io::copy(&mut from, to)?;
    to.shutdown(Shutdown::Write)
}

#[test]
fn a_request_over_tls_goes_through_a_tunnel() {
    let certificates = Certificates::make();
    let host = host();
    let gateway = Gateway::tls(&certificates, Leaf::Good, true);
    let through = |login: &str, port: u16| {
        let proxy = Some(format!("http://{login}127.0.0.1:{port}"));
        let limits = HttpLimits { proxy, ca: Some(certificates.ca()), ..limits() };
        load(&host, &granted(vec![grant(&gateway.origin())], limits))
    };
    let (port, heads) = proxy("HTTP/1.1 200 Connection established\r\nvia: a proxy\r\n\r\n");
    let handler = through("me:pass@", port);
    for _ in 0..3 {
        assert_eq!(said(&handler, &gateway.url("/ok")), "200");
    }
    let heads = heads.lock().expect("no panic").clone();
    let place = gateway.origin().replace("https://", "");
    assert_eq!(heads.len(), 1, "one tunnel does for all: {heads:?}");
    assert!(heads[0].starts_with(&format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n")), "{heads:?}");
    assert!(heads[0].contains("Proxy-Authorization: Basic bWU6cGFzcw==\r\n"), "{heads:?}");
    let seen = gateway.seen().remove(0);
    assert_eq!(seen.header("proxy-authorization"), None, "the login is the proxy's alone");
}

#[test]
fn a_proxy_that_makes_no_tunnel_ends_the_request() {
    let certificates = Certificates::make();
    let host = host();
    let gateway = Gateway::tls(&certificates, Leaf::Good, true);
    let cases = [
        ("HTTP/1.1 407 Login\x1b[31m\r\n\r\n", "DestinationUnavailable"),
        ("HTTP/1.1 200\r\n", "HttpProtocolError"),
        ("", "ConnectionTerminated"),
    ];
    for (answer, words) in cases {
        let answer: &'static str = if answer == "HTTP/1.1 200\r\n" { endless() } else { answer };
        let (port, _heads) = proxy(answer);
        let proxy = Some(format!("http://127.0.0.1:{port}"));
        let limits = HttpLimits { proxy, ca: Some(certificates.ca()), ..limits() };
        let handler = load(&host, &granted(vec![grant(&gateway.origin())], limits));
        let said = said(&handler, &gateway.url("/ok"));
        assert!(said.contains(words) && !said.contains('\x1b'), "{answer:.20}: {said}");
        assert_eq!(gateway.count(), 0);
    }
}

/// A head that is longer than any.
fn endless() -> &'static str {
    let head = format!("HTTP/1.1 201 Yes\r\n{}", "x-header: more of it\r\n".repeat(1_000));
    head.leak()
}
