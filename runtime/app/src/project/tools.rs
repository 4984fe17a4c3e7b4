//! Whether what a project needs is there; if not, what to install.

use super::manifest::Tool;
use super::{Project, rust, shell};
use std::process::Stdio;

/// A tool that is not there, or too old.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    pub what: String,
    pub remedy: Remedy,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// To be read by people.
    Words(String),
    /// A line to type in the project's folder.
    Line(String),
}

impl Remedy {
    fn of(tool: &Tool) -> Self {
        match (&tool.command, &tool.install) {
            (Some(line), _) => Self::Line(line.clone()),
            (None, words) => Self::Words(words.clone().unwrap_or_default()),
        }
    }

    /// Either of them.
    pub fn text(&self) -> &str {
        match self {
            Self::Words(text) | Self::Line(text) => text,
        }
    }
}

/// All that is missing. Starts each tool once.
pub fn missing(project: &Project) -> Vec<Missing> {
    project.manifest.tools.iter().filter_map(|tool| look(project, tool)).collect()
}

fn look(project: &Project, tool: &Tool) -> Option<Missing> {
    let missing = |what: String| Some(Missing { what, remedy: Remedy::of(tool) });
    if let Some(target) = &tool.rust_target {
        let lacks = || missing(format!("the Rust compiler has no standard library for {target}"));
        return if rust::can_build(target) { None } else { lacks() };
    }
    let check = tool.check.as_deref()?;
    let program = check.split_whitespace().next().unwrap_or(check);
    let program = tool.name.as_deref().unwrap_or(program);
    let done = shell::command(project, check).stdin(Stdio::null()).output();
    let output = match done {
        Ok(output) if output.status.success() => output,
        _ => return missing(format!("{program} is missing (`{check}` fails)")),
    };
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    let wanted = tool.at_least.as_deref()?;
    match version(&printed) {
        Some(found) if found >= numbers(wanted) => None,
        _ => missing(format!(
            "{program} {wanted} or newer is wanted; there is: {}",
            printed.lines().next().unwrap_or("")
        )),
    }
}

/// The first number with a dot, or else the first number, as in `go version go1.26.8 linux/amd64` or
/// `v20.20.2`.
fn version(printed: &str) -> Option<Vec<u64>> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let words: Vec<&str> =
        printed.split(|c| !is_part(c)).filter(|w| w.starts_with(|c: char| c.is_ascii_digit())).collect();
    let word = words.iter().find(|word| word.contains('.')).or_else(|| words.first())?;
    Some(numbers(word))
}

fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_print() {
        let found = |text| version(text).expect("a version");
        assert_eq!(found("v20.20.2"), [20, 20, 2]);
        assert_eq!(found("go version go1.26.8 linux/amd64"), [1, 26, 8]);
        assert_eq!(found("Debian clang version 22.1.0 (++2026)"), [22, 1, 0]);
        assert_eq!(found("10"), [10]);
        assert!(found("cargo 1.96.0 (30a34c682)") >= numbers("1.95"));
        assert!(found("Python 3.9.2") < numbers("3.10"));
        assert_eq!(version("none"), None);
    }
}
