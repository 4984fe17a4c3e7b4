//! How commands and the running worker talk: over a Unix socket in the data directory. Knows neither: the
//! worker is a `Service` here.

pub mod client;
pub mod protocol;
pub mod server;
pub mod socket;
pub mod steering;
mod versions;
