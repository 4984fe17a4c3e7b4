//! What `pelton new` writes: templates, SDKs and the contract, all of them in the binary.

use crate::cli::ProjectKind;
use crate::exit::Fail;
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Every file below `sdk/` and `wit/`, by its path in the repository.
const EMBEDDED: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

const TEMPLATES: &str = "sdk/templates/";
/// Where what a project needs of the repository lies in it, by the repository's own paths.
const VENDOR: &str = "vendor/pelton/";
/// Folders of templates that are no language: files that all share.
const COMMON: &str = "common";

/// A project's files: path and content.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Whether there is a form for batches: a command has none.
pub fn has_batches(language: &str) -> bool {
    below(&format!("{TEMPLATES}{language}-batch/")).next().is_some()
}

/// What the folder of a language's templates does not tell.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Language {
    /// It, in a sentence.
    pub words: String,
    /// What its handlers can be; the usual kind first.
    pub kinds: Vec<ProjectKind>,
    sdks: Vec<String>,
}

impl Default for Language {
    fn default() -> Self {
        Self { words: String::new(), kinds: vec![ProjectKind::Component], sdks: Vec::new() }
    }
}

impl Language {
    /// What `languages.toml` says of it.
    pub fn of(name: &str) -> Self {
        let mut language = described().remove(name).unwrap_or_default();
        if language.words.is_empty() {
            name.clone_into(&mut language.words);
        }
        if language.sdks.is_empty() {
            language.sdks.push(name.to_owned());
        }
        language
    }
}

/// What is said of languages. A test holds that it can be read.
fn described() -> BTreeMap<String, Language> {
    let (_, text) = below(TEMPLATES).find(|(path, _)| *path == "languages.toml").unwrap_or_default();
    toml::from_slice(text).unwrap_or_default()
}

/// What fills the placeholders of templates.
#[derive(Debug, Clone, Copy)]
pub struct Filling<'a> {
    /// The project's name: `{{name}}`, and as an identifier `{{name_}}`.
    pub name: &'a str,
    /// `{{kind}}`.
    pub kind: ProjectKind,
}

/// The files of a new project.
///
/// What all share is overlaid with the language's own, and for batches with what differs there.
pub fn files(language: &str, with: Filling<'_>, batch: bool) -> Files {
    let mut files = Files::new();
    let mut layers = vec![COMMON.to_owned(), language.to_owned()];
    if batch {
        layers = vec![
            COMMON.to_owned(),
            format!("{COMMON}-batch"),
            language.to_owned(),
            format!("{language}-batch"),
        ];
    }
    for layer in layers {
        for (path, content) in below(&format!("{TEMPLATES}{layer}/")) {
            files.insert(fill_text(path, with), fill(content, with));
        }
    }
    files.extend(vendored(language));
    files
}

/// The text of a file of a language's template, with the placeholders filled.
pub fn file(language: &str, path: &str, name: &str) -> Option<String> {
    let path = format!("{TEMPLATES}{language}/{path}");
    let (_, content) = EMBEDDED.iter().find(|(found, _)| *found == path)?;
    let kind = *Language::of(language).kinds.first()?;
    String::from_utf8(fill(content, Filling { name, kind })).ok()
}

/// Writes a project into a new folder.
///
/// # Errors
/// There is something in the folder, or it cannot be written.
pub fn write(folder: &Path, files: &Files) -> Result<(), Fail> {
    // An empty folder may be filled.
    let is_free = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if !is_free && std::fs::symlink_metadata(folder).is_ok() {
        return Err(Fail::refused(format!(
            "{} is there already: take another name, or another folder to work in",
            folder.display()
        )));
    }
    for (path, content) in files {
        let file = folder.join(path);
        let written = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        written
            .and_then(|()| std::fs::write(&file, content))
            .and_then(|()| if content.starts_with(b"#!") { executable(&file) } else { Ok(()) })
            .with_context(|| format!("{} cannot be written", file.display()))
            .map_err(|error| Fail::new(crate::exit::REFUSED, error))?;
    }
    Ok(())
}

