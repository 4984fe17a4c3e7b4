//! What a new version imports otherwise than the old one, for people.
//!
//! Within one minor version of WASI a patch changes no interface: a component that was built with a newer
//! patch imports the same.

use std::collections::{BTreeMap, BTreeSet};

/// What a new version wants of its pipeline, and the old one did not, and the other way round.
pub fn want_changes(old: &[String], new: &[String]) -> Vec<String> {
    let names = |imports: &[String]| -> Vec<&str> {
        pelton_host::wants(imports, None).iter().map(|want| want.interface).collect()
    };
    let (before, after) = (names(old), names(new));
    let without = |all: &[&str], others: &[&str]| -> Vec<String> {
        all.iter().filter(|name| !others.contains(name)).map(|name| (*name).to_owned()).collect()
    };
    let changes = [("wants too", without(&after, &before)), ("wants no more", without(&before, &after))];
    let changes = changes.into_iter().filter(|(_, names)| !names.is_empty());
    changes.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect()
}

/// A line for each kind of change; none when there is none.
pub fn import_changes(old: &[String], new: &[String]) -> Vec<String> {
    let (before, after) = (compatible(old), compatible(new));
    let mut added: BTreeSet<(&str, &str)> = after.difference(&before).copied().collect();
    let mut removed: BTreeSet<(&str, &str)> = before.difference(&after).copied().collect();
    // The same interfaces in another version: how many of each step.
    let mut steps: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (interface, from) in removed.clone() {
        let to = added.iter().find(|(name, _)| *name == interface).map(|(_, to)| *to);
        if let Some(to) = to {
            added.remove(&(interface, to));
            removed.remove(&(interface, from));
            *steps.entry((from, to)).or_default() += 1;
        }
    }
    let steps = steps.into_iter().map(|((from, to), count)| {
        let interfaces = if count == 1 { "interface" } else { "interfaces" };
        format!("imports another version: {from} becomes {to}, of {count} {interfaces}")
    });
    // By the names that were written.
    let names = |all: &[String], of: &BTreeSet<(&str, &str)>| -> Vec<String> {
        all.iter().filter(|name| of.contains(&parts(name))).cloned().collect()
    };
    let rest = [("imports too", names(new, &added)), ("imports no more", names(old, &removed))];
    let rest = rest.into_iter().filter(|(_, names)| !names.is_empty());
    steps.chain(rest.map(|(what, names)| format!("{what}: {}", names.join(", ")))).collect()
}

fn compatible(names: &[String]) -> BTreeSet<(&str, &str)> {
    names.iter().map(|name| parts(name)).collect()
}

/// An interface, and its version without what changes nothing.
fn parts(name: &str) -> (&str, &str) {
    let Some((interface, version)) = name.split_once('@') else { return (name, "") };
    let Some((minor, patch)) = version.rsplit_once('.') else { return (interface, version) };
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let is_patch = minor.contains('.') && minor.split('.').chain([patch]).all(is_number);
    (interface, if is_patch { minor } else { version })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(old: &[&str], new: &[&str]) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        import_changes(&owned(old), &owned(new))
    }

    #[test]
    fn what_a_version_wants_of_the_world_more_or_less_is_told() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (plain, http) = (names(&["wasi:io/poll@0.2.6"]), names(&["wasi:http/outgoing-handler@0.2.12"]));
        assert_eq!(want_changes(&plain, &http), ["wants too: HTTP"]);
        assert_eq!(want_changes(&http, &plain), ["wants no more: HTTP"]);
        assert_eq!(want_changes(&http, &names(&["wasi:http/outgoing-handler@0.2.6"])), [""; 0]);
    }

    #[test]
    fn another_patch_is_no_change() {
        let (old, new) = (["wasi:io/streams@0.2.3", "env"], ["wasi:io/streams@0.2.6", "env"]);
        assert_eq!(changes(&old, &new), [""; 0]);
    }

    #[test]
    fn another_minor_version_is_one_line() {
        let old = ["wasi:io/streams@0.2.3", "wasi:io/poll@0.2.3", "wasi:cli/exit@0.2.3"];
        let new = ["wasi:io/streams@0.3.0", "wasi:io/poll@0.3.0", "wasi:cli/exit@0.2.6"];
        assert_eq!(changes(&old, &new), ["imports another version: 0.2 becomes 0.3, of 2 interfaces"]);
    }

    #[test]
    fn what_comes_and_what_goes_is_named_as_it_is_written() {
        let (old, new) =
            (["wasi:cli/stderr@0.2.3", "a:b/c@1.0.0-rc.1"], ["wasi:logging/logging", "a:b/c@1.0.0-rc.2"]);
        let wanted = [
            "imports another version: 1.0.0-rc.1 becomes 1.0.0-rc.2, of 1 interface",
            "imports too: wasi:logging/logging",
            "imports no more: wasi:cli/stderr@0.2.3",
        ];
        assert_eq!(changes(&old, &new), wanted);
    }
}
