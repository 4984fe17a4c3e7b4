//! `pelton inspect`: what a file says of itself, without a configuration and without running it.

use super::import_changes::{import_changes, want_changes};
use super::{find, load};
use crate::config::Component;
use crate::deploy::catalog::Catalog;
use crate::deploy::fetch::{self, fetch};
use crate::exit::{Fail, Outcome};
use crate::{grants, output};
use pelton_host::{
    ComponentInfo, Description, Form, HandlerKind, HandlerSpec, HostOptions, LoadError, Protocol, Want,
    describe, inspect as usable, missing,
};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::Path;

/// Describes a file; it ends with 1 when that could be no handler.
pub fn inspect(config: &Path, file: &OsStr, pipeline: Option<&str>, as_json: bool) -> Outcome {
    let max = HostOptions::default().max_component_bytes;
    let wrong = |why: String| Fail::refused(format!("{} {why}", file.display()));
    let refused = |error: LoadError| wrong(error.to_string());
    let component = Component::named(file).map_err(wrong)?;
    let bytes = fetch(&component, fetch::Want { max, keys: &[] }).map_err(wrong)?.bytes;
    let found = describe(&bytes, max).map_err(refused)?;
    let handler = usable(&bytes, max, None);
    let against = pipeline.map(|name| Against::read(config, name, &found)).transpose()?;
    if as_json {
        let kind = handler.as_ref().ok().map(|info| info.kind.words());
        output::json(&json!({
            "digest": found.digest, "size": found.size, "form": form(found.form), "kind": kind,
            "imports": found.imports, "refused": found.refused, "exports": found.exports,
            "made_by": found.made_by, "wants": wants(&found, against.as_ref()),
            "changes": against.as_ref().map(|against| &against.changes),
        }));
    } else {
        print(&found);
        print_wants(&found, against.as_ref());
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

/// A pipeline that it could be for.
struct Against {
    pipeline: String,
    /// What it wants, and is not granted there.
    missing: Vec<Want>,
    /// Its difference from the version in use, a line each.
    changes: Vec<String>,
}

impl Against {
    fn read(config: &Path, name: &str, found: &Description) -> Result<Self, Fail> {
        let config = load(config)?;
        let pipeline = find(&config, name)?;
        let missing = missing(&found.imports, name, &grants::outline(&pipeline.grants));
        let state = Catalog::open(&config.data_dir, name).state();
        let changes = state.promoted().map_or_else(Vec::new, |in_use| {
            let mut changes = import_changes(&in_use.imports, &found.imports);
            changes.extend(want_changes(&in_use.imports, &found.imports));
            changes
        });
        Ok(Self { pipeline: name.to_owned(), missing, changes })
    }

    fn grants(&self, want: &Want) -> bool {
        !self.missing.iter().any(|missing| missing.interface == want.interface)
    }
}

/// What it wants of its pipeline, and whether it is granted where that is known.
fn wants(found: &Description, against: Option<&Against>) -> Vec<Value> {
    let one = |want: &Want| {
        json!({
            "interface": want.interface, "imports": want.imports, "lines": want.lines,
            "granted": against.map(|against| against.grants(want)),
        })
    };
    found.wants.iter().map(one).collect()
}

fn print_wants(found: &Description, against: Option<&Against>) {
    for want in &found.wants {
        let name = want.interface;
        match against {
            Some(against) if against.grants(want) => {
                say!("wants    {name}, which {} grants", against.pipeline);
                continue;
            }
            Some(against) => say!(
                "wants    {name}, which {} does not grant; add to the configuration:",
                against.pipeline
            ),
            None => say!("wants    {name}, which its pipeline has to grant:"),
        }
        let missing = against.into_iter().flat_map(|against| &against.missing);
        let lines = missing.into_iter().find(|missing| missing.interface == name).unwrap_or(want);
        lines.lines.lines().for_each(|line| say!("             {line}"));
    }
    let changes = against.into_iter().flat_map(|against| &against.changes);
    changes.for_each(|change| say!("unlike the version in use, it {change}"));
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
        let wanted = found.wants.iter().any(|want| want.imports.contains(name));
        let mark = match wanted {
            true => "  (takes a grant)",
            false if found.refused.contains(name) => "  (not granted)",
            false => "",
        };
        say!("imports  {name}{mark}");
    }
    found.exports.iter().for_each(|name| say!("exports  {name}"));
}
