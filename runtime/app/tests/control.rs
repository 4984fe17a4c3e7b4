//! Commands and workers of different versions: each says both versions and what to do. None hangs, and none
//! takes it for a fault of its own.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{DEADLINE, Home, end, signal, until};
use pelton_store::{Options, Store};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

/// Every command that asks the worker.
const COMMANDS: [&[&str]; 10] = [
    &["status"],
    &["reload"],
    &["versions", "orders"],
    &["rollback", "orders"],
    &["deploy", "orders", "good.wasm"],
    &["skip", "orders", "x", "--reason", "y", "--yes"],
    &["pause", "orders"],
    &["resume", "orders"],
    &["rate", "orders", "5/s", "--for", "1m"],
    &["logs", "orders"],
];

/// Runs every command beside a worker that answers each of them with this line.
fn beside_a_worker_that_answers(line: &'static str, wanted: &[&str]) {
    let home = Home::new("");
    let data = home.path().join("data");
    let owner = Store::open_owner(&data, Options::default()).unwrap();
    let listener = UnixListener::bind(data.join("pelton.sock")).unwrap();
    let worker = std::thread::spawn(move || {
        for _ in COMMANDS {
            let (mut client, _) = listener.accept().unwrap();
            BufReader::new(&client).read_line(&mut String::new()).unwrap();
            client.write_all(line.as_bytes()).unwrap();
        }
    });
    for command in COMMANDS {
        let output = home.run(command);
        let words = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {output:?}");
        for word in wanted.iter().chain(&[env!("CARGO_PKG_VERSION"), "restart the worker"]) {
            assert!(words.contains(word), "{command:?}: {word} in {words}");
        }
    }
    worker.join().unwrap();
    owner.close();
}

/// To the byte what a worker answered before requests had versions.
#[test]
fn every_command_says_that_the_worker_is_older() {
    let line = "{\"error\":\"this worker does not know the question; is it of another version?\"}\n";
    beside_a_worker_that_answers(line, &["of an older version (protocol 1)"]);
}

#[test]
fn every_command_says_that_the_worker_is_newer() {
    let line = "{\"protocol\":9,\"pelton\":\"7.1.0\",\"outcome\":{\"colour\":\"green\"}}\n";
    beside_a_worker_that_answers(line, &["pelton 7.1.0 (protocol 9)"]);
}

/// What `pelton status` prints of the store and the brokers does not hang on the worker's version.
#[test]
fn the_status_shows_what_the_worker_does_not_tell() {
    let home = Home::new("");
    home.send(3);
    let data = home.path().join("data");
    let owner = Store::open_owner(&data, Options::default()).unwrap();
    // It listens, and never answers.
    let _silent = UnixListener::bind(data.join("pelton.sock")).unwrap();
    let output = home.run(&["status", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(out.contains("\"queued\":3") && err.contains("does not answer within 2s"), "{out}{err}");
    owner.close();
}

#[test]
fn a_worker_tells_a_command_of_another_version_both_and_goes_on() {
    let home = Home::new("");
    let mut worker = home.command(&["run"]).stderr(Stdio::null()).spawn().unwrap();
    let socket = home.path().join("data/pelton.sock");
    let ask = |line: &[u8]| {
        let mut client = until("the worker listens", || UnixStream::connect(&socket).ok());
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        // What is too long is refused before it is read to its end.
        client.write_all(line).unwrap_or_default();
        let mut answer = String::new();
        BufReader::new(client).read_line(&mut answer).unwrap();
        answer
    };
    for (line, wanted) in [
        // To the byte what commands asked before requests had versions: they show `error`.
        (&b"status\n"[..], "older version"),
        (b"reload {\"pipeline\":null}\n", "older version"),
        (b"{\"protocol\":9,\"pelton\":\"7.1.0\",\"wish\":1}\n", "pelton 7.1.0 (protocol 9)"),
        (b"{\"protocol\":2,\"pelton\":\"7.1.0\",\"request\":{\"rewind\":{}}}\n", "pelton 7.1.0"),
        (b"\xff\xfe\x00\n", "no pelton"),
        (b"", "no request came"),
        (&[b'x'; 2 << 20], "1048576 bytes"),
    ] {
        let answer = ask(line);
        let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
        assert!(answer.contains("\"error\":") && answer.contains(wanted), "{shown}: {answer}");
        assert!(answer.contains(&format!("\"pelton\":\"{}\"", env!("CARGO_PKG_VERSION"))), "{answer}");
    }
    home.done(&["reload"]);
    signal(&worker, Signal::TERM);
    assert!(end(&mut worker).success());
}
