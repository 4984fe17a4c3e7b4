//! The message of `pelton invoke`, decoded as its pipeline says.

use super::REJECT;
use crate::exit::Fail;
use crate::harness::{Decoding, Given, Harness};
use crate::output;
use pelton_core::ports::{Decoded, Work};
use serde_json::json;

/// Why no handler sees a message.
pub enum Unhandled {
    /// A worker makes an invalid letter of it.
    Invalid(String),
    /// A worker acknowledges it.
    Skipped,
}

/// What the handler is given.
///
/// # Errors
/// Whoever has to be asked for that does not answer.
pub fn of(given: Given, decoding: Option<&Decoding>) -> Result<Result<Work, Unhandled>, Fail> {
    let decoded = decoding.map(|decoding| decoding.decode(vec![given.message()])).transpose()?;
    Ok(match decoded.and_then(|mut decoded| decoded.pop()) {
        None | Some(Decoded::AsItIs) => Ok(given.work()),
        Some(Decoded::Seen(message)) => Ok(Given { seen: Some(message), ..given }.work()),
        Some(Decoded::Nothing) => Err(Unhandled::Skipped),
        Some(Decoded::Invalid(why)) => Err(Unhandled::Invalid(why)),
    })
}

impl Unhandled {
    /// Prints it; the exit code.
    pub fn show(&self, harness: &Harness, as_json: bool) -> u8 {
        let (word, reason, code) = match self {
            Self::Invalid(why) => ("invalid", Some(why), REJECT),
            Self::Skipped => ("skipped", None, 0),
        };
        if as_json {
            output::json(&json!({
                "digest": harness.info().digest,
                "kind": harness.info().kind.words(),
                "calls": [{ "outcome": word, "reason": reason, "after_ms": null }],
                "logs": [], "state": [], "outbox": [],
            }));
        } else {
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            say!("outcome  {word}{reason}");
        }
        code
    }
}
