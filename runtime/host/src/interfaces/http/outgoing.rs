//! The way out: requests of one handler's instances, within its grants and limits, over connections that are
//! kept for the next.

use super::body::{Answer, Bounded, Exchange, SHORT_BODY, SHORT_WAIT, Upload, upload};
use super::connect::{Connector, Uses};
use super::counts::{Counts, HttpCounts};
use super::failure::{Code, Failed};
use super::net::{EXCHANGE_BYTES, Net, NotStarted};
use super::prepare::{self, Way};
use super::script;
use super::times::{Times, at, not_connected};
use crate::grants::Grants;
use crate::grants::http::{HttpLimits, HttpSwitch, proxy};
use crate::guest::state::About;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{RequestOptions, WasiBody};

/// How long a connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes of an answer's headers, and of what is read at once.
const HEAD_BYTES: u32 = 64 << 10;
/// Bytes of an answer that may be under way on one stream of HTTP/2, and on all of a connection.
const WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// What all instances of a handler share.
pub(crate) struct Outgoing {
    pipeline: Arc<str>,
    grants: Arc<Grants>,
    net: Arc<Net>,
    turns: Arc<Semaphore>,
    /// Its share of the room in memory: answers that have come and nobody has read take room, and no turn.
    share: Arc<Semaphore>,
    client: OnceLock<Client<Connector, Upload>>,
    proxy_login: Option<HeaderValue>,
    counts: Arc<Counts>,
}

impl Outgoing {
    pub(crate) fn new(pipeline: &str, grants: &Arc<Grants>, net: &Arc<Net>) -> Arc<Self> {
        Arc::new(Self {
            pipeline: pipeline.into(),
            share: Arc::new(Semaphore::new(share(grants.http_limits.max_concurrent))),
            turns: Arc::new(Semaphore::new(
                grants.http_limits.max_concurrent.clamp(1, Semaphore::MAX_PERMITS),
            )),
            grants: Arc::clone(grants),
            net: Arc::clone(net),
            client: OnceLock::new(),
            proxy_login: grants.http_limits.proxy.as_deref().and_then(|text| proxy(text).ok()?.login),
            counts: net.counts(pipeline),
        })
    }

    /// Starts what it needs, where it needs any.
    pub(crate) fn start(&self) -> Result<(), NotStarted> {
        if self.grants.http.is_empty() || !matches!(self.grants.http_switch, HttpSwitch::Real) {
            return Ok(());
        }
        self.net.handle().map(drop)
    }

    pub(crate) fn counts(&self) -> HttpCounts {
        self.counts.now()
    }

    /// Bytes that bodies may take in the worker's memory.
    pub(super) fn room(&self) -> &Arc<Semaphore> {
        &self.net.room
    }

    fn limits(&self) -> &HttpLimits {
        &self.grants.http_limits
    }

    /// Sends a request of a guest. What is decided at once is decided before this returns; the rest resolves
    /// when there is an answer with its headers.
    pub(crate) fn send(
        self: &Arc<Self>,
        mut request: Request<WasiBody>,
        options: RequestOptions,
        about: &About,
    ) -> impl Future<Output = Result<Response<WasiBody>, Failed>> + Send + use<> {
        self.counts.requested();
        let place = place(&request);
        let sent = self.admit(&mut request, about).map(|message| {
            let exchange = Arc::new(Exchange::default());
            about.in_call.with(|kept| kept.http.begin(&exchange));
            (message, exchange)
        });
        let this = Arc::clone(self);
        async move {
            let answered = match sent {
                Err(failed) => {
                    if let HttpSwitch::Scripted(script) = &this.grants.http_switch {
                        script.denied(&place, &failed.words);
                    }
                    Err(failed)
                }
                Ok((message, exchange)) => {
                    let times = Times::new(this.limits(), options);
                    this.answer(request, message, exchange, times, place.clone()).await
                }
            };
            answered.inspect_err(|failed| this.counts.failed(&this.pipeline, &place, failed))
        }
    }

