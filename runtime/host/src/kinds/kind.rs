//! Which kind of handler a file is: by what it exports, and for programs by what it or its pipeline says.

use crate::error::LoadError;
use crate::guest::link;
use crate::guest::protocol::Version;
use crate::kinds::program::START;
use crate::load::validate::Form;

/// The custom section by which a program says its protocol; its content is the protocol's word.
pub const PROTOCOL_SECTION: &str = "pelton:protocol";
/// Functions by whose export a core module says the same, for languages that write no custom sections.
const EXPORTS: [(&str, Protocol); 5] = [
    ("pelton_worker", Protocol::Worker),
    ("pelton_worker_batch", Protocol::WorkerBatch),
    ("pelton_worker_2", Protocol::Worker2),
    ("pelton_worker_batch_2", Protocol::WorkerBatch2),
    ("pelton_command", Protocol::Command),
];

/// How a plain WASI program is given messages. A module may export several of the marks: together they say
/// what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// It stays alive, and reads one message after another.
    Worker,
    /// The same, with several messages at a time.
    WorkerBatch,
    /// As a worker, and it asks for effects before it answers: version 2 of the worker protocol.
    Worker2,
    /// The same, with several messages at a time.
    WorkerBatch2,
    /// It is run once for each message.
    Command,
}

/// What a file is as a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandlerKind {
    /// A component with a handler of messages.
    Message,
    /// A component with a handler of batches.
    Batch,
    /// A component with the handler of `wasi:messaging`.
    Standard,
    /// A program, by its protocol.
    Program(Protocol),
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Worker, Self::WorkerBatch, Self::Worker2, Self::WorkerBatch2, Self::Command];

    /// The word in configurations and files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::WorkerBatch => "worker-batch",
            Self::Worker2 => "worker-2",
            Self::WorkerBatch2 => "worker-batch-2",
            Self::Command => "command",
        }
    }

    /// The protocol of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.word() == word)
    }

    /// The version of the worker protocol that it is spoken to in.
    pub(crate) fn version(self) -> Version {
        match self {
            Self::Worker | Self::WorkerBatch | Self::Command => Version::One,
            Self::Worker2 | Self::WorkerBatch2 => Version::Two,
        }
    }

    /// What a module is that says both: by one export that it takes batches, by another that it asks for
    /// effects. So two libraries say it that know nothing of each other.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self.min(other), self.max(other)) {
            (Self::WorkerBatch, Self::Worker2) => Self::WorkerBatch2,
            (_, larger) => larger,
        }
    }

    /// What a module says by an export.
    pub(crate) fn of_export(name: &str) -> Option<Self> {
        EXPORTS.into_iter().find(|(export, _)| *export == name).map(|(_, protocol)| protocol)
    }
}

impl HandlerKind {
    /// What it is called in sentences: "a handler of messages".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Message => "handler of messages",
            Self::Batch => "handler of batches",
            Self::Standard => "handler of wasi:messaging",
            Self::Program(Protocol::Worker) => "worker",
            Self::Program(Protocol::WorkerBatch) => "worker of batches",
            Self::Program(Protocol::Worker2) => "worker that asks for effects",
            Self::Program(Protocol::WorkerBatch2) => "worker of batches that asks for effects",
            Self::Program(Protocol::Command) => "command",
        }
    }

    /// Whether several messages are handled in one call.
    #[must_use]
    pub fn takes_batches(self) -> bool {
        matches!(self, Self::Batch | Self::Program(Protocol::WorkerBatch | Protocol::WorkerBatch2))
    }

    /// The export that makes a file this kind.
    pub(crate) fn export(self) -> &'static str {
        match self {
            Self::Message => "pelton:handler/message-handler@0.1.0",
            Self::Batch => "pelton:handler/batch-handler@0.1.0",
            Self::Standard => "wasi:messaging/incoming-handler@0.2.0-draft",
            Self::Program(_) => START,
        }
    }

    /// The kind of an export's name, in any compatible version.
    fn of_export(export: &str) -> Option<Self> {
        if export == Self::Standard.export() {
            return Some(Self::Standard);
        }
        let (path, version) = export.split_once('@')?;
        let compatible = version.strip_prefix("0.1.").is_some_and(link::is_number);
        match path {
            "pelton:handler/message-handler" if compatible => Some(Self::Message),
            "pelton:handler/batch-handler" if compatible => Some(Self::Batch),
            _ => None,
        }
    }

    /// The one kind that a file is. `says` is what it says itself, `asked` what its pipeline says.
    pub(crate) fn of(
        form: Form,
        exports: &[String],
        says: Option<Protocol>,
        asked: Option<Protocol>,
    ) -> Result<Self, LoadError> {
        let kinds: Vec<Self> = exports.iter().filter_map(|name| Self::of_export(name)).collect();
        match kinds[..] {
            [kind] if asked.is_none() => return Ok(kind),
            [kind] => {
                return Err(LoadError::Protocol(format!(
                    "is a {}, which has no protocol to choose; leave `protocol` out",
                    kind.words()
                )));
            }
            [] if exports.iter().any(|name| is_program(name)) => {}
            _ => {
                return Err(LoadError::WrongWorld {
                    exports: exports.to_vec(),
                    hint: hint(form, exports, !kinds.is_empty()),
                });
            }
        }
        match (says, asked) {
            (Some(says), Some(asked)) if says != asked => Err(LoadError::Protocol(format!(
                "says that it is a {}, and its pipeline that it is a {}; leave `protocol` out, or build it \
                 anew",
                Self::Program(says).words(),
                Self::Program(asked).words()
            ))),
            (Some(protocol), _) | (None, Some(protocol)) => Ok(Self::Program(protocol)),
            (None, None) => Err(LoadError::Unsaid),
        }
    }
}

