//! From a core module that a build has made to the file that is run.
//!
//! Compilers of languages such as C make core modules. One that exports the functions of our contract, as
//! the canonical ABI names them, becomes a component here, so that nobody needs a tool for that; a plain
//! program is run as it is.

use crate::cli::ProjectKind;
use anyhow::{Context, Result, anyhow, ensure};
use pelton_host::{Description, Form, file};
use std::path::Path;
use wasi_preview1_component_adapter_provider as adapter;
use wit_component::{ComponentEncoder, StringEncoding};

/// The contract and what handlers may import, each after what it names; and the worlds of both. What of it a
/// module does not import, its component does not either.
const CONTRACT: [&str; 9] = [
    include_str!("../../../../wit/handler.wit"),
    include_str!("../../../../wit/deps/io/io.wit"),
    include_str!("../../../../wit/deps/clocks/clocks.wit"),
    include_str!("../../../../wit/deps/http/http.wit"),
    include_str!("../../../../wit/deps/config/config.wit"),
    include_str!("../../../../wit/deps/keyvalue/keyvalue.wit"),
    include_str!("../../../../wit/deps/effects/effects.wit"),
    include_str!("../../../../wit/deps/uses/uses.wit"),
    "package pelton:component;
    world handler { include pelton:handler/handler@0.1.0; include pelton:uses/all@0.1.0; }
    world batch { include pelton:handler/batch@0.1.0; include pelton:uses/all@0.1.0; }",
];

/// Bytes of a module, at most: no component may be larger, whatever is configured.
const MODULE_BYTES: usize = 1 << 30;

/// Which world a module is of that exports these functions: their names begin with it.
const WORLDS: [(&str, &str); 2] =
    [("pelton:handler/message-handler@", "handler"), ("pelton:handler/batch-handler@", "batch")];

/// Puts what runs in its place: the component that is made of a module, or a program itself. By renaming,
/// so that a worker that watches it sees the old one or the new.
///
/// # Errors
/// It cannot be read, is no WebAssembly, is not of the kind that is wanted, does not fit the contract, or
/// nothing can be written.
pub fn place(module: &Path, component: &Path, wanted: Option<ProjectKind>) -> Result<()> {
    let shown = module.display();
    let mut bytes = file::read(module, MODULE_BYTES).map_err(|why| anyhow!("{shown} {why}"))?;
    let found = pelton_host::describe(&bytes, usize::MAX).map_err(|error| anyhow!("{shown} {error}"))?;
    let world = world(&found);
    let is = if world.is_some() || found.form == Form::Component {
        ProjectKind::Component
    } else {
        ProjectKind::Worker
    };
    ensure!(
        wanted.is_none_or(|wanted| wanted == is),
        "{shown} is a {}, and handler.toml says another `kind`: `build` there has to make what it says",
        is.word()
    );
    if let Some(world) = world {
        bytes = encode(bytes, world).with_context(|| format!("no component can be made of {shown}"))?;
    }
    let new = component.with_extension("new.wasm");
    std::fs::write(&new, bytes)
        .and_then(|()| std::fs::rename(&new, component))
        .with_context(|| format!("{} cannot be written", component.display()))
}

/// The world of a module that exports functions of the contract.
fn world(found: &Description) -> Option<&'static str> {
    let exports = |begin: &str| found.exports.iter().any(|name| name.starts_with(begin));
    let (_, world) = WORLDS.iter().find(|(begin, _)| exports(begin))?;
    (found.form == Form::Module).then_some(world)
}

/// The world of this name.
fn contract(world: &str) -> Result<(wit_parser::Resolve, wit_parser::WorldId)> {
    let mut resolve = wit_parser::Resolve::default();
    let mut last = None;
    for (number, text) in CONTRACT.iter().enumerate() {
        last = Some(resolve.push_str(format!("contract/{number}.wit"), text)?);
    }
    let world = resolve.select_world(last.as_slice(), Some(world))?;
    Ok((resolve, world))
}

fn encode(mut module: Vec<u8>, world: &str) -> Result<Vec<u8>> {
    // What generated bindings bring with them says it already.
    if wit_component::metadata::decode(&module)?.0.is_none() {
        let (resolve, world) = contract(world)?;
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    }
    ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        // Where it is imported: what C libraries know of the system.
        .adapter(
            adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        )?
        .encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: &str = "(module (memory (export \"memory\") 1) (func (export \"pelton_worker\")) (func \
        (export \"_start\")))";

    /// What is made of a module, in text or not; its description, or what is wrong.
    fn placed(text: impl AsRef<[u8]>, wanted: Option<ProjectKind>) -> Result<Description, String> {
        let text = text.as_ref();
        let dir = tempfile::tempdir().expect("a folder");
        let (module, component) = (dir.path().join("a.module.wasm"), dir.path().join("a.wasm"));
        std::fs::write(&module, wat::parse_bytes(text).unwrap_or(text.into())).expect("writable");
        place(&module, &component, wanted).map_err(|error| format!("{error:#}"))?;
        let bytes = std::fs::read(component).expect("it is there");
        Ok(pelton_host::describe(&bytes, usize::MAX).expect("it is valid"))
    }

    #[test]
    fn a_module_of_the_contract_becomes_a_component() {
        let text = include_str!("../../tests/golden/good.wat");
        let found = placed(text, Some(ProjectKind::Component)).expect("a component");
        assert_eq!(found.form, Form::Component);
        assert_eq!(found.exports, ["pelton:handler/message-handler@0.1.0"]);
        // As generated bindings have it, which say what they are.
        let mut said = wat::parse_str(text).expect("a module");
        let (resolve, world) = contract("handler").expect("it is valid");
        wit_component::embed_component_metadata(&mut said, &resolve, world, StringEncoding::UTF8)
            .expect("it fits");
        assert_eq!(placed(said, None).expect("a component").exports, found.exports);
        let text = text.replace("#handle\") (param i32)", "#handle\") (param i64)");
        let why = placed(&text, None).expect_err("its function has another signature");
        assert!(why.contains("no component can be made of") && why.contains("a.module.wasm"), "{why}");
    }

    #[test]
    fn a_component_imports_what_its_module_imports() {
        let text = include_str!("../../tests/golden/good.wat");
        let plain = placed(text, None).expect("a component").imports;
        assert!(!plain.iter().any(|name| name.starts_with("wasi:")), "{plain:?}");
        let import = "(module (import \"wasi:config/store@0.2.0-rc.1\" \"get\" (func (param i32 i32 i32)))";
        let found = placed(text.replacen("(module", import, 1), None).expect("a component").imports;
        assert!(found.contains(&"wasi:config/store@0.2.0-rc.1".to_owned()), "{found:?}");
        assert_eq!(found.len(), plain.len() + 1, "{found:?}");
    }

    #[test]
    fn what_needs_nothing_is_left_as_it_is() {
        assert_eq!(placed(WORKER, None).expect("a worker").form, Form::Module);
        assert_eq!(
            placed("(component)", Some(ProjectKind::Component)).expect("a component").form,
            Form::Component
        );
    }

    #[test]
    fn another_kind_than_handler_toml_says_is_told() {
        let why = placed(WORKER, Some(ProjectKind::Component)).expect_err("a worker");
        assert!(why.contains("is a worker, and handler.toml says another `kind`"), "{why}");
        let why = placed("int main", None).expect_err("a source");
        assert!(why.contains("a.module.wasm is not WebAssembly"), "{why}");
    }
}