fn executable(file: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
}

/// The SDK of a language, if it has one, and the contract.
fn vendored(language: &str) -> Files {
    let mut files = Files::new();
    for folder in
        Language::of(language).sdks.iter().map(|sdk| format!("sdk/{sdk}/")).chain(["wit/".to_owned()])
    {
        for (path, content) in below(&folder) {
            let to = match path {
                "vendored.toml" => "Cargo.toml".to_owned(),
                path => format!("{folder}{path}"),
            };
            files.insert(format!("{VENDOR}{to}"), content.to_vec());
        }
    }
    files
}

fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    EMBEDDED.iter().filter_map(move |(path, content)| Some((path.strip_prefix(folder)?, *content)))
}

fn fill_text(text: &str, with: Filling<'_>) -> String {
    let Filling { name, kind } = with;
    let text = text.replace("{{name}}", name).replace("{{name_}}", &name.replace('-', "_"));
    text.replace("{{kind}}", kind.word())
}

fn fill(content: &[u8], with: Filling<'_>) -> Vec<u8> {
    match std::str::from_utf8(content) {
        Ok(text) => fill_text(text, with).into_bytes(),
        Err(_) => content.to_vec(),
    }
}

/// Why this can be no name, if it cannot.
pub fn misnamed(name: &str) -> Option<&'static str> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        Some("must begin with a letter from a to z")
    } else if !name.chars().all(inside) {
        Some("may hold a-z, 0-9, - and _ only")
    } else if name.len() > 64 {
        Some("may have 64 characters")
    } else if ["test", "core", "std", "pelton", "handler"].contains(&name) {
        Some("is a name that a language's own tools use")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifest::MANIFEST;

    #[test]
    fn every_language_has_both_forms_and_a_manifest() {
        for &language in crate::cli::LANGUAGES {
            assert_eq!(has_batches(language), language != "any", "{language}");
            assert!(described().contains_key(language), "{language} is not in languages.toml");
            let kinds = Language::of(language).kinds;
            for (batch, kind) in
                [false, true].into_iter().flat_map(|batch| kinds.iter().map(move |kind| (batch, *kind)))
            {
                let files = files(language, Filling { name: "orders", kind }, batch);
                let manifest = String::from_utf8_lossy(&files[MANIFEST]);
                let says = format!("\nkind = \"{}\"", kind.word());
                assert_eq!(manifest.contains(&says), kinds.len() > 1, "{language}: {manifest}");
                for wanted in [MANIFEST, "pelton.toml", "vendor/pelton/wit/handler.wit"] {
                    assert!(files.contains_key(wanted), "{language}, batch {batch}: {wanted}");
                }
                for (path, content) in &files {
                    let text = String::from_utf8_lossy(content);
                    assert!(
                        !text.contains("{{name") && !text.contains("{{kind"),
                        "{language}: a placeholder is left in {path}"
                    );
                }
            }
        }
    }

    #[test]
    fn names_are_those_of_all_languages_and_of_pipelines() {
        assert_eq!(misnamed("orders-2_a"), None);
        for bad in ["", "2orders", "Orders", "a b", "../a", "ö", "test"] {
            assert!(misnamed(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn the_vendored_versions_are_the_repositorys() {
        let read = |text: &str| text.parse::<toml::Table>().expect("TOML");
        let ours = read(include_str!("../../../../Cargo.toml"));
        let theirs = read(include_str!("../../../../sdk/rust/vendored.toml"));
        let versions = |table: &toml::Table| table["workspace"]["dependencies"].clone();
        for name in ["serde", "serde_json", "wit-bindgen"] {
            assert_eq!(versions(&ours)[name], versions(&theirs)[name], "{name}");
        }
        assert_eq!(ours["workspace"]["package"], theirs["workspace"]["package"]);
    }
}
