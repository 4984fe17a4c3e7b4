//! The effects of a component: the way between the crate's own words and the interfaces of the host. What a
//! handler does not use of it is not in its component, so it needs no grant.

use crate::http::{Request, Response};
use crate::outbox::Outgoing;
use crate::sql::{Column, Rows, Statement, Value};
use crate::{EffectError, Header};
use std::time::Duration;

/// Bindings of what handlers import.
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "pelton:uses/all@0.1.0",
        generate_all,
    });
}

use bindings::pelton::effects::{outbox, sql};
use bindings::wasi::config::store as config;
use bindings::wasi::http::outgoing_handler;
use bindings::wasi::http::types as http;
use bindings::wasi::io::streams::{InputStream, StreamError};
use bindings::wasi::keyvalue::{atomics, store};

/// What one write of a stream takes at most, by the standard.
const WRITE: usize = 4096;
/// What is asked for at a time.
const READ: u64 = 64 << 10;

pub(crate) fn send(request: &Request) -> Result<Response, EffectError> {
    let failed = |code: http::ErrorCode| failed(request, &code);
    let refused = |what: &str| EffectError::new("refused", format!("{}: {what}", request.shown()));
    let outgoing = outgoing(request)?;
    let body = match &request.body {
        Some(_) => Some(outgoing.body().map_err(|()| refused("it has no body"))?),
        None => None,
    };
    let options = request.timeout.map(options).transpose().map_err(|()| refused("no such timeout"))?;
    let answer = outgoing_handler::handle(outgoing, options).map_err(failed)?;
    if let (Some(body), Some(bytes)) = (body, &request.body) {
        // Why the server did not take all of it, the answer says.
        write(body, bytes).unwrap_or_default();
    }
    answer.subscribe().block();
    let lost = || refused("the answer was taken already");
    let incoming = answer.get().ok_or_else(lost)?.map_err(|()| lost())?.map_err(failed)?;
    let headers = incoming.headers().entries().into_iter();
    let headers = headers.map(|(name, value)| Header { name, value }).collect();
    let content = incoming.consume().map_err(|()| lost())?;
    let stream = content.stream().map_err(|()| lost())?;
    let body = read(&stream).map_err(failed)?;
    Ok(Response { status: incoming.status(), headers, body, of: request.shown() })
}

fn outgoing(request: &Request) -> Result<http::OutgoingRequest, EffectError> {
    let refused = |what: &str| EffectError::new("refused", format!("{}: {what}", request.shown()));
    let (scheme, authority, path) = parts(&request.url).ok_or_else(|| refused("this is no http(s) URL"))?;
    let mut headers: Vec<(String, Vec<u8>)> =
        request.headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect();
    let has_length = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if let (Some(body), false) = (&request.body, has_length) {
        headers.push(("content-length".into(), body.len().to_string().into_bytes()));
    }
    let headers = http::Fields::from_list(&headers).map_err(|error| {
        refused(match error {
            http::HeaderError::Forbidden => "one of its headers is the host's to set",
            http::HeaderError::InvalidSyntax | http::HeaderError::Immutable => "one of its headers is none",
        })
    })?;
    let outgoing = http::OutgoingRequest::new(headers);
    outgoing.set_method(&method(&request.method)).map_err(|()| refused("no such method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| refused("no such scheme"))?;
    outgoing.set_authority(Some(authority)).map_err(|()| refused("its host is none"))?;
    outgoing.set_path_with_query(Some(&path)).map_err(|()| refused("its path is none"))?;
    Ok(outgoing)
}

/// Scheme, authority, and path with query.
fn parts(url: &str) -> Option<(http::Scheme, &str, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => http::Scheme::Http,
        "https" => http::Scheme::Https,
        _ => return None,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some((scheme, authority, path))
}

fn method(name: &str) -> http::Method {
    match name {
        "GET" => http::Method::Get,
        "HEAD" => http::Method::Head,
        "POST" => http::Method::Post,
        "PUT" => http::Method::Put,
        "DELETE" => http::Method::Delete,
        "PATCH" => http::Method::Patch,
        "OPTIONS" => http::Method::Options,
        other => http::Method::Other(other.into()),
    }
}

fn options(timeout: Duration) -> Result<http::RequestOptions, ()> {
    let nanoseconds = Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    let options = http::RequestOptions::new();
    options.set_connect_timeout(nanoseconds)?;
    options.set_first_byte_timeout(nanoseconds)?;
    options.set_between_bytes_timeout(nanoseconds)?;
    Ok(options)
}

fn write(body: http::OutgoingBody, bytes: &[u8]) -> Result<(), ()> {
    let stream = body.write()?;
    for piece in bytes.chunks(WRITE) {
        stream.blocking_write_and_flush(piece).map_err(drop)?;
    }
    drop(stream);
    http::OutgoingBody::finish(body, None).map_err(drop)
}

fn read(stream: &InputStream) -> Result<Vec<u8>, http::ErrorCode> {
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(READ) {
            Ok(bytes) => body.extend(bytes),
            Err(StreamError::Closed) => return Ok(body),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = http::http_error_code(&error);
                return Err(
                    code.unwrap_or_else(|| http::ErrorCode::InternalError(Some(error.to_debug_string())))
                );
            }
        }
    }
}

