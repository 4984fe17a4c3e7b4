//! The configuration: read, checked as a whole, and without options from then on.

mod admin;
mod checked;
mod databases;
mod decode;
mod flow;
mod given;
mod grants;
mod handler;
mod http;
mod ledger;
mod otlp;
#[cfg(feature = "schemas")]
mod schema;
mod telemetry;
mod together;

pub use crate::settings::Problem;
pub use admin::{AdminConfig, AdminListen, Role, TlsFiles, TokenFile};
pub use checked::{Config, PipelineConfig};
pub use databases::HomeConfig;
pub use flow::slowest;
pub use given::{Given, SECRET_BYTES, certificates};
pub use grants::{GrantsConfig, OWN_STORE, StoreConfig};
pub use handler::{Component, HandlerConfig, Reload, TRIAL};
pub use http::HttpConfig;
pub use otlp::{OtlpConfig, TracesConfig};
pub use telemetry::TelemetryConfig;

use crate::input;
use crate::settings::{Lookup, Problems, Section};
use pelton_core::shown::{path as shown_path, shown};
use std::path::{Path, PathBuf};
use std::time::Duration;

const MIB: usize = 1 << 20;
const DAY: Duration = Duration::from_secs(86_400);

/// Bytes of a problem that are shown.
const WORDS: usize = 4 << 10;

/// Whether something of the file may be called so.
fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// A configuration that cannot be used.
#[derive(Debug)]
pub struct Invalid {
    /// The file.
    pub file: PathBuf,
    /// All that is wrong with it.
    pub problems: Vec<Problem>,
}

impl Invalid {
    /// Which file, and how many problems it has.
    pub fn heading(&self) -> String {
        let count = self.problems.len();
        let problems = if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") };
        format!("{}: {problems}", shown_path(&self.file))
    }

    /// The problems, a line each, whatever is in them, and however long that is.
    pub fn lines(&self) -> Vec<String> {
        let first = |problem: &Problem| {
            let what = shown(&problem.what).at_most(WORDS);
            match problem.path.as_str() {
                "" => format!("  {what}"),
                path => format!("  {}: {what}", shown(path).at_most(WORDS)),
            }
        };
        let more = |line: &String| format!("      {}", shown(line).at_most(WORDS));
        let lines = |problem: &Problem| {
            let mut lines = vec![first(problem)];
            lines.extend(problem.lines.iter().map(more));
            lines
        };
        self.problems.iter().flat_map(lines).collect()
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.heading())?;
        self.lines().iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

impl std::error::Error for Invalid {}

/// Reads and checks a file. Paths in it are relative to the folder it is in.
pub fn load(file: &Path) -> Result<Config, Invalid> {
    let (config, problems) = load_loose(file)?;
    if problems.is_empty() { Ok(config) } else { Err(Invalid { file: file.to_owned(), problems }) }
}

/// The same, with what could be understood beside what could not: for a check that goes on.
pub fn load_loose(file: &Path) -> Result<(Config, Vec<Problem>), Invalid> {
    let invalid = |what: String| Invalid { file: file.to_owned(), problems: vec![Problem::new("", what)] };
    let text = input::written(file).map_err(|why| {
        invalid(format!("{why}. Name another with --config, or see examples/pelton.toml"))
    })?;
    let base = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parse(&text, base, &|name| std::env::var(name).ok()).map_err(invalid)
}

/// Checks a text. Pure: the environment is a function, and no file is looked at. `Err` is a text
/// that is no TOML at all.
pub fn parse(text: &str, base: &Path, env: Lookup<'_>) -> Result<(Config, Vec<Problem>), String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map(|span| input::place(text, span.start)).unwrap_or_default();
        format!("{at}is not TOML: {}", error.message())
    })?;
    let problems = Problems::default();
    let config = checked::config(Section::new("", table, env, &problems), base);
    together::together(&config, &problems);
    Ok((config, problems.into_all()))
}
