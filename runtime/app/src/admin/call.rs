//! One request for something of the API, and how it is read.

use super::guard::Caller;
use super::problem::Problem;
use super::state::AdminState;
use crate::worker::state::RunningPipeline;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Response};
use pelton_core::shown::shown;
use pelton_core::units;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a client's words that are shown to it.
const SHOWN_BYTES: usize = 200;

/// What is asked, by whom.
pub struct Call {
    pub shared: Arc<AdminState>,
    pub caller: Caller,
    /// What stands in the path, by name.
    pub path: BTreeMap<String, String>,
    pub query: BTreeMap<String, String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    /// The pipeline that the path names.
    pub fn pipeline(&self) -> Result<Arc<RunningPipeline>, Problem> {
        let name = self.path.get("pipeline").map(String::as_str).unwrap_or_default();
        self.shared.worker()?.find(name).ok_or_else(|| {
            let name = shown(name).at_most(SHOWN_BYTES).to_string();
            Problem::missing(format!("the worker runs no pipeline `{name}`"))
        })
    }

    /// Its body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body = if self.body.is_empty() { &b"{}"[..] } else { &self.body };
        serde_json::from_slice(body).map_err(|error| {
            let error = shown(&error.to_string()).at_most(SHOWN_BYTES).to_string();
            Problem::bad(format!("the body is not what is wanted here: {error}"))
        })
    }

    /// What the query says of something, if it says anything.
    pub fn asked<T>(
        &self,
        name: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.query.get(name) else { return Ok(None) };
        let wrong = || Problem::bad(format!("`{name}` in the query must be {wanted}"));
        parse(text).map(Some).ok_or_else(wrong)
    }

    /// Whether the query says so: `?name`, `?name=true`.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        let parse = |text: &str| match text {
            "" | "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        Ok(self.asked(name, "true or false", parse)?.unwrap_or(false))
    }

    /// Who it is, as the pipeline's status says it.
    pub fn by(&self) -> String {
        format!("{} ({})", self.caller.name, self.caller.from)
    }
}

/// A time that a body names, in milliseconds.
pub fn duration_ms(key: &str, text: &str) -> Result<u64, Problem> {
    let wrong = || Problem::bad(format!("`{key}` must be {}", units::DURATION));
    let time = units::duration(text).filter(|time| *time > Duration::ZERO).ok_or_else(wrong)?;
    Ok(pelton_core::number::millis(time))
}

/// What is answered.
pub fn json(value: &impl Serialize) -> Result<Response<Body>, Problem> {
    let text = serde_json::to_vec(value).map_err(|error| Problem::later(error.to_string()))?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
