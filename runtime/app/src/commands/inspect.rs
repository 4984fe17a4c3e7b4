//! `pelton inspect`: what a component says of itself, without a configuration and without running it.

use crate::exit::{Fail, Outcome};
use pelton_host::{Description, HostOptions, World, describe, inspect as usable, read_component};
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Describes a file; it ends with 1 when that could be no handler.
pub fn inspect(file: &Path, as_json: bool) -> Outcome {
    let max = HostOptions::default().max_component_bytes;
    let refused = |error| Fail::refused(format!("{} {error}", file.display()));
    let bytes = read_component(file, max).map_err(refused)?;
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
