//! A component from where it is: a file, a layout or a registry.
//!
//! A tag is resolved once. What it was found to be is noted, and holds over restarts, until it is deployed
//! again; a start needs no network for what it had before.

use super::catalog::Catalog;
use super::signature;
use super::state::{Pin, VersionsState};
use crate::config::Component;
use crate::oci::{self, Pulled, Reference, layout};
use pelton_host::{digest, read_component};
use std::path::{Path, PathBuf};

/// A component, not looked into yet.
pub struct Fetched {
    pub bytes: Vec<u8>,
    /// Of several the one that is by a key that is asked for.
    pub signature: Option<String>,
    /// What its reference was found to be.
    pub pin: Option<Pin>,
}

/// What is wanted of it.
#[derive(Clone, Copy)]
pub struct Want<'a> {
    /// Bytes, at most.
    pub max: usize,
    pub keys: &'a [PathBuf],
}

/// Takes it as it is now. Blocks, on a network for minutes. `Err` goes on where its name stops.
pub fn fetch(component: &Component, want: Want<'_>) -> Result<Fetched, String> {
    let signed = !want.keys.is_empty();
    match component {
        Component::Oci(reference) => {
            let pulled = oci::pull(reference, want.max, signed)?;
            let pin = Pin {
                reference: reference.to_string(),
                manifest: pulled.manifest.clone(),
                component: digest(&pulled.bytes),
            };
            Ok(Fetched { pin: Some(pin), ..fetched(pulled, want) })
        }
        Component::File(path) => match layout::find(path) {
            Some((dir, selector)) => {
                oci::open(&dir, &selector, want.max, signed).map(|pulled| fetched(pulled, want))
            }
            None => {
                let bytes = read_component(path, want.max).map_err(|error| error.to_string())?;
                Ok(Fetched { bytes, signature: signature::of(path, signed)?, pin: None })
            }
        },
    }
}

fn fetched(pulled: Pulled, want: Want<'_>) -> Fetched {
    let digest = digest(&pulled.bytes);
    let good = |line: &&String| signature::check(want.keys, &digest, Some(line)).is_ok();
    let signature = pulled.signatures.iter().find(good).or(pulled.signatures.first()).cloned();
    Fetched { bytes: pulled.bytes, signature, pin: None }
}

/// The same, but what a reference was found to be before it still is, and is taken from the catalog if it is
/// whole there.
pub fn pinned(component: &Component, catalog: &Catalog, want: Want<'_>) -> Result<Fetched, String> {
    let Component::Oci(reference) = component else { return fetch(component, want) };
    let state = catalog.state();
    let Some(pin) = state.pinned(&reference.to_string()) else { return fetch(component, want) };
    if let Some(bytes) = whole(catalog, &pin.component, want.max) {
        let signature = catalog.signature(&pin.component);
        // A signature by another key may be there by now.
        if signature::check(want.keys, &pin.component, signature.as_deref()).is_ok() {
            return Ok(Fetched { bytes, signature, pin: Some(pin.clone()) });
        }
    }
    let exact = Reference::parse(&reference.at(&pin.manifest))?;
    let found = fetch(&Component::Oci(exact), want)?;
    Ok(Fetched { pin: Some(pin.clone()), ..found })
}

/// A kept component, if it is what its name says.
pub fn whole(catalog: &Catalog, wanted: &str, max: usize) -> Option<Vec<u8>> {
    catalog.read(wanted, max).ok().filter(|bytes| digest(bytes) == wanted)
}

/// The digest of the configured component, as far as that is known without a network.
pub fn look(component: &Component, state: &VersionsState, max: usize) -> Option<String> {
    match component {
        Component::Oci(reference) => state.pinned(&reference.to_string()).map(|pin| pin.component.clone()),
        Component::File(_) => {
            fetch(component, Want { max, keys: &[] }).ok().map(|found| digest(&found.bytes))
        }
    }
}

/// How a component is called that was named on the command line.
pub fn origin(component: &Component) -> String {
    match component {
        Component::File(path) => std::path::absolute(path).unwrap_or(path.clone()).display().to_string(),
        Component::Oci(reference) => reference.to_string(),
    }
}

/// Whether it is a plain file, that can be watched.
pub fn watched(component: &Component) -> Option<&Path> {
    match component {
        Component::File(path) if layout::find(path).is_none() => Some(path),
        _ => None,
    }
}
