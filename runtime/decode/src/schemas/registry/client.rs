//! Questions to a registry, by Confluent's HTTP API.
//!
//! Nothing that it says is believed to be small, or soon. Only an answer in the API's own words says that
//! there is no such schema: any other may come from something else at that address, and counts as none.

use crate::schemas::config::{Auth, RegistryConfig, SchemaKind};
use crate::schemas::wire::SchemaRef;
use crate::schemas::{Document, Reference};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pelton_core::shown::shown;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;
use std::fmt::Write;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::{Request, StatusCode};

/// For one question, whole.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For a schema with all that it refers to.
const TIMEOUT_OF_ALL: Duration = Duration::from_secs(60);
/// Bytes of an answer, and of all that one schema is made of.
const ANSWER_BYTES: u64 = 1 << 20;
const ALL_BYTES: usize = 4 << 20;
/// Schemas that one refers to, and those that these refer to.
pub(in crate::schemas) const MAX_REFERENCES: usize = 100;
/// Bytes of the registry's own words that are shown.
const SHOWN: usize = 200;

pub(super) struct Client {
    config: RegistryConfig,
    kind: SchemaKind,
    agent: Agent,
}

/// What a registry has said.
pub(super) enum Fetched {
    Document(Document),
    /// There is no such schema, or none that could be used. Goes on where its name stops.
    Unusable(String),
}

/// Why there is no answer to believe.
enum Refused {
    /// It does not say: goes on where its name stops.
    Away(String),
    /// It says no: in its words.
    Unknown(String),
    TooLarge,
}

/// A schema, as the API has it. `id` and `guid` are known already.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Named>,
}

/// A schema that another refers to.
#[derive(Deserialize, Clone, PartialEq, Eq, Hash)]
struct Named {
    name: String,
    subject: String,
    version: i64,
}

#[derive(Deserialize)]
struct Version {
    subject: String,
}

#[derive(Deserialize)]
struct ContextId {
    id: u32,
}

impl Client {
    pub(super) fn new(config: RegistryConfig, kind: SchemaKind, agent: Agent) -> Self {
        Self { config, kind, agent }
    }

    /// Its address. There is no login in it.
    pub(super) fn name(&self) -> &str {
        &self.config.url
    }

    /// The subject that schemas have to be of.
    pub(super) fn subject(&self) -> Option<&str> {
        self.config.subject.as_deref()
    }

    /// A schema with its references. The error says that there is no answer, and why.
    pub(super) fn fetch(&self, named: SchemaRef) -> Result<Fetched, String> {
        answered(self.whole(named))
    }

    /// The newest schema of the subject. Without one it is asked whether it answers.
    pub(super) fn newest(&self) -> Result<Option<Fetched>, String> {
        let Some(subject) = self.subject() else {
            return match self.get::<Vec<Value>>("/subjects?limit=1") {
                Ok(_) | Err(Refused::TooLarge) => Ok(None),
                Err(Refused::Away(why) | Refused::Unknown(why)) => Err(why),
            };
        };
        let newest = self.get(&format!("/subjects/{}/versions/latest", encoded(subject)));
        let whole = |answer: Answer| match self.of_another_kind(&answer) {
            Some(other) => Ok(Fetched::Unusable(other)),
            None => self.with_references(answer),
        };
        answered(newest.and_then(whole)).map(Some)
    }

    fn whole(&self, named: SchemaRef) -> Result<Fetched, Refused> {
        let subject = self.config.subject.as_deref();
        let of = subject.map(|subject| format!("?subject={}", encoded(subject))).unwrap_or_default();
        let answer: Answer = match named {
            SchemaRef::Id(id) => self.get(&format!("/schemas/ids/{id}{of}"))?,
            SchemaRef::Guid(_) => self.get(&format!("/schemas/guids/{named}"))?,
        };
        if let Some(other) = self.of_another_kind(&answer) {
            return Ok(Fetched::Unusable(other));
        }
        if let Some(subject) = subject
            && !self.is_of(named, subject, &of)?
        {
            return Ok(Fetched::Unusable(format!("is not one of the subject {}", shown(subject))));
        }
        self.with_references(answer)
    }

    fn of_another_kind(&self, answer: &Answer) -> Option<String> {
        let wanted = match self.kind {
            SchemaKind::Json => "JSON",
            SchemaKind::Avro => "AVRO",
            SchemaKind::Protobuf => "PROTOBUF",
        };
        let kind = answer.schema_type.as_deref().unwrap_or("AVRO");
        (kind != wanted).then(|| {
            format!("is of the type {}, and the pipeline reads {wanted}", shown(kind).at_most(SHOWN))
        })
    }

    /// Whether a schema is one of a subject's.
    fn is_of(&self, named: SchemaRef, subject: &str, of: &str) -> Result<bool, Refused> {
        let id = match named {
            SchemaRef::Id(id) => id,
            SchemaRef::Guid(_) => {
                let ids: Vec<ContextId> = self.get(&format!("/schemas/guids/{named}/ids"))?;
                match ids.first() {
                    Some(first) => first.id,
                    None => return Ok(false),
                }
            }
        };
        let versions: Vec<Version> = self.get(&format!("/schemas/ids/{id}/versions{of}"))?;
        Ok(versions.iter().any(|version| version.subject == subject))
    }

