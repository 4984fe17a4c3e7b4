//! `pelton inspect`: what a component says of itself, without a configuration and without running it.

use crate::config::Component;
use crate::exit::{Fail, Outcome};
use crate::versions::fetch::{Want, fetch};
use pelton_host::{Description, HostOptions, World, describe, inspect as usable};
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Describes a file; it ends with 1 when that could be no handler.
pub fn inspect(file: &str, as_json: bool) -> Outcome {
    let max = HostOptions::default().max_component_bytes;
    let wrong = |why: String| Fail::refused(format!("{file} {why}"));
    let refused = |error: pelton_host::LoadError| wrong(error.to_string());
    let component = Component::parse(file, Path::new("")).map_err(wrong)?;
    let bytes = fetch(&component, Want { max, keys: &[] }).map_err(wrong)?.bytes;
    let found = describe(&bytes, max).map_err(refused)?;
    let handler = usable(&bytes, max);
    if as_json {
        let kind = handler.as_ref().ok().map(|info| kind(info.world));
        writeln!(
            std::io::stdout(),
            "{}",
            json!({
                "digest": found.digest, "size": found.size, "kind": kind, "imports": found.imports,
                "refused": found.refused, "exports": found.exports, "made_by": found.made_by,
            })
        )?;
    } else {
        print(&found)?;
    }
    let info = handler.map_err(refused)?;
    if !as_json {
        println!("a {}", kind(info.world));
    }
    Ok(())
}

pub fn kind(world: World) -> &'static str {
    match world {
        World::Message => "handler of messages",
        World::Batch => "handler of batches",
    }
}

fn print(found: &Description) -> Outcome {
    let mut out = std::io::stdout().lock();
    writeln!(out, "digest   {}", found.digest)?;
    writeln!(out, "size     {} bytes", found.size)?;
    if !found.made_by.is_empty() {
        writeln!(out, "made by  {}", found.made_by.join(", "))?;
    }
    for name in &found.imports {
        let refused = if found.refused.contains(name) { "  (not granted)" } else { "" };
        writeln!(out, "imports  {name}{refused}")?;
    }
    found.exports.iter().try_for_each(|name| writeln!(out, "exports  {name}"))?;
    Ok(())
}
