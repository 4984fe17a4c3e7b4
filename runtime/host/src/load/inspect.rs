//! What a component is, without compiling it.

use crate::error::LoadError;
use crate::grants::Grants;
use crate::guest::link;
use crate::interfaces::{self, Want};
use crate::kinds::kind::{HandlerKind, Protocol};
use crate::load::validate::{self, Form};
use sha2::{Digest, Sha256};

/// What a component is and wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentInfo {
    /// `sha256:` and 64 hexadecimal digits, of the whole file.
    pub digest: String,
    /// What it is as a handler.
    pub kind: HandlerKind,
    /// How it is packed.
    pub form: Form,
    /// The interfaces it imports, all of which may be granted.
    pub imports: Vec<String>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
    /// The size of the file in bytes.
    pub size: usize,
}

/// Checks a component as far as that goes without compiling: size, validity, bounded complexity, exports,
/// and that it imports only what may be granted. `protocol` is what its pipeline says of a plain program.
///
/// # Errors
/// The first thing that is wrong; of the imports all.
pub fn inspect(bytes: &[u8], max: usize, protocol: Option<Protocol>) -> Result<ComponentInfo, LoadError> {
    inspect_pinned(bytes, max, protocol, None, None, |_| false)
}

/// Checks only that it can be compiled with bounded effort.
pub(crate) fn compilable(bytes: &[u8], max: usize) -> Result<Form, LoadError> {
    if bytes.len() > max {
        return Err(LoadError::TooLarge { max });
    }
    let form = validate::form(bytes)?;
    validate::file(bytes)?;
    Ok(form)
}

/// A component as it describes itself, usable here or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `sha256:` and 64 hexadecimal digits, of the whole file.
    pub digest: String,
    /// The size of the file in bytes.
    pub size: usize,
    /// Every interface it imports.
    pub imports: Vec<String>,
    /// Of these, what no pipeline can grant.
    pub refused: Vec<String>,
    /// What of them its pipeline must grant.
    pub wants: Vec<Want>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
    /// How it is packed.
    pub form: Form,
    /// What made it, as it says itself: the languages and the tools, such as `Rust` and `rustc 1.95.0`.
    pub made_by: Vec<String>,
}

/// Describes a component that is valid, whatever it imports and exports.
///
/// # Errors
/// What makes it no component that could be looked at.
pub fn describe(bytes: &[u8], max: usize) -> Result<Description, LoadError> {
    if bytes.len() > max {
        return Err(LoadError::TooLarge { max });
    }
    let form = validate::form(bytes)?;
    let surface = validate::file(bytes)?;
    let refused = surface.imports.iter().filter(|name| !has(name)).cloned().collect();
    Ok(Description {
        digest: digest(bytes),
        size: bytes.len(),
        wants: interfaces::wants(&surface.imports, None),
        imports: surface.imports,
        refused,
        exports: surface.exports,
        form,
        made_by: validate::made_by(bytes),
    })
}

/// Whether the host has this interface, for everybody or by a grant.
fn has(import: &str) -> bool {
    link::granted(import) || interfaces::may_be_granted(import)
}

/// As [`inspect`], and compares the digest with a pin before anything is parsed, and what it imports with
/// what a pipeline grants. What is `known` by its
/// digest was validated before it was compiled, so that is not done again: it takes a third of the start of
/// a large component.
pub(crate) fn inspect_pinned(
    bytes: &[u8],
    max: usize,
    protocol: Option<Protocol>,
    pin: Option<&str>,
    grants: Option<(&str, &Grants)>,
    known: impl FnOnce(&str) -> bool,
) -> Result<ComponentInfo, LoadError> {
    if bytes.len() > max {
        return Err(LoadError::TooLarge { max });
    }
    let digest = digest(bytes);
    if let Some(pin) = pin {
        compare(pin, &digest)?;
    }
    let form = validate::form(bytes)?;
    let surface = if known(&digest) { validate::surface(bytes)? } else { validate::file(bytes)? };
    let kind = HandlerKind::of(form, &surface.exports, surface.says(), protocol)?;
    let (imports, refused): (Vec<_>, Vec<_>) = surface.imports.into_iter().partition(|name| has(name));
    if !refused.is_empty() {
        return Err(LoadError::NotGranted { imports: refused });
    }
    if let Some((pipeline, grants)) = grants {
        let wants = interfaces::missing(&imports, pipeline, grants);
        if !wants.is_empty() {
            return Err(LoadError::GrantsMissing { wants });
        }
    }
    Ok(ComponentInfo { digest, kind, form, imports, exports: surface.exports, size: bytes.len() })
}

/// What a component is known by: `sha256:` and the digest of its bytes in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compare(pin: &str, digest: &str) -> Result<(), LoadError> {
    let digits = pin.strip_prefix("sha256:").unwrap_or_default();
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(LoadError::BadPin(crate::guest::text::clean(pin, 128)));
    }
    if pin.eq_ignore_ascii_case(digest) {
        return Ok(());
    }
    Err(LoadError::Pin { expected: pin.to_owned(), found: digest.to_owned() })
}
