//! Configuration and secrets: what the pipeline grants by name.
//!
//! ```no_run
//! # fn main() -> Result<(), pelton_sdk::EffectError> {
//! let region = pelton_sdk::config::get("region")?.unwrap_or_else(|| "eu".into());
//! let key = pelton_sdk::config::require("api_key")?;
//! # Ok(()) }
//! ```

use crate::{EffectError, backend};

/// The value of this name, if the pipeline grants one.
///
/// # Errors
/// The host cannot say.
pub fn get(name: &str) -> Result<Option<String>, EffectError> {
    backend::config_get(name)
}

/// The value of this name, without which the handler cannot work.
///
/// # Errors
/// There is none.
pub fn require(name: &str) -> Result<String, EffectError> {
    get(name)?.ok_or_else(|| {
        let text = format!("there is no configuration `{name}`: add it to the pipeline's grants.config");
        EffectError::new("not-granted", text)
    })
}

/// All names and values that the pipeline grants.
///
/// # Errors
/// The host cannot say.
pub fn all() -> Result<Vec<(String, String)>, EffectError> {
    backend::config_all()
}
