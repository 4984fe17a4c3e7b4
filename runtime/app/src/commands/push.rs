//! `pelton push`.

use crate::deploy::signature;
use crate::exit::{Fail, Outcome};
use crate::oci::{self, Reference};
use pelton_host::{HostOptions, LoadError, describe, inspect, read_component};
use std::path::Path;

/// Writes a component to a registry. What could be no handler is not pushed.
pub fn push(component: &Path, to: &str) -> Outcome {
    let max = HostOptions::default().max_component_bytes;
    let refused = |error| Fail::refused(format!("{} {error}", component.display()));
    let reference = Reference::parse(to).map_err(|why| Fail::usage(format!("{to} {why}")))?;
    let bytes = read_component(component, max).map_err(refused)?;
    match inspect(&bytes, max, None) {
        // The pipeline may say what a program is.
        Ok(_) | Err(LoadError::Unsaid) => {}
        Err(error) => return Err(refused(error)),
    }
    let found = describe(&bytes, max).map_err(refused)?;
    let title = component.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unusable = |why| Fail::refused(format!("{} {why}", component.display()));
    let signature = signature::of(component, true).map_err(unusable)?;
    let manifest = oci::push(&reference, bytes, &found, &title, signature.as_deref())
        .map_err(|why| Fail::refused(format!("{to}: {why}")))?;
    say!("{}: the component {}", reference.at(&manifest), found.digest);
    say!("{}", if signature.is_some() { "its signature is beside it" } else { "it is not signed" });
    Ok(())
}
