//! The words that names are made of: a reader who knows queues, Kafka and wasmtime knows a thing by its name.

use crate::form::{none, sources};

/// Words of our own that went, as whole names of types, functions, constants and modules.
const GONE: [&str; 36] = [
    "AGAIN",
    "ASK",
    "Book",
    "Class",
    "Desk",
    "Ending",
    "Findings",
    "Generations",
    "LOOK",
    "Later",
    "Lettered",
    "Live",
    "Lost",
    "MOMENT",
    "Mark",
    "Outlook",
    "PATIENCE",
    "Pace",
    "Place",
    "Postman",
    "Room",
    "Seldom",
    "Served",
    "Shared",
    "Shelf",
    "Standing",
    "State",
    "Tally",
    "Twin",
    "chores",
    "hear",
    "heed",
    "letterbox",
    "look_at",
    "namesake",
    "tell",
];
/// Where such a word is the usual one.
const USUAL: [(&str, &str); 0] = [];

/// The name that a line declares, if it declares one.
fn declared(line: &str) -> Option<&str> {
    let words = ["struct", "enum", "trait", "type", "fn", "const", "static", "mod", "union"];
    let mut rest = line.trim_start();
    for before in ["pub", "(crate)", "(super)", "async", "unsafe"] {
        rest = rest.strip_prefix(before).unwrap_or(rest).trim_start();
    }
    let (word, name) = rest.split_once(' ')?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    words.contains(&word).then(|| &name[..end])
}

#[test]
fn a_declaration_is_read() {
    assert_eq!(declared("    pub(crate) async fn heed(&self) {"), Some("heed"));
    assert_eq!(declared("const LOOK: Duration = SECOND;"), Some("LOOK"));
    assert_eq!(declared("pub struct Desk;"), Some("Desk"));
    assert_eq!(declared("let tell = 1;"), None);
}

#[test]
fn no_word_of_our_own_has_come_back() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("runtime/")) {
        let usual = |name: &str| USUAL.contains(&(source.path.as_str(), name));
        for (number, line) in source.text.lines().enumerate() {
            if let Some(name) = declared(line)
                && GONE.contains(&name)
                && !usual(name)
            {
                found.push(format!("{}:{}: {name}", source.path, number + 1));
            }
        }
    }
    none("names that a reader would have to learn", &found);
}
