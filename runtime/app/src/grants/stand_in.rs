//! What a handler has where it is tried out. Names and places are those of its pipeline; no secret is read.

use super::nowhere::NoDatabase;
use super::refuses;
use crate::config::{Given, GrantsConfig};
use pelton_host::{Grants, HttpGrant, HttpLimits, Refuses, SqlGrant};
use std::sync::Arc;

/// A database under this name that runs nothing.
pub fn no_database(name: &str) -> SqlGrant {
    SqlGrant { name: name.to_owned(), database: Arc::new(NoDatabase) }
}

/// As the pipeline grants it, with `test-NAME` for each value that comes from elsewhere. State, outbox and
/// environment are left to whoever tries it out, and statements are not run.
pub fn stand_ins(granted: &GrantsConfig) -> Grants {
    let config = |all: &Vec<(String, Given)>| {
        all.iter().map(|(name, given)| (name.clone(), stand_in(name, given))).collect()
    };
    let http = granted.http.iter().map(|place| HttpGrant {
        to: place.to.clone(),
        methods: place.methods.clone(),
        headers: place.headers.iter().map(|(name, given)| (name.clone(), stand_in(name, given))).collect(),
        idempotency: place.idempotency.clone(),
        private: place.private.clone(),
        shadow: place.shadow,
    });
    Grants {
        config: granted.config.as_ref().map(config),
        sql: granted.sql.as_ref().map(|home| no_database(&home.name)),
        http: http.collect(),
        http_limits: HttpLimits { ca: None, proxy: None, ..granted.http_limits.limits.clone() },
        ..Grants::default()
    }
}

/// The targets of a pipeline's outbox with what they refuse, where a message may have `max` bytes.
pub fn targets(granted: &GrantsConfig, max: usize) -> Vec<(String, Refuses)> {
    granted.outbox.iter().map(|(name, to)| (name.clone(), refuses(to, max))).collect()
}

fn stand_in(name: &str, given: &Given) -> String {
    let value = format!("test-{name}");
    match given {
        Given::Text(_) => match given.value(&|_| Some(value.clone())) {
            Ok(value) => value.text,
            Err(_) => value,
        },
        Given::Env { prefix, .. } | Given::File { prefix, .. } => format!("{prefix}{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_read_and_what_stands_in_the_file_is() {
        let text = |text: &str| stand_in("key", &Given::Text(text.to_owned()));
        assert_eq!((&*text("eu"), &*text("Bearer ${KEY}")), ("eu", "Bearer test-key"));
        let file = Given::File { prefix: "Bearer ".to_owned(), path: "/dev/zero".into() };
        assert_eq!(stand_in("pay", &file), "Bearer test-pay");
    }
}
