//! Registries of components: a real one, and one of our own that can be told to misbehave.

use crate::binary::root;
use crate::http_stub::Server;
pub use crate::http_stub::{Reply, Request};
use crate::redis::make_certificate;
use crate::wait::until;
use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// A user and a password that a closed registry knows.
pub const LOGIN: (&str, &str) = ("tests", "secret");
/// The same as `htpasswd -B` writes it.
const LOGINS: &str = "tests:$2b$04$VVjU3QN0sxc6VwTFzqTvKeOr694d/zWMkXEXiT3zdpYH1QebGJmMa\n";

/// The CNCF's registry, with its data in a folder of its own. Killed when it is dropped.
pub struct Registry {
    /// `host:port`.
    pub address: String,
    process: Mutex<Child>,
    dir: TempDir,
}

impl Registry {
    /// Starts one and waits until it answers; a closed one asks for [`LOGIN`].
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start(closed: bool) -> Self {
        Self::start_with(closed, false)
    }

    /// The same with TLS, by a certificate for `localhost` that nobody knows.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn start_secure() -> Self {
        Self::start_with(true, true)
    }

    fn start_with(closed: bool, secure: bool) -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let logins = dir.path().join("logins");
        std::fs::write(&logins, LOGINS).expect("it is written");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let log = std::fs::File::create(dir.path().join("registry.log")).expect("the log is made");
        let mut command = Command::new(root().join("script/broker"));
        command.args(["registry", "start", &port.to_string()]).arg(dir.path().join("data"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
        if closed {
            command.env("REGISTRY_LOGINS", &logins);
        }
        if secure {
            make_certificate(dir.path());
            command.env("REGISTRY_CERTIFICATE", dir.path());
        }
        let process = command.process_group(0).spawn().expect("the registry can be started");
        let address = format!("{}:{port}", if secure { "localhost" } else { "127.0.0.1" });
        until("the registry answers", || TcpStream::connect(&address).ok());
        Self { address, process: Mutex::new(process), dir }
    }

    /// A component's place there.
    #[must_use]
    pub fn place(&self, tag: &str) -> String {
        format!("oci://{}/team/orders:{tag}", self.address)
    }

    /// The certificate of one with TLS, for those who are to know it.
    #[must_use]
    pub fn certificate(&self) -> std::path::PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// Ends it as `kill -9` does: there is no network any more.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself.
        drop(process.kill());
        process.wait().expect("it is our child");
    }

    /// Docker's configuration with a login for it, in a folder.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn login(&self, auth: &str) -> std::path::PathBuf {
        let dir = self.dir.path().join("docker");
        std::fs::create_dir_all(&dir).expect("a folder can be made");
        let config = format!("{{\"auths\": {{\"{}\": {{\"auth\": \"{auth}\"}}}}}}", self.address);
        std::fs::write(dir.join("config.json"), config).expect("it is written");
        dir
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
}

/// A registry in memory, with an answer of its own to what refers to a manifest.
pub struct Stub {
    /// `host:port`.
    pub address: String,
    server: Server,
}

impl Stub {
    /// Starts one. It ends with the process.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Self {
        let state: Mutex<State> = Mutex::default();
        let server = Server::start(move |request| {
            perform(&mut state.lock().unwrap_or_else(PoisonError::into_inner), request)
        });
        Self { address: server.address.clone(), server }
    }

    /// What is answered otherwise from now on.
    pub fn fault(&self, fault: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) {
        self.server.fault(fault);
    }

    /// Answers as it should again.
    pub fn mend(&self) {
        self.server.mend();
    }

    /// What was asked since this was asked last.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        self.server.seen()
    }

    /// A component's place there.
    #[must_use]
    pub fn place(&self, tag: &str) -> String {
        format!("oci://{}/team/orders:{tag}", self.address)
    }
}

/// As the rules of the distribution have it, for one repository.
fn perform(state: &mut State, request: &Request) -> Reply {
    let path = request.path.trim_start_matches("/v2/team/orders/");
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let found = |bytes: Option<&Vec<u8>>| {
        bytes.map_or(Reply::status(404), |bytes| Reply {
            status: 200,
            body: bytes.clone(),
            ..Reply::default()
        })
    };
    match (request.method.as_str(), path.split_once('/').unwrap_or((path, ""))) {
        ("GET" | "HEAD", ("blobs", digest)) => found(state.blobs.get(digest)),
        ("POST", ("blobs", _)) => {
            let location = "/v2/team/orders/blobs/uploads/1?state=x".to_owned();
            Reply { status: 202, headers: vec![("location", location)], ..Reply::default() }
        }
        ("PUT", ("blobs", _)) => {
            let digest = query.rsplit_once("digest=").map_or("", |(_, digest)| digest);
            state.blobs.insert(digest.to_owned(), request.body.clone());
            Reply::status(201)
        }
        ("PUT", ("manifests", name)) => {
            let kept = (request.content_type.clone(), request.body.clone());
            state.manifests.insert(digest(&request.body), kept.clone());
            state.manifests.insert(name.to_owned(), kept);
            let subject = subject(&request.body).map(|subject| ("oci-subject", subject));
            Reply { status: 201, headers: subject.into_iter().collect(), ..Reply::default() }
        }
        ("GET" | "HEAD", ("manifests", name)) => match state.manifests.get(name) {
            Some((kind, bytes)) => {
                let headers =
                    vec![("content-type", kind.clone()), ("docker-content-digest", digest(bytes))];
                Reply { status: 200, headers, body: bytes.clone(), ..Reply::default() }
            }
            None => {
                let body =
                    br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.to_vec();
                Reply { status: 404, body, ..Reply::default() }
            }
        },
        ("GET", ("referrers", of)) => referrers(state, of),
        _ => Reply::status(405),
    }
}

fn referrers(state: &State, of: &str) -> Reply {
    let is = |(name, (_, bytes)): &(&String, &(String, Vec<u8>))| {
        name.starts_with("sha256:") && subject(bytes).as_deref() == Some(of)
    };
    let entry = |(name, (kind, bytes)): (&String, &(String, Vec<u8>))| {
        let size = bytes.len();
        serde_json::json!({ "mediaType": kind, "digest": name, "size": size })
    };
    let all: Vec<_> = state.manifests.iter().filter(is).map(entry).collect();
    let body = serde_json::json!({ "schemaVersion": 2, "manifests": all }).to_string().into_bytes();
    Reply { status: 200, body, ..Reply::default() }
}

fn subject(manifest: &[u8]) -> Option<String> {
    let manifest: serde_json::Value = serde_json::from_slice(manifest).ok()?;
    manifest["subject"]["digest"].as_str().map(str::to_owned)
}

/// `sha256:` and the digest of bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    let digits: Vec<String> =
        sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", digits.concat())
}
