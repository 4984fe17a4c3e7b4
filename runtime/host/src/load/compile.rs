//! Compiling within a budget.
//!
//! Cranelift has no bound on time or memory that holds for hostile code. So code that was never
//! compiled is compiled by a process of its own, which has limits, and which leaves the result in
//! a folder of its own; from there it goes into the cache, and is loaded from it.

use crate::engine;
use crate::error::{HostError, LoadError};
use crate::host::Sandbox;
use crate::load::cache::CodeCache;
use crate::load::inspect::ComponentInfo;
use crate::load::validate::Form;
use crate::load::{inspect, worker};
use std::path::Path;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// What a file was compiled to.
pub(crate) enum Code {
    Component(Component),
    Module(Module),
}

/// Compiles what the cache has no code for, or only damaged code. One at a time in the process, since it
/// takes memory; whoever holds the turn calls this.
pub(crate) fn prepare(sandbox: &Sandbox, bytes: &[u8], info: &ComponentInfo) -> Result<(), LoadError> {
    let Some(cache) = &sandbox.cache else { return Ok(()) };
    let kept = |error: std::io::Error| {
        LoadError::NotCompiled(format!("its code cannot be kept in {}: {error}", cache.dir().display()))
    };
    let workshop = cache.workshop().map_err(kept)?;
    match &sandbox.options.compile_worker {
        Some(program) => worker::run(program, workshop.dir(), bytes, &sandbox.options)?,
        None => into_cache(bytes, info.form, workshop.dir())?,
    }
    cache.adopt(&workshop, &info.digest, &sandbox.engine).map_err(kept)
}

/// The compiled file, from the cache if there is one.
pub(crate) fn code(sandbox: &Sandbox, bytes: &[u8], info: &ComponentInfo) -> Result<Code, LoadError> {
    here(&sandbox.engine, bytes, info.form)
}

/// Compiles in this process and leaves the code in the cache in `dir`; for the compile worker, which sets its
/// own limits first.
pub(crate) fn compile_into_cache(bytes: &[u8], max: usize, dir: &Path) -> Result<(), LoadError> {
    into_cache(bytes, inspect::compilable(bytes, max)?, dir)
}

fn into_cache(bytes: &[u8], form: Form, dir: &Path) -> Result<(), LoadError> {
    let failed = |error: HostError| LoadError::NotCompiled(error.to_string());
    let cache = CodeCache::open(dir).map_err(failed)?;
    let engine = engine::compiling(Some(&cache)).map_err(failed)?;
    here(&engine, bytes, form).map(drop)
}

fn here(engine: &Engine, bytes: &[u8], form: Form) -> Result<Code, LoadError> {
    let code = match form {
        Form::Component => Component::from_binary(engine, bytes).map(Code::Component),
        Form::Module => Module::from_binary(engine, bytes).map(Code::Module),
    };
    code.map_err(|error| LoadError::Compile(crate::guest::text::clean(&format!("{error:#}"), 1024)))
}
