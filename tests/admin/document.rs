//! The OpenAPI document, against what is answered.

use crate::client::Answer;
use crate::rig::{ADMIN, Rig};
use jsonschema::Validator;
use serde_json::{Value, json};

/// What the worker says of its API.
pub struct Document(pub Value);

impl Document {
    pub fn of(rig: &Rig) -> Self {
        Self(rig.get("/openapi.json").ok())
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut root = schema.clone();
        root["components"] = self.0["components"].clone();
        jsonschema::validator_for(&root).expect("a schema")
    }

    /// Sees that an answer is one that the document has for this.
    pub fn holds(&self, verb: &str, path: &str, answer: &Answer) {
        let responses = &self.0["paths"][path][verb.to_lowercase()]["responses"];
        assert!(responses.is_object(), "{verb} {path} is not in the document");
        let status = answer.status.to_string();
        let response = responses.get(&status).unwrap_or(&responses["default"]);
        let media = answer.headers["content-type"].split(';').next().unwrap_or_default();
        let content = &response["content"][media];
        assert!(content.is_object(), "{verb} {path}: {media} is not in the document: {answer:?}");
        if media.ends_with("json") {
            let body = answer.json();
            let all: Vec<String> = self
                .validator(&content["schema"])
                .iter_errors(&body)
                .map(|e| format!("{}: {e}", e.instance_path()))
                .collect();
            assert!(all.is_empty(), "{verb} {path}: {all:#?} in {body:#}");
        }
    }

    /// Sees that a body is one that the document wants.
    pub fn wants(&self, verb: &str, path: &str, body: &Value) {
        let content = &self.0["paths"][path][verb.to_lowercase()]["requestBody"]["content"];
        let validator = self.validator(&content["application/json"]["schema"]);
        assert!(validator.is_valid(body), "{verb} {path} is not asked so: {body}");
    }

    /// Every operation: its method, its path and itself.
    pub fn operations(&self) -> Vec<(String, String, Value)> {
        let mut all = Vec::new();
        for (path, verbs) in self.0["paths"].as_object().expect("paths") {
            for (verb, operation) in verbs.as_object().expect("methods") {
                all.push((verb.to_uppercase(), path.clone(), operation.clone()));
            }
        }
        all
    }
}

#[test]
fn what_the_document_has_is_answered_and_nothing_else() {
    let rig = Rig::new();
    let document = Document::of(&rig);
    let operations = document.operations();
    assert!(operations.len() >= 20, "{}", operations.len());
    let verbs = ["GET", "POST", "PUT", "DELETE", "PATCH"];
    let mut paths: Vec<&String> = operations.iter().map(|(_, path, _)| path).collect();
    paths.dedup();
    for path in paths {
        for verb in verbs {
            let is_there = operations.iter().any(|(of, at, _)| of == verb && at == path);
            if path == "/v1/events" && is_there {
                continue;
            }
            // A body that none of them takes: nothing is done.
            let line = format!("{verb} {}", path.replace("{pipeline}", "orders"));
            let body = (verb != "GET").then(|| json!({ "no_such_thing": 1 }));
            let answer = rig.asks(ADMIN, &line, body.as_ref());
            assert_eq!(answer.status != 405, is_there, "{line}: {answer:?}");
            if is_there {
                assert_ne!(answer.status, 404, "{line}: {answer:?}");
                document.holds(verb, path, &answer);
            }
        }
    }
    // What each role may is what its document says.
    for (verb, path, operation) in &operations {
        let role = operation["x-role"].as_str().expect("a role");
        for (token, may) in
            [(crate::rig::VIEWER, role == "viewer"), (crate::rig::OPERATOR, role != "admin")]
        {
            if !may {
                let line = format!("{verb} {}", path.replace("{pipeline}", "orders"));
                let answer = rig.asks(token, &line, None);
                assert_eq!(answer.status, 403, "{line}: {answer:?}");
                document.holds(verb, path, &answer);
            }
        }
    }
    assert_eq!(rig.get("/v1/pipelines/orders").ok()["steering"]["paused"], Value::Null);
    rig.worker.stop();
}
