//! `handler.toml`: which language a project is in, what builds and tests it, and what that needs.

use super::template;
use crate::cli::{LANGUAGES, ProjectKind};
use crate::exit::Fail;
use crate::input;
use pelton_core::shown::path as shown_path;
use pelton_host::file::FileError;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The file that makes a folder a project.
pub const MANIFEST: &str = "handler.toml";

/// A project.
#[derive(Debug, Clone)]
pub struct Project {
    pub dir: PathBuf,
    pub manifest: Manifest,
    /// The pipeline of `pelton.toml` that it is tried out as; without one, the first that runs it.
    pub pipeline: Option<String>,
}

/// What `handler.toml` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: String,
    pub language: String,
    /// Where the handler is written: for those who look for it.
    #[serde(default)]
    pub source: Option<PathBuf>,
    /// Where the language leaves a choice: what the handler is to be. For `build` to read, and held against
    /// what it makes.
    #[serde(default)]
    pub kind: Option<ProjectKind>,
    /// What the handler does beside its answer; for `build` to read, as [`USES`].
    #[serde(default)]
    pub uses: Vec<Effect>,
    /// Where it runs SQL statements: what its database begins with.
    #[serde(default)]
    pub sql: Option<SqlManifest>,
    /// What `build` makes.
    pub component: PathBuf,
    /// What `build` makes instead, where that is a core module: Pelton makes `component` of it.
    #[serde(default)]
    pub module: Option<PathBuf>,
    /// A command of the shell.
    pub build: String,
    /// A command of the shell; none, where the language has no tests of its own.
    #[serde(default)]
    pub test: Option<String>,
    /// What the component is made of: files, folders, or `*.ENDING`. `pelton dev` builds when one of them is
    /// saved; without any, when anything is that is not known to be something else.
    #[serde(default)]
    pub watch: Vec<String>,
    #[serde(default)]
    pub tools: Vec<Tool>,
}

/// What a handler may do beside its answer: its component imports what that takes, and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Http,
    Config,
    State,
    Outbox,
    Sql,
}

impl Effect {
    fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Config => "config",
            Self::State => "state",
            Self::Outbox => "outbox",
            Self::Sql => "sql",
        }
    }
}

/// The variable in which the commands of a project find `uses`: its words, with spaces between.
pub const USES: &str = "PELTON_USES";

impl Manifest {
    /// The value of [`USES`].
    pub fn uses(&self) -> String {
        let words: Vec<&str> = self.uses.iter().map(|effect| effect.word()).collect();
        words.join(" ")
    }
}

/// The section `sql`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlManifest {
    /// A file of statements that make the tables.
    pub schema: PathBuf,
}

/// What has to be there before building.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What it is called where the program that `check` starts is another.
    #[serde(default)]
    pub name: Option<String>,
    /// A command that succeeds where it is, and prints its version.
    #[serde(default)]
    pub check: Option<String>,
    /// Instead: a target that the Rust compiler has a standard library for.
    #[serde(default)]
    pub rust_target: Option<String>,
    /// The oldest version that does.
    #[serde(default)]
    pub at_least: Option<String>,
    /// What to do where it is missing, in words.
    #[serde(default)]
    pub install: Option<String>,
    /// Instead: a line to type in the project's folder, which `pelton build --install` runs.
    #[serde(default)]
    pub command: Option<String>,
}

/// Which file gives a language away, in the order in which they are looked for.
const SIGNS: &[(&str, &str)] = &[
    ("Cargo.toml", "rust"),
    ("go.mod", "go"),
    ("tsconfig.json", "typescript"),
    ("package.json", "javascript"),
    ("handler.py", "python"),
    ("pyproject.toml", "python"),
    ("handler.c", "c"),
];

