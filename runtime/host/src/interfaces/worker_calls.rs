//! What a worker asks for before it answers: calls of version 2 of its protocol, in JSON.
//! docs/handlers/plain-programs.md describes them.
//!
//! Each is answered with a result, or with an error that the worker can go on from. Whatever it asks for is
//! refused as it would be to a component.

use crate::grants::http::{HttpError, HttpRequest, HttpResponse};
use crate::guest::protocol::Call;
use crate::interfaces::outbox::{self, OutboxMessage, SendFailure};
use crate::interfaces::sql::{self, Asked, SqlFailure};
use crate::interfaces::state::{self, StateFailure};
use crate::interfaces::{Caller, config};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pelton_core::Header;
use pelton_core::effects::{SqlError, Statement};
use pelton_core::shown::shown;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::time::Duration;

/// An error that is answered: its code, and words.
struct Failure {
    code: String,
    words: String,
}

type Answer = Result<Value, Failure>;

/// What a call says: an object, field by field.
struct Fields(Map<String, Value>);

/// The answer to a call, as the worker reads it.
pub(crate) async fn answer(caller: &Caller<'_>, call: Call) -> Vec<u8> {
    match made(caller, call).await {
        Ok(value) => framed("result", value.to_string().as_bytes()),
        Err(Failure { code, words }) => framed(&format!("error {code}"), words.as_bytes()),
    }
}

fn framed(head: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{head} {}\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.push(b'\n');
    out
}

async fn made(caller: &Caller<'_>, call: Call) -> Answer {
    let Some(json) = call.json else {
        return Err(failure("limit", "the call is too long: at most 8 MiB of JSON are taken"));
    };
    let fields = match serde_json::from_slice(&json) {
        Ok(Value::Object(fields)) => Fields(fields),
        Ok(_) => return Err(refused("the text of a call must be a JSON object")),
        Err(error) => return Err(refused(&format!("the text of the call is no JSON: {error}"))),
    };
    drop(json);
    match &*call.name {
        "http.send" => http_send(caller, &fields).await,
        "config.get" => config_get(caller, &fields),
        "config.all" => config_all(caller),
        "state.get" => state_get(caller, &fields).await,
        "state.set" => state_set(caller, &fields, Some(fields.bytes("value")?)).await,
        "state.delete" => state_set(caller, &fields, None).await,
        "state.increment" => state_increment(caller, &fields).await,
        "state.list" => state_list(caller, &fields).await,
        "outbox.send" => outbox_send(caller, fields),
        "sql.query" => sql_query(caller, &fields).await,
        "sql.execute" => Ok(json!({ "affected": sql::execute(caller, asked(&fields)?).await? })),
        "sql.stage" => Ok(sql::stage(caller, asked(&fields)?).await.map(|()| json!({}))?),
        name => Err(refused(&format!("there is no call `{}`", shown(name).at_most(64)))),
    }
}

