//! What several tables of a case have: headers, a body, a time.

use crate::input;
use base64::Engine;
use pelton_core::units;
use pelton_host::file;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a body in a file, at most: no pipeline takes more.
const BODY: usize = 256 << 20;

/// A table, or pairs where a name repeats.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Headers {
    Named(BTreeMap<String, String>),
    Pairs(Vec<(String, String)>),
}

impl Headers {
    /// As they are sent.
    pub fn pairs(self) -> Vec<(String, Vec<u8>)> {
        let bytes = |(name, value): (String, String)| (name, value.into_bytes());
        match self {
            Self::Named(table) => table.into_iter().map(bytes).collect(),
            Self::Pairs(pairs) => pairs.into_iter().map(bytes).collect(),
        }
    }
}

/// A body, given in one of four ways or not at all.
pub fn one_body(
    text: Option<String>,
    json: Option<toml::Value>,
    file: Option<PathBuf>,
    base64: Option<String>,
    folder: &Path,
) -> Result<Option<Vec<u8>>, String> {
    let body = match (text, json, file, base64) {
        (None, None, None, None) => return Ok(None),
        (Some(text), None, None, None) => text.into_bytes(),
        (None, Some(value), None, None) => {
            serde_json::to_vec(&value).map_err(|error| format!("json: {error}"))?
        }
        (None, None, Some(file), None) => {
            let file = folder.join(file);
            file::read(&file, BODY).map_err(|why| format!("body_file {}", input::of(&file, &why)))?
        }
        (None, None, None, Some(text)) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|error| format!("body_base64: {error}"))?,
        _ => return Err("give one of body, json, body_file and body_base64".to_owned()),
    };
    Ok(Some(body))
}

/// The bytes of `{ base64 = "..." }`.
pub fn base64_of(table: &toml::Table) -> Result<Vec<u8>, String> {
    let text = table.get("base64").and_then(toml::Value::as_str).filter(|_| table.len() == 1);
    let text = text.ok_or("base64 must be a text, and stand alone")?;
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| format!("base64: {error}"))
}

pub fn duration(key: &str, text: Option<String>) -> Result<Option<Duration>, String> {
    text.map(|text| units::duration(&text).ok_or(format!("{key} must be {}", units::DURATION))).transpose()
}
