//! What a component is, without compiling it.

use crate::error::LoadError;
use crate::guest::link;
use crate::load::validate;
use sha2::{Digest, Sha256};

/// What a component is and wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentInfo {
    /// `sha256:` and 64 hexadecimal digits, of the whole file.
    pub digest: String,
    /// Which handler it exports.
    pub world: World,
    /// The interfaces it imports, all of them granted.
    pub imports: Vec<String>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
    /// The size of the file in bytes.
    pub size: usize,
}

/// Which of the two handlers a component exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum World {
    /// One message at a time.
    Message,
    /// A list of messages at a time.
    Batch,
}

impl World {
    /// The interface it exports.
    #[must_use]
    pub fn interface(self) -> &'static str {
        match self {
            Self::Message => "pelton:handler/message-handler@0.1.0",
            Self::Batch => "pelton:handler/batch-handler@0.1.0",
        }
    }

    /// The world of an export's name, in any compatible version.
    fn of(export: &str) -> Option<Self> {
        let (path, version) = export.split_once('@')?;
        let compatible = version.strip_prefix("0.1.").is_some_and(link::is_number);
        match path {
            "pelton:handler/message-handler" if compatible => Some(Self::Message),
            "pelton:handler/batch-handler" if compatible => Some(Self::Batch),
            _ => None,
        }
    }
}

/// Checks a component as far as that goes without compiling: size, validity, bounded complexity,
/// exports, and that it imports only what is granted.
///
/// # Errors
/// The first thing that is wrong; of the imports all.
pub fn inspect(bytes: &[u8], max: usize) -> Result<ComponentInfo, LoadError> {
    inspect_pinned(bytes, max, None)
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
    /// Of these, what no pipeline is granted.
    pub refused: Vec<String>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
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
    validate::is_component(bytes)?;
    let surface = validate::component(bytes)?;
    let refused = surface.imports.iter().filter(|name| !link::granted(name)).cloned().collect();
    Ok(Description {
        digest: digest(bytes),
        size: bytes.len(),
        imports: surface.imports,
        refused,
        exports: surface.exports,
        made_by: validate::made_by(bytes),
    })
}

/// As [`inspect`], and compares the digest with a pin before anything is parsed.
pub(crate) fn inspect_pinned(
    bytes: &[u8],
    max: usize,
    pin: Option<&str>,
) -> Result<ComponentInfo, LoadError> {
    if bytes.len() > max {
        return Err(LoadError::TooLarge { max });
    }
    let digest = digest(bytes);
    if let Some(pin) = pin {
        compare(pin, &digest)?;
    }
    validate::is_component(bytes)?;
    let surface = validate::component(bytes)?;
    let world = world(&surface.exports)?;
    let (imports, refused): (Vec<_>, Vec<_>) =
        surface.imports.into_iter().partition(|name| link::granted(name));
    if !refused.is_empty() {
        return Err(LoadError::NotGranted { imports: refused });
    }
    Ok(ComponentInfo { digest, world, imports, exports: surface.exports, size: bytes.len() })
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

/// The one world that the exports name.
fn world(exports: &[String]) -> Result<World, LoadError> {
    let worlds: Vec<World> = exports.iter().filter_map(|name| World::of(name)).collect();
    if let [world] = worlds[..] {
        return Ok(world);
    }
    let hint = if !worlds.is_empty() {
        "; export one of the two, not both"
    } else if exports.iter().any(|name| name.starts_with("pelton:handler/")) {
        "; it was built for another version of the contract"
    } else if exports.iter().any(|name| name.starts_with("wasi:cli/run")) {
        "; it is a program, build it as a library (`crate-type = [\"cdylib\"]` in Rust)"
    } else {
        ""
    };
    Err(LoadError::WrongWorld { exports: exports.to_vec(), hint })
}
