//! What belongs to one store: its WASI context, its limits, its output, and who watches it.

use crate::guest::limits::{HANDLES, HOSTCALL_BYTES, Limiter, RANDOM_BYTES};
use crate::guest::output::{Output, PipelineLog, Stream};
use crate::run::control::Control;
use bytes::Bytes;
use std::sync::Arc;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, async_trait};

/// Bytes that a guest may write at once.
const WRITE_PERMIT: usize = 64 << 10;

/// The data of one store.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) limits: Limiter,
    pub(crate) output: Arc<Output>,
    pub(crate) control: Arc<Control>,
}

/// A standard stream of the guest.
struct Pipe(Arc<Output>, Stream);

/// A store with every limit set, its epoch included.
pub(crate) fn store(
    engine: &Engine,
    log: &Arc<PipelineLog>,
    memory: usize,
    control: Arc<Control>,
) -> Store<State> {
    let output = Output::new(log);
    let wasi = WasiCtx::builder()
        .stdout(Pipe(Arc::clone(&output), Stream::Out))
        .stderr(Pipe(Arc::clone(&output), Stream::Err))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM_BYTES)
        .build();
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES);
    let state = State { wasi, table, limits: Limiter::new(memory), output, control };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limits);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    store.set_max_component_handles(HANDLES);
    store.epoch_deadline_callback(on_tick);
    store
}

/// Runs in a guest that has not ended within the last ticks of the clock.
fn on_tick(cx: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    cx.data().control.tick()?;
    Ok(UpdateDeadline::Yield(1))
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl IsTerminal for Pipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Pipe {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Self(Arc::clone(&self.0), self.1))
    }
}

#[async_trait]
impl Pollable for Pipe {
    async fn ready(&mut self) {}
}

impl OutputStream for Pipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.write(self.1, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_PERMIT)
    }
}
