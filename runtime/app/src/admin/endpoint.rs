//! What there is to be known of something that can be asked for.

use super::call::Call;
use super::problem::Problem;
use crate::config::Role;
use axum::body::Body;
use axum::http::Response;
use pelton_core::ports::BoxFuture;

/// What a request is answered by.
pub type Run = fn(Call) -> BoxFuture<'static, Result<Response<Body>, Problem>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

/// What a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// JSON of that schema. It may be left out.
    Json(&'static str),
    /// The bytes of a component.
    Component,
}

/// What is answered when all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// JSON of that schema.
    Json(&'static str),
    Events,
}

pub struct Endpoint {
    pub verb: Verb,
    pub path: &'static str,
    /// Who may, at least.
    pub role: Role,
    /// The name of the operation.
    pub id: &'static str,
    pub summary: &'static str,
    /// What the query may say, each with what it means.
    pub query: &'static [(&'static str, &'static str)],
    pub takes: Takes,
    pub gives: Gives,
    pub run: Run,
}