impl Project {
    /// Finds the project in a folder: by its `handler.toml`, or else by what its language's projects have.
    ///
    /// # Errors
    /// There is none, or its `handler.toml` is wrong.
    pub fn find(dir: &Path) -> Result<Self, Fail> {
        let dir = dir
            .canonicalize()
            .map_err(|error| Fail::usage(format!("the folder {}: {error}", dir.display())))?;
        let file = dir.join(MANIFEST);
        match input::written(&file) {
            Ok(text) => {
                let manifest =
                    parse(&text).map_err(|why| Fail::in_lines(&format!("{}: {why}", shown_path(&file))))?;
                Ok(Self { dir, manifest, pipeline: None })
            }
            Err(FileError::Missing) => Self::guess(dir),
            Err(why) => Err(Fail::refused(input::of(&file, &why))),
        }
    }

    /// The same, as this pipeline of its `pelton.toml`.
    pub fn tried_as(self, pipeline: Option<&String>) -> Self {
        Self { pipeline: pipeline.cloned(), ..self }
    }

    /// The component's file.
    pub fn component(&self) -> PathBuf {
        self.dir.join(&self.manifest.component)
    }

    fn guess(dir: PathBuf) -> Result<Self, Fail> {
        let none = || {
            let languages = LANGUAGES.join(" | ");
            Fail::usage(format!(
                "there is no project in {}: no {MANIFEST}, and no file that tells the language. `pelton \
                 new NAME --language {languages}` makes one",
                dir.display()
            ))
        };
        let (_, language) = SIGNS.iter().find(|(sign, _)| dir.join(sign).is_file()).ok_or_else(none)?;
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or("handler").to_lowercase();
        let text = template::file(language, MANIFEST, &name).ok_or_else(none)?;
        let manifest = parse(&text).map_err(|why| anyhow::anyhow!("the template of {language}: {why}"))?;
        Ok(Self { dir, manifest, pipeline: None })
    }
}

fn parse(text: &str) -> Result<Manifest, String> {
    let manifest: Manifest = toml::from_str(text).map_err(|error| input::not_toml(text, &error))?;
    for tool in &manifest.tools {
        if tool.check.is_some() == tool.rust_target.is_some() {
            return Err("each of [[tools]] has one of `check` and `rust_target`".to_owned());
        }
        if tool.install.is_some() == tool.command.is_some() {
            return Err("each of [[tools]] has one of `install`, in words, and `command`, a line that \
                        `pelton build --install` runs"
                .to_owned());
        }
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_has_a_good_manifest() {
        for &language in LANGUAGES {
            let text = template::file(language, MANIFEST, "orders").expect(language);
            let manifest = parse(&text).expect(language);
            assert_eq!(manifest.language, language);
            assert_eq!(manifest.name, "orders");
        }
    }

    #[test]
    fn a_project_without_a_manifest_is_known_by_its_files() {
        let dir = tempfile::tempdir().expect("a folder");
        let nothing = Project::find(dir.path()).expect_err("it is empty");
        assert!(nothing.error.to_string().contains("pelton new"), "{}", nothing.error);
        std::fs::write(dir.path().join("handler.py"), "").expect("writable");
        assert_eq!(Project::find(dir.path()).expect("python").manifest.language, "python");
    }

    #[test]
    fn what_a_handler_uses_is_words_that_are_known() {
        let text = template::file("python", MANIFEST, "orders").expect("it is there");
        assert_eq!(parse(&text).expect("good").uses(), "");
        let uses = |words: &str| parse(&format!("uses = {words}\n{text}")).map(|manifest| manifest.uses());
        assert_eq!(uses("[\"http\", \"state\"]"), Ok("http state".to_owned()));
        let wrong = uses("[\"htp\"]").expect_err("unknown");
        assert!(wrong.contains("htp") && wrong.contains("outbox"), "{wrong}");
    }

    #[test]
    fn a_wrong_manifest_says_where() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join(MANIFEST), "name = \"a\"\nlanguag = \"go\"").expect("writable");
        let wrong = Project::find(dir.path()).expect_err("wrong");
        let text = format!("{}\n{}", wrong.error, wrong.lines.join("\n"));
        assert!(text.contains("languag") && text.contains("handler.toml"), "{text}");
    }
}
