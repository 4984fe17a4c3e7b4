//! Everything that can be asked for: the router and the OpenAPI document are both made of this.

use super::endpoint::Gives::{Events, Json as Gave};
use super::endpoint::Takes::{Component, Json as Took, Nothing};
use super::endpoint::{Endpoint, Verb};
use super::{events, own, pipelines, steer, versions};
use crate::config::Role;

/// One line of the table.
macro_rules! endpoint {
    ($verb:ident $path:literal, $role:ident, $id:literal, $summary:literal, [$($query:expr),*], $takes:expr,
        $gives:expr, $run:path) => {
        Endpoint {
            verb: Verb::$verb,
            path: $path,
            role: Role::$role,
            id: $id,
            summary: $summary,
            query: &[$($query),*],
            takes: $takes,
            gives: $gives,
            run: |call| Box::pin($run(call)),
        }
    };
}

const TOPICS: (&str, &str) = ("topics", "`stats`, `logs` or `stats,logs`; `stats` when it is left out");
const OF_PIPELINE: (&str, &str) = ("pipeline", "only of this pipeline");
const LINES: (&str, &str) = ("lines", "so many of the last lines of the log come first; at most 1000");
const CANARY: (&str, &str) = ("canary", "the part of the messages that it is tried out on, such as 0.05");
const SHADOW: (&str, &str) = ("shadow", "it is tried out on copies, and nothing that it does counts");
const NOW: (&str, &str) = ("now", "it takes all messages at once, whatever the configuration says");
const HERE: (&str, &str) = ("here", "of this worker alone, where it would hold for its fleet");
const LIMIT: (&str, &str) = ("limit", "so many entries, at most 1000; 100 when it is left out");
const BEFORE: (&str, &str) = ("before", "only those before this time, in milliseconds since the epoch");

#[rustfmt::skip]
pub static ENDPOINTS: &[Endpoint] = &[
    endpoint!(Get "/version", Viewer, "version",
        "The version of the program",
        [], Nothing, Gave("Version"), own::version),
    endpoint!(Get "/openapi.json", Viewer, "openapi",
        "This document",
        [], Nothing, Gave("Document"), own::openapi),
    endpoint!(Get "/v1/pipelines", Viewer, "listPipelines",
        "How all pipelines stand",
        [], Nothing, Gave("Pipelines"), pipelines::list),
    endpoint!(Get "/v1/pipelines/{pipeline}", Viewer, "getPipeline",
        "How a pipeline stands",
        [], Nothing, Gave("Pipeline"), pipelines::one),
    endpoint!(Post "/v1/pipelines/{pipeline}/pause", Operator, "pause",
        "Hold a pipeline, or one partition of what it reads",
        [], Took("Pause"), Gave("Steered"), steer::pause),
    endpoint!(Post "/v1/pipelines/{pipeline}/resume", Operator, "resume",
        "Have what is held go on",
        [], Took("Resume"), Gave("Steered"), steer::resume),
    endpoint!(Put "/v1/pipelines/{pipeline}/rate", Operator, "setRate",
        "How many messages a second a pipeline may start, for a while",
        [], Took("Rate"), Gave("Steered"), steer::rate),
    endpoint!(Delete "/v1/pipelines/{pipeline}/rate", Operator, "deleteRate",
        "The configured rate holds again",
        [HERE], Nothing, Gave("Steered"), steer::no_rate),
    endpoint!(Post "/v1/pipelines/{pipeline}/skip", Operator, "skip",
        "Give up on one message",
        [], Took("Skip"), Gave("Skipped"), steer::skip),
    endpoint!(Post "/v1/pipelines/{pipeline}/reset", Admin, "reset",
        "Move what a pipeline reads next",
        [], Took("Reset"), Gave("ResetDone"), steer::reset),
    endpoint!(Get "/v1/pipelines/{pipeline}/versions", Viewer, "listVersions",
        "The versions of a handler",
        [], Nothing, Gave("Versions"), versions::versions),
    endpoint!(Post "/v1/pipelines/{pipeline}/deploy", Admin, "deploy",
        "Give a pipeline another version of its handler",
        [CANARY, SHADOW, NOW], Component, Gave("Deployed"), versions::deploy),
    endpoint!(Post "/v1/pipelines/{pipeline}/rollback", Admin, "rollback",
        "Go back to an earlier version, or end a trial",
        [], Took("Rollback"), Gave("RolledBack"), versions::rollback),
    endpoint!(Post "/v1/pipelines/{pipeline}/reload", Admin, "reloadPipeline",
        "Read the configuration of one pipeline again",
        [], Nothing, Gave("Reloaded"), versions::reload_one),
    endpoint!(Post "/v1/reload", Admin, "reload",
        "Read the configuration again",
        [], Nothing, Gave("Reloaded"), versions::reload_all),
    endpoint!(Get "/v1/scale/{pipeline}", Viewer, "scale",
        "What decides how many workers there should be",
        [], Nothing, Gave("Scale"), pipelines::scale),
    endpoint!(Get "/v1/events", Viewer, "events",
        "How pipelines stand and what is logged, as it happens",
        [TOPICS, OF_PIPELINE, LINES], Nothing, Events, events::events),
    endpoint!(Get "/v1/audit", Admin, "audit",
        "What was changed over this API, the newest first",
        [LIMIT, BEFORE], Nothing, Gave("Audit"), own::audit),
];
