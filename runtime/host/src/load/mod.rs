//! From a file to a compiled component: read once, checked, compiled within a budget.

pub(crate) mod cache;
pub(crate) mod compile;
pub(crate) mod folder;
pub(crate) mod inspect;
pub(crate) mod read;
pub(crate) mod tidy;
pub(crate) mod types;
pub(crate) mod validate;
pub(crate) mod worker;
pub(crate) mod workshop;