/// Whether it is what starts a program.
fn is_program(export: &str) -> bool {
    let run = export.strip_prefix("wasi:cli/run@0.2.");
    export == START || run.is_some_and(link::is_number)
}

/// What may be the cause that a file is no handler; starts with `; ` or is empty.
fn hint(form: Form, exports: &[String], several: bool) -> &'static str {
    let any = |prefix: &str| exports.iter().any(|name| name.starts_with(prefix));
    if several {
        "; export one of these handlers, not several"
    } else if form == Form::Module && any("pelton:handler/") {
        "; it is a core module: name it as `module` in handler.toml, and `pelton build` makes the \
         component of it (or `wasm-tools component new`)"
    } else if form == Form::Module {
        "; it is a core WebAssembly module without `_start`: build it as a program (with a `main`), or \
         make a component of it (`wasm32-wasip2` in Rust, `wasm-tools component new`)"
    } else if any("pelton:handler/") {
        "; it was built for another version of the contract"
    } else if any("wasmcloud:messaging/") {
        "; it was built for wasmCloud, whose own interface for messages is run by wasmCloud alone: build \
         it against `wasi:messaging@0.2.0-draft` or `pelton:handler@0.1.0`"
    } else if any("fermyon:spin/") || any("spin:") {
        "; it was built for Spin, whose triggers are its own: build it against \
         `wasi:messaging@0.2.0-draft` or `pelton:handler@0.1.0`"
    } else if any("wasi:messaging/") {
        "; it was built for another version of `wasi:messaging`: `incoming-handler` of 0.2.0-draft is run"
    } else if any("wasi:http/") {
        "; it is a handler of HTTP requests"
    } else if any("wasi:cli/run") {
        "; it was built for another version of WASI, programs of 0.2 are run"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(
        exports: &[&str],
        says: Option<Protocol>,
        asked: Option<Protocol>,
    ) -> Result<HandlerKind, String> {
        let exports: Vec<String> = exports.iter().map(|name| (*name).to_owned()).collect();
        let module = exports.iter().any(|name| name == "memory" || name == START);
        let form = if module { Form::Module } else { Form::Component };
        HandlerKind::of(form, &exports, says, asked).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_what_it_exports() {
        let (worker, command) = (Some(Protocol::Worker), Some(Protocol::Command));
        assert_eq!(of(&["pelton:handler/message-handler@0.1.7"], None, None), Ok(HandlerKind::Message));
        assert_eq!(
            of(&["wasi:messaging/incoming-handler@0.2.0-draft"], None, None),
            Ok(HandlerKind::Standard)
        );
        assert_eq!(of(&["memory", "_start"], None, worker), Ok(HandlerKind::Program(Protocol::Worker)));
        assert_eq!(of(&["wasi:cli/run@0.2.6"], command, None), Ok(HandlerKind::Program(Protocol::Command)));
        for (exports, says, asked, words) in [
            (&["pelton:handler/message-handler@0.2.0"][..], None, None, "another version of the contract"),
            (&["wasmcloud:messaging/handler@0.2.0"], None, None, "wasmCloud"),
            (&["fermyon:spin/inbound-redis"], None, None, "Spin"),
            (&["wasi:messaging/incoming-handler@0.3.0"], None, None, "another version of `wasi:messaging`"),
            (&["wasi:cli/run@0.3.0"], None, None, "another version of WASI"),
            (&["memory", "_initialize"], None, None, "without `_start`"),
            (
                &["memory", "pelton:handler/message-handler@0.1.0#handle"],
                None,
                None,
                "as `module` in handler.toml",
            ),
            (&["_start"], None, None, "worker"),
            (&["_start"], worker, command, "says that it is a worker"),
            (&["pelton:handler/batch-handler@0.1.0"], None, worker, "no protocol to choose"),
        ] {
            let said = of(exports, says, asked).unwrap_err();
            assert!(said.contains(words), "{exports:?}: {said}");
        }
    }
}
