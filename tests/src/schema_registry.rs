//! A registry of schemas that speaks Confluent's HTTP API, in memory: what producers register and ask, and
//! what a worker asks. It can be told to be away, to answer otherwise, and to want a login.

use crate::http_stub::{Reply, Request, Server};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A registered version of a subject.
#[derive(Clone)]
struct Version {
    subject: String,
    version: u64,
    id: u32,
}

/// A schema, with its id by its place: the first is 1.
#[derive(Clone)]
struct Known {
    guid: String,
    kind: String,
    schema: String,
    references: Value,
}

#[derive(Default)]
struct State {
    schemas: Vec<Known>,
    versions: Vec<Version>,
    login: Option<String>,
}

/// The registry. It ends with the process.
pub struct SchemaRegistry {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl SchemaRegistry {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        let server = Server::start(move |request| perform(&mut lock(&shared), request));
        Self { server, state }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Answers only who shows this header from now on.
    pub fn wants(&self, authorization: &str) {
        lock(&self.state).login = Some(authorization.to_owned());
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

    /// Registers a schema. Its id.
    pub fn register(&self, subject: &str, kind: &str, schema: &str, references: &Value) -> u32 {
        let body = json!({ "schema": schema, "schemaType": kind, "references": references });
        register(&mut lock(&self.state), subject, &body)
    }

    /// The GUID of a schema, without dashes: 16 bytes.
    #[must_use]
    pub fn guid(&self, id: u32) -> Vec<u8> {
        guid_bytes(id)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn guid_bytes(id: u32) -> Vec<u8> {
    [&[0xab; 12][..], &id.to_be_bytes()].concat()
}

fn guid(id: u32) -> String {
    let hex: String = guid_bytes(id).iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn register(state: &mut State, subject: &str, body: &Value) -> u32 {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let kind = if body["schemaType"].is_string() { text("schemaType") } else { "AVRO".to_owned() };
    let references = if body["references"].is_array() { body["references"].clone() } else { json!([]) };
    // Clients register compiled files. The real one finds the text that means the same; here, that of the
    // subject.
    let of_text = state.versions.iter().find(|one| one.subject == subject && kind == "PROTOBUF");
    if let Some(of_text) = of_text {
        return of_text.id;
    }
    let known = state.schemas.iter().position(|one| one.schema == text("schema") && one.kind == kind);
    let id = known.map_or_else(
        || {
            let id = u32::try_from(state.schemas.len()).expect("few") + 1;
            state.schemas.push(Known { guid: guid(id), kind, schema: text("schema"), references });
            id
        },
        |place| u32::try_from(place).expect("few") + 1,
    );
    if !state.versions.iter().any(|one| one.subject == subject && one.id == id) {
        let version = state.versions.iter().filter(|one| one.subject == subject).count() as u64 + 1;
        state.versions.push(Version { subject: subject.to_owned(), version, id });
    }
    id
}

fn found(body: &Value) -> Reply {
    let headers = vec![("content-type", "application/vnd.schemaregistry.v1+json".to_owned())];
    Reply { status: 200, headers, body: body.to_string().into_bytes(), ..Reply::default() }
}

fn missing(code: u32, what: &str) -> Reply {
    Reply { status: 404, ..found(&json!({ "error_code": code, "message": what })) }
}

fn perform(state: &mut State, request: &Request) -> Reply {
    if state.login.is_some() && state.login != request.authorization {
        return Reply { status: 401, ..found(&json!({ "error_code": 401, "message": "Unauthorized" })) };
    }
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match (request.method.as_str(), &parts[..]) {
        ("POST", ["subjects", subject, "versions"] | ["subjects", subject]) => {
            let id = register(state, subject, &body);
            version(state, |one| one.subject == *subject && one.id == id)
        }
        ("GET", ["subjects", subject, "versions", wanted]) => {
            let latest = state.versions.iter().filter(|one| one.subject == *subject).count() as u64;
            let number = if *wanted == "latest" { latest } else { wanted.parse().unwrap_or(0) };
            version(state, |one| one.subject == *subject && one.version == number)
        }
        ("GET", ["subjects"]) => {
            let all: Vec<&str> = state.versions.iter().map(|one| one.subject.as_str()).collect();
            found(&json!(all))
        }
        ("GET", ["schemas", "ids", id]) => schema(state, id.parse().unwrap_or(0)),
        ("GET", ["schemas", "guids", wanted]) => {
            let place = state.schemas.iter().position(|one| one.guid == *wanted);
            schema(state, place.map_or(0, |place| place + 1))
        }
        ("GET", ["schemas", "guids", wanted, "ids"]) => {
            let place = state.schemas.iter().position(|one| one.guid == *wanted);
            let ids: Vec<Value> =
                place.iter().map(|place| json!({ "context": ".", "id": place + 1 })).collect();
            found(&json!(ids))
        }
        ("GET", ["schemas", "ids", id, "versions"]) => {
            let all = state.versions.iter().filter(|one| one.id.to_string() == *id);
            let all: Vec<Value> =
                all.map(|one| json!({ "subject": one.subject, "version": one.version })).collect();
            found(&json!(all))
        }
        // As the real one says it of what it does not know.
        _ => Reply { status: 404, ..found(&json!({ "error_code": 404, "message": "HTTP 404 Not Found" })) },
    }
}

fn schema(state: &State, id: usize) -> Reply {
    let Some(known) = id.checked_sub(1).and_then(|place| state.schemas.get(place)) else {
        return missing(40403, "Schema not found");
    };
    let mut body = json!({ "schema": known.schema, "id": id, "guid": known.guid });
    // As the real one does, Avro is not named.
    if known.kind != "AVRO" {
        body["schemaType"] = json!(known.kind);
    }
    if known.references != json!([]) {
        body["references"] = known.references.clone();
    }
    found(&body)
}

fn version(state: &State, is_it: impl Fn(&Version) -> bool) -> Reply {
    let Some(one) = state.versions.iter().find(|one| is_it(one)) else {
        return missing(40402, "Version not found");
    };
    let known = &state.schemas[one.id as usize - 1];
    found(&json!({
        "subject": one.subject, "version": one.version, "id": one.id, "guid": known.guid,
        "schema": known.schema, "schemaType": known.kind, "references": known.references,
    }))
}

/// A part of a path without its escapes.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits: Vec<u8> = rest.by_ref().take(2).collect();
        let digits = String::from_utf8(digits).expect("an escape");
        bytes.push(u8::from_str_radix(&digits, 16).expect("an escape"));
    }
    String::from_utf8(bytes).expect("text")
}
