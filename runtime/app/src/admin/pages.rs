//! Health and metrics.

use super::problem::Problem;
use super::state::AdminState;
use crate::telemetry::metrics::CONTENT_TYPE as METRICS;
use crate::worker::health::{Check, lines};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

pub async fn livez(State(shared): State<Arc<AdminState>>, RawQuery(query): RawQuery) -> Response {
    health(&shared.health.live(), query.as_deref())
}

pub async fn readyz(State(shared): State<Arc<AdminState>>, RawQuery(query): RawQuery) -> Response {
    health(&shared.health.ready(), query.as_deref())
}

fn health(checks: &[Check], query: Option<&str>) -> Response {
    let wants_all = |query: &str| query.split('&').any(|part| part.split('=').next() == Some("verbose"));
    let is_well = checks.iter().all(|check| check.wrong.is_none());
    let lines = lines(checks, query.is_some_and(wants_all));
    let text = if lines.is_empty() { "ok\n".to_owned() } else { lines.join("\n") + "\n" };
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

pub async fn metrics(State(shared): State<Arc<AdminState>>) -> Result<Response, Problem> {
    let text = shared.metrics().await?;
    Ok(([(CONTENT_TYPE, METRICS)], text).into_response())
}
