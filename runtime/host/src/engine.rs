//! wasmtime's settings: one place for what guests may use and what the pool holds.

use crate::error::HostError;
use crate::guest::limits::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use crate::guest::reason::FRAMES;
use crate::load::cache::CodeCache;
use crate::options::HostOptions;
use std::num::NonZeroUsize;
use wasmparser::WasmFeatures;
use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig, WasmBacktraceDetails};

/// Native stack that WebAssembly frames may fill. Deeper recursion is a trap.
const WASM_STACK: usize = 1 << 20;
/// Native stack of a call; what is above `WASM_STACK` is for the host's functions.
const CALL_STACK: usize = 2 << 20;
/// Memory that stays with a free slot, so that the next instance in it starts without page faults.
const KEEP_MEMORY: usize = 512 << 10;
/// The same for tables.
const KEEP_TABLE: usize = 64 << 10;
/// Memories beyond which the address space of the process would be used up, at 4 GiB each.
const MAX_MEMORIES: u32 = 16_384;

/// The WebAssembly features that handlers may use: version 3 without garbage collection,
/// exceptions, threads and 64-bit memories. The engine is built with the same.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM3
    .difference(WasmFeatures::GC_TYPES)
    .difference(WasmFeatures::EXCEPTIONS)
    .difference(WasmFeatures::THREADS)
    .difference(WasmFeatures::MEMORY64)
    .union(WasmFeatures::COMPONENT_MODEL);

/// An engine that compiles and runs.
pub(crate) fn running(options: &HostOptions, cache: Option<&CodeCache>) -> Result<Engine, HostError> {
    let mut config = config(cache);
    config.allocation_strategy(pool(options));
    Engine::new(&config).map_err(|error| HostError::Engine(format!("{error:#}")))
}

/// An engine that only compiles; it reserves no address space, and its code fits the other.
pub(crate) fn compiling(cache: Option<&CodeCache>) -> Result<Engine, HostError> {
    Engine::new(&config(cache)).map_err(|error| HostError::Engine(format!("{error:#}")))
}

fn config(cache: Option<&CodeCache>) -> Config {
    let mut config = Config::new();
    config
        .wasm_memory64(false)
        .concurrency_support(false)
        .epoch_interruption(true)
        .memory_init_cow(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(CALL_STACK)
        // A guest's own debug information is as hostile as the guest: names only.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES))
        .cache(cache.map(CodeCache::inner));
    config
}

/// Instances that may be there at once: each finds everything that it may have.
pub(crate) fn instances(options: &HostOptions) -> u32 {
    options.max_instances.clamp(1, MAX_MEMORIES / MEMORIES)
}

/// What one instance may have, times the instances: so none of them takes anything from another. It is
/// reserved address space, and takes memory only when it is used.
fn pool(options: &HostOptions) -> PoolingAllocationConfig {
    let instances = instances(options);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .total_stacks(instances.saturating_add(64))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(8 << 20)
        .max_memory_size(options.max_memory)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEEP_MEMORY)
        .table_keep_resident(KEEP_TABLE)
        .pagemap_scan(Enabled::Auto);
    pool
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What each proposal adds to a module, and whether handlers may use it.
    const PROPOSALS: [(&str, bool); 10] = [
        ("(func (result v128) (v128.const i64x2 1 2))", true),
        ("(func $f (return_call $f))", true),
        ("(memory 1) (memory 1)", true),
        ("(table 1 funcref) (func (table.fill 0 (i32.const 0) (ref.null func) (i32.const 1)))", true),
        ("(memory i64 1)", false),
        ("(memory 1 1 shared)", false),
        ("(tag $t) (func (throw $t))", false),
        ("(type (struct (field i32)))", false),
        ("(table 1 externref)", false),
        (
            "(func (result i64 i64) (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0) i64.add128)",
            false,
        ),
    ];

    #[test]
    fn what_is_validated_is_what_the_engine_compiles() {
        let engine = compiling(None).unwrap();
        for (text, allowed) in PROPOSALS {
            let bytes = wat::parse_str(format!("(component (core module {text}))")).unwrap();
            let validated = crate::load::validate::file(&bytes);
            assert_eq!(validated.is_ok(), allowed, "{text}: {validated:?}");
            let compiled = wasmtime::component::Component::from_binary(&engine, &bytes);
            assert_eq!(compiled.is_ok(), allowed, "{text}");
        }
    }
}
