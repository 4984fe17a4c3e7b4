//! What operators want of pipelines that run.

use super::call::{Call, duration_ms, json};
use super::pipelines::unexpected;
use super::problem::Problem;
use crate::control::protocol::{Reply, Request, SkipRequest};
use crate::control::steering::{PauseRequest, RateFor, RateRequest, ResetRequest, ResetTo, ResumeRequest};
use axum::body::Body;
use axum::http::Response;
use serde::Deserialize;
use serde_json::json as value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    reason: Option<String>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    partition: Option<String>,
    /// Of this worker alone, where it would hold for its fleet.
    #[serde(default)]
    here: bool,
}

pub async fn pause(call: Call) -> Result<Response<Body>, Problem> {
    let (pipeline, wanted) = (call.pipeline()?.pipeline.name.clone(), call.json::<Pause>()?);
    let for_ms = wanted.lasts.map(|text| duration_ms("for", &text)).transpose()?;
    let request = PauseRequest {
        pipeline,
        partition: wanted.partition,
        reason: wanted.reason,
        for_ms,
        by: call.by(),
        here: wanted.here,
    };
    steered(&call, Request::Pause(request)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {
    partition: Option<String>,
    #[serde(default)]
    here: bool,
}

pub async fn resume(call: Call) -> Result<Response<Body>, Problem> {
    let (pipeline, wanted) = (call.pipeline()?.pipeline.name.clone(), call.json::<Resume>()?);
    let request = ResumeRequest { pipeline, partition: wanted.partition, by: call.by(), here: wanted.here };
    steered(&call, Request::Resume(request)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    per_second: f64,
    #[serde(rename = "for")]
    lasts: String,
    #[serde(default)]
    here: bool,
}

pub async fn rate(call: Call) -> Result<Response<Body>, Problem> {
    let (pipeline, wanted) = (call.pipeline()?.pipeline.name.clone(), call.json::<Rate>()?);
    if !(wanted.per_second.is_finite() && wanted.per_second >= 0.01) {
        return Err(Problem::bad("`per_second` must be a number from 0.01 on; `pause` stops a pipeline"));
    }
    let rate = RateFor { per_second: wanted.per_second, for_ms: duration_ms("for", &wanted.lasts)? };
    steered(
        &call,
        Request::Rate(RateRequest { pipeline, rate: Some(rate), by: call.by(), here: wanted.here }),
    )
    .await
}

/// As configured, from now on.
pub async fn no_rate(call: Call) -> Result<Response<Body>, Problem> {
    let pipeline = call.pipeline()?.pipeline.name.clone();
    steered(
        &call,
        Request::Rate(RateRequest { pipeline, rate: None, by: call.by(), here: call.flag("here")? }),
    )
    .await
}

async fn steered(call: &Call, request: Request) -> Result<Response<Body>, Problem> {
    match call.shared.ask(request).await? {
        Reply::Steer(steered) => json(&steered),
        other => Err(unexpected(&other)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skip {
    message: String,
    reason: String,
    #[serde(rename = "wait")]
    waits: Option<String>,
}

/// How long a message may take to come, where nothing else is said.
const SKIP_WAIT_MS: u64 = 10_000;

pub async fn skip(call: Call) -> Result<Response<Body>, Problem> {
    let (pipeline, wanted) = (call.pipeline()?.pipeline.name.clone(), call.json::<Skip>()?);
    let wait_ms = wanted.waits.map(|text| duration_ms("wait", &text)).transpose()?;
    let request = SkipRequest {
        pipeline,
        place: wanted.message,
        reason: wanted.reason,
        wait_ms: wait_ms.unwrap_or(SKIP_WAIT_MS),
    };
    match call.shared.ask(Request::Skip(request)).await? {
        Reply::Skip { note } => json(&value!({ "note": note })),
        other => Err(unexpected(&other)),
    }
}

/// One of them says where to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    beginning: Option<bool>,
    timestamp: Option<String>,
    offsets: Option<Vec<String>>,
    id: Option<String>,
    /// Only says what it would come to.
    #[serde(default)]
    dry_run: bool,
    /// The ledger forgets what is read again.
    #[serde(default)]
    forget: bool,
}

impl Reset {
    fn to(self) -> Result<ResetTo, Problem> {
        let time = |text: &str| {
            let time = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
            time.map_err(|_| Problem::bad("`timestamp` must be a time such as 2026-11-01T00:00:00Z"))
        };
        match (self.beginning, self.timestamp, self.offsets, self.id) {
            (Some(true), None, None, None) => Ok(ResetTo::Beginning),
            (None, Some(text), None, None) => time(&text).map(ResetTo::TimestampMs),
            (None, None, Some(offsets), None) => Ok(ResetTo::Offsets(offsets)),
            (None, None, None, Some(id)) => Ok(ResetTo::Id(id)),
            _ => Err(Problem::bad("say one of `beginning`: true, `timestamp`, `offsets` and `id`")),
        }
    }
}

pub async fn reset(call: Call) -> Result<Response<Body>, Problem> {
    let (pipeline, wanted) = (call.pipeline()?.pipeline.name.clone(), call.json::<Reset>()?);
    let (plan, forget) = (wanted.dry_run, wanted.forget);
    let request = ResetRequest { pipeline, to: wanted.to()?, plan, forget, by: call.by() };
    match call.shared.ask(Request::Reset(request)).await? {
        Reply::Reset(reply) => json(&reply),
        other => Err(unexpected(&other)),
    }
}
