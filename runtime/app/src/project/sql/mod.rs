//! The database that a handler is tried out in: one that is named, or one that is started here for as long
//! as it takes. Never the one that `pelton.toml` has: that may be in use.

mod case;
mod server;

pub use case::CaseDatabase;
pub use server::LocalServer;

use super::Project;
use crate::cli::SqlArgs;
use crate::config::{self, HomeConfig, Invalid};
use crate::exit::Fail;
use crate::input;
use pelton_core::shown::path as shown_path;
use std::path::Path;
use toml::{Table, Value};

/// The variable that other tools take a database's address from, too.
const VARIABLE: &str = "DATABASE_URL";

/// A database to try a handler out in.
pub struct TrialDatabase {
    /// Its address, with the login.
    pub url: String,
    /// Where there is one of its own.
    pub server: Option<LocalServer>,
}

impl TrialDatabase {
    /// The one that is asked for; none when nobody names one. A server of its own keeps its data in
    /// `folder`, or nowhere.
    ///
    /// # Errors
    /// There is no server on this machine, or it does not start.
    pub fn find(args: &SqlArgs, folder: Option<&Path>) -> Result<Option<Self>, Fail> {
        if args.postgres {
            let server = LocalServer::start(folder)?;
            return Ok(Some(Self { url: server.url(), server: Some(server) }));
        }
        let named = args.database.clone().or_else(|| std::env::var(VARIABLE).ok());
        Ok(named.filter(|url| !url.is_empty()).map(|url| Self { url, server: None }))
    }
}

/// What to say where a handler runs statements and there is no database.
pub fn nowhere(command: &str) -> Fail {
    let lines = [
        format!("`pelton {command} --postgres` starts a PostgreSQL, and stops it at the end"),
        format!("`pelton {command} --database URL` takes the one at this address, and so does {VARIABLE}"),
    ];
    Fail::usage("the handler runs SQL statements, and there is no database for them").with(lines)
}

/// The statements of the file that `handler.toml` names, if it names one.
///
/// # Errors
/// The file cannot be read.
pub fn schema(project: &Project) -> Result<Option<String>, Fail> {
    let Some(sql) = &project.manifest.sql else { return Ok(None) };
    let file = project.dir.join(&sql.schema);
    input::written(&file).map(Some).map_err(|why| Fail::refused(input::of(&file, &why)))
}

/// The database of this name and address, with the bounds that the project's `pelton.toml` has for it.
///
/// # Errors
/// It is no address of a database, or a bound is wrong.
pub fn home(project: &Project, name: &str, url: &str) -> Result<HomeConfig, Fail> {
    let file = project.dir.join("pelton.toml");
    let written = input::written(&file).ok().and_then(|text| text.parse::<Table>().ok());
    let table = [("databases".to_owned(), Value::Table(databases(written.as_ref(), name, url)))];
    // A file has a pipeline.
    let pipeline = "[pipelines.case.handler]\ncomponent = \"case.wasm\"\n";
    let text = format!("{pipeline}{}", Table::from_iter(table));
    let wrong = |why: String| Fail::in_lines(&format!("the database {name}: {why}"));
    let (config, problems) = config::parse(&text, &project.dir, &|_| None).map_err(wrong)?;
    match config.databases.into_iter().next() {
        Some(home) if problems.is_empty() => Ok(home),
        _ => Err(Fail::invalid(&Invalid { file, problems })),
    }
}

/// The table `databases` with this one alone, at this address, with the other bounds that it is written
/// with.
pub fn databases(written: Option<&Table>, name: &str, url: &str) -> Table {
    let own = written.and_then(|table| table.get("databases")?.get(name)?.as_table());
    let mut own = own.cloned().unwrap_or_default();
    own.remove("password");
    own.insert("url".to_owned(), Value::String(url.to_owned()));
    Table::from_iter([(name.to_owned(), Value::Table(own))])
}

/// Says once where statements run.
pub fn named(home: &HomeConfig, given: &TrialDatabase) -> String {
    match &given.server {
        Some(server) => format!("a PostgreSQL of its own, {}", shown_path(server.programs())),
        None => home.database.describe(),
    }
}
