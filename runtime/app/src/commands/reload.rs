//! `pelton reload`.

use super::load;
use crate::control::client::{ask, unexpected};
use crate::control::protocol::{Reply, Request};
use crate::exit::Outcome;
use std::path::Path;

/// Has the worker read its configuration and its components again.
pub fn reload(file: &Path, pipeline: Option<&str>) -> Outcome {
    let config = load(file)?;
    let request = Request::Reload { pipeline: pipeline.map(str::to_owned) };
    let done = match ask(&config.data_dir, request, |_| {})? {
        Some(Reply::Reload { done }) => done,
        Some(other) => return Err(unexpected(&other)),
        None => {
            say!("no worker runs: the next start reads the configuration");
            return Ok(());
        }
    };
    if done.is_empty() {
        say!("nothing has changed");
    }
    done.iter().for_each(|what| say!("{what}"));
    Ok(())
}