/// The name of the case as the standard writes it, and what it carries.
fn failed(request: &Request, code: &http::ErrorCode) -> EffectError {
    use http::ErrorCode as Code;
    let name = match code {
        Code::DnsTimeout => "DNS-timeout",
        Code::DnsError(_) => "DNS-error",
        Code::DestinationNotFound => "destination-not-found",
        Code::DestinationUnavailable => "destination-unavailable",
        Code::DestinationIpProhibited => "destination-IP-prohibited",
        Code::DestinationIpUnroutable => "destination-IP-unroutable",
        Code::ConnectionRefused => "connection-refused",
        Code::ConnectionTerminated => "connection-terminated",
        Code::ConnectionTimeout => "connection-timeout",
        Code::ConnectionReadTimeout => "connection-read-timeout",
        Code::ConnectionWriteTimeout => "connection-write-timeout",
        Code::ConnectionLimitReached => "connection-limit-reached",
        Code::TlsProtocolError => "TLS-protocol-error",
        Code::TlsCertificateError => "TLS-certificate-error",
        Code::TlsAlertReceived(_) => "TLS-alert-received",
        Code::HttpRequestDenied => "HTTP-request-denied",
        Code::HttpRequestLengthRequired => "HTTP-request-length-required",
        Code::HttpRequestBodySize(_) => "HTTP-request-body-size",
        Code::HttpRequestMethodInvalid => "HTTP-request-method-invalid",
        Code::HttpRequestUriInvalid => "HTTP-request-URI-invalid",
        Code::HttpRequestUriTooLong => "HTTP-request-URI-too-long",
        Code::HttpRequestHeaderSectionSize(_) => "HTTP-request-header-section-size",
        Code::HttpRequestHeaderSize(_) => "HTTP-request-header-size",
        Code::HttpRequestTrailerSectionSize(_) => "HTTP-request-trailer-section-size",
        Code::HttpRequestTrailerSize(_) => "HTTP-request-trailer-size",
        Code::HttpResponseIncomplete => "HTTP-response-incomplete",
        Code::HttpResponseHeaderSectionSize(_) => "HTTP-response-header-section-size",
        Code::HttpResponseHeaderSize(_) => "HTTP-response-header-size",
        Code::HttpResponseBodySize(_) => "HTTP-response-body-size",
        Code::HttpResponseTrailerSectionSize(_) => "HTTP-response-trailer-section-size",
        Code::HttpResponseTrailerSize(_) => "HTTP-response-trailer-size",
        Code::HttpResponseTransferCoding(_) => "HTTP-response-transfer-coding",
        Code::HttpResponseContentCoding(_) => "HTTP-response-content-coding",
        Code::HttpResponseTimeout => "HTTP-response-timeout",
        Code::HttpUpgradeFailed => "HTTP-upgrade-failed",
        Code::HttpProtocolError => "HTTP-protocol-error",
        Code::LoopDetected => "loop-detected",
        Code::ConfigurationError => "configuration-error",
        Code::InternalError(_) => "internal-error",
    };
    let mut text = request.shown();
    if let Code::InternalError(Some(said)) = code {
        text = format!("{text}: {said}");
    }
    EffectError::new(name, text)
}

pub(crate) fn config_get(name: &str) -> Result<Option<String>, EffectError> {
    config::get(name).map_err(unavailable)
}

pub(crate) fn config_all() -> Result<Vec<(String, String)>, EffectError> {
    config::get_all().map_err(unavailable)
}

fn unavailable(error: config::Error) -> EffectError {
    let (config::Error::Upstream(text) | config::Error::Io(text)) = error;
    EffectError::new("unavailable", text)
}

fn with_bucket<T>(
    name: &str,
    act: impl FnOnce(&store::Bucket) -> Result<T, store::Error>,
) -> Result<T, EffectError> {
    store::open(name).and_then(|bucket| act(&bucket)).map_err(|error| match error {
        store::Error::NoSuchStore | store::Error::AccessDenied => {
            let text = format!("the pipeline grants no store `{name}`: add it to its grants.state");
            EffectError::new("not-granted", text)
        }
        store::Error::Other(text) => EffectError::new("refused", text),
    })
}

