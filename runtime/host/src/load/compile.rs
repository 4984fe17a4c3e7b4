//! Compiling within a budget.
//!
//! Cranelift has no bound on time or memory that holds for hostile code. So code that was never
//! compiled is compiled by a process of its own, which has limits, and which leaves the result in
//! the cache; then it is loaded from there.

use crate::engine;
use crate::error::LoadError;
use crate::host::Sandbox;
use crate::load::cache::CodeCache;
use crate::load::inspect::ComponentInfo;
use crate::load::validate::Form;
use crate::load::{inspect, worker};
use crate::options::HostOptions;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// What a file was compiled to.
pub(crate) enum Code {
    Component(Component),
    Module(Module),
}

/// The compiled file; from the cache if it can be.
pub(crate) fn code(sandbox: &Sandbox, bytes: &[u8], info: &ComponentInfo) -> Result<Code, LoadError> {
    let cache = sandbox.cache.as_ref();
    let unknown = cache.filter(|cache| !cache.is_checked(&info.digest, &sandbox.engine));
    if let (Some(cache), Some(program)) = (unknown, &sandbox.options.compile_worker) {
        worker::run(program, cache.dir(), bytes, &sandbox.options)?;
    }
    let code = here(&sandbox.engine, bytes, info.form)?;
    if let Some(cache) = unknown {
        cache.note_checked(&info.digest, &sandbox.engine);
    }
    Ok(code)
}

/// Compiles in this process and leaves the code in the cache of `options`; for the compile worker,
/// which sets its own limits first.
///
/// # Errors
/// As for loading: what is wrong with the component, or with the cache's folder.
pub fn compile_into_cache(bytes: &[u8], options: &HostOptions) -> Result<(), LoadError> {
    let form = inspect::compilable(bytes, options.max_component_bytes)?;
    let cache = options.cache_dir.as_deref().map(CodeCache::open).transpose();
    let cache = cache.map_err(|error| LoadError::Compile(error.to_string()))?;
    let engine =
        engine::compiling(cache.as_ref()).map_err(|error| LoadError::Compile(error.to_string()))?;
    here(&engine, bytes, form).map(drop)
}

fn here(engine: &Engine, bytes: &[u8], form: Form) -> Result<Code, LoadError> {
    let code = match form {
        Form::Component => Component::from_binary(engine, bytes).map(Code::Component),
        Form::Module => Module::from_binary(engine, bytes).map(Code::Module),
    };
    code.map_err(|error| LoadError::Compile(crate::guest::text::clean(&format!("{error:#}"), 1024)))
}
