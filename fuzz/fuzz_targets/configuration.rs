//! A configuration, whatever it says.
#![no_main]
#![allow(dead_code, unused_imports, unused_macros, missing_docs)]

#[path = "../../runtime/app/src/config/mod.rs"]
mod config;
#[path = "../../runtime/app/src/input/mod.rs"]
mod input;
#[path = "../../runtime/app/src/oci/reference.rs"]
mod reference;
#[path = "../../runtime/app/src/registry.rs"]
mod registry;
#[path = "../../runtime/app/src/settings/mod.rs"]
mod settings;
mod oci {
    pub use super::reference::Reference;
}

use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let known = |name: &str| (name == "HOST").then(|| "localhost".to_owned());
    if let Ok((_, problems)) = config::parse(text, Path::new("."), &known) {
        problems.iter().for_each(|problem| assert!(!problem.what.is_empty(), "a problem says what it is"));
    }
});
