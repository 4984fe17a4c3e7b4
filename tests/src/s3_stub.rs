//! S3 as far as objects in buckets go: a small server that looks at signatures by itself, and refuses when it
//! is told.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The secret that requests are signed with, as in [`LOGIN`](crate::sqs::LOGIN).
const SECRET: &str = "tests";

/// The server.
pub struct S3Stub {
    /// `http://host:port`.
    pub url: String,
    shared: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By `/bucket/key`, as the path of a request has it.
    objects: BTreeMap<String, Vec<u8>>,
    /// Answered to everything while it is there.
    refuses: Option<(u16, String)>,
    /// Method and path of each request that was signed as it should be.
    signed: Vec<String>,
    /// What was not.
    unsigned: Vec<String>,
}

impl S3Stub {
    /// Starts one, with nothing in it.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let shared: Arc<Mutex<State>> = Arc::default();
        let state = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                // Who breaks off has its own reasons.
                std::thread::spawn(move || drop(serve(&state, stream)));
            }
        });
        Self { url, shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an object there; the path is `/bucket/key`.
    pub fn put(&self, path: &str, object: impl Into<Vec<u8>>) {
        self.state().objects.insert(path.to_owned(), object.into());
    }

    /// The paths of what is there.
    #[must_use]
    pub fn objects(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Everything is refused like that from now on; none: nothing is.
    pub fn refuse(&self, how: Option<(u16, &str)>) {
        self.state().refuses = how.map(|(status, code)| (status, code.to_owned()));
    }

    /// Method and path of each request, in their order.
    ///
    /// # Panics
    /// When one was not signed as it should be.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let state = self.state();
        assert!(state.unsigned.is_empty(), "badly signed: {:#?}", state.unsigned);
        state.signed.clone()
    }
}

fn serve(state: &Mutex<State>, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.by_ref().take(64 << 10).read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let answer = answer(&mut state.lock().unwrap_or_else(PoisonError::into_inner), &lines);
        stream.write_all(&answer)?;
    }
}

fn answer(state: &mut State, lines: &[String]) -> Vec<u8> {
    let mut words = lines.first().map_or("", String::as_str).split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: BTreeMap<String, String> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    if let Err(why) = is_signed(method, path, &headers) {
        state.unsigned.push(format!("{method} {path}: {why} {headers:?}"));
        return error(403, "SignatureDoesNotMatch");
    }
    state.signed.push(format!("{method} {path}"));
    if let Some((status, code)) = &state.refuses {
        return error(*status, code);
    }
    match method {
        "GET" => {
            state.objects.get(path).map_or_else(|| error(404, "NoSuchKey"), |object| whole(200, object))
        }
        "DELETE" => {
            state.objects.remove(path);
            whole(204, b"")
        }
        _ => error(405, "MethodNotAllowed"),
    }
}

fn whole(status: u16, body: &[u8]) -> Vec<u8> {
    let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    [format!("HTTP/1.1 {status} As Asked\r\n{length}\r\n").as_bytes(), body].concat()
}

fn error(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
    whole(status, body.as_bytes())
}

/// Whether a request is signed with the secret, by the published rules of version 4 of signatures.
fn is_signed(method: &str, path: &str, headers: &BTreeMap<String, String>) -> Result<(), String> {
    let find = |name: &str| headers.get(name).ok_or_else(|| format!("there is no {name}"));
    let authorization = find("authorization")?;
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(name).ok_or_else(|| format!("there is no {name}"))?;
        Ok::<_, String>(rest.split(',').next().unwrap_or_default().trim())
    };
    let (credential, signed) = (part("Credential=")?, part("SignedHeaders=")?);
    let scope = credential.split_once('/').map_or("", |(_, scope)| scope);
    let [day, region, service, _] = scope.split('/').collect::<Vec<_>>()[..] else {
        return Err(format!("the scope is {scope}"));
    };
    if service != "s3" || !signed.split(';').any(|name| name == "host") {
        return Err(format!("{service} with {signed}"));
    }
    let mut canonical = format!("{method}\n{path}\n\n");
    for name in signed.split(';') {
        writeln!(canonical, "{name}:{}", find(name)?).expect("a text takes all");
    }
    write!(canonical, "\n{signed}\n{}", find("x-amz-content-sha256")?).expect("a text takes all");
    let hash = hex(&Sha256::digest(canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hash}", find("x-amz-date")?);
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for step in [day, region, service, "aws4_request"] {
        key = hmac(&key, step.as_bytes());
    }
    let wanted = hex(&hmac(&key, text.as_bytes()));
    if part("Signature=")? == wanted { Ok(()) } else { Err("the signature is another".to_owned()) }
}

/// HMAC of SHA-256 (RFC 2104), for keys of a block at most.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::digest([&pad(0x36)[..], text].concat());
    Sha256::digest([&pad(0x5c)[..], &inner].concat()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut all, byte| {
        write!(all, "{byte:02x}").expect("a text takes all");
        all
    })
}
