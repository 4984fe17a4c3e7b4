//! Configuration: `wasi:config` under the names that toolchains import, and the variables by which plain
//! programs are given the same.

use crate::grants::Grants;
use crate::guest::state::GuestState;
use crate::interfaces::Interface;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, LinkerInstance, Lower};

/// Configuration, as pipelines grant it.
pub(crate) const INTERFACE: Interface = Interface {
    name: "configuration",
    provides: |import| NAMES.contains(&import),
    is_granted: |grants: &Grants| grants.config.is_some(),
    lines: "[pipelines.PIPELINE.grants]\nconfig = { NAME = \"VALUE\" }\n",
    link,
};

/// Versions before a release are told apart by their whole name, and all are in use.
const NAMES: [&str; 3] = [
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:config/runtime@0.2.0-draft",
];

/// What the variables of plain programs begin with.
const VARIABLE: &str = "PELTON_CONFIG_";

/// The standard's errors. There are none here: values were read before the handler was loaded.
#[allow(dead_code, reason = "the standard has them")]
#[derive(Debug, ComponentType, Lower)]
#[component(variant)]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

type Got = (Result<Option<String>, ConfigError>,);
type GotAll = (Result<Vec<(String, String)>, ConfigError>,);

fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    NAMES.into_iter().try_for_each(|name| functions(&mut linker.instance(name)?))
}

fn functions(instance: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "get",
        |cx: StoreContextMut<'_, GuestState>, (name,): (String,)| -> wasmtime::Result<Got> {
            Ok((Ok(get(&cx.data().shared.grants, &name).map(str::to_owned)),))
        },
    )?;
    instance.func_wrap(
        "get-all",
        |cx: StoreContextMut<'_, GuestState>, (): ()| -> wasmtime::Result<GotAll> {
            Ok((Ok(all(&cx.data().shared.grants).to_vec()),))
        },
    )
}

/// The value of a name.
pub(crate) fn get<'a>(grants: &'a Grants, name: &str) -> Option<&'a str> {
    all(grants).iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
}

/// Everything that is granted.
pub(crate) fn all(grants: &Grants) -> &[(String, String)] {
    grants.config.as_deref().unwrap_or_default()
}

/// The environment of a plain program: what it is told of itself, then its configuration, since a program has
/// no other way to ask for it at its start, then the variables that are granted. `api-key` is
/// `PELTON_CONFIG_API_KEY`. Of two with one name the first counts.
pub(crate) fn environment(grants: &Grants, mut own: Vec<(String, String)>) -> Vec<(String, String)> {
    let part = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let variable = |name: &str| format!("{VARIABLE}{}", name.chars().map(part).collect::<String>());
    let config = all(grants).iter().map(|(name, value)| (variable(name), value.clone()));
    for (name, value) in config.chain(grants.environment.iter().cloned()) {
        if !own.iter().any(|(known, _)| *known == name) {
            own.push((name, value));
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_variables() {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let grants = Grants {
            config: Some([("api-key", "k"), ("Region.eu", "e"), ("api_key", "2")].map(pair).into()),
            environment: [("TZ", "UTC"), ("PELTON_PIPELINE", "forged")].map(pair).into(),
            ..Grants::default()
        };
        let found = environment(&grants, vec![pair(("PELTON_PIPELINE", "p"))]);
        let wanted = [
            ("PELTON_PIPELINE", "p"),
            ("PELTON_CONFIG_API_KEY", "k"),
            ("PELTON_CONFIG_REGION_EU", "e"),
            ("TZ", "UTC"),
        ];
        assert_eq!(found, wanted.map(pair));
    }
}