async fn http_send(caller: &Caller<'_>, fields: &Fields) -> Answer {
    granted(!caller.grants.http.is_empty(), "HTTP")?;
    let request = HttpRequest {
        message: fields.optional("message", Fields::text)?.map(str::to_owned),
        method: fields.text("method")?.to_owned(),
        url: fields.text("url")?.to_owned(),
        headers: fields.headers("text", |text| Some(text.as_bytes().to_vec()))?,
        body: fields.optional("body", Fields::bytes)?.unwrap_or_default(),
    };
    let timeout = fields.optional("timeout_ms", Fields::number)?.map(Duration::from_millis);
    let sent = caller.shared.http.send_whole(request, timeout, caller.about).await;
    // Its room in the worker's memory is given back when the answer is written.
    let whole = sent.map_err(|HttpError { code, words }| Failure { code, words })?;
    let HttpResponse { status, headers, body } = &whole.response;
    let headers: Vec<(&str, Cow<'_, str>)> =
        headers.iter().map(|(name, value)| (&**name, String::from_utf8_lossy(value))).collect();
    Ok(json!({ "status": status, "headers": headers, "body": STANDARD.encode(body) }))
}

fn config_get(caller: &Caller<'_>, fields: &Fields) -> Answer {
    granted(caller.grants.config.is_some(), "configuration")?;
    Ok(json!({ "value": config::get(caller.grants, fields.text("name")?) }))
}

fn config_all(caller: &Caller<'_>) -> Answer {
    granted(caller.grants.config.is_some(), "configuration")?;
    let pairs = config::all(caller.grants).iter();
    let values: Map<String, Value> = pairs.map(|(name, value)| (name.clone(), json!(value))).collect();
    Ok(json!({ "values": values }))
}

async fn state_get(caller: &Caller<'_>, fields: &Fields) -> Answer {
    let bucket = state::store(caller, fields.text("store")?)?;
    let value = state::get(caller, bucket, fields.text("key")?).await?;
    Ok(json!({ "value": value.map(|value| STANDARD.encode(value)) }))
}

async fn state_set(caller: &Caller<'_>, fields: &Fields, value: Option<Vec<u8>>) -> Answer {
    let bucket = state::store(caller, fields.text("store")?)?;
    state::write(caller, bucket, vec![(fields.text("key")?.to_owned(), value)]).await?;
    Ok(json!({}))
}

async fn state_increment(caller: &Caller<'_>, fields: &Fields) -> Answer {
    let bucket = state::store(caller, fields.text("store")?)?;
    let by = fields.get("by").and_then(Value::as_i64).ok_or_else(|| fields.is_no("by", "whole number"))?;
    let next = state::increment(caller, bucket, fields.text("key")?, by.into(), i64::MIN).await?;
    Ok(json!({ "value": next }))
}

async fn state_list(caller: &Caller<'_>, fields: &Fields) -> Answer {
    let bucket = state::store(caller, fields.text("store")?)?;
    let after =
        fields.optional("after", |fields, name| fields.text(name))?.map(|key| key.as_bytes().to_vec());
    let max = usize::try_from(fields.number("max")?).unwrap_or(usize::MAX);
    let listed = state::list(caller, bucket, after, max).await?;
    let text = |key: &Vec<u8>| String::from_utf8_lossy(key).into_owned();
    let keys: Vec<String> = listed.keys.iter().map(text).collect();
    Ok(json!({ "keys": keys, "more": listed.next.is_some() }))
}

fn outbox_send(caller: &Caller<'_>, fields: Fields) -> Answer {
    let message = OutboxMessage {
        topic: fields.optional("topic", Fields::text)?.map(str::to_owned),
        key: fields.optional("key", Fields::bytes)?,
        headers: fields
            .headers("base64", base64)?
            .into_iter()
            .map(|(name, value)| Header::new(name, value))
            .collect(),
        body: fields.bytes("body")?,
        delay_ms: fields.optional("delay_ms", Fields::number)?,
    };
    Ok(json!({ "id": &*outbox::send(caller, fields.text("target")?, message)? }))
}

async fn sql_query(caller: &Caller<'_>, fields: &Fields) -> Answer {
    Ok(sql::rows(&sql::query(caller, asked(fields)?, caller.memory()).await?))
}

fn asked(fields: &Fields) -> Result<Asked, Failure> {
    let parameters = match fields.get("parameters") {
        None => Some(Vec::new()),
        Some(given) => given.as_array().and_then(|list| sql::parameters(list)),
    };
    let text = fields.text("statement")?.to_owned();
    let parameters = parameters.ok_or_else(|| fields.is_no("parameters", sql::FORM))?;
    Ok(Asked { database: fields.text("database")?.to_owned(), statement: Statement { text, parameters } })
}

fn granted(is_granted: bool, what: &str) -> Result<(), Failure> {
    if is_granted {
        return Ok(());
    }
    Err(failure("not-granted", &format!("the pipeline grants no {what}")))
}

fn failure(code: &str, words: &str) -> Failure {
    Failure { code: code.to_owned(), words: words.to_owned() }
}

fn refused(words: &str) -> Failure {
    failure("refused", words)
}

impl Fields {
    /// A field that is there, and not `null`.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn is_no(&self, name: &str, what: &str) -> Failure {
        match self.get(name) {
            Some(_) => refused(&format!("`{name}` must be a {what}")),
            None => refused(&format!("`{name}` is missing: it must be a {what}")),
        }
    }

    fn optional<'a, T>(
        &'a self,
        name: &str,
        read: impl FnOnce(&'a Self, &str) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        self.get(name).map(|_| read(self, name)).transpose()
    }

    fn text(&self, name: &str) -> Result<&str, Failure> {
        self.get(name).and_then(Value::as_str).ok_or_else(|| self.is_no(name, "text"))
    }

    fn number(&self, name: &str) -> Result<u64, Failure> {
        self.get(name).and_then(Value::as_u64).ok_or_else(|| self.is_no(name, "whole number from 0 on"))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let bytes = self.get(name).and_then(Value::as_str).and_then(base64);
        bytes.ok_or_else(|| self.is_no(name, "text in base64"))
    }

    /// Pairs of a name and a value; none where they are left out.
    fn headers(
        &self,
        form: &str,
        value: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let is_none = || self.is_no("headers", &format!("list of pairs: a name, and its value as {form}"));
        let Some(pairs) = self.get("headers") else { return Ok(Vec::new()) };
        let pairs = pairs.as_array().ok_or_else(is_none)?;
        let pair = |pair: &Value| {
            let [name, text] = pair.as_array()?.as_slice() else { return None };
            Some((name.as_str()?.to_owned(), value(text.as_str()?)?))
        };
        pairs.iter().map(|it| pair(it).ok_or_else(is_none)).collect()
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

impl From<StateFailure> for Failure {
    fn from(failure: StateFailure) -> Self {
        let code = match failure {
            StateFailure::NotGranted | StateFailure::NoSuchStore(_) => "not-granted",
            StateFailure::Refused(_) => "refused",
            StateFailure::Limit(_) => "limit",
            StateFailure::Unavailable(_) => "unavailable",
        };
        self::failure(code, &failure.words())
    }
}

impl From<SendFailure> for Failure {
    fn from(failed: SendFailure) -> Self {
        match failed {
            SendFailure::NotGranted => failure("not-granted", outbox::NOT_GRANTED),
            SendFailure::UnknownTarget(words) => failure("unknown-target", &words),
            SendFailure::Refused(words) => failure("refused", &words),
            SendFailure::Limit(words) => failure("limit", &words),
        }
    }
}

impl From<SqlFailure> for Failure {
    fn from(failed: SqlFailure) -> Self {
        match failed {
            SqlFailure::UnknownDatabase(words) => failure("unknown-database", &words),
            SqlFailure::Failed(SqlError::Refused(words)) => failure("refused", &words),
            SqlFailure::Failed(SqlError::Unavailable(words)) => failure("unavailable", &words),
            SqlFailure::Failed(SqlError::TooLarge(most)) => {
                failure("too-large", &format!("the result has more than {most} rows or bytes"))
            }
            SqlFailure::Failed(SqlError::Database { code, message, detail, constraint }) => {
                let said =
                    json!({ "code": code, "message": message, "detail": detail, "constraint": constraint });
                failure("database", &said.to_string())
            }
        }
    }
}
