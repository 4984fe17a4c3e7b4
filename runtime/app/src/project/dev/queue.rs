//! Where a handler is tried out: a data directory of its own with an embedded queue, whatever `pelton.toml`
//! reads from.

use super::tables::{DevTables, FOLDER};
use super::{decode, grants};
use crate::exit::Fail;
use crate::input;
use crate::program;
use crate::project::Project;
use anyhow::Context;
use pelton_core::shown::path as shown_path;
use pelton_host::file::FileError;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use toml::{Table, Value};

/// A configuration and its queue.
pub struct DevQueue {
    pipeline: String,
    pub config: PathBuf,
    /// As people would type it.
    shown: PathBuf,
}

impl DevQueue {
    /// Writes the configuration.
    ///
    /// # Errors
    /// `pelton.toml` is no TOML, or nothing can be written.
    pub fn make(project: &Project, tables: Option<&DevTables>) -> Result<Self, Fail> {
        let table = written(project)?;
        let folder = project.dir.join(FOLDER);
        let config = folder.join("dev.toml");
        let (pipeline, table) = derived(project, &table, tables);
        std::fs::create_dir_all(&folder)
            .and_then(|()| write(&config, &table.to_string()))
            .with_context(|| format!("{} cannot be written", config.display()))
            .map_err(Fail::refused_by)?;
        let here = std::env::current_dir().unwrap_or_default();
        let shown = config.strip_prefix(&here).unwrap_or(&config).to_owned();
        Ok(Self { pipeline, config, shown })
    }

    /// What to do now.
    pub fn hint(&self) -> String {
        format!(
            "running. Each line typed here is sent as a message; others: pelton send {} --config {} --body \
             ... --header ...",
            self.pipeline,
            self.shown.display()
        )
    }

    /// Sends a message; it is on disk when this returns.
    ///
    /// # Errors
    /// The command cannot be started. What it refuses it says itself.
    pub fn send(&self, body: &str) -> Result<(), Fail> {
        Command::new(program::own()?)
            .args(["send", &self.pipeline, &format!("--body={body}"), "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        Ok(())
    }
}

/// `pelton.toml`, as it stands there.
fn written(project: &Project) -> Result<Table, Fail> {
    let file = project.dir.join("pelton.toml");
    let text = match input::written(&file) {
        Err(FileError::Missing) => String::new(),
        read => read.map_err(|why| Fail::refused(input::of(&file, &why)))?,
    };
    let wrong = |why: toml::de::Error| {
        Fail::in_lines(&format!("{}: {}", shown_path(&file), input::not_toml(&text, &why)))
    };
    text.parse().map_err(wrong)
}

/// It may have the login of a database: nobody else reads it.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let mut open = std::fs::OpenOptions::new();
    let mut file = open.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}

/// The pipeline of this project as it is configured, but for where messages come from, where letters go,
/// and what keeps a new version out. The loop says when a build is to be taken.
fn derived(project: &Project, table: &Table, tables: Option<&DevTables>) -> (String, Table) {
    let none = Table::new();
    let pipelines = table.get("pipelines").and_then(Value::as_table).unwrap_or(&none);
    let is_ours = |name: &str, value: &Value| {
        let component =
            value.get("handler").and_then(|handler| handler.get("component")).and_then(Value::as_str);
        let runs_it = component.is_some_and(|path| project.dir.join(path) == project.component());
        project.pipeline.as_ref().map_or(runs_it, |named| name == named)
    };
    let found = pipelines.iter().find(|(name, value)| is_ours(name, value));
    let (name, mut pipeline) = match found {
        Some((name, Value::Table(pipeline))) => (name.clone(), pipeline.clone()),
        _ => (project.manifest.name.clone(), Table::new()),
    };
    pipeline.remove("source");
    pipeline.remove("dead_letter");
    let ledger = pipeline.remove("ledger").filter(|_| tables.is_some());
    if let Some(Value::Table(granted)) = pipeline.remove("grants") {
        pipeline.insert("grants".to_owned(), Value::Table(grants::derived(granted)));
    }
    if let Some(Value::Table(decode)) = pipeline.remove("decode") {
        pipeline.insert("decode".to_owned(), Value::Table(decode::derived(decode)));
    }
    let mut handler = pipeline.get("handler").and_then(Value::as_table).cloned().unwrap_or_default();
    for key in ["digest", "require_signature", "rollout"] {
        handler.remove(key);
    }
    // Relative to the file, which is in the project: what the project's own folder is called may be no text.
    let component = project.component();
    let component = component
        .strip_prefix(&project.dir)
        .map_or(component.clone(), |inside| Path::new("..").join(inside));
    let path = |path: &Path| Value::String(path.display().to_string());
    handler.insert("component".to_owned(), path(&component));
    handler.insert("reload".to_owned(), Value::String("manual".to_owned()));
    pipeline.insert("handler".to_owned(), Value::Table(handler));
    let mut whole = Table::new();
    if let Some(tables) = tables {
        whole.insert("databases".to_owned(), Value::Table(tables.section(table)));
        // What it is called and where it is, the database here says.
        let transaction = ledger.as_ref().and_then(|ledger| ledger.get("transaction")).cloned();
        let ledger = transaction.map(|how| Table::from_iter([("transaction".to_owned(), how)]));
        pipeline.extend(ledger.map(|ledger| ("ledger".to_owned(), Value::Table(ledger))));
    }
    if let Some(stores) = table.get("stores") {
        whole.insert("stores".to_owned(), stores.clone());
    }
    whole.insert("data_dir".to_owned(), path(Path::new("data")));
    whole.insert("shutdown_timeout".to_owned(), Value::String("2s".to_owned()));
    whole.insert(
        "pipelines".to_owned(),
        Value::Table(Table::from_iter([(name.clone(), Value::Table(pipeline))])),
    );
    (name, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_left_out_and_the_limits_are_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("handler.py"), "").expect("writable");
        let project = Project::find(dir.path()).expect("python");
        let component = project.manifest.component.display();
        let text = format!(
            "data_dir = \"/srv\"\n[pipelines.mine.handler]\ncomponent = \"{component}\"\ndigest = \
             \"x\"\nmemory = \"64MiB\"\n[pipelines.mine.source]\ntype = \
             \"kafka\"\n[pipelines.mine.retry]\nmax_attempts = 3"
        );
        let (name, table) = derived(&project, &text.parse().expect("TOML"), None);
        assert_eq!(name, "mine");
        let pipeline = &table["pipelines"]["mine"];
        assert!(pipeline.get("source").is_none());
        assert_eq!(pipeline["handler"]["memory"].as_str(), Some("64MiB"));
        assert!(pipeline["handler"].get("digest").is_none());
        assert_eq!(pipeline["retry"]["max_attempts"].as_integer(), Some(3));
        assert_ne!(table["data_dir"].as_str(), Some("/srv"));
    }
}
