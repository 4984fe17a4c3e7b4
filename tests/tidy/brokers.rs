//! A broker is one crate. The app names none outside of its registry.

use super::crates::brokers;
use super::form::{Source, none, sources};

const REGISTRY: &str = "runtime/app/src/registry.rs";

/// The lines of these files that have one of these words.
fn lines(files: &[Source], words: &[String]) -> Vec<String> {
    let of = |source: &Source| {
        let has = |line: &str| words.iter().any(|word| line.contains(word.as_str()));
        let lines = source.text.lines().enumerate().filter(|(_, line)| has(line));
        lines.map(|(number, _)| format!("{}:{}", source.path, number + 1)).collect::<Vec<_>>()
    };
    files.iter().flat_map(of).collect()
}

#[test]
fn the_app_names_brokers_in_its_registry_alone() {
    let is_of_app = |source: &Source| source.path.starts_with("runtime/app/src/");
    let (registry, others): (Vec<Source>, Vec<Source>) =
        sources().into_iter().filter(is_of_app).partition(|source| source.path == REGISTRY);
    let words: Vec<String> = brokers()
        .iter()
        .flat_map(|name| [format!("feature = \"{name}\""), format!("pelton_{name}")])
        .collect();
    none(&format!("a broker's crate or feature is named outside of {REGISTRY}"), &lines(&others, &words));
    let unnamed: Vec<String> =
        words.into_iter().filter(|word| lines(&registry, std::slice::from_ref(word)).is_empty()).collect();
    none("brokers that no build has", &unnamed);
}

/// What a crate of its own has to be told of no broker.
#[test]
fn no_other_crate_of_the_runtime_names_a_broker() {
    let others =
        ["core", "engine", "store", "host", "brokers/common"].map(|name| format!("runtime/{name}/src/"));
    let is_other = |source: &Source| others.iter().any(|folder| source.path.starts_with(folder));
    let others: Vec<Source> = sources().into_iter().filter(is_other).collect();
    let words: Vec<String> =
        brokers().iter().flat_map(|name| [format!("\"{name}"), format!("pelton_{name}")]).collect();
    none("a broker is named in code that is for all", &lines(&others, &words));
}