    /// Whether it may go out; the message that it belongs to.
    fn admit(&self, request: &mut Request<WasiBody>, about: &About) -> Result<Option<String>, Failed> {
        let call = about.call();
        let way: Way<'_> = prepare::prepare(&self.grants, request, call.as_ref(), |next| {
            about.in_call.with(|kept| next(&mut kept.http.ordinals));
        })?;
        if matches!(self.grants.http_switch, HttpSwitch::Refused) {
            return Err(Code::Denied.says("HTTP is off here"));
        }
        if about.is_shadow() && !way.grant.shadow {
            about.refuse_to_shadow();
            self.counts.refused_to_shadow();
            return Err(Code::Denied.says(format!(
                "the version is in the shadow; `shadow = true` in the grant for {} lets it send too",
                way.grant.to
            )));
        }
        Ok(way.message)
    }

    async fn answer(
        self: &Arc<Self>,
        request: Request<WasiBody>,
        message: Option<String>,
        exchange: Arc<Exchange>,
        times: Times,
        place: String,
    ) -> Result<Response<WasiBody>, Failed> {
        if let HttpSwitch::Scripted(script) = &self.grants.http_switch {
            let limits = self.limits();
            return script::answer(script, request, message, limits, times.ended).await;
        }
        let handle = self.net.handle().map_err(|error| Code::Internal.says(error.to_string()))?;
        let (this, of) = (Arc::clone(self), Arc::clone(&exchange));
        let task = handle.spawn(async move { this.exchange(request, of, times, place).await });
        exchange.runs(task.abort_handle());
        let _ends_with_us = EndOnDrop(Arc::clone(&exchange), task.abort_handle());
        match task.await {
            Ok(answered) => answered,
            Err(error) if error.is_cancelled() => {
                Err(Code::ConnectionTerminated.says("the call that it belongs to has ended"))
            }
            Err(error) => Err(Code::Internal.says(error.to_string())),
        }
    }

    /// On the threads for HTTP: a place, a connection, the request, and the head of the answer.
    async fn exchange(
        self: Arc<Self>,
        request: Request<WasiBody>,
        exchange: Arc<Exchange>,
        times: Times,
        place: String,
    ) -> Result<Response<WasiBody>, Failed> {
        self.wait_for_a_place(&exchange, times).await?;
        let answered = timeout_at(times.ended, self.perform(request, times)).await;
        let late = |_| Code::ResponseTimeout.says(format!("no answer within {:?}", self.limits().timeout));
        let (parts, body) = answered.map_err(late)??.into_parts();
        look_at_head(&parts)?;
        let max = self.limits().max_response;
        if let Some(length) = body.size_hint().exact().filter(|length| *length > max) {
            let words = format!("the answer has {length} bytes, more than {max} (`max_response`)");
            return Err(Failed::too_large(Code::ResponseBodySize, length, words));
        }
        let this = Arc::clone(&self);
        let failed = Box::new(move |failed: &Failed| this.counts.failed(&this.pipeline, &place, failed));
        let body = Answer::new(exchange, body, max, times.ended, times.between, failed).await;
        Ok(Response::from_parts(parts, body.boxed_unsync()))
    }

    /// A place among those at once of the pipeline, and room for bodies of the process.
    async fn wait_for_a_place(&self, exchange: &Exchange, times: Times) -> Result<(), Failed> {
        let waiting = self.counts.waiting.enter();
        let limits = self.limits();
        let late = |what: &str| {
            let words = format!("it waited for {:?} for {what}", limits.connect_timeout);
            Code::ConnectionLimit.says(words)
        };
        let closed = |_| Code::Internal.says("the worker ends");
        let turn = timeout_at(times.connected, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| {
            late(&format!("one of {} requests at once to end (`max_concurrent`)", limits.max_concurrent))
        })?;
        let share = timeout_at(times.connected, Arc::clone(&self.share).acquire_owned()).await;
        let share = share.map_err(|_| late("answers to be read that have come"))?;
        let room = Arc::clone(&self.net.room).acquire_many_owned(EXCHANGE_BYTES);
        let room = timeout_at(times.connected, room).await;
        let room = room.map_err(|_| late("room for bodies in the worker's memory"))?;
        drop(waiting);
        let running = self.counts.running.enter();
        let room = Box::new((share.map_err(closed)?, room.map_err(closed)?));
        exchange.has_place(Box::new((turn.map_err(closed)?, running)), room);
        Ok(())
    }

    async fn perform(
        &self,
        request: Request<WasiBody>,
        times: Times,
    ) -> Result<Response<Incoming>, Failed> {
        let (parts, body) = request.into_parts();
        let max = self.limits().max_request;
        let body = Bounded { inner: body, left: max, max };
        // A second one may go out where the first cannot have done anything.
        let again = (is_safe(&parts.method) && body.is_end_stream()).then(|| parts.clone());
        let body = if parts.headers.contains_key(CONTENT_LENGTH) {
            upload(Vec::new(), Some(body))
        } else {
            gathered(body).await?
        };
        let (ended, uses) = self.request(Request::from_parts(parts, body), times).await;
        let reused = uses.is_some_and(|uses| uses.0.load(Relaxed) > 1);
        match (ended, again) {
            (Err(failed), Some(parts))
                if reused
                    && failed.code == Code::ConnectionTerminated
                    && Instant::now() < times.connected =>
            {
                self.request(Request::from_parts(parts, upload(Vec::new(), None)), times).await.0
            }
            (ended, _) => ended,
        }
    }

    /// One request, and what carried it.
    async fn request(
        &self,
        mut request: Request<Upload>,
        times: Times,
    ) -> (Result<Response<Incoming>, Failed>, Option<Uses>) {
        // A tunnel has it already.
        if let Some(login) =
            self.proxy_login.as_ref().filter(|_| request.uri().scheme_str() == Some("http"))
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, login.clone());
        }
        let mut captured = capture_connection(&mut request);
        let late = Code::ConnectionTimeout
            .says(format!("no connection within {:?}", self.limits().connect_timeout));
        let asked = self.client().request(request);
        let ended = tokio::select! {
            biased;
            answered = asked => answered.map_err(|error| Failed::of(&error)),
            late = not_connected(&mut captured, times.connected, late) => Err(late),
            () = at(times.first_byte) => {
                Err(Code::ReadTimeout.says("no answer for as long as the handler waits"))
            }
        };
        let uses = uses(&captured);
        (ended, uses)
    }

    fn client(&self) -> &Client<Connector, Upload> {
        self.client.get_or_init(|| {
            let mut builder = Client::builder(TokioExecutor::new());
            builder
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(self.limits().max_concurrent)
                // Only of what a kept connection had not begun to send when it was found closed.
                .retry_canceled_requests(true)
                .http1_max_buf_size(HEAD_BYTES as usize)
                .http2_initial_stream_window_size(WINDOW)
                .http2_initial_connection_window_size(CONNECTION_WINDOW)
                .http2_max_header_list_size(HEAD_BYTES)
                .http2_max_send_buf_size(WINDOW as usize);
            builder.build(Connector::new(&self.grants, &self.net))
        })
    }
}

