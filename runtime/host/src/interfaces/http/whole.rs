//! A request and an answer that are whole, for programs that have no streams.

use super::failure::{Code, Failed};
use super::outgoing::Outgoing;
use super::prepare::MESSAGE;
use crate::grants::http::{HttpError, HttpRequest, HttpResponse};
use crate::guest::state::About;
use crate::guest::text;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, RequestOptions, WasiBody};

/// An answer, and the room that it has in the worker's memory.
pub(crate) struct Whole {
    pub(crate) response: HttpResponse,
    _room: Vec<OwnedSemaphorePermit>,
}

impl Outgoing {
    /// Sends a request and reads its answer to the end. The `message` of the request is the idempotency key
    /// of the one that it belongs to, where several are in work. `timeout` is what the handler waits at most.
    pub(crate) async fn send_whole(
        self: &Arc<Self>,
        request: HttpRequest,
        timeout: Option<Duration>,
        about: &About,
    ) -> Result<Whole, HttpError> {
        let sent = self.exchange_whole(request, about);
        let sent = match timeout {
            None => sent.await,
            Some(most) => tokio::time::timeout(most, sent).await.unwrap_or_else(|_| {
                Err(Code::ResponseTimeout
                    .says(format!("no whole answer within the {most:?} that it waits")))
            }),
        };
        sent.map_err(HttpError::from)
    }

    async fn exchange_whole(
        self: &Arc<Self>,
        request: HttpRequest,
        about: &About,
    ) -> Result<Whole, Failed> {
        let mut room = vec![room_for(self.room(), request.body.len())?];
        let response = self.send(built(request)?, RequestOptions::default(), about).await?;
        let (parts, mut body) = response.into_parts();
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failed::of(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            room.push(room_for(self.room(), data.len())?);
            whole.extend_from_slice(&data);
        }
        let headers = parts.headers.iter();
        let headers = headers.filter(|(name, _)| !DEFAULT_FORBIDDEN_HEADERS.contains(name));
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        let response =
            HttpResponse { status: parts.status.as_u16(), headers: headers.collect(), body: whole };
        Ok(Whole { response, _room: room })
    }
}

fn room_for(room: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Failed> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let none = |_| Code::ConnectionLimit.says("there is no room for its body in the worker's memory");
    Arc::clone(room).try_acquire_many_owned(bytes).map_err(none)
}

fn built(request: HttpRequest) -> Result<Request<WasiBody>, Failed> {
    let HttpRequest { message, method, url, headers, body } = request;
    let mut built = Request::builder().method(method.as_str()).uri(url.as_str());
    for (name, value) in &headers {
        let shown = text::clean(name, 64);
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Code::Denied.says(format!("`{shown}` is no name of a header")))?;
        if DEFAULT_FORBIDDEN_HEADERS.contains(&name) {
            return Err(Code::Denied.says(format!("the header `{shown}` is the host's own matter")));
        }
        if name == CONTENT_LENGTH {
            continue;
        }
        let value = HeaderValue::from_bytes(value)
            .map_err(|_| Code::Denied.says(format!("the header `{shown}` has a value that is none")))?;
        built = built.header(name, value);
    }
    if let Some(message) = message {
        built = built.header(MESSAGE, message);
    }
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    built.body(body).map_err(|error| Code::UriInvalid.says(format!("the request is none: {error}")))
}
