//! `pelton reload`.

use super::load;
use crate::control::client;
use crate::exit::Outcome;
use serde_json::json;
use std::path::Path;

/// Has the worker read its configuration and its components again.
pub fn reload(file: &Path, pipeline: Option<&str>) -> Outcome {
    let config = load(file)?;
    let request = json!({ "pipeline": pipeline });
    let Some(answer) = client::ask(&config.data_dir, "reload", &request, |_| {})? else {
        say!("no worker runs: the next start reads the configuration");
        return Ok(());
    };
    let done = answer["done"].as_array().cloned().unwrap_or_default();
    if done.is_empty() {
        say!("nothing has changed");
    }
    done.iter().filter_map(|what| what.as_str()).for_each(|what| say!("{what}"));
    Ok(())
}
