//! Files that a configuration in the project names, found from a folder of it.

use std::path::Path;
use toml::Value;

/// A value that may be in a file.
pub fn given(value: &mut Value) {
    value.get_mut("file").into_iter().for_each(path);
}

/// The name of a file.
pub fn path(value: &mut Value) {
    if let Some(text) = value.as_str() {
        *value = Value::String(Path::new("..").join(text).display().to_string());
    }
}
