//! Clients that are slow, many, greedy or silent. Messages go on, and so does health.

use crate::client::{connect, raw, text};
use crate::rig::{ADMIN, Rig};
use pelton_tests::wait::until;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const HALF: &[u8] = b"GET /v1/pipelines HTTP/1.1\r\nhost: localhost\r\nx-more: ";

/// Connections that have sent these bytes.
fn many(to: SocketAddr, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let one = |_| {
        let mut stream = connect(to);
        drop(stream.write_all(bytes));
        stream
    };
    (0..count).map(one).collect()
}

/// Whether the other side has ended it by now.
fn is_ended(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
    match stream.read(&mut [0; 4096]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => {
            !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        }
    }
}

/// How long so many messages take, from the first that is sent.
fn handles(rig: &Rig, count: usize) -> Duration {
    let before = rig.site.status("orders").handled;
    let began = Instant::now();
    rig.good(count);
    until("they are handled", || {
        (rig.site.status("orders").handled == before + count as u64).then_some(())
    });
    began.elapsed()
}

#[test]
fn messages_go_on_whatever_clients_do_and_those_that_say_nothing_are_left() {
    let rig = Rig::new();
    let (api, health) = (rig.address("api"), rig.address("health"));
    let alone = handles(&rig, 500);
    let mut slow = many(api, 300, HALF);
    slow.extend(many(health, 200, HALF));
    slow.extend(many(api, 20, b""));
    let ends = AtomicBool::new(false);
    let host = format!("host: {api}");
    let token = format!("authorization: Bearer {ADMIN}");
    let beside = std::thread::scope(|scope| {
        for _ in 0..4 {
            // Those that ask without end, and those that do not read what they asked for.
            scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    drop(TcpStream::connect(health).map(|mut stream| {
                        drop(stream.write_all(&text("GET /metrics", &["host: a"], b"")));
                        drop(stream.read(&mut [0; 1024]));
                    }));
                }
            });
        }
        let taken = handles(&rig, 500);
        ends.store(true, Ordering::Relaxed);
        taken
    });
    assert!(beside < alone * 5 + Duration::from_secs(5), "{beside:?} beside, {alone:?} alone");
    // Each has ten seconds for its headers; more than so many of one address never had a place.
    until("they are left", || {
        slow.retain_mut(|stream| !is_ended(stream));
        slow.is_empty().then_some(())
    });
    assert_eq!(raw(health, &text("GET /livez", &["host: a"], b"")).status, 200);
    assert_eq!(raw(api, &text("GET /v1/pipelines", &[&host, &token], b"")).status, 200);
    rig.worker.stop();
}

#[test]
fn health_is_answered_while_the_api_has_no_place_left() {
    let rig = Rig::new();
    let (api, health) = (rig.address("api"), rig.address("health"));
    let held = many(api, 100, HALF);
    let answers = || raw(health, &text("GET /livez", &["host: a"], b"")).status;
    (0..20).for_each(|_| assert_eq!(answers(), 200));
    // The user of the worker is heard by the socket of the commands.
    assert!(rig.site.done(&["health", "--ready"]).contains("ok"));
    drop(held);
    let (host, token) = (format!("host: {api}"), format!("authorization: Bearer {ADMIN}"));
    until("there is a place again", || {
        let mut stream = TcpStream::connect(api).ok()?;
        stream.write_all(&text("GET /version", &[&host, &token], b"")).ok()?;
        let mut all = String::new();
        stream.read_to_string(&mut all).ok()?;
        all.contains("200 OK").then_some(())
    });
    rig.worker.stop();
}

#[test]
fn a_body_that_does_not_come_and_an_answer_that_is_not_taken_are_left() {
    let rig = Rig::new();
    let api = rig.address("api");
    let head = format!("host: {api}\r\nauthorization: Bearer {ADMIN}\r\n");
    let mut body = connect(api);
    let wants = format!(
        "POST /v1/pipelines/orders/pause HTTP/1.1\r\n{head}content-type: application/json\r\n\
         content-length: 1000\r\n\r\n{{\"reason\": \""
    );
    body.write_all(wants.as_bytes()).expect("it is taken");
    // Asks for more than fits between the two, and reads nothing.
    let mut greedy = connect(api);
    greedy.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let wants = format!("GET /openapi.json HTTP/1.1\r\n{head}\r\n").repeat(2_000);
    drop(greedy.write_all(wants.as_bytes()));
    let mut said = String::new();
    drop(body.read_to_string(&mut said));
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert_eq!(rig.get("/v1/pipelines/orders").ok()["steering"]["paused"], serde_json::Value::Null);
    let left = || greedy_is_left(&greedy);
    until("it is left", || left().then_some(()));
    rig.worker.stop();
}

/// Whether a connection on which nothing is read has been reset: there is nobody to write to.
fn greedy_is_left(stream: &TcpStream) -> bool {
    stream.take_error().ok().flatten().is_some() || {
        let mut again = stream;
        match again.write_all(b"x") {
            Ok(()) => false,
            Err(error) => {
                !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
            }
        }
    }
}
