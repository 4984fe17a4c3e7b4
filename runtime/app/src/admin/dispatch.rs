//! From a request that was let in to its answer: the role, the bounds, the audit, and what was answered
//! before to the same.

use super::audit::Entry;
use super::call::Call;
use super::endpoint::{Endpoint, Takes, Verb};
use super::guard::Caller;
use super::idempotency::{self, Answered, Turn};
use super::limits::{BODY_BYTES, BODY_TIMEOUT, COMPONENT_TIMEOUT};
use super::problem::Problem;
use super::state::AdminState;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, Query, RawPathParams, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use pelton_core::contain::contained;
use pelton_host::digest;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;

/// Bytes of an answer to a write, at most.
const ANSWER_BYTES: usize = 1 << 20;
/// Bytes of what was asked that the audit may need.
const ASKED_BYTES: usize = 4 << 10;

/// Answers it, or says why not.
pub async fn dispatch(
    shared: Arc<AdminState>,
    endpoint: &'static Endpoint,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let answered = match read(shared, endpoint, parts, body).await {
        Ok(call) if endpoint.verb == Verb::Get => run(endpoint, call).await,
        Ok(call) => write(endpoint, call).await,
        Err(problem) => Err(problem),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// What is asked, if it may be.
async fn read(
    shared: Arc<AdminState>,
    endpoint: &Endpoint,
    mut parts: Parts,
    body: Body,
) -> Result<Call, Problem> {
    let caller = parts.extensions.get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "nobody asks"))?;
    if caller.role < endpoint.role {
        let (is, needs) = (caller.role.word(), endpoint.role.word());
        return Err(Problem::forbidden(format!(
            "this takes the role `{needs}`, and `{}` is {is}",
            caller.name
        )));
    }
    let path = RawPathParams::from_request_parts(&mut parts, &()).await;
    let path = path.map_err(|_| Problem::bad("the path is no text"))?;
    let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let query = Query::<BTreeMap<String, String>>::from_request_parts(&mut parts, &()).await;
    let Query(query) = query.map_err(|_| Problem::bad("the query cannot be read"))?;
    let is_known = |name: &String| endpoint.query.iter().any(|(known, _)| known == name);
    if let Some(name) = query.keys().find(|name| !is_known(name)) {
        let name = pelton_core::shown::shown(name).at_most(64).to_string();
        return Err(Problem::bad(format!("`{name}` in the query is not known here")));
    }
    let body = if endpoint.verb == Verb::Get {
        Bytes::new()
    } else {
        bytes(&shared, endpoint, &parts, body).await?
    };
    Ok(Call { shared, caller, path, query, headers: parts.headers, body })
}

/// The body, within its bounds.
async fn bytes(
    shared: &AdminState,
    endpoint: &Endpoint,
    parts: &Parts,
    body: Body,
) -> Result<Bytes, Problem> {
    let (most, time, wanted) = match endpoint.takes {
        Takes::Component => {
            (shared.worker()?.deployer.max_component_bytes, COMPONENT_TIMEOUT, "application/wasm")
        }
        Takes::Json(_) | Takes::Nothing => (BODY_BYTES, BODY_TIMEOUT, "application/json"),
    };
    let too_large =
        || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body here has at most {most} bytes"));
    let length =
        parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    // One component at a time is held in memory.
    let _turn = match endpoint.takes {
        Takes::Component => {
            let turn = shared.uploads.try_acquire();
            Some(turn.map_err(|_| Problem::later("another component is being sent: send this one then"))?)
        }
        Takes::Json(_) | Takes::Nothing => None,
    };
    let late =
        |_| Problem::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {time:?}"));
    let read = timeout(time, to_bytes(body, most)).await.map_err(late)?;
    let bytes = read.map_err(|_| too_large())?;
    let media = parts.headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !bytes.is_empty() && !media.eq_ignore_ascii_case(wanted) {
        let what = format!("the body is to be of the type `{wanted}`");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what));
    }
    if !bytes.is_empty() && endpoint.takes == Takes::Nothing {
        return Err(Problem::bad("this takes no body"));
    }
    Ok(bytes)
}

/// A panic is of one request.
async fn run(endpoint: &'static Endpoint, call: Call) -> Result<Response<Body>, Problem> {
    match contained((endpoint.run)(call)).await {
        Ok(answered) => answered,
        Err(panicked) => {
            tracing::error!("{panicked}, while a client of the API was answered; please report it");
            Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "an internal fault of Pelton; its log has more",
            ))
        }
    }
}

/// What changes something is done to its end, whether its client waits or not.
async fn write(endpoint: &'static Endpoint, call: Call) -> Result<Response<Body>, Problem> {
    let done = tokio::spawn(async move {
        let key = idempotency::key(&call.headers)?.map(|key| (call.caller.name.to_string(), key));
        let (shared, asked) = (call.shared.clone(), asked(endpoint, &call));
        if let Some(key) = &key
            && let Turn::Again(before) = shared.idempotency.begin(key, &asked, Instant::now())?
        {
            return Ok(response(before));
        }
        let answered = audited(endpoint, call).await;
        if let Some(key) = &key {
            shared.idempotency.end(key, answered.clone());
        }
        Ok(response(answered))
    });
    done.await.unwrap_or_else(|_| Err(Problem::later("the worker ends")))
}

/// All that was asked, in short.
fn asked(endpoint: &Endpoint, call: &Call) -> String {
    let what = format!("{:?} {} {:?} {:?} ", endpoint.verb, endpoint.path, call.path, call.query);
    digest(&[what.as_bytes(), digest(&call.body).as_bytes()].concat())
}

async fn audited(endpoint: &'static Endpoint, call: Call) -> Answered {
    let (shared, path) = (call.shared.clone(), path(endpoint, &call));
    let what = match endpoint.takes {
        Takes::Component => format!("{} bytes, {}", call.body.len(), digest(&call.body)),
        Takes::Json(_) | Takes::Nothing => {
            String::from_utf8_lossy(&call.body[..call.body.len().min(ASKED_BYTES)]).into_owned()
        }
    };
    let verb = format!("{:?}", endpoint.verb).to_uppercase();
    let Caller { name, role, from } = call.caller.clone();
    let entry = Entry::new(&name, role, &from, (&verb, &path), &what);
    let answered = run(endpoint, call).await;
    let refused = answered.as_ref().err().map(|problem| problem.detail.clone());
    let answered = answered.unwrap_or_else(IntoResponse::into_response);
    let entry = entry.answered(answered.status().as_u16(), refused.as_deref());
    let noted = tokio::task::spawn_blocking(move || shared.audit.note(entry)).await;
    if noted.is_err() {
        tracing::warn!("the worker ended before the audit was written; its log has the line");
    }
    let status = answered.status();
    let content_type =
        answered.headers().get(CONTENT_TYPE).and_then(|media| media.to_str().ok().map(str::to_owned));
    let body = to_bytes(answered.into_body(), ANSWER_BYTES).await.unwrap_or_default();
    Answered { status, content_type, body }
}

/// As it was asked, with what stands in the path.
fn path(endpoint: &Endpoint, call: &Call) -> String {
    let put = |path: String, (name, value): (&String, &String)| path.replace(&format!("{{{name}}}"), value);
    let path = call.path.iter().fold(endpoint.path.to_owned(), put);
    let query: Vec<String> = call.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

fn response(answered: Answered) -> Response<Body> {
    let mut response = Response::new(Body::from(answered.body));
    *response.status_mut() = answered.status;
    if let Some(media) = answered.content_type.and_then(|media| media.parse().ok()) {
        response.headers_mut().insert(CONTENT_TYPE, media);
    }
    response
}
