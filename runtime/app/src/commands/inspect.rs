//! `pelton inspect`: what a file says of itself, without a configuration and without running it.

use crate::config::Component;
use crate::deploy::fetch::{Want, fetch};
use crate::exit::{Fail, Outcome};
use crate::output;
use pelton_host::{
    ComponentInfo, Description, Form, HandlerKind, HandlerSpec, HostOptions, LoadError, Protocol, describe,
    inspect as usable,
};
use serde_json::json;
use std::ffi::OsStr;

/// Describes a file; it ends with 1 when that could be no handler.
pub fn inspect(file: &OsStr, as_json: bool) -> Outcome {
    let max = HostOptions::default().max_component_bytes;
    let wrong = |why: String| Fail::refused(format!("{} {why}", file.display()));
    let refused = |error: LoadError| wrong(error.to_string());
    let component = Component::named(file).map_err(wrong)?;
    let bytes = fetch(&component, Want { max, keys: &[] }).map_err(wrong)?.bytes;
    let found = describe(&bytes, max).map_err(refused)?;
    let handler = usable(&bytes, max, None);
    if as_json {
        let kind = handler.as_ref().ok().map(|info| info.kind.words());
        output::json(&json!({
            "digest": found.digest, "size": found.size, "form": form(found.form), "kind": kind,
            "imports": found.imports, "refused": found.refused, "exports": found.exports,
            "made_by": found.made_by,
        }));
    } else {
        print(&found);
    }
    match handler {
        Ok(info) => {
            if !as_json {
                print_component(&info);
            }
            Ok(())
        }
        // It is a handler as soon as somebody says of which kind.
        Err(LoadError::Unsaid) if found.refused.is_empty() => {
            if !as_json {
                say!("is       {}", LoadError::Unsaid.to_string().trim_start_matches("is "));
            }
            Ok(())
        }
        Err(error) => Err(refused(error)),
    }
}

/// What it is, and how it is run where the pipeline says nothing else.
fn print_component(info: &ComponentInfo) {
    let defaults = HandlerSpec::default();
    say!("is       a {}", info.kind.words());
    let lives = match info.kind {
        HandlerKind::Program(Protocol::Command) => {
            "a new instance for each message, whatever `isolation` says".to_owned()
        }
        HandlerKind::Message | HandlerKind::Batch | HandlerKind::Standard | HandlerKind::Program(_) => {
            "instances stay warm, for 10,000 calls at most (`isolation = \"reuse\"`)".to_owned()
        }
    };
    say!("runs     {lives}");
    let together = if info.kind.takes_batches() {
        format!("up to {} messages in a call (`max_batch`), ", defaults.max_chunk)
    } else {
        "one message in a call, ".to_owned()
    };
    say!("         {together}{} calls side by side (`concurrency`)", defaults.concurrency);
    say!(
        "         at most {} s (`timeout`) and {} MiB (`memory`) for a call",
        defaults.timeout.as_secs(),
        defaults.memory >> 20
    );
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Component => "component",
        Form::Module => "module",
    }
}

fn print(found: &Description) {
    say!("digest   {}", found.digest);
    say!("size     {} bytes, a {}", found.size, form(found.form));
    if !found.made_by.is_empty() {
        say!("made by  {}", found.made_by.join(", "));
    }
    for name in &found.imports {
        let refused = if found.refused.contains(name) { "  (not granted)" } else { "" };
        say!("imports  {name}{refused}");
    }
    found.exports.iter().for_each(|name| say!("exports  {name}"));
}
