//! The words of `pelton new`, `build`, `test` and `dev`.

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::path::PathBuf;

/// The languages there are templates for.
pub const LANGUAGES: &[&str] = &include!(concat!(env!("OUT_DIR"), "/languages.rs"));

/// What a handler is, as its author sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ProjectKind {
    /// A component: its function is called with each message.
    Component,
    /// A program that stays alive, and reads one message after another.
    Worker,
    /// A program that is run once for each message.
    Command,
}

impl ProjectKind {
    /// The word in `handler.toml` and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Worker => "worker",
            Self::Command => "command",
        }
    }
}

#[derive(Debug, Args)]
pub struct NewArgs {
    /// The handler's name, and that of the folder that is made for it: a-z, 0-9, - and _.
    pub name: String,
    /// What it is written in.
    #[arg(long, short, value_parser = PossibleValuesParser::new(LANGUAGES))]
    pub language: String,
    /// Where the language leaves a choice (C): component, which is the default, or worker.
    #[arg(long, value_enum, hide_possible_values = true)]
    pub kind: Option<ProjectKind>,
    /// It handles many messages at a time, for what gains from it: bulk inserts, vectorised work.
    #[arg(long)]
    pub batch: bool,
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The project's folder.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Where something is missing, run the lines that install it. Without, they are shown, and on a terminal
    /// it is asked.
    #[arg(long)]
    pub install: bool,
}

/// The database that a handler's statements run in, where it is tried out.
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// Run its SQL statements in the PostgreSQL at this address, postgres://USER:PASSWORD@HOST/NAME. Without
    /// it, in that of the variable DATABASE_URL.
    #[arg(long, value_name = "URL", conflicts_with = "postgres")]
    pub database: Option<String>,
    /// Start a PostgreSQL that is on this machine for them, and stop it at the end.
    #[arg(long)]
    pub postgres: bool,
}

#[derive(Debug, Args)]
pub struct TestArgs {
    /// The project's folder.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Only the cases with this text in their names, and no unit tests.
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// As this pipeline of the project's pelton.toml: its limits, what it grants, and what it decodes.
    /// Without it, as the first that runs the handler.
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Test the component that is there.
    #[arg(long)]
    pub no_build: bool,
    /// Where something is missing, run the lines that install it, as for `build`.
    #[arg(long)]
    pub install: bool,
    /// Print one JSON object on standard output; all else goes to standard error.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub sql: SqlArgs,
}

#[derive(Debug, Args)]
pub struct DevArgs {
    /// The project's folder.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// As this pipeline of the project's pelton.toml: its limits, what it grants, and what it decodes.
    /// Without it, as the first that runs the handler.
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Where something is missing, run the lines that install it, as for `build`.
    #[arg(long)]
    pub install: bool,
    #[command(flatten)]
    pub sql: SqlArgs,
}
