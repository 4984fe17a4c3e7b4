//! The OpenAPI document: paths from the table of endpoints, schemas from a file beside this one.

use super::endpoint::{Endpoint, Gives, Takes, Verb};
use crate::control::protocol::PELTON;
use serde_json::{Map, Value, json};

const SCHEMAS: &str = include_str!("schemas.json");

/// All of it.
pub fn document(endpoints: &[Endpoint]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (path, what) in [
        ("/livez", "Whether the worker lives: its runtime and the thread that writes move"),
        ("/readyz", "Whether the worker does its work"),
        ("/metrics", "What is counted, in the text format of Prometheus"),
    ] {
        paths.insert(path.to_owned(), json!({ "get": open(path, what) }));
    }
    for endpoint in endpoints {
        let entry = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        entry[word(endpoint.verb)] = operation(endpoint);
    }
    // A test reads the file.
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Pelton",
            "version": PELTON,
            "description": "What a running worker answers. Roles: a viewer reads, an operator steers what \
                runs, an admin changes what runs. Each may do what those before it may.",
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas,
        },
    })
}

fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::Post => "post",
        Verb::Put => "put",
        Verb::Delete => "delete",
    }
}

/// Of what is answered as text, and on `health_listen` to whoever asks.
fn open(path: &str, summary: &str) -> Value {
    let text = |what: &str| {
        let content = json!({ "text/plain": { "schema": { "type": "string" } } });
        json!({ "description": what, "content": content })
    };
    let mut operation = json!({
        "operationId": path.trim_start_matches('/'),
        "summary": summary,
        "x-role": "viewer",
        "responses": { "200": text("All is well."), "default": problem() },
    });
    if path != "/metrics" {
        operation["parameters"] = json!([parameter("query", "verbose", "also what is well, a line each")]);
        operation["responses"]["503"] = text("It is not, for the reasons on its lines.");
    }
    operation
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    if endpoint.path.contains("{pipeline}") {
        let mut of = parameter("path", "pipeline", "the name of the pipeline");
        of["required"] = true.into();
        parameters.push(of);
    }
    parameters.extend(endpoint.query.iter().map(|(name, what)| parameter("query", name, what)));
    if endpoint.verb != Verb::Get {
        let what = "the same request with the same key is done once, and answered as the first time";
        parameters.push(parameter("header", "Idempotency-Key", what));
    }
    let mut operation = json!({
        "operationId": endpoint.id,
        "summary": endpoint.summary,
        "description": format!("For the role `{}` and those above it.", endpoint.role.word()),
        "x-role": endpoint.role.word(),
        "parameters": parameters,
        "responses": { "200": answer(endpoint.gives), "default": problem() },
    });
    let content = match endpoint.takes {
        Takes::Nothing => None,
        Takes::Json(schema) => Some(json!({ "application/json": { "schema": reference(schema) } })),
        Takes::Component => Some(json!({ "application/wasm": { "schema": { "type": "string" } } })),
    };
    if let Some(content) = content {
        operation["requestBody"] = json!({ "content": content });
    }
    operation
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn parameter(place: &str, name: &str, what: &str) -> Value {
    json!({ "name": name, "in": place, "description": what, "schema": { "type": "string" } })
}

fn answer(gives: Gives) -> Value {
    let content = match gives {
        Gives::Json(schema) => json!({ "application/json": { "schema": reference(schema) } }),
        Gives::Events => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
    };
    json!({ "description": "Done.", "content": content })
}

fn problem() -> Value {
    json!({
        "description": "Why not.",
        "content": { "application/problem+json": { "schema": reference("Problem") } },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::endpoints::ENDPOINTS;
    use super::*;

    /// Every reference in a document.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_names_schemas_that_there_are_and_uses_all() {
        let document = document(ENDPOINTS);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(!schemas.is_empty());
        let mut found = Vec::new();
        references(&document, &mut found);
        let names: Vec<&str> =
            found.iter().map(|path| path.strip_prefix("#/components/schemas/").unwrap()).collect();
        names.iter().for_each(|name| assert!(schemas.contains_key(*name), "{name}"));
        schemas.keys().for_each(|name| assert!(names.contains(&name.as_str()), "{name} is of no use"));
    }

    #[test]
    fn operations_have_names_of_their_own_and_reading_needs_no_more_than_a_viewer_but_for_the_audit() {
        let mut ids: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ENDPOINTS.len());
        for endpoint in ENDPOINTS {
            let is_viewer = endpoint.role == crate::config::Role::Viewer;
            let is_read = endpoint.verb == Verb::Get && endpoint.path != "/v1/audit";
            assert_eq!(is_viewer, is_read, "{}", endpoint.path);
        }
    }
}