    fn with_references(&self, answer: Answer) -> Result<Fetched, Refused> {
        let mut bytes = answer.schema.len();
        let mut document = Document { text: answer.schema, references: Vec::new() };
        let mut seen: HashSet<Named> = answer.references.iter().cloned().collect();
        let mut open = answer.references;
        let begun = Instant::now();
        while let Some(next) = open.pop() {
            if begun.elapsed() > TIMEOUT_OF_ALL {
                let seconds = TIMEOUT_OF_ALL.as_secs();
                let why = format!("does not say within {seconds} s all that a schema refers to");
                return Err(Refused::Away(why));
            }
            if seen.len() > MAX_REFERENCES {
                return Ok(Fetched::Unusable(format!("refers to more than {MAX_REFERENCES} others")));
            }
            let path =
                format!("/subjects/{}/versions/{}?deleted=true", encoded(&next.subject), next.version);
            let answer: Answer = self.get(&path)?;
            bytes += answer.schema.len();
            if bytes > ALL_BYTES {
                return Err(Refused::TooLarge);
            }
            open.extend(answer.references.iter().filter(|one| seen.insert((*one).clone())).cloned());
            document.references.push(Reference { name: next.name, text: answer.schema });
        }
        // Two that others call otherwise may be one.
        let mut texts = HashSet::new();
        if self.kind == SchemaKind::Avro {
            document.references.retain(|one| texts.insert(one.text.clone()));
        }
        Ok(Fetched::Document(document))
    }

    /// Asks, and takes the answer apart.
    fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Refused> {
        let (status, bytes) = self.ask(path)?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| {
                Refused::Away(format!("gives an answer that is none of a schema registry: {error}"))
            });
        }
        let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let words = shown(said["message"].as_str().unwrap_or_default()).at_most(SHOWN).to_string();
        // 40401 to 40403: there is no such subject, version or schema. A 404 of something else has no such
        // number.
        if status == StatusCode::NOT_FOUND
            && said["error_code"].as_u64().is_some_and(|code| code / 100 == 404)
        {
            return Err(Refused::Unknown(if words.is_empty() { "not found".to_owned() } else { words }));
        }
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.config.auth.is_none() => {
                "; see `auth`"
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; look at `auth`",
            StatusCode::NOT_FOUND => "; is `registry` its address?",
            status if status.is_redirection() => ", which is not followed; name the address itself",
            _ => "",
        };
        let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
        Err(Refused::Away(format!("answers {}{words}{hint}", status.as_u16())))
    }

    fn ask(&self, path: &str) -> Result<(StatusCode, Vec<u8>), Refused> {
        let mut request = Request::get(format!("{}{path}", self.config.url))
            .header("accept", "application/vnd.schemaregistry.v1+json, application/json");
        if let Some(header) = self.authorization().map_err(Refused::Away)? {
            request = request.header("authorization", header);
        }
        let unheard = |error: &ureq::Error| Refused::Away(unheard(error));
        let request = request.body(()).map_err(|error| unheard(&ureq::Error::Http(error)))?;
        let request = self.agent.configure_request(request).timeout_global(Some(TIMEOUT)).build();
        let response = self.agent.run(request).map_err(|error| unheard(&error))?;
        let (head, body) = response.into_parts();
        let read = body.into_with_config().limit(ANSWER_BYTES).read_to_vec();
        match read {
            Ok(bytes) => Ok((head.status, bytes)),
            Err(ureq::Error::BodyExceedsLimit(_)) if head.status.is_success() => Err(Refused::TooLarge),
            Err(error) => Err(unheard(&error)),
        }
    }

    /// Read for each question: a secret that has changed counts from then on.
    fn authorization(&self) -> Result<Option<String>, String> {
        let secret = |secret: &pelton_core::database::Password| {
            secret().map_err(|why| format!("is not asked, since its login cannot be read: {why}"))
        };
        Ok(match &self.config.auth {
            None => None,
            Some(Auth::Basic(user, password)) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{}", secret(password)?))))
            }
            Some(Auth::Bearer(token)) => Some(format!("Bearer {}", secret(token)?)),
        })
    }
}

/// What an answer says of a schema. The error says that there is none.
fn answered(answer: Result<Fetched, Refused>) -> Result<Fetched, String> {
    match answer {
        Ok(fetched) => Ok(fetched),
        Err(Refused::Away(why)) => Err(why),
        Err(Refused::Unknown(said)) => Ok(Fetched::Unusable(format!("is not in the registry: {said}"))),
        Err(Refused::TooLarge) => {
            Ok(Fetched::Unusable(format!("has more than {ANSWER_BYTES} bytes, or refers to what has")))
        }
    }
}

/// Goes on where the registry's name stops.
fn unheard(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("does not answer within {} s", TIMEOUT.as_secs()),
        // Its text would have the header, which is the login.
        ureq::Error::Http(_) => "cannot be asked: its login has what a header cannot have".to_owned(),
        error => format!("cannot be reached: {}", shown(&error.to_string()).at_most(SHOWN)),
    }
}

/// A part of a path, or a value of a query.
fn encoded(text: &str) -> String {
    let mut all = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            all.push(char::from(byte));
        } else {
            let written = write!(all, "%{byte:02X}");
            debug_assert!(written.is_ok(), "a text takes what is written");
        }
    }
    all
}
