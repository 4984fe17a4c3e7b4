//! The words of `pelton invoke`.

use super::{duration, header, size};
use clap::Args;
use pelton_host::{HttpTarget, Protocol};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct InvokeArgs {
    /// The component's file.
    pub file: PathBuf,
    /// The body, as text. Without one of the two, it is read from standard input.
    #[arg(long, value_name = "TEXT", group = "what")]
    pub body: Option<String>,
    /// The body, as the bytes of a file.
    #[arg(long, value_name = "FILE", group = "what")]
    pub body_file: Option<PathBuf>,
    /// The ordering key.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A header; may be repeated, under the same name too.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// The message's id.
    #[arg(long, value_name = "ID", default_value = "message-1")]
    pub id: String,
    /// Which start of a handler on this message it is.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempt: u32,
    /// Handle it so often, one after another on one instance.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub times: u32,
    /// A new instance each time.
    #[arg(long)]
    pub fresh: bool,
    /// With the limits and grants of this pipeline of the configuration. State is in memory, and outgoing
    /// messages are shown.
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Let it send requests to this scheme and host, such as https://api.example.com; may be repeated.
    /// What the pipeline puts into requests there is put in. Without it nothing is sent anywhere.
    #[allow(rustdoc::bare_urls, reason = "it is the text of a terminal")]
    #[arg(long, value_name = "URL", value_parser = HttpTarget::parse)]
    pub allow_http: Vec<HttpTarget>,
    /// How a plain WASI program is given messages, where it does not say so itself.
    #[arg(long, value_name = "WORD", value_parser = protocol)]
    pub protocol: Option<Protocol>,
    /// At most so long for each message [default: 30s].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<std::time::Duration>,
    /// At most so much memory [default: 128MiB].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<usize>,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn protocol(text: &str) -> Result<Protocol, String> {
    Protocol::parse(text).ok_or_else(|| {
        let words: Vec<&str> = Protocol::ALL.iter().map(|protocol| protocol.word()).collect();
        format!("must be one of {}", words.join(", "))
    })
}
