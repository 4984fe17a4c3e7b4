//! Registries of components: a real one, and one of our own that can be told to misbehave.

use crate::binary::root;
use crate::redis::make_certificate;
use crate::wait::until;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// One request.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the words of HTTP")]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    pub authorization: Option<String>,
    pub content_type: String,
    pub body: Vec<u8>,
}

/// What is answered.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the words of HTTP")]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The body never ends.
    pub endless: bool,
    /// Nothing is said at all.
    pub silent: bool,
}

impl Reply {
    /// An answer with nothing but a status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

type Fault = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    seen: Vec<Request>,
    fault: Option<Fault>,
}

/// A registry in memory, with an answer of its own to what refers to a manifest.
pub struct Stub {
    /// `host:port`.
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl Stub {
    /// Starts one. It ends with the process.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one").to_string();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(&shared, client));
            }
        });
        Self { address, state }
    }

    /// What is answered otherwise from now on.
    pub fn fault(&self, fault: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) {
        lock(&self.state).fault = Some(Box::new(fault));
    }

    /// Answers as it should again.
    pub fn mend(&self) {
        lock(&self.state).fault = None;
    }

    /// What was asked since this was asked last.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.state).seen)
    }

    /// A component's place there.
    #[must_use]
    pub fn place(&self, tag: &str) -> String {
        format!("oci://{}/team/orders:{tag}", self.address)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(state: &Mutex<State>, client: TcpStream) {
    let Ok(mut write) = client.try_clone() else { return };
    let mut requests = BufReader::new(client);
    while let Some(request) = read(&mut requests) {
        let reply = {
            let mut state = lock(state);
            state.seen.push(request.clone());
            let fault = state.fault.as_ref().and_then(|fault| fault(&request));
            fault.unwrap_or_else(|| perform(&mut state, &request))
        };
        if reply.silent {
            // Until the client goes.
            drop(requests.read_to_end(&mut Vec::new()));
            return;
        }
        let mut head = format!("HTTP/1.1 {} -\r\n", reply.status);
        reply.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        if reply.endless {
            let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
            let begun = write.write_all((head + "transfer-encoding: chunked\r\n\r\n").as_bytes());
            while begun.is_ok() && write.write_all(&chunk).is_ok() {}
            return;
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", reply.body.len()));
        let body = if request.method == "HEAD" { &[][..] } else { &reply.body };
        if write.write_all(head.as_bytes()).and_then(|()| write.write_all(body)).is_err() {
            return;
        }
    }
}

fn read(from: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let mut request =
        Request { method: words.next()?.to_owned(), path: words.next()?.to_owned(), ..Request::default() };
    let mut length = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.to_owned()),
            "content-type" => value.clone_into(&mut request.content_type),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    request.body = vec![0; length];
    from.read_exact(&mut request.body).ok()?;
    Some(request)
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
