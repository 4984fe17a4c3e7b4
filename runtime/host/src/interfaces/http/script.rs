//! Answers from a script, for tests: what goes out is looked at as ever, and nothing leaves the process.

use super::failure::{Code, Failed};
use super::times::wait;
use crate::grants::http::{HttpLimits, HttpRequest, HttpResponse, HttpScript};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::WasiBody;

/// The script's answer to a request.
pub(super) async fn answer(
    script: &Arc<dyn HttpScript>,
    request: Request<WasiBody>,
    message: Option<String>,
    limits: &HttpLimits,
    until: Instant,
) -> Result<Response<WasiBody>, Failed> {
    let (parts, body) = request.into_parts();
    let max = limits.max_request;
    let late = || Code::ResponseTimeout.says(format!("no answer within {:?}", limits.timeout));
    let room = usize::try_from(max).unwrap_or(usize::MAX);
    let whole = timeout_at(until, Limited::new(body, room).collect()).await.map_err(|_| late())?;
    let body = whole.map_err(|_| super::body::too_large(max))?.to_bytes().to_vec();
    let headers =
        parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    let request = HttpRequest {
        message,
        method: parts.method.as_str().to_owned(),
        url: parts.uri.to_string(),
        headers: headers.collect(),
        body,
    };
    let answer = script.answer(&request);
    if !wait(answer.delay, until).await {
        return Err(late());
    }
    response(answer.end.map_err(Failed::from)?, limits.max_response)
}

fn response(answer: HttpResponse, max: u64) -> Result<Response<WasiBody>, Failed> {
    let size = answer.body.len() as u64;
    if size > max {
        let words = format!("the answer has {size} bytes, more than {max} (`max_response`)");
        return Err(Failed::too_large(Code::ResponseBodySize, size, words));
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name.as_str(), value.as_slice());
    }
    let body = Full::new(Bytes::from(answer.body)).map_err(|never| match never {}).boxed_unsync();
    response
        .body(body)
        .map_err(|error| Code::Protocol.says(format!("the script's answer is none: {error}")))
}
