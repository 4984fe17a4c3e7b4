//! The schemas of a pipeline, as they are configured: `schema` in its section `decode`.

use super::databases::looked_up;
use super::given::Given;
use crate::settings::{Section, Written};
use pelton_decode::schemas::{Auth, Pass, RegistryConfig, SchemaConfig, SchemaKind, Wire};
use pelton_host::{digest, file};
use std::path::{Path, PathBuf};

/// Bytes of a schema's file that make it another.
const FILE_BYTES: usize = 1 << 20;

/// What is configured, and which file it was.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineSchema {
    pub schemas: SchemaConfig,
    /// Certificates that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Of the file, if it can be read: one that has changed is another schema at the next reload.
    digest: Option<String>,
}

impl PipelineSchema {
    /// Whether handlers see JSON in the place of what came.
    pub fn makes_another_body(&self) -> bool {
        self.schemas.pass == Pass::Json
    }
}

/// Reads `schema`; files are relative to `base`.
pub fn schema(decode: &Section<'_>, base: &Path, max_message_bytes: usize) -> Option<PipelineSchema> {
    if !decode.has("schema") {
        return None;
    }
    let section = decode.section("schema");
    let kinds =
        [("json", SchemaKind::Json), ("avro", SchemaKind::Avro), ("protobuf", SchemaKind::Protobuf)];
    if !section.has("type") {
        section.problem("type", "is missing; write \"json\", \"avro\" or \"protobuf\"");
    }
    let kind = section.word("type", &kinds, SchemaKind::Json);
    let file = section.text("file").filter(|file| !file.is_empty()).map(|file| base.join(file));
    let registry = registry(&section, base);
    let wires = [("none", Wire::None), ("confluent", Wire::Confluent), ("glue", Wire::Glue)];
    let usual = if section.has("registry") { Wire::Confluent } else { Wire::None };
    let schemas = SchemaConfig {
        kind,
        wire: section.word("wire", &wires, usual),
        message: section.text("message"),
        pass: section.word("pass", &[("original", Pass::Original), ("json", Pass::Json)], Pass::Original),
        file,
        registry,
        max_message_bytes,
    };
    let ca_file = section.text("ca_file").map(|path| base.join(path));
    contradictions(&section, &schemas);
    section.finish();
    let read = schemas.file.as_deref().and_then(|path| file::read(path, FILE_BYTES).ok());
    Some(PipelineSchema { digest: read.map(|bytes| digest(&bytes)), schemas, ca_file })
}

/// What cannot be together.
fn contradictions(section: &Section<'_>, schemas: &SchemaConfig) {
    let has_registry = section.has("registry");
    if !has_registry && schemas.file.is_none() {
        section.problem("file", "is missing, and so is `registry`: write where the schema is");
    }
    if has_registry && section.has("file") && schemas.kind != SchemaKind::Avro {
        section
            .problem("file", "is given beside `registry`, which only Avro can have: leave one of them out");
    }
    if has_registry && schemas.wire != Wire::Confluent {
        section
            .problem("wire", "must be \"confluent\" with a `registry`: by it messages name their schema");
    }
    for key in ["subject", "auth", "ca_file"] {
        if !has_registry && section.has(key) {
            section.problem(key, "is given without `registry`; leave it out");
        }
    }
    if section.has("message") && (schemas.kind != SchemaKind::Protobuf || has_registry) {
        section.problem("message", "is for a `file` of Protobuf; leave it out");
    }
}

fn registry(section: &Section<'_>, base: &Path) -> Option<RegistryConfig> {
    let (subject, auth) = (section.text("subject"), auth(section, base));
    let url = url(section, &section.text("registry")?)?;
    if auth.is_some() && url.starts_with("http://") && !is_here(&url) {
        section.problem("auth", "would be sent without TLS; write `registry` with https://");
    }
    let auth_from = auth.as_ref().map(|(_, from)| from.clone()).unwrap_or_default();
    Some(RegistryConfig { url, subject, auth: auth.map(|(auth, _)| auth), auth_from })
}

fn url(section: &Section<'_>, text: &str) -> Option<String> {
    // What is wrong with it is not shown then: it would be shown with it.
    if text.contains('@') {
        section.problem("registry", "has a user name or a password in it; they go into `auth`");
        return None;
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let sound = rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && rest.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\".contains(&b))
    });
    if !sound {
        section.problem(
            "registry",
            "is no address; write \"https://registry.example.com\", perhaps with a path",
        );
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// Whether an address is on this machine.
fn is_here(url: &str) -> bool {
    let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    host.starts_with("127.")
        || host.starts_with("[::1]")
        || host == "localhost"
        || host.starts_with("localhost:")
}

/// The login, and what two are compared by.
fn auth(section: &Section<'_>, base: &Path) -> Option<(Auth, String)> {
    if !section.has("auth") {
        return None;
    }
    let table = section.section("auth");
    let user = table.text("user");
    let (password, token) = (secret(&table, "password", base), secret(&table, "token", base));
    let auth = match (user, password, token) {
        (Some(user), Some(password), None) if !user.contains(':') => {
            let from = format!("{user} {password:?}");
            Some((Auth::Basic(user, looked_up(password)), from))
        }
        (None, None, Some(token)) => {
            let from = format!("{token:?}");
            Some((Auth::Bearer(looked_up(token)), from))
        }
        // One of the wrong form has been noted already.
        _ if table.has("password") || table.has("token") => None,
        _ => {
            let what = "must have a `user` and a `password`, or a `token`";
            table.problems.note(&table.path, what);
            None
        }
    };
    if table.has("token") && (table.has("user") || table.has("password")) {
        table.problem("token", "is given beside a `user` or a `password`; leave one of them out");
    } else if table.has("password") && !table.has("user") {
        table.problem("user", "is missing beside `password`");
    }
    table.finish();
    auth
}

/// A secret is never in the file itself.
fn secret(table: &Section<'_>, key: &'static str, base: &Path) -> Option<Given> {
    match table.written(key)? {
        written @ Written::Table(_) => Given::read(table, key, written, base),
        Written::Text(_) | Written::Flag(_) | Written::Texts(_) | Written::Other(_) => {
            table.problem(key, "is no place: write { file = \"PATH\" } or { env = \"NAME\" }");
            None
        }
    }
}