/// Requests of a pipeline that may take room at once: enough for all of a list to be asked before the first
/// answer is read, and half of the process' room at most.
fn share(max_concurrent: usize) -> usize {
    max_concurrent.saturating_mul(2).clamp(512, 1024)
}

/// Ends an exchange whose guest has gone.
struct EndOnDrop(Arc<Exchange>, tokio::task::AbortHandle);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        // An answer that has come ends with its body.
        if !self.1.is_finished() {
            self.0.end();
        }
    }
}

/// Where a request goes, for the log.
fn place<B>(request: &Request<B>) -> String {
    match prepare::origin(request.uri()) {
        Ok(origin) => origin.to_string(),
        Err(_) => "an address that is none".to_owned(),
    }
}

/// What has carried a request, which counts as used once more.
fn uses(captured: &CaptureConnection) -> Option<Uses> {
    let mut extras = http::Extensions::new();
    captured.connection_metadata().as_ref()?.get_extras(&mut extras);
    let uses = extras.get::<Uses>()?.clone();
    uses.0.fetch_add(1, Relaxed);
    Some(uses)
}

/// An answer's headers, which the library bounds only roughly.
fn look_at_head(parts: &http::response::Parts) -> Result<(), Failed> {
    let bytes: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > HEAD_BYTES as usize {
        let words = format!("the answer has {bytes} bytes of headers, more than {HEAD_BYTES}");
        return Err(Code::ResponseHeaders.says(words));
    }
    Ok(())
}

/// What may be asked twice.
fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// A body as it goes out: a short one whole, with its length.
async fn gathered(mut body: Bounded) -> Result<Upload, Failed> {
    let mut begun: Vec<Bytes> = Vec::new();
    let mut bytes = 0;
    let until = Instant::now() + SHORT_WAIT;
    while bytes <= SHORT_BODY {
        let Ok(frame) = timeout_at(until, body.frame()).await else { break };
        match frame.transpose()?.map(hyper::body::Frame::into_data) {
            None => return Ok(upload(begun, None)),
            Some(Ok(data)) => {
                bytes += data.len();
                begun.push(data);
            }
            // Trailers end it; they are not sent.
            Some(Err(_)) => return Ok(upload(begun, None)),
        }
    }
    Ok(upload(begun, Some(body)))
}
