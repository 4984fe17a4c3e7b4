//! Key-value state. What is written commits with the message, and on any other answer than `Ok` it never was.
//!
//! ```no_run
//! # fn main() -> Result<(), pelton_sdk::EffectError> {
//! use pelton_sdk::state;
//!
//! let orders = state::increment("orders", 1)?;
//! state::set("last", "order-7")?;
//! let total: Option<u64> = state::store("totals").get_json("customer-1")?;
//! # Ok(()) }
//! ```
//!
//! Messages that run side by side and touch the same keys have the effect of some order, one after the other.
//! So read, decide and write as if alone. Only lists of keys are not held to that.

use crate::{EffectError, backend};
use serde::Serialize;
use serde::de::DeserializeOwned;

const DEFAULT: &str = "default";

/// A store of the pipeline's, by name. Whether it grants it shows at the first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store<'a> {
    name: &'a str,
}

/// The store of this name. The functions beside this one use the one called `default`.
#[must_use]
pub fn store(name: &str) -> Store<'_> {
    Store { name }
}

impl Store<'_> {
    /// The value of a key, if there is one. Sees what this message has written.
    ///
    /// # Errors
    /// The store is not granted, or the key is refused.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, EffectError> {
        backend::state_get(self.name, key)
    }

    /// The value of a key, from JSON.
    ///
    /// # Errors
    /// As [`Store::get`], and what is there is not of this shape.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, EffectError> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        serde_json::from_slice(&value).map(Some).map_err(|error| {
            EffectError::new("value", format!("the JSON at the key `{key}` does not fit: {error}"))
        })
    }

    /// Gives a key a value.
    ///
    /// # Errors
    /// The store is not granted, or the key or the value is refused.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), EffectError> {
        backend::state_set(self.name, key, value.as_ref())
    }

    /// Gives a key a value, as JSON.
    ///
    /// # Errors
    /// As [`Store::set`].
    pub fn set_json(&self, key: &str, value: &impl Serialize) -> Result<(), EffectError> {
        let json = serde_json::to_vec(value)
            .map_err(|error| EffectError::new("refused", format!("the value is no JSON: {error}")))?;
        self.set(key, json)
    }

    /// Removes a key. It need not be there.
    ///
    /// # Errors
    /// The store is not granted, or the key is refused.
    pub fn delete(&self, key: &str) -> Result<(), EffectError> {
        backend::state_delete(self.name, key)
    }

    /// Adds to a number, 0 where there is none, and gives what it is then. The value is its decimal text.
    ///
    /// # Errors
    /// As [`Store::set`], and what is there is no number, or would be none of 64 bits.
    pub fn increment(&self, key: &str, by: i64) -> Result<i64, EffectError> {
        backend::state_increment(self.name, key, by)
    }

    /// Gives a key a value if it has the one that is expected, `None` being no value; whether it had.
    ///
    /// # Errors
    /// As [`Store::set`].
    pub fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<bool, EffectError> {
        // Nobody writes between the two: the commit finds out, and the message runs again.
        let is = self.get(key)?.as_deref() == expected;
        if is {
            self.set(key, value)?;
        }
        Ok(is)
    }

    /// All keys, in no order that is promised.
    ///
    /// # Errors
    /// The store is not granted.
    pub fn list(&self) -> Result<Vec<String>, EffectError> {
        backend::state_list(self.name)
    }
}

/// [`Store::get`] in the store `default`.
///
/// # Errors
/// As there.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, EffectError> {
    store(DEFAULT).get(key)
}

/// [`Store::get_json`] in the store `default`.
///
/// # Errors
/// As there.
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, EffectError> {
    store(DEFAULT).get_json(key)
}

/// [`Store::set`] in the store `default`.
///
/// # Errors
/// As there.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), EffectError> {
    store(DEFAULT).set(key, value)
}

/// [`Store::set_json`] in the store `default`.
///
/// # Errors
/// As there.
pub fn set_json(key: &str, value: &impl Serialize) -> Result<(), EffectError> {
    store(DEFAULT).set_json(key, value)
}

/// [`Store::delete`] in the store `default`.
///
/// # Errors
/// As there.
pub fn delete(key: &str) -> Result<(), EffectError> {
    store(DEFAULT).delete(key)
}

/// [`Store::increment`] in the store `default`.
///
/// # Errors
/// As there.
pub fn increment(key: &str, by: i64) -> Result<i64, EffectError> {
    store(DEFAULT).increment(key, by)
}

/// [`Store::compare_and_set`] in the store `default`.
///
/// # Errors
/// As there.
pub fn compare_and_set(
    key: &str,
    expected: Option<&[u8]>,
    value: impl AsRef<[u8]>,
) -> Result<bool, EffectError> {
    store(DEFAULT).compare_and_set(key, expected, value)
}

/// [`Store::list`] in the store `default`.
///
/// # Errors
/// As there.
pub fn list() -> Result<Vec<String>, EffectError> {
    store(DEFAULT).list()
}
