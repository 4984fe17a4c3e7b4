//! What `pelton deploy` is told.

use clap::Args;
use pelton_core::rollout::SHARE;
use std::ffi::OsString;

#[derive(Debug, Args)]
pub struct DeployArgs {
    /// The pipeline.
    pub pipeline: String,
    /// The component: its file, a folder in the OCI image layout, or oci://REGISTRY/NAME:TAG.
    #[arg(value_name = "FILE|OCI")]
    pub component: OsString,
    /// Try it out on this part of the messages, whatever the configuration says: at most 0.5, or 1.0 with
    /// --shadow.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub canary: Option<f64>,
    /// Give it copies of messages and compare what becomes of them; it takes messages only when it has
    /// passed. `--canary` says of which part.
    #[arg(long)]
    pub shadow: bool,
    /// Give it all messages at once, whatever the configuration says.
    #[arg(long, conflicts_with_all = ["canary", "shadow"])]
    pub now: bool,
    /// Wait for the end of the trial, and show how it goes: 0 it was promoted, 1 it was sent back.
    #[arg(long)]
    pub wait: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n| (*SHARE.start()..=1.0).contains(n));
    number.ok_or_else(|| {
        "must be a part of the messages from 0.0001 to 0.5 (1.0 with --shadow), such as 0.05".to_owned()
    })
}
