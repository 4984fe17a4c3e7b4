//! A worker with an API.

use crate::client::{Answer, connect, raw, text};
use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::worker::Worker;
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

pub const ADMIN: &str = "admin-token-0123456789abcdef";
pub const OPERATOR: &str = "operator-token-0123456789abcdef";
pub const VIEWER: &str = "viewer-token-0123456789abcdef";

/// All three roles, on an address of its own, and health beside.
pub const HEAD: &str = "[admin]\nlisten = \"127.0.0.1:0\"\nhealth_listen = \"127.0.0.1:0\"\ntokens = [\
    { file = \"secrets/admin\", role = \"admin\" }, { file = \"secrets/operator\", role = \"operator\" }, \
    { file = \"secrets/viewer\", role = \"viewer\" }]";

/// A worker, and where it listens.
pub struct Rig {
    pub site: Site,
    pub worker: Worker,
}

/// A site with the files of the tokens.
pub fn site(head: &str, pipelines: &[Pipeline]) -> Site {
    let site = Site::with(head, pipelines);
    std::fs::create_dir(site.path().join("secrets")).expect("a folder");
    for (name, token) in [("admin", ADMIN), ("operator", OPERATOR), ("viewer", VIEWER)] {
        secret(&site, name, token);
    }
    site
}

/// Writes the file of a token, as it is replaced: whole.
pub fn secret(site: &Site, name: &str, token: &str) {
    let (path, new) = (site.path().join("secrets").join(name), site.path().join("secrets/new"));
    std::fs::write(&new, format!("{token}\n")).expect("a file");
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    std::fs::rename(new, path).expect("it is put in place");
}

/// Does what its messages say.
pub fn chaos() -> Pipeline {
    Pipeline::new("orders", plugin("chaos"))
}

impl Rig {
    pub fn new() -> Self {
        Self::with(HEAD, &[chaos()])
    }

    pub fn with(head: &str, pipelines: &[Pipeline]) -> Self {
        Self::of(site(head, pipelines))
    }

    /// With its pipelines begun.
    pub fn of(site: Site) -> Self {
        // The pipelines are there once they are answered for. That of a worker before is no answer.
        let socket = site.data().join("pelton.sock");
        drop(std::fs::remove_file(&socket));
        let worker = site.worker().ready();
        let rig = Self { site, worker };
        pelton_tests::wait::until("commands are answered", || socket.exists().then_some(()));
        rig
    }

    /// Where one of its listeners is.
    pub fn address(&self, listener: &str) -> SocketAddr {
        let line = self
            .worker
            .log
            .wait("it listens", |line| line.says("listening") && line.field("listener") == listener);
        line.field("address").parse().expect("an address")
    }

    /// Sends this to the API.
    pub fn send(&self, bytes: &[u8]) -> Answer {
        raw(self.address("api"), bytes)
    }

    /// As one of the tokens asks.
    pub fn asks(&self, token: &str, line: &str, body: Option<&Value>) -> Answer {
        self.asks_with(token, line, &[], body)
    }

    /// With more headers.
    pub fn asks_with(&self, token: &str, line: &str, more: &[&str], body: Option<&Value>) -> Answer {
        let to = self.address("api");
        let (host, token) = (format!("host: {to}"), format!("authorization: Bearer {token}"));
        let mut headers = vec![host.as_str(), token.as_str()];
        headers.extend(more);
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            headers.push("content-type: application/json");
        }
        raw(to, &text(line, &headers, body.as_bytes()))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.asks(VIEWER, &format!("GET {path}"), None)
    }

    pub fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        self.asks(token, &format!("POST {path}"), Some(&body))
    }

    /// Health, as an orchestrator asks.
    pub fn health(&self, path: &str) -> Answer {
        raw(self.address("health"), &text(&format!("GET {path}"), &["host: 10.1.2.3:9091"], b""))
    }

    /// Over a socket of the file system.
    pub fn over(&self, socket: &str, line: &str) -> Answer {
        let path = self.site.path().join(socket);
        let mut stream = UnixStream::connect(path).expect("somebody listens");
        stream.write_all(&text(line, &["host: localhost"], b"")).expect("it is taken");
        Answer::read(stream)
    }

    /// Messages that are handled well.
    pub fn good(&self, count: usize) {
        self.site.send_lines("orders", &[], &vec![r#"{"do": "ok"}"#.to_owned(); count]);
    }

    /// A message that runs until it is interrupted.
    pub fn sleeper(&self) {
        self.site.done(&["send", "orders", "--body", r#"{"do": "sleep"}"#]);
    }

    /// Begins to follow events.
    pub fn follow(&self, token: &str, path: &str) -> std::net::TcpStream {
        let to = self.address("api");
        let mut stream = connect(to);
        let headers = [format!("host: {to}"), format!("authorization: Bearer {token}")];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        stream.write_all(&text(&format!("GET {path}"), &headers, b"")).expect("it is taken");
        stream
    }
}
