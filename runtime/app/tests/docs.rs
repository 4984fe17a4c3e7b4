//! The documents: links lead somewhere, lines are not too long, lists are whole, code that is shown is real.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Columns of a line, tables excepted.
const COLUMNS: usize = 120;

fn root() -> PathBuf {
    std::path::absolute("../..").unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages: those at the root, all below `docs/`, and those of the brokers' crates.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = ["docs", "runtime/brokers"].map(|name| root().join(name)).to_vec();
    let is_page = |path: &Path| path.extension().is_some_and(|end| end == "md");
    found.extend(files(&root()).into_iter().filter(|path| is_page(path)));
    while let Some(folder) = folders.pop() {
        for path in files(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if is_page(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "only {} pages", found.len());
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A page without its blocks of code, which have no links.
fn prose(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let outside = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    };
    text.lines().filter(outside).collect()
}

/// What GitHub calls the heading of a section.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(page: &Path) -> BTreeSet<String> {
    let text = read(page);
    prose(&text).into_iter().filter(|line| line.starts_with('#')).map(anchor).collect()
}

/// The targets of a line's links: `[words](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// What is wrong with a link, if anything is.
fn broken(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") {
        return None;
    }
    let (file, section) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    if !file.exists() {
        return Some(format!("{target} is not there"));
    }
    let is_known = section.is_empty() || anchors(&file).contains(section);
    (!is_known).then(|| format!("{target} names no section"))
}

#[test]
fn every_link_leads_to_a_file_and_a_section() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages() {
        let text = read(&page);
        for target in prose(&text).into_iter().flat_map(links) {
            count += 1;
            wrong.extend(broken(&page, target).map(|why| format!("{}: {why}", page.display())));
        }
    }
    assert!(count > 100, "only {count} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_of_docs_is_in_its_table_of_contents() {
    let contents = root().join("docs/README.md");
    let text = read(&contents);
    let named: BTreeSet<PathBuf> =
        links_of(&text).map(|target| root().join("docs").join(target.split('#').next().unwrap())).collect();
    let docs = root().join("docs");
    let missing: Vec<PathBuf> = pages()
        .into_iter()
        .filter(|page| page.starts_with(&docs) && *page != contents && !named.contains(page))
        .collect();
    assert!(missing.is_empty(), "docs/README.md does not name {missing:?}");
}

fn links_of(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(links)
}

#[test]
fn lines_fit_a_screen() {
    let mut long = Vec::new();
    for page in pages().into_iter().chain([root().join("examples/pelton.toml")]) {
        for (number, line) in read(&page).lines().enumerate() {
            let width = line.chars().count();
            if width > COLUMNS && !line.starts_with('|') {
                long.push(format!("{}:{}: {width} columns", page.display(), number + 1));
            }
        }
    }
    let first: Vec<_> = long.iter().take(20).collect();
    assert!(long.is_empty(), "{} lines are too long, such as {first:#?}", long.len());
}

/// The settings of the example: `key = ` at the start of a line or in a table in one, commented out or not.
fn settings(example: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in example.lines() {
        let line = line.trim_start_matches("# ");
        let Some((key, value)) = line.split_once(" = ") else { continue };
        // `by_cause.invalid` is a part of `by_cause`.
        let key = key.split('.').next().unwrap_or(key);
        if !is_key(key) {
            continue;
        }
        found.insert(key.to_owned());
        let within = value.trim_start().strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let keys = within.into_iter().flat_map(|(table, _)| table.split(','));
        found.extend(keys.filter_map(|pair| Some(pair.split_once(" = ")?.0.trim().to_owned())));
    }
    found.into_iter().filter(|key| is_key(key)).collect()
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// The first cell of each row of a page's tables, where it is code.
fn rows(page: &str) -> BTreeSet<String> {
    let first = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    page.lines().filter_map(first).collect()
}

#[test]
fn every_setting_of_the_example_is_in_the_reference_and_no_other() {
    let example = settings(&read(&root().join("examples/pelton.toml")));
    assert!(example.len() > 60, "only {} settings were found", example.len());
    let listed = rows(&read(&root().join("docs/reference/settings.md")));
    let missing: Vec<_> = example.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&example).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}, unknown: {unknown:?}");
}

