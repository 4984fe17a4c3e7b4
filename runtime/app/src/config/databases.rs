//! Databases, as they are configured: `[databases.NAME]`, and where a pipeline names one.

use super::given::Given;
use super::is_name;
use crate::registry;
use crate::settings::{Section, Written};
use pelton_core::database::{DatabaseConfig, Offers, Password};
use std::path::Path;
use std::sync::Arc;

/// A database, where one is meant.
#[derive(Debug, Clone)]
pub struct HomeConfig {
    /// What the file calls it; one that stands with its pipeline has the pipeline's path.
    pub name: String,
    pub database: Arc<dyn DatabaseConfig>,
    /// Read whenever a connection is made.
    password: Option<Given>,
}

/// Two are the same when a worker could not tell them apart: a password may change.
impl PartialEq for HomeConfig {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.is_same(other)
    }
}

impl HomeConfig {
    /// One that stands with its pipeline.
    pub fn of_pipeline(path: String, database: Arc<dyn DatabaseConfig>) -> Self {
        Self { name: path, database, password: None }
    }

    /// Whether another is the same database, whatever it is called.
    pub fn is_same(&self, other: &Self) -> bool {
        self.database.is_same(&*other.database) && self.password == other.password
    }

    pub fn offers(&self) -> Offers {
        self.database.offers()
    }

    /// What is wrong with its password now, and what is to be said of where it was found.
    pub fn password(&self) -> Result<Option<String>, String> {
        let Some(password) = &self.password else { return Ok(None) };
        Ok(password.value(&variable)?.warning)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads `[databases.NAME]`; files are relative to `base`.
pub fn databases(root: &Section<'_>, base: &Path) -> Vec<HomeConfig> {
    let mut all = Vec::new();
    for (name, section) in root.sections("databases") {
        if !is_name(&name) {
            let what = "is no name for a database: use 1 to 64 of a-z, A-Z, 0-9, `-` and `_`";
            section.problems.note(&section.path, what);
        }
        let password = password(&section, base);
        let database = registry::database(section, password.clone().map(looked_up));
        all.extend(database.map(|database| HomeConfig { name, database, password }));
    }
    all
}

/// A password is never in the file itself.
fn password(section: &Section<'_>, base: &Path) -> Option<Given> {
    const FORMS: &str = "{ file = \"PATH\" } or { env = \"NAME\" }";
    match section.written("password")? {
        written @ Written::Table(_) => Given::read(section, "password", written, base),
        Written::Text(_) | Written::Flag(_) | Written::Texts(_) | Written::Other(_) => {
            section.problem(
                "password",
                format!("is no place: write {FORMS}, so that it is in no file of this kind"),
            );
            None
        }
    }
}

/// A secret that is read whenever it is needed.
pub fn looked_up(given: Given) -> Password {
    Arc::new(move || {
        given.value(&variable).map(|value| value.text).map_err(|why| format!("the password {why}"))
    })
}

/// The database of a name, for the text `key` of a section; what to write is noted where there is none.
pub fn named(section: &Section<'_>, key: &str, name: &str, all: &[HomeConfig]) -> Option<HomeConfig> {
    let found = all.iter().find(|home| home.name == name).cloned();
    if found.is_none() {
        section.problem(key, not_there(name, all));
    }
    found
}

/// What to say of a name that no database of the file has.
pub fn not_there(name: &str, all: &[HomeConfig]) -> String {
    let names: Vec<String> = all.iter().map(|home| format!("`{}`", home.name)).collect();
    let others =
        if names.is_empty() { String::new() } else { format!(", or name one of {}", names.join(", ")) };
    format!("names `{name}`, which is no database of this file; write `[databases.{name}]`{others}")
}
