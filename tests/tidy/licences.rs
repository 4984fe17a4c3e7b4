//! Whose code is taken in: from the registry of crates alone, under licences that ask for no more than
//! their text.

use crate::crates::metadata;
use std::process::Command;

/// Licences that a program under Apache-2.0 may take in.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
/// Where code comes from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Whether an SPDX expression can be met by the licences above. `/` is how `OR` was written once.
fn is_allowed(expression: &str) -> bool {
    let text = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let (met, rest) = any(&words);
    assert!(rest.is_empty(), "no licence is written like that: {expression}");
    met
}

fn any<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    let (mut met, mut rest) = all(words);
    while let ["OR", more @ ..] = rest {
        let (other, left) = all(more);
        (met, rest) = (met || other, left);
    }
    (met, rest)
}

fn all<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    let (mut met, mut rest) = one(words);
    while let ["AND", more @ ..] = rest {
        let (other, left) = one(more);
        (met, rest) = (met && other, left);
    }
    (met, rest)
}

fn one<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    match words {
        ["(", more @ ..] => match any(more) {
            (met, [")", rest @ ..]) => (met, rest),
            (_, rest) => (false, rest),
        },
        [name, "WITH", exception, rest @ ..] => {
            let whole = format!("{name} WITH {exception}");
            (ALLOWED.contains(&whole.as_str()), rest)
        }
        [name, rest @ ..] => (ALLOWED.contains(name), rest),
        [] => (false, words),
    }
}

#[test]
fn expressions_are_read_as_they_are_meant() {
    for met in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "ISC AND (GPL-3.0 OR MIT)"] {
        assert!(is_allowed(met), "{met}");
    }
    for not in ["GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR LGPL-2.1) AND MIT", "MIT WITH nothing"] {
        assert!(!is_allowed(not), "{not}");
    }
}

#[test]
fn what_is_taken_in_may_be() {
    let about = Command::new("rustc").arg("-vV").output().unwrap();
    let about = String::from_utf8(about.stdout).unwrap();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // Of other systems nothing was fetched.
    let metadata = metadata(&["--filter-platform", host]);
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_allowed(licence), "{name} is under {licence}");
        assert!(
            package["source"].is_null() || package["source"] == REGISTRY,
            "{name}: {}",
            package["source"]
        );
    }
}
