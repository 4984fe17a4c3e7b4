//! What a handler may do in the world, interface by interface: the imports of each, the grant that it needs,
//! and its functions. Everything that a pipeline may grant is in [`ALL`]; what it does not grant keeps a
//! component from loading.

pub(crate) mod call;
pub(crate) mod caller;
pub(crate) mod config;
pub(crate) mod counts;
mod effect_id;
pub(crate) mod http;
pub(crate) mod outbox;
pub(crate) mod sql;
pub(crate) mod staging;
pub(crate) mod state;
pub(crate) mod worker_calls;

pub(crate) use caller::Caller;

use crate::grants::Grants;
use crate::guest::state::GuestState;
use crate::guest::text;
use std::sync::Arc;
use wasmtime::component::Linker;

/// An interface that a pipeline may grant, under all its names.
pub(crate) struct Interface {
    /// What it is in words, such as `HTTP`.
    pub(crate) name: &'static str,
    /// Whether an import of this name, with its version, belongs to it.
    pub(crate) provides: fn(&str) -> bool,
    /// Whether these grants have it.
    pub(crate) is_granted: fn(&Grants) -> bool,
    /// The lines of TOML that grant it, with `PIPELINE` for the pipeline's name.
    pub(crate) lines: &'static str,
    /// Adds its functions, under all its names.
    pub(crate) link: fn(&mut Linker<GuestState>) -> wasmtime::Result<()>,
}

/// All of them.
pub(crate) const ALL: &[Interface] =
    &[http::INTERFACE, config::INTERFACE, state::INTERFACE, outbox::INTERFACE, sql::INTERFACE];

/// An interface that a component imports, and that its pipeline must grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// What it is in words, such as `HTTP`.
    pub interface: &'static str,
    /// The imports that ask for it.
    pub imports: Vec<String>,
    /// The lines of TOML that grant it.
    pub lines: String,
}

/// What all instances of one handler share of the interfaces.
pub(crate) struct Granted {
    pub(crate) grants: Arc<Grants>,
    pub(crate) http: Arc<http::Outgoing>,
    pub(crate) refusals: Arc<counts::Refusals>,
}

/// What of these imports a pipeline must grant. `pipeline` is for the lines; a made-up name where there is
/// none.
#[must_use]
pub fn wants(imports: &[String], pipeline: Option<&str>) -> Vec<Want> {
    let named = |interface: &Interface| {
        let imports: Vec<String> =
            imports.iter().filter(|name| (interface.provides)(name)).cloned().collect();
        (!imports.is_empty()).then(|| Want {
            interface: interface.name,
            imports,
            lines: interface.lines.replace("PIPELINE", &toml_key(pipeline.unwrap_or("NAME"))),
        })
    };
    ALL.iter().filter_map(named).collect()
}

/// Whether a pipeline may grant the interface of this name.
pub(crate) fn may_be_granted(import: &str) -> bool {
    ALL.iter().any(|interface| (interface.provides)(import))
}

/// What these grants have, and none of these imports asks for, in words.
#[must_use]
pub fn unused(imports: &[String], grants: &Grants) -> Vec<&'static str> {
    let is_unused = |interface: &&Interface| {
        (interface.is_granted)(grants) && !imports.iter().any(|name| (interface.provides)(name))
    };
    ALL.iter().filter(is_unused).map(|interface| interface.name).collect()
}

/// What these imports want, and these grants do not have.
#[must_use]
pub fn missing(imports: &[String], pipeline: &str, grants: &Grants) -> Vec<Want> {
    let has = |want: &Want| {
        ALL.iter().any(|interface| interface.name == want.interface && (interface.is_granted)(grants))
    };
    let mut all = wants(imports, Some(pipeline));
    all.retain(|want| !has(want));
    all
}

/// A name as it stands between the dots of a table's header.
fn toml_key(name: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.bytes().all(is_bare) {
        return name.to_owned();
    }
    format!("\"{}\"", text::clean(name, 256).replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_comes_with_the_lines_that_grant_it() {
        let imports = ["wasi:io/poll@0.2.6", "wasi:http/outgoing-handler@0.2.12"].map(str::to_owned);
        let wanted = missing(&imports, "my orders", &Grants::default());
        assert_eq!(wanted.len(), 1);
        assert_eq!(wanted[0].imports, ["wasi:http/outgoing-handler@0.2.12"]);
        assert!(wanted[0].lines.starts_with("[[pipelines.\"my orders\".grants.http]]\n"), "{wanted:?}");
    }
}
