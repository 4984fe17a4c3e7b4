//! Which folder of the program may import which, and that no two files lean on each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The folders and files of `runtime/app/src`. Each may import those above it: so there are no circles,
/// nothing imports `commands`, and what commands share is in none of them. `main` knows all.
const ORDER: [&str; 27] = [
    "cli",
    "crash",
    "input",
    "output",
    "program",
    "settings",
    "user_cache",
    "oci",
    "events",
    "registry",
    "config",
    "homes",
    "grants",
    "books",
    "exit",
    "decoders",
    "systemd",
    "signals",
    "harness",
    "telemetry",
    "project",
    "moves",
    "control",
    "deploy",
    "worker",
    "admin",
    "commands",
];

/// The words of a command are a contract of their own.
const IMPORT_NOTHING: [&str; 4] = ["cli", "output", "program", "settings"];

/// A module by its path below the crate; `main` is empty.
type Module = Vec<String>;

/// Each module with those that it names, and whose names begin with `crate` or `super`. Children, which a
/// file names by themselves, are left out.
fn imports() -> BTreeMap<Module, BTreeSet<Module>> {
    let root = Path::new("../../runtime/app/src");
    let mut modules = BTreeMap::new();
    collect(root, root, &mut modules);
    assert!(modules.len() > 90, "only {} modules", modules.len());
    let named = |(module, text): (&Module, &String)| {
        let mut all = BTreeSet::new();
        for path in paths(text) {
            all.insert(meant(module, &path, &modules));
        }
        all.remove(module);
        (module.clone(), all)
    };
    modules.iter().map(named).collect()
}

fn collect(root: &Path, folder: &Path, modules: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, modules);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let below = path.strip_prefix(root).unwrap().with_extension("");
            let mut module: Module = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|name| name == "mod" || name == "main") {
                module.pop();
            }
            modules.insert(module, code(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Without comments and tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// All paths that begin with `crate` or `super`.
fn paths(code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for word in ["crate::", "super::"] {
        for (place, _) in code.match_indices(word) {
            let before = code[..place].chars().next_back();
            // `$crate` in a macro is whoever uses it; `super::super` was met before.
            if !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '$')) {
                tree(&code[place..], &[], &mut found);
            }
        }
    }
    found
}

/// The paths of `a::{b, c::d}`; what is left after it.
fn tree<'t>(text: &'t str, before: &[String], found: &mut Vec<Module>) -> &'t str {
    let mut path = before.to_vec();
    let mut rest = text.trim_start();
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        path.push(rest[..end].to_owned());
        rest = &rest[end..];
        let Some(after) = rest.strip_prefix("::") else { break };
        if let Some(mut group) = after.strip_prefix('{') {
            while !group.trim_start().starts_with('}') {
                group = tree(group, &path, found);
                // An alias, and the comma.
                let end = group.find([',', '}']).unwrap_or(group.len());
                group = group[end..].strip_prefix(',').unwrap_or(&group[end..]);
            }
            return group.trim_start().strip_prefix('}').unwrap_or_default();
        }
        rest = after;
    }
    found.push(path);
    rest
}

/// The module that a path in another one names: the rest of the path is in it.
fn meant(module: &Module, path: &Module, modules: &BTreeMap<Module, String>) -> Module {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let mut base: Module = module[..module.len().saturating_sub(supers)].to_vec();
    let rest = if supers == 0 { &path[1..] } else { &path[supers..] };
    if supers == 0 {
        base.clear();
    }
    for part in rest {
        base.push(part.clone());
        if !modules.contains_key(&base) {
            base.pop();
            break;
        }
    }
    base
}

#[test]
fn folders_of_the_program_import_in_one_direction() {
    let mut wrong = Vec::new();
    let place = |name: &str| {
        let place = ORDER.iter().position(|known| *known == name);
        place.unwrap_or_else(|| panic!("`{name}` has no place in the order of folders"))
    };
    for (module, named) in imports().iter().filter(|(module, _)| !module.is_empty()) {
        let folder = module[0].as_str();
        for other in named.iter().filter(|other| other.first() != Some(&module[0])) {
            let Some(other) = other.first() else {
                wrong.push(format!("{} imports main", module.join("::")));
                continue;
            };
            if place(other) >= place(folder) || IMPORT_NOTHING.contains(&folder) {
                wrong.push(format!("{} imports {other}", module.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A parent and its child may share a type; two files beside each other may not each need the other.
#[test]
fn files_of_the_program_stand_in_no_circle() {
    let is_parent = |one: &Module, other: &Module| one[..one.len().saturating_sub(1)] == other[..];
    let mut edges = imports();
    for (module, named) in &mut edges {
        named.retain(|other| {
            !other.is_empty()
                && !module.is_empty()
                && !is_parent(module, other)
                && !is_parent(other, module)
        });
    }
    // Who imports none that is left, or is imported by none, stands in no circle.
    loop {
        let known: BTreeSet<Module> = edges.keys().cloned().collect();
        let imported: BTreeSet<Module> = edges.values().flatten().cloned().collect();
        edges.iter_mut().for_each(|(_, named)| named.retain(|other| known.contains(other)));
        let before = edges.len();
        edges.retain(|module, named| !named.is_empty() && imported.contains(module));
        if edges.len() == before {
            break;
        }
    }
    let circle: Vec<String> = edges.keys().map(|module| module.join("::")).collect();
    assert!(circle.is_empty(), "in circles, or between two: {circle:#?}");
}

#[test]
fn paths_are_found_in_all_their_forms() {
    let code = code(
        "use crate::a::{self, b::c as d, e};\nuse super::super::f;\nlet x = crate::g::h(); // crate::no\n\
         macro!($crate::i);\n#[cfg(test)]\nmod tests { use super::j; }",
    );
    let found: BTreeSet<String> = paths(&code).iter().map(|path| path.join("::")).collect();
    let wanted = ["crate::a::b::c", "crate::a::e", "crate::a::self", "crate::g::h", "super::super::f"];
    assert_eq!(found, wanted.map(str::to_owned).into());
}
