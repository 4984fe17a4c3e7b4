//! What belongs to one store: its WASI context, its limits, its output, and who watches it.

use crate::guest::given;
use crate::guest::limits::{Gauge, HOSTCALL_BYTES, Limiter, PROGRAM_HOSTCALL_BYTES, RANDOM_BYTES, handles};
use crate::guest::output::{Output, Stream};
use crate::guest::pipeline_log::PipelineLog;
use crate::guest::port::Port;
use crate::interfaces::call::{CallInWork, InCall};
use crate::interfaces::{Granted, http};
use crate::kinds::Setting;
use crate::run::control::Control;
use bytes::Bytes;
use pelton_core::ports::Work;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncWrite;
use wasmtime::{Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, async_trait};

/// Bytes that a guest may write at once.
const WRITE_PERMIT: usize = 64 << 10;
/// What a program is called by its own arguments.
const PROGRAM: &str = "handler";

/// The data of one store.
pub(crate) struct GuestState {
    /// Serves components and preview 1 modules alike.
    pub(crate) wasi: WasiP1Ctx,
    pub(crate) limits: Limiter,
    pub(crate) about: About,
    /// What its handler may do in the world.
    pub(crate) shared: Arc<Granted>,
    /// Bytes of what the running call has staged that count against the guest's memory now.
    pub(crate) staged: usize,
    /// HTTP of this store.
    pub(crate) http: http::InStore,
}

/// What is known of a store from outside, while its guest runs.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) output: Arc<Output>,
    pub(crate) gauge: Arc<Gauge>,
    /// What interfaces keep of the running call.
    pub(crate) in_call: Arc<InCall>,
    control: Arc<Seat>,
}

/// Whoever watches the chunk that has the store now.
struct Seat(Mutex<Arc<Control>>);

/// What a program is given that a component is not.
pub(crate) struct Given {
    pub(crate) port: Arc<Port>,
    pub(crate) environment: Vec<(String, String)>,
}

/// A standard stream of the guest.
struct Pipe(Arc<Output>, Stream);

impl About {
    pub(crate) fn new(log: &Arc<PipelineLog>, control: &Arc<Control>) -> Self {
        let control = Arc::new(Seat(Mutex::new(Arc::clone(control))));
        Self { output: Output::new(log), gauge: Arc::default(), in_call: Arc::default(), control }
    }

    /// Whether its call is of a version in the shadow, whose effects go nowhere.
    pub(crate) fn is_shadow(&self) -> bool {
        self.control.lock().is_background()
    }

    /// It was refused something since it is in the shadow: what it answers says nothing of it.
    pub(crate) fn refuse_to_shadow(&self) {
        self.control.lock().refuse_to_shadow();
    }

    /// Whoever watches the chunk that has the store now.
    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control.lock())
    }

    /// The messages in work; none while an instance starts.
    pub(crate) fn call(&self) -> Option<CallInWork> {
        self.output.call()
    }

    /// A chunk begins.
    pub(crate) fn assign(&self, work: &Arc<[Work]>, control: &Arc<Control>) {
        self.output.assign(Arc::clone(work));
        *self.control.lock() = Arc::clone(control);
    }
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Arc<Control>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store with every limit set, its epoch included; `given` is for programs.
pub(crate) fn store(setting: &Setting, about: About, given: Option<Given>) -> Store<GuestState> {
    let memory = setting.memory;
    let mut wasi = WasiCtx::builder();
    wasi.stderr(Pipe(Arc::clone(&about.output), Stream::Err))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM_BYTES);
    let mut hostcall = HOSTCALL_BYTES;
    match given {
        Some(given) => {
            hostcall = PROGRAM_HOSTCALL_BYTES;
            wasi.arg(PROGRAM).envs(&given.environment).stdin(given.port.input());
            match given.port.output() {
                Some(answers) => wasi.stdout(answers),
                None => wasi.stdout(Pipe(Arc::clone(&about.output), Stream::Out)),
            }
        }
        None => {
            let environment = &setting.shared.grants.environment;
            wasi.envs(environment).stdout(Pipe(Arc::clone(&about.output), Stream::Out))
        }
    };
    let grants = &setting.shared.grants;
    given::set(&mut wasi, grants.clock, grants.random);
    let mut wasi = wasi.build_p1();
    wasi.ctx().table.set_max_capacity(handles(memory));
    let limits = Limiter::new(memory, Arc::clone(&about.gauge));
    let shared = Arc::clone(&setting.shared);
    let http = http::InStore::new(&shared.http, &about);
    let mut store =
        Store::new(&setting.engine, GuestState { wasi, limits, about, shared, staged: 0, http });
    store.limiter(|state| &mut state.limits);
    store.set_hostcall_fuel(hostcall);
    store.set_max_component_handles(handles(memory));
    store.epoch_deadline_callback(on_tick);
    store
}

/// Runs in a guest that has not ended within the last ticks of the clock.
fn on_tick(cx: StoreContextMut<'_, GuestState>) -> wasmtime::Result<UpdateDeadline> {
    cx.data().about.control().tick()?;
    Ok(UpdateDeadline::Yield(1))
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
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
