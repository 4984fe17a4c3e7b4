//! Sends the requests that a message's body lists, and answers with what became of each.
//!
//! It speaks `wasi:http` itself, so that a test sees what the host says and no library's words for it.

use pelton_sdk::{Failure, Message};
use serde::{Deserialize, Serialize};
use wasip2::http::outgoing_handler::{FutureIncomingResponse, handle as send};
use wasip2::http::types::{
    ErrorCode, Fields, HeaderError, IncomingBody, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme, http_error_code,
};
use wasip2::io::streams::StreamError;

/// What a message asks for.
#[derive(Deserialize)]
struct Order {
    steps: Vec<Step>,
    /// All are sent before the first answer is awaited.
    #[serde(default)]
    together: bool,
    /// Answers ok in place of the report.
    #[serde(default)]
    ok: bool,
    /// Makes so many headers of a kilobyte each, and keeps them.
    #[serde(default)]
    hoard: usize,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Option<String>,
    /// Bytes of a body that is made here.
    #[serde(default)]
    size: usize,
    /// Leaves the body of the answer unread, and never lets go of it.
    #[serde(default)]
    forget: bool,
    #[serde(default)]
    first_byte_ms: Option<u64>,
}

/// What became of a step.
#[derive(Serialize, Default)]
struct Done {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    headers: usize,
    read: usize,
    body: String,
}

fn get() -> String {
    "GET".to_owned()
}

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let order: Order =
        serde_json::from_slice(&message.body).map_err(|error| Failure::reject(error.to_string()))?;
    let mut kept = Vec::new();
    for _ in 0..order.hoard {
        let fields = Fields::new();
        if let Err(error) = fields.append("x", &[b'x'; 1024]) {
            return Err(Failure::reject(format!("{error:?}")));
        }
        kept.push(fields);
    }
    let all = if order.together {
        let sent: Vec<_> = order.steps.iter().map(start).collect();
        order.steps.iter().zip(sent).map(|(step, sent)| finish(step, sent)).collect::<Vec<_>>()
    } else {
        order.steps.iter().map(|step| finish(step, start(step))).collect()
    };
    if order.ok {
        return Ok(());
    }
    Err(Failure::retry(serde_json::to_string(&all).unwrap_or_default()))
}

fn name(code: &ErrorCode) -> String {
    format!("{code:?}")
}

fn method(text: &str) -> Method {
    match text {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "CONNECT" => Method::Connect,
        "TRACE" => Method::Trace,
        other => Method::Other(other.to_owned()),
    }
}

/// Sends it, with its whole body.
fn start(step: &Step) -> Result<FutureIncomingResponse, String> {
    let fields = Fields::new();
    for (name, value) in &step.headers {
        fields.append(name, value.as_bytes()).map_err(|error: HeaderError| format!("header: {error:?}"))?;
    }
    let request = OutgoingRequest::new(fields);
    let (scheme, rest) = step.url.split_once("://").ok_or("url: no scheme")?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_method(&method(&step.method)).map_err(|()| "url: method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "url: scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "url: authority")?;
    request
        .set_path_with_query(Some(if path.is_empty() { "/" } else { path }))
        .map_err(|()| "url: path")?;
    let made = vec![b'x'; step.size];
    let bytes = step.body.as_deref().map_or(made.as_slice(), str::as_bytes);
    let body = (!bytes.is_empty()).then(|| request.body().map_err(|()| "body: none")).transpose()?;
    let options = RequestOptions::new();
    if let Some(ms) = step.first_byte_ms {
        options.set_first_byte_timeout(Some(ms * 1_000_000)).map_err(|()| "options")?;
    }
    let future = send(request, Some(options)).map_err(|code| name(&code))?;
    if let Some(body) = body {
        let stream = body.write().map_err(|()| "body: no stream")?;
        for part in bytes.chunks(4096) {
            if stream.blocking_write_and_flush(part).is_err() {
                break;
            }
        }
        drop(stream);
        // What went wrong is told by the answer.
        drop(OutgoingBody::finish(body, None));
    }
    Ok(future)
}

/// Waits for the answer, and reads it.
fn finish(step: &Step, sent: Result<FutureIncomingResponse, String>) -> Done {
    let failed = |error: String| Done { error: Some(error), ..Done::default() };
    let future = match sent {
        Ok(future) => future,
        Err(error) => return failed(error),
    };
    let answer = loop {
        match future.get() {
            Some(Ok(Ok(answer))) => break answer,
            Some(Ok(Err(code))) => return failed(name(&code)),
            Some(Err(())) => return failed("taken before".to_owned()),
            None => future.subscribe().block(),
        }
    };
    let mut done = Done {
        status: Some(answer.status()),
        headers: answer.headers().entries().len(),
        ..Done::default()
    };
    if step.forget {
        std::mem::forget(answer);
        return done;
    }
    let Ok(body) = answer.consume() else { return failed("no body".to_owned()) };
    let mut text = Vec::new();
    {
        let Ok(stream) = body.stream() else { return failed("no stream".to_owned()) };
        loop {
            match stream.blocking_read(64 << 10) {
                Ok(part) => {
                    done.read += part.len();
                    let room = 600_usize.saturating_sub(text.len());
                    text.extend_from_slice(&part[..part.len().min(room)]);
                }
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(error)) => {
                    let code = http_error_code(&error).map(|code| name(&code));
                    done.error = Some(code.unwrap_or_else(|| error.to_debug_string()));
                    break;
                }
            }
        }
    }
    drop(IncomingBody::finish(body));
    done.body = String::from_utf8_lossy(&text).into_owned();
    done
}
