//! Which request is answered by what.

use super::dispatch::dispatch;
use super::endpoint::{Endpoint, Verb};
use super::endpoints::ENDPOINTS;
use super::guard;
use super::listener::Peer;
use super::openapi::document;
use super::pages;
use super::problem::Problem;
use super::state::AdminState;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderName, Response, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, on};
use std::sync::Arc;

/// Health and metrics, for whoever asks.
pub fn health(shared: &Arc<AdminState>) -> Router {
    open(shared).method_not_allowed_fallback(not_so).fallback(nothing_there).layer(from_fn(guarded_headers))
}

/// All of it, for who is let in.
pub fn api(shared: &Arc<AdminState>) -> Router {
    shared.document.get_or_init(|| document(ENDPOINTS));
    let add = |router: Router, endpoint: &'static Endpoint| {
        let of = shared.clone();
        let run = move |request: Request| dispatch(of.clone(), endpoint, request);
        router.route(endpoint.path, on(filter(endpoint.verb), run))
    };
    ENDPOINTS
        .iter()
        .fold(open(shared), add)
        .method_not_allowed_fallback(not_so)
        .fallback(nothing_there)
        .layer(from_fn_with_state(shared.clone(), let_in))
        .layer(from_fn(guarded_headers))
}

fn filter(verb: Verb) -> MethodFilter {
    match verb {
        Verb::Get => MethodFilter::GET,
        Verb::Post => MethodFilter::POST,
        Verb::Put => MethodFilter::PUT,
        Verb::Delete => MethodFilter::DELETE,
    }
}

fn open(shared: &Arc<AdminState>) -> Router {
    let get = MethodFilter::GET;
    Router::new()
        .route("/livez", on(get, pages::livez))
        .route("/ping", on(get, pages::livez))
        .route("/readyz", on(get, pages::readyz))
        .route("/ready", on(get, pages::readyz))
        .route("/metrics", on(get, pages::metrics))
        .with_state(shared.clone())
}

async fn nothing_there() -> Problem {
    Problem::missing("there is nothing here; `/openapi.json` says what there is")
}

async fn not_so() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this is not asked for by this method")
}

/// Only who is let in comes to any answer.
async fn let_in(
    State(shared): State<Arc<AdminState>>,
    request: Request,
    next: Next,
) -> Response<axum::body::Body> {
    let (mut parts, body) = request.into_parts();
    let Some(peer) = parts.extensions.get::<Peer>().copied() else {
        return Problem::forbidden("comes from nowhere").into_response();
    };
    match guard::admit(&shared, peer, &parts) {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => {
            tracing::debug!(%peer, status = %problem.status, why = problem.detail, "a client is not let in");
            let mut response = problem.into_response();
            // A stranger keeps no connection.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

/// What browsers are told of every answer.
async fn guarded_headers(request: Request, next: Next) -> Response<axum::body::Body> {
    const ALWAYS: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
