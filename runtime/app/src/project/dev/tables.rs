//! The database of a handler that is tried out: its own, or one that is named. What the handler does there
//! stays.

use super::show;
use crate::cli::SqlArgs;
use crate::exit::{Fail, Outcome};
use crate::project::Project;
use crate::project::grants::{ProjectGrants, Uses};
use crate::project::sql::{self, TrialDatabase};
use pelton_core::shown::path as shown_path;
use pelton_host::digest;
use std::path::Path;
use toml::Table;

/// The folder for what `pelton dev` keeps, inside the project.
pub const FOLDER: &str = ".pelton";
/// Where the data of its own server is, beside that of the queue.
const DATA: &str = "postgres";
/// Beside that: what its tables were made of.
const MADE_OF: &str = "schema";

/// A database, by the name that the handler has for it.
pub struct DevTables {
    name: String,
    found: TrialDatabase,
}

impl DevTables {
    /// The one that is asked for; none where the handler runs no statements.
    ///
    /// # Errors
    /// There is none, or its own server does not start.
    pub fn find(project: &Project, args: &SqlArgs) -> Result<Option<Self>, Fail> {
        let grants = ProjectGrants::of(project, &Uses::default()).map_err(Fail::refused)?;
        let Some(name) = grants.database().filter(|_| !grants.is_open()) else { return Ok(None) };
        let folder = project.dir.join(FOLDER).join(DATA);
        let found = TrialDatabase::find(args, Some(&folder))?.ok_or_else(|| sql::nowhere("dev"))?;
        Ok(Some(Self { name: name.to_owned(), found }))
    }

    /// The section `databases` of the configuration.
    pub fn section(&self, written: &Table) -> Table {
        sql::databases(Some(written), &self.name, &self.found.url)
    }

    /// Makes the tables of a server of its own, once: the handler's, and those of the ledger. Another one's
    /// are the matter of whoever has it.
    ///
    /// # Errors
    /// The statements of the schema are wrong, or the database is away.
    pub fn make(&self, project: &Project, file: &Path) -> Outcome {
        let home = sql::home(project, &self.name, &self.found.url)?;
        show::say(&format!(
            "database: {}; what the handler does there stays",
            sql::named(&home, &self.found)
        ));
        let Some(server) = &self.found.server else {
            let file = shown_path(file);
            show::say(&format!(
                "its tables are yours: pelton db init --config {file} makes those of the ledger"
            ));
            return Ok(());
        };
        if let (Some(text), Some(sql)) = (sql::schema(project)?, &project.manifest.sql) {
            let note = server.folder().join(MADE_OF);
            let now = digest(text.as_bytes());
            match std::fs::read_to_string(&note) {
                Ok(made) if made == now => {}
                Ok(_) => show::say(&format!(
                    "{} has changed since these tables were made; without the folder {} they are made anew",
                    shown_path(&sql.schema),
                    shown_path(server.folder())
                )),
                Err(_) => {
                    server.run_file(&project.dir.join(&sql.schema))?;
                    std::fs::write(&note, now)?;
                }
            }
        }
        home.database
            .init()
            .map_err(|error| Fail::refused(format!("the tables of the ledger: {error}")))?;
        Ok(())
    }
}
