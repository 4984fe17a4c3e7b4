//! How commands and the running worker talk: over a Unix socket in the data directory.

pub mod client;
pub mod socket;
