//! What the API says of itself.

use super::call::{Call, json};
use super::problem::Problem;
use crate::control::protocol::{PELTON, PROTOCOL};
use axum::body::Body;
use axum::http::Response;
use serde_json::json as value;

/// Entries of the audit that come where nothing else is said, and at most.
const ENTRIES: usize = 100;
const MOST_ENTRIES: usize = 1_000;

pub async fn version(_: Call) -> Result<Response<Body>, Problem> {
    json(&value!({ "version": PELTON, "protocol": PROTOCOL }))
}

pub async fn openapi(call: Call) -> Result<Response<Body>, Problem> {
    json(call.shared.document.get().ok_or_else(|| Problem::missing("there is no document"))?)
}

pub async fn audit(call: Call) -> Result<Response<Body>, Problem> {
    let number = |text: &str| text.parse::<usize>().ok().filter(|limit| (1..=MOST_ENTRIES).contains(limit));
    let limit = call.asked("limit", "a number from 1 to 1000", number)?.unwrap_or(ENTRIES);
    let before = call.asked("before", "milliseconds since the epoch", |text| text.parse().ok())?;
    json(&value!({ "entries": call.shared.audit.last(limit, before) }))
}