pub(crate) fn state_get(store: &str, key: &str) -> Result<Option<Vec<u8>>, EffectError> {
    with_bucket(store, |bucket| bucket.get(key))
}

pub(crate) fn state_set(store: &str, key: &str, value: &[u8]) -> Result<(), EffectError> {
    with_bucket(store, |bucket| bucket.set(key, value))
}

pub(crate) fn state_delete(store: &str, key: &str) -> Result<(), EffectError> {
    with_bucket(store, |bucket| bucket.delete(key))
}

pub(crate) fn state_increment(store: &str, key: &str, by: i64) -> Result<i64, EffectError> {
    with_bucket(store, |bucket| atomics::increment(bucket, key, by))
}

pub(crate) fn state_list(store: &str) -> Result<Vec<String>, EffectError> {
    with_bucket(store, |bucket| {
        let mut page = bucket.list_keys(None)?;
        let mut keys = std::mem::take(&mut page.keys);
        while let Some(cursor) = page.cursor.take() {
            page = bucket.list_keys(Some(&cursor))?;
            keys.append(&mut page.keys);
        }
        Ok(keys)
    })
}

pub(crate) fn send_message(message: Outgoing) -> Result<String, EffectError> {
    let header = |Header { name, value }| outbox::Header { name, value };
    let delay = message.delay.map(|delay| delay.as_nanos().div_ceil(1_000_000));
    let outgoing = outbox::Outgoing {
        key: message.key,
        headers: message.headers.into_iter().map(header).collect(),
        body: message.body,
        delay_ms: delay.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
        topic: message.topic,
    };
    outbox::send(&message.target, &outgoing).map_err(|error| match error {
        outbox::Error::UnknownTarget(text) => EffectError::new("unknown-target", text),
        outbox::Error::Refused(text) => EffectError::new("refused", text),
        outbox::Error::Limit(text) => EffectError::new("limit", text),
    })
}

pub(crate) fn sql_query(statement: Statement) -> Result<Rows, EffectError> {
    let Statement { database, text, parameters } = statement;
    let parameters = parameters.into_iter().map(sql::Value::from).collect::<Vec<_>>();
    let rows = sql::query(&database, &text, &parameters).map_err(sql_failed)?;
    let column = |sql::Column { name, type_name }| Column { name, type_name };
    let columns = rows.columns.into_iter().map(column).collect();
    let values = |row: Vec<sql::Value>| row.into_iter().map(Value::from).collect();
    Ok(Rows::new(columns, rows.rows.into_iter().map(values).collect(), rows.affected))
}

pub(crate) fn sql_execute(statement: Statement) -> Result<u64, EffectError> {
    let Statement { database, text, parameters } = statement;
    let parameters = parameters.into_iter().map(sql::Value::from).collect::<Vec<_>>();
    sql::execute(&database, &text, &parameters).map_err(sql_failed)
}

pub(crate) fn sql_stage(statement: Statement) -> Result<(), EffectError> {
    let Statement { database, text, parameters } = statement;
    let parameters = parameters.into_iter().map(sql::Value::from).collect::<Vec<_>>();
    sql::stage(&database, &text, &parameters).map_err(sql_failed)
}

impl From<Value> for sql::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(is) => Self::Boolean(is),
            Value::Integer(number) => Self::Integer(number),
            Value::Float(number) => Self::Float(number),
            Value::Text(text) => Self::Text(text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<sql::Value> for Value {
    fn from(value: sql::Value) -> Self {
        match value {
            sql::Value::Null => Self::Null,
            sql::Value::Boolean(is) => Self::Boolean(is),
            sql::Value::Integer(number) => Self::Integer(number),
            sql::Value::Float(number) => Self::Float(number),
            sql::Value::Text(text) => Self::Text(text),
            sql::Value::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

fn sql_failed(error: sql::Error) -> EffectError {
    match error {
        sql::Error::UnknownDatabase(text) => EffectError::new("unknown-database", text),
        sql::Error::Refused(text) => EffectError::new("refused", text),
        sql::Error::Unavailable(text) => EffectError::new("unavailable", text),
        sql::Error::TooLarge(most) => EffectError::too_large(most),
        sql::Error::Database(said) => {
            let mut error = EffectError::new(said.code, said.message);
            if let Some(detail) = said.detail {
                error = error.with_detail(detail);
            }
            match said.constraint {
                Some(name) => error.with_constraint(name),
                None => error,
            }
        }
    }
}
