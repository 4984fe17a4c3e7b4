//! How a pipeline's schemas are configured.

use pelton_core::database::Password;
use std::fmt;
use std::path::{Path, PathBuf};

/// What a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// JSON Schema; bodies are JSON.
    Json,
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
}

/// What stands before a body and names its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Nothing.
    None,
    /// The id of Confluent's clients, here or in a header.
    Confluent,
    /// The header of AWS Glue's clients.
    Glue,
}

/// What a handler sees of a body that is as its schema says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The body as it came.
    Original,
    /// The same as JSON.
    Json,
}

/// The schemas of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaConfig {
    /// What they are written in.
    pub kind: SchemaKind,
    /// The schema; with a registry, the one that bodies are read as.
    pub file: Option<PathBuf>,
    /// Where schemas are that messages name.
    pub registry: Option<RegistryConfig>,
    /// What stands before bodies.
    pub wire: Wire,
    /// The message of a `.proto` file that all bodies are.
    pub message: Option<String>,
    /// What handlers see.
    pub pass: Pass,
    /// Bytes that a body may have.
    pub max_message_bytes: usize,
}

/// A registry of schemas that speaks Confluent's HTTP API.
#[derive(Clone)]
pub struct RegistryConfig {
    /// `http` or `https`, a host, perhaps a port and a path; without a slash at its end and without a login.
    pub url: String,
    /// The subject that schemas have to be of; none where any is good.
    pub subject: Option<String>,
    /// What the registry is shown.
    pub auth: Option<Auth>,
    /// What has been written for `auth`, by which two are compared.
    pub auth_from: String,
}

/// A login. Secrets are looked up for each question.
#[derive(Clone)]
pub enum Auth {
    /// A user and a password.
    Basic(String, Password),
    /// A token.
    Bearer(Password),
}

impl SchemaConfig {
    /// The file's own name, for reasons.
    pub(super) fn file_name(&self) -> &str {
        let name = self.file.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        name.unwrap_or("of the file")
    }
}

impl PartialEq for RegistryConfig {
    fn eq(&self, other: &Self) -> bool {
        (&self.url, &self.subject, &self.auth_from) == (&other.url, &other.subject, &other.auth_from)
    }
}

/// Without the login.
impl fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryConfig")
            .field("url", &self.url)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
