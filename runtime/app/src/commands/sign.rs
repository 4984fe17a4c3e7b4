//! `pelton keygen` and `pelton sign`.

use crate::config::Component;
use crate::deploy::signature;
use crate::exit::{Fail, Outcome};
use crate::oci;
use pelton_host::{HostOptions, digest, read_component};
use std::ffi::OsStr;
use std::path::Path;

/// Makes a pair of keys.
pub fn keygen(name: &Path) -> Outcome {
    let (private, public) = signature::keygen(name).map_err(Fail::refused)?;
    say!("{}: keep it secret", private.display());
    say!("{}: for `require_signature`", public.display());
    Ok(())
}

/// Signs a component.
pub fn sign(component: &OsStr, key: &Path) -> Outcome {
    let max = HostOptions::default().max_component_bytes;
    let refused = |why: String| Fail::refused(format!("{} {why}", component.display()));
    if let Component::Oci(reference) = Component::named(component).map_err(refused)? {
        let digest = oci::sign(&reference, max, |digest| signature::sign(key, digest)).map_err(refused)?;
        say!("{}: signed {digest}", component.display());
        return Ok(());
    }
    let component = Path::new(component);
    let bytes = read_component(component, max).map_err(|error| refused(error.to_string()))?;
    let digest = digest(&bytes);
    let line = signature::sign(key, &digest).map_err(refused)?;
    let file = signature::beside(component);
    std::fs::write(&file, format!("{line}\n"))
        .map_err(|error| Fail::refused(format!("{} cannot be written: {error}", file.display())))?;
    say!("{}: signed {digest}", file.display());
    Ok(())
}