/// The value that the example has for a setting, as one word: `1000`, `30s`, `64MiB`.
fn example_value(example: &str, key: &str) -> Option<String> {
    let line = example.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
    let value = line.split('#').next().unwrap_or_default();
    Some(value.trim().trim_matches('"').to_owned())
}

/// A default of the reference as one word, where it is a number, a duration or a size.
fn as_one_word(cell: &str) -> Option<String> {
    let word: String = cell.chars().filter(|c| !matches!(c, ' ' | ',')).collect();
    let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    (number.parse::<f64>().is_ok() && word.len() < 10).then_some(word)
}

#[test]
fn numbers_that_are_defaults_are_those_of_the_example() {
    let example = read(&root().join("examples/pelton.toml"));
    let page = read(&root().join("docs/reference/settings.md"));
    let (mut count, mut wrong) = (0, Vec::new());
    for cells in page.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>()) {
        let [_, key, _, default, ..] = cells[..] else { continue };
        let key = key.trim_matches('`');
        let Some((default, value)) = as_one_word(default).zip(example_value(&example, key)) else {
            continue;
        };
        count += 1;
        if default != value {
            wrong.push(format!("{key}: {default} in the reference, {value} in the example"));
        }
    }
    assert!(count > 20, "only {count} defaults were compared");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_field_of_the_status_and_of_a_letter_is_in_the_reference() {
    let home = tempfile::tempdir().unwrap();
    let config = "[pipelines.orders.handler]\ncomponent = \"none.wasm\"\n";
    std::fs::write(home.path().join("pelton.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
    let said = command.args(["status", "--json"]).current_dir(home.path()).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let letter: serde_json::Value =
        serde_json::from_str(&read(Path::new("tests/golden/letter.json"))).unwrap();
    let listed = rows(&read(&root().join("docs/reference/status-and-logs.md")));
    let words = pelton_core::Cause::WORDS.iter().chain(pelton_core::Failure::WORDS);
    let fields = [&status["pipelines"]["orders"], &letter].map(|object| object.as_object().unwrap().keys());
    let all = words.map(|word| (*word).to_owned()).chain(fields.into_iter().flatten().cloned());
    let missing: Vec<String> = all.filter(|name| !listed.contains(name)).collect();
    assert!(missing.is_empty(), "missing in docs/reference/status-and-logs.md: {missing:?}");
}

/// Blocks of code after a comment that names their file: `<!-- sdk/templates/... -->`.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in text.split("<!-- sdk/templates/").skip(1) {
        let (file, rest) = part.split_once(" -->").unwrap();
        let (_language, code) = rest.split("```").nth(1).unwrap().split_once('\n').unwrap();
        found.push((format!("sdk/templates/{file}"), code.to_owned()));
    }
    found
}

#[test]
fn the_code_that_is_shown_is_that_of_the_templates() {
    let mut count = 0;
    for page in pages() {
        for (file, code) in blocks(&read(&page)) {
            count += 1;
            let is_there = read(&root().join(&file)).contains(code.trim_end());
            assert!(is_there, "{} shows of {file}:\n{code}", page.display());
        }
    }
    assert!(count > 10, "only {count} blocks of code are the templates'");
}

/// Folders of the repository, by which a path is known.
const FOLDERS: [&str; 9] =
    ["docs/", "examples/", "fuzz/", "plugins/", "runtime/", "script/", "sdk/", "tests/", "wit/"];

/// Files and folders that a page names between backticks; none with a part that stands for others.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let stands_for_others = |word: &str| word.contains("NAME") || word.contains(['*', '<', ' ', '[', '|']);
    let words = prose(text).into_iter().flat_map(|line| line.split('`').skip(1).step_by(2));
    words.filter(move |word| {
        FOLDERS.iter().any(|folder| word.starts_with(folder)) && !stands_for_others(word)
    })
}

#[test]
fn files_that_are_named_are_there() {
    let (mut count, mut missing) = (0, Vec::new());
    for page in pages() {
        let text = read(&page);
        count += paths(&text).count();
        let gone = paths(&text).filter(|path| !root().join(path).exists());
        missing.extend(gone.map(|path| format!("{} names {path}", page.display())));
    }
    assert!(count > 50, "only {count} paths were found");
    assert!(missing.is_empty(), "{missing:#?}");
}
