//! What can go wrong before a message is handled, in the reader's words.

use crate::interfaces::{self, Want};
use crate::run::threads::NoThreads;
use pelton_core::shown::shown as shown_text;
use std::path::PathBuf;

/// The host could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The folder for compiled code cannot be used.
    #[error("the folder for compiled handlers, {}, cannot be used: {reason}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// wasmtime refused its settings, mostly for lack of address space.
    #[error(
        "the sandbox cannot be set up: {0}; if the address space is limited (`ulimit -v`), lift the limit \
         or lower the pipelines' concurrency"
    )]
    Engine(String),
    /// Threads could not be started.
    #[error("threads for handlers cannot be started: {0}")]
    Threads(#[from] std::io::Error),
    /// There may be too few of them.
    #[error("threads for handlers cannot be started: {0}")]
    FewThreads(#[from] NoThreads),
}

/// A component cannot be used as a handler. Each text goes on where the file's name stops:
/// `plugins/orders.wasm` *does not exist*.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No such file.
    #[error("does not exist; build the handler, or correct the path")]
    Missing,
    /// A folder, a device, a pipe.
    #[error("is {0}, not a file; name the component's .wasm file")]
    NotAFile(&'static str),
    /// It exists and cannot be read: the system's reason.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// More bytes than `max_component_bytes`.
    #[error(
        "is larger than {max} bytes; raise `max_component_bytes` if this is a component of a script language"
    )]
    TooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// Not WebAssembly at all.
    #[error("is not WebAssembly: {0}")]
    NotWasm(&'static str),
    /// A program, of which nobody says how it is given messages.
    #[error(
        "is a plain WASI program that does not say how it is given messages; write `protocol = \
         \"command\"` (it is run once for each, with the body on standard input) or `protocol = \
         \"worker\"` (it stays alive, and speaks docs/handlers/plain-programs.md) beside `component`"
    )]
    Unsaid,
    /// What is said of its protocol does not fit it.
    #[error("{0}")]
    Protocol(String),
    /// The pin in the configuration is malformed.
    #[error("the digest `{0}` is malformed; write `sha256:` and 64 hexadecimal digits")]
    BadPin(String),
    /// The file is not the pinned one.
    #[error(
        "has the digest {found}, but the configuration pins {expected}; if the new file is meant, change \
         `digest`"
    )]
    Pin {
        /// What was asked for.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// Not valid, or it uses features that the sandbox does not have.
    #[error("is not a valid component: {0}")]
    Invalid(String),
    /// Valid, but it would take unbounded effort.
    #[error("is too complex: {count} {what}, at most {max} are compiled")]
    TooComplex {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        count: u64,
        /// How much is allowed.
        max: u64,
    },
    /// It does not export a handler.
    #[error(
        "exports {}, needs `pelton:handler/message-handler@0.1.0` or \
         `pelton:handler/batch-handler@0.1.0`{hint}",
        listed(exports)
    )]
    WrongWorld {
        /// What it exports instead.
        exports: Vec<String>,
        /// What may be the cause; starts with `; ` or is empty.
        hint: &'static str,
    },
    /// It exports the right name with another shape.
    #[error(
        "exports `{interface}` with another signature: {reason}; build it against this version's \
         wit/handler.wit"
    )]
    WrongType {
        /// The interface.
        interface: &'static str,
        /// What differs.
        reason: String,
    },
    /// It imports what no pipeline can grant.
    #[error("imports {}, which {} not granted; handlers get WASI (0.2 in components, preview 1 in modules) \
        without files and network, `wasi:logging/logging@0.1.0-draft`, and of {} what their pipeline grants",
        listed(imports), if imports.len() == 1 { "was" } else { "were" }, grantable())]
    NotGranted {
        /// The imports.
        imports: Vec<String>,
    },
    /// It imports what its pipeline could grant, and does not.
    #[error("{}", ungranted(wants))]
    GrantsMissing {
        /// What is missing, with the lines of TOML that grant it.
        wants: Vec<Want>,
    },
    /// It imports a granted interface in a shape that the host does not have.
    #[error("cannot be linked: {0}")]
    Link(String),
    /// The compiler refused it.
    #[error("cannot be compiled: {0}")]
    Compile(String),
    /// The compiler was kept from it: it could not be started, was ended, or had no room or time.
    #[error("cannot be compiled now: {0}")]
    NotCompiled(String),
    /// Its instance cannot be made, so no message could be handled.
    #[error("cannot be started: {0}")]
    Start(String),
    /// Its instance was not made: there was no room or no time.
    #[error("cannot be started now: {0}")]
    NotStarted(String),
    /// The pipeline asks for more than the process was set up for.
    #[error(
        "its memory limit of {asked} bytes is above the {max} bytes that this process was started with; \
         restart it"
    )]
    Limits {
        /// The pipeline's limit.
        asked: usize,
        /// The process's limit.
        max: usize,
    },
}

