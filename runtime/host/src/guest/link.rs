//! What handlers may import without a grant: the list, and the functions behind it. What takes a grant is in
//! `interfaces`.

use crate::guest::bindings::incoming::Incoming;
use crate::guest::sink::LogLevel;
use crate::guest::state::GuestState;
use crate::interfaces;
use wasmtime::component::{ComponentType, HasSelf, Lift, Linker, LinkerInstance};
use wasmtime::{Engine, StoreContextMut};

/// The names that `wasi:logging` goes by; it has no released version.
const LOGGING: [&str; 2] = ["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"];

/// WASI 0.2 without files and network. The interfaces for those are there, since every program
/// that was built with a C library imports them, and have nothing behind them.
const WASI: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];

/// The interface of `wasi:cli` that only a command exports.
const RUN: &str = "run";

/// The levels of `wasi:logging`.
#[allow(dead_code, reason = "made by the derived code, from the guest's number")]
#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

/// What modules import preview 1 of WASI as.
pub(crate) const PREVIEW1: &str = "wasi_snapshot_preview1";
/// The types of the standard's handlers. Its producer takes a grant.
const MESSAGING: &str = "wasi:messaging/types@0.2.0-draft";

/// The types of HTTP, which reach nobody: they come with every component of a language whose library has a
/// client, used or not.
const HTTP_TYPES: &str = "wasi:http/types";

/// Whether every handler may import the interface of this name.
pub(crate) fn granted(name: &str) -> bool {
    if LOGGING.contains(&name) || name == MESSAGING || name == PREVIEW1 {
        return true;
    }
    let Some((path, version)) = name.split_once('@') else {
        return false;
    };
    let patch_of = |minor: &str| version.strip_prefix(minor).is_some_and(is_number);
    if path == HTTP_TYPES {
        return patch_of("0.2.");
    }
    match path.strip_prefix("wasi:").and_then(|rest| rest.split_once('/')) {
        Some((package, interface)) => WASI.contains(&package) && interface != RUN && patch_of("0.2."),
        None => path == "pelton:handler/types" && patch_of("0.1."),
    }
}

/// Whether `text` is a patch number, so that `0.2.6` is meant and `0.2.0-rc` is not.
pub(crate) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A linker with everything that may be granted.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Incoming::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut GuestState| state)?;
    for name in LOGGING {
        logging(&mut linker.instance(name)?)?;
    }
    for interface in interfaces::ALL {
        (interface.link)(&mut linker)?;
    }
    Ok(linker)
}

/// The same for core modules: preview 1 of WASI, with nothing behind its files.
pub(crate) fn modules(engine: &Engine) -> wasmtime::Result<wasmtime::Linker<GuestState>> {
    let mut linker = wasmtime::Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |state: &mut GuestState| &mut state.wasi)?;
    Ok(linker)
}

fn logging(instance: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "log",
        |cx: StoreContextMut<'_, GuestState>, (level, context, message): (Level, String, String)| {
            cx.data().about.output.log(level.into(), &context, &message);
            Ok(())
        },
    )
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error | Level::Critical => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::granted;

    #[test]
    fn only_what_has_nothing_behind_it_is_granted() {
        for name in [
            "wasi:cli/environment@0.2.0",
            "wasi:sockets/tcp@0.2.12",
            "wasi:logging/logging@0.1.0-draft",
            "pelton:handler/types@0.1.3",
            "wasi:http/types@0.2.10",
        ] {
            assert!(granted(name), "{name}");
        }
        for name in [
            "wasi:http/outgoing-handler@0.2.0",
            "wasi:cli/environment@0.3.0",
            "wasi:cli/environment@0.2.0-rc-2023",
            "wasi:keyvalue/store@0.2.0-draft",
            "env",
            "pelton:handler/types@0.2.0",
        ] {
            assert!(!granted(name), "{name}");
        }
    }
}
