//! Configuration, environment and secrets.
#![allow(clippy::unwrap_used)]

mod common;

use common::deeds::Deed::*;
use common::deeds::{World, component_of};
use common::*;
use pelton_host::{Grants, HandlerSpec};
use std::sync::Arc;

fn config() -> Grants {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Grants { config: Some(vec![pair("region", "eu"), pair("empty", "")]), ..Grants::default() }
}

#[test]
fn configuration_has_three_names() {
    for world in [World::ConfigRc, World::ConfigSpin, World::ConfigRuntime] {
        let bytes =
            component_of(world, &[('a', &[Config("region"), Config("none"), Config("empty"), ConfigAll])]);
        let (host, lines) = listening();
        let error = host.load_bytes("orders", &bytes, &spec()).map(drop).unwrap_err().to_string();
        assert!(error.contains("\nconfig = {"), "{error}");
        let handler = load(&host, &bytes, &HandlerSpec { grants: Arc::new(config()), ..spec() });
        assert!(one(&handler, "a").is_ok());
        assert_eq!(lines.take()[0].text, "eu -  region eu empty ", "{world:?}");
    }
}