/// What a refusal is about, and so for how long it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The bytes: the same file is refused again.
    Bytes,
    /// What its pipeline or this process is set to: with other settings the same file may do.
    Settings,
    /// The moment: the same file may do when it is tried again.
    Moment,
}

impl LoadError {
    /// The error, and the lines that go below it: never what a component or a path says, which stays one
    /// line.
    #[must_use]
    pub fn in_lines(&self) -> (String, Vec<String>) {
        let text = self.to_string();
        match (self, text.split_once('\n')) {
            (Self::GrantsMissing { .. }, Some((first, rest))) => {
                (first.to_owned(), rest.lines().map(str::to_owned).collect())
            }
            _ => (text, Vec::new()),
        }
    }

    /// What it is about.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::NotWasm(_)
            | Self::Invalid(_)
            | Self::TooComplex { .. }
            | Self::WrongWorld { .. }
            | Self::WrongType { .. }
            | Self::NotGranted { .. }
            | Self::Link(_)
            | Self::Compile(_)
            | Self::Start(_) => Cause::Bytes,
            Self::TooLarge { .. }
            | Self::Unsaid
            | Self::Protocol(_)
            | Self::BadPin(_)
            | Self::Pin { .. }
            | Self::GrantsMissing { .. }
            | Self::Limits { .. } => Cause::Settings,
            Self::Missing
            | Self::NotAFile(_)
            | Self::Unreadable(_)
            | Self::NotCompiled(_)
            | Self::NotStarted(_) => Cause::Moment,
        }
    }
}

/// What pipelines can grant, in words.
fn grantable() -> String {
    interfaces::ALL.iter().map(|interface| interface.name).collect::<Vec<_>>().join(", ")
}

/// What is missing, and the lines that grant it.
fn ungranted(wants: &[Want]) -> String {
    let imports: Vec<String> = wants.iter().flat_map(|want| want.imports.iter().cloned()).collect();
    // Each table once: TOML takes no second one of the same name.
    let mut tables: Vec<(&str, Vec<&str>)> = Vec::new();
    for want in wants {
        let (table, rest) = want.lines.trim_end().split_once('\n').unwrap_or((&want.lines, ""));
        match tables.iter_mut().find(|(known, _)| *known == table) {
            Some((_, lines)) => lines.push(rest),
            None => tables.push((table, vec![rest])),
        }
    }
    let lines: Vec<String> =
        tables.iter().map(|(table, lines)| format!("{table}\n{}", lines.join("\n"))).collect();
    format!(
        "imports {}, which its pipeline does not grant; add to the configuration:\n{}",
        listed(&imports),
        lines.join("\n")
    )
}

/// Names in backticks, shortened to the first few.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let mut shown: Vec<String> =
        names.iter().take(SHOWN).map(|name| format!("`{}`", shown_text(name).at_most(128))).collect();
    if names.len() > SHOWN {
        shown.push(format!("{} more", names.len() - SHOWN));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_import_is_named() {
        let one = LoadError::NotGranted { imports: vec!["wasi:nn/tensor@0.2.0".to_owned()] };
        let text = one.to_string();
        assert!(text.contains("`wasi:nn/tensor@0.2.0`, which was not granted"), "{text}");
    }

    #[test]
    fn the_lines_to_add_have_each_table_once() {
        let want = |interface, lines: &str| Want {
            interface,
            imports: vec![interface.to_owned()],
            lines: lines.to_owned(),
        };
        let table = "[pipelines.a.grants]\n";
        let text = ungranted(&[
            want("config", &format!("{table}config = {{ k = \"v\" }}\n")),
            want("outbox", "[pipelines.a.grants.outbox]\nt = {}\n"),
            want("state", &format!("{table}state = true\n")),
        ]);
        assert_eq!(text.matches(table).count(), 1, "{text}");
        assert!(
            text.contains("config = { k = \"v\" }\nstate = true\n[pipelines.a.grants.outbox]"),
            "{text}"
        );
    }

    #[test]
    fn a_wrong_world_says_what_is_needed() {
        let error = LoadError::WrongWorld { exports: vec!["wasi:cli/run@0.2.3".to_owned()], hint: "" };
        assert_eq!(
            error.to_string(),
            "exports `wasi:cli/run@0.2.3`, needs `pelton:handler/message-handler@0.1.0` or \
             `pelton:handler/batch-handler@0.1.0`"
        );
    }
}
