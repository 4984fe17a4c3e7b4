//! Base64, as the field writes it: of the standard alphabet, with padding or without.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of a text. `Err` goes on behind what has it.
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, String> {
    ENGINE.decode(text).map_err(|error| format!("is bad base64: {error}"))
}

/// A text of bytes, with padding.
pub fn encode(bytes: &[u8]) -> String {
    ENGINE.encode(bytes)
}
