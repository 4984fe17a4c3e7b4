//! The sandbox of the process: engine, threads, clock and room, and loading into it.

use crate::engine;
use crate::error::{HostError, LoadError};
use crate::guest::link;
use crate::guest::pipeline_log::PipelineLog;
use crate::guest::reason::Stop;
use crate::guest::secrets::Secrets;
use crate::guest::sink::{LogSink, TracingSink};
use crate::guest::state::GuestState;
use crate::guest::text;
use crate::interfaces::Granted;
use crate::interfaces::counts::{AllRefusals, EffectCounts};
use crate::interfaces::http::{HttpCounts, Net, Outgoing};
use crate::kinds::component::Indices;
use crate::kinds::kind::{HandlerKind, Protocol};
use crate::kinds::program::Program;
use crate::kinds::worker::Speaks;
use crate::kinds::{NotMade, Setting, Template, standard};
use crate::load::compile::Code;
use crate::load::inspect::{self, ComponentInfo};
use crate::load::{cache::CodeCache, compile, read};
use crate::options::{HandlerSpec, HostOptions, Isolation};
use crate::run::clock::Clock;
use crate::run::control::Control;
use crate::run::handler::{HandlerShared, WasmHandler};
use crate::run::instance::{Instance, Maker};
use crate::run::instance_pool::{InstancePool, RoomNeed};
use crate::run::pools::{self, Pools};
use crate::run::threads;
use crate::run::watch::watch;
use pelton_core::outcome::FaultKind;
use std::collections::HashMap;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;
use wasmtime::Engine;
use wasmtime::component::Linker;

/// What a component may take to start, at load.
const START: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// The sandbox. Clones share it; it ends with the last clone and handler.
#[derive(Clone)]
pub struct Host(Arc<Sandbox>);

/// What all handlers share.
pub(crate) struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) options: HostOptions,
    pub(crate) cache: Option<CodeCache>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) pools: Pools,
    linker: Linker<GuestState>,
    modules: wasmtime::Linker<GuestState>,
    /// Of the files in use, by digest and kind.
    templates: Mutex<HashMap<(String, HandlerKind), Weak<Template>>>,
    /// Held by whoever compiles.
    compiling: Mutex<()>,
    room: Arc<InstancePool>,
    refusals: AllRefusals,
    sink: Arc<dyn LogSink>,
    net: Arc<Net>,
}

impl Host {
    /// Sets the sandbox up: reserves address space, starts the threads. Once per process.
    pub fn new(options: HostOptions) -> Result<Self, HostError> {
        let threads =
            options.guest_threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from));
        let threads = threads.unwrap_or(1).max(1);
        // Both pools, the clock and the cache's own.
        threads::there_is_room_for(2 * threads + 2)?;
        let open = |dir| CodeCache::open_with(dir, options.shared_cache_dir.as_deref());
        let cache = options.cache_dir.as_deref().map(open).transpose()?;
        let engine = engine::running(&options, cache.as_ref())?;
        let failed = |error: wasmtime::Error| HostError::Engine(format!("{error:#}"));
        let linker = link::linker(&engine).map_err(failed)?;
        let modules = link::modules(&engine).map_err(failed)?;
        let room = Arc::new(InstancePool::new(engine::instances(&options) as usize));
        Ok(Self(Arc::new(Sandbox {
            clock: Clock::start(&engine, &room)?,
            pools: Pools::new(threads)?,
            sink: options.log_sink.clone().unwrap_or_else(|| Arc::new(TracingSink)),
            engine,
            cache,
            linker,
            modules,
            templates: Mutex::default(),
            compiling: Mutex::default(),
            refusals: AllRefusals::default(),
            room,
            net: Arc::new(Net::new(options.http_resolver.clone())),
            options,
        })))
    }

    /// Loads the component at `path` for a pipeline: reads it once, checks it, compiles it, and
    /// makes one instance to see that it starts. Blocks: call it off the async runtime.
    pub fn load(
        &self,
        pipeline: &str,
        path: &Path,
        spec: &HandlerSpec,
    ) -> Result<Arc<WasmHandler>, LoadError> {
        let bytes = read::component(path, self.0.options.max_component_bytes)?;
        self.load_bytes(pipeline, &bytes, spec)
    }

    /// Whether good code for the component with this digest is in the cache, so that loading it compiles
    /// nothing. Reads all of it.
    #[must_use]
    pub fn is_compiled(&self, digest: &str) -> bool {
        self.0.is_compiled(digest)
    }

    /// Whether chunks of a pipeline wait for room for an instance.
    #[must_use]
    pub fn room_need(&self, pipeline: &str) -> RoomNeed {
        self.0.room.need(pipeline)
    }

    /// What the HTTP requests of a pipeline's handler have come to, over all its versions.
    #[must_use]
    pub fn http_counts(&self, pipeline: &str) -> HttpCounts {
        self.0.net.counted(pipeline)
    }

    /// What was refused to a pipeline's handler of state and of its outbox, over all its versions.
    #[must_use]
    pub fn effect_counts(&self, pipeline: &str) -> EffectCounts {
        self.0.refusals.now(pipeline)
    }

    /// As [`Host::load`], from bytes.
    pub fn load_bytes(
        &self,
        pipeline: &str,
        bytes: &[u8],
        spec: &HandlerSpec,
    ) -> Result<Arc<WasmHandler>, LoadError> {
        let sandbox = &self.0;
        if spec.memory > sandbox.options.max_memory {
            return Err(LoadError::Limits { asked: spec.memory, max: sandbox.options.max_memory });
        }
        let max = sandbox.options.max_component_bytes;
        // Messages go on meanwhile, and their threads come first.
        let prepared = pools::at_low_priority(|| {
            let mut intact = false;
            let compiled = |digest: &str| {
                intact = sandbox.is_compiled(digest);
                intact
            };
            let grants = Some((pipeline, &*spec.grants));
            let info = inspect::inspect_pinned(
                bytes,
                max,
                spec.protocol,
                spec.digest.as_deref(),
                grants,
                compiled,
            )?;
            let template = sandbox.template(bytes, &info, intact)?;
            Ok::<_, LoadError>((info, template))
        });
        let no_thread =
            || LoadError::NotStarted("no thread can be started for it; the system has no room".to_owned());
        let (info, template) = prepared.ok_or_else(no_thread)??;
        let setting = Setting {
            engine: sandbox.engine.clone(),
            pipeline: pipeline.into(),
            log: PipelineLog::new(
                pipeline,
                Arc::clone(&sandbox.sink),
                Arc::new(Secrets::new(&spec.grants.secrets)),
                spec.log_bytes_per_message,
                spec.log_bytes_per_second,
            ),
            memory: spec.memory,
            shared: sandbox.interfaces(pipeline, spec)?,
            room: Arc::clone(&sandbox.room),
        };
        let maker = Maker { template, setting: Arc::new(setting), used: Arc::default() };
        let shared = HandlerShared::new(&info.digest, maker, spec);
        let instance = sandbox.trial(&shared, info.kind, spec.timeout.clamp(START.0, START.1))?;
        if spec.isolation == Isolation::Reuse {
            shared.idle.put(instance);
        }
        Ok(Arc::new(WasmHandler::new(Arc::clone(sandbox), shared, info, spec)))
    }
}

impl Sandbox {
    /// What instances of a handler share, started.
    fn interfaces(&self, pipeline: &str, spec: &HandlerSpec) -> Result<Arc<Granted>, LoadError> {
        let http = Outgoing::new(pipeline, &spec.grants, &self.net);
        http.start().map_err(|error| LoadError::NotStarted(error.to_string()))?;
        let refusals = self.refusals.of(pipeline);
        Ok(Arc::new(Granted { grants: Arc::clone(&spec.grants), http, refusals }))
    }

    fn is_compiled(&self, digest: &str) -> bool {
        self.cache.as_ref().is_some_and(|cache| cache.is_intact(digest, &self.engine))
    }

    /// The compiled and linked component; the one that another pipeline uses, if there is one. `intact`
    /// says that good code is in the cache.
    fn template(
        &self,
        bytes: &[u8],
        info: &ComponentInfo,
        intact: bool,
    ) -> Result<Arc<Template>, LoadError> {
        let known = || self.templates().get(&(info.digest.clone(), info.kind)).and_then(Weak::upgrade);
        if let Some(known) = known() {
            return Ok(known);
        }
        if !intact {
            // Only whoever compiles waits here.
            let _turn = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = known() {
                return Ok(known);
            }
            if !self.is_compiled(&info.digest) {
                compile::prepare(self, bytes, info)?;
            }
        }
        let template = Arc::new(self.link(compile::code(self, bytes, info)?, info.kind)?);
        let mut templates = self.templates();
        templates.retain(|_, template| template.strong_count() > 0);
        templates.insert((info.digest.clone(), info.kind), Arc::downgrade(&template));
        Ok(template)
    }

    fn link(&self, code: Code, kind: HandlerKind) -> Result<Template, LoadError> {
        let failed = |error| LoadError::Link(text::clean(&format!("{error:#}"), 1024));
        let mistyped = |error| mistyped(kind, &error);
        let component = match code {
            Code::Component(component) => self.linker.instantiate_pre(&component).map_err(failed)?,
            Code::Module(module) => {
                let linked = self.modules.instantiate_pre(&module).map_err(failed)?;
                return Ok(program(Program::Module(linked), kind));
            }
        };
        Ok(match kind {
            HandlerKind::Message | HandlerKind::Batch => {
                let indices = Indices::new(&component, kind).map_err(mistyped)?;
                Template::Component(component, indices)
            }
            HandlerKind::Standard => {
                Template::Standard(standard::Template::new(component).map_err(mistyped)?)
            }
            HandlerKind::Program(_) => program(Program::of_component(component).map_err(mistyped)?, kind),
        })
    }

    fn templates(&self) -> MutexGuard<'_, HashMap<(String, HandlerKind), Weak<Template>>> {
        self.templates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the first instance, on a guest thread: the component's start is guest code too.
    fn trial(
        &self,
        shared: &Arc<HandlerShared>,
        kind: HandlerKind,
        timeout: Duration,
    ) -> Result<Instance, LoadError> {
        let (answer, answered) = mpsc::channel();
        let control = Arc::new(Control::new(timeout, false));
        let ticking = self.clock.enter();
        let (watched, shared) = (Arc::clone(&control), Arc::clone(shared));
        let instances = engine::instances(&self.options);
        let task = async move {
            let made = first(&shared, &watched, kind, instances).await;
            drop(ticking);
            // The caller waits below; it cannot be gone.
            drop(answer.send(made));
        };
        self.pools.spawn(control, Box::pin(task), false);
        let gone = |_| LoadError::NotStarted("the worker is shutting down".to_owned());
        answered.recv().map_err(gone)?
    }
}

fn program(program: Program, kind: HandlerKind) -> Template {
    match kind {
        HandlerKind::Program(Protocol::Command) => Template::Command(program),
        HandlerKind::Program(protocol) => {
            let (batches, version) = (kind.takes_batches(), protocol.version());
            Template::Worker(program, Speaks { batches, version })
        }
        // A core module is none of these.
        HandlerKind::Message | HandlerKind::Batch | HandlerKind::Standard => {
            Template::Worker(program, Speaks::default())
        }
    }
}

/// A first instance, when there is room for it.
async fn first(
    shared: &HandlerShared,
    control: &Arc<Control>,
    kind: HandlerKind,
    instances: u32,
) -> Result<Instance, LoadError> {
    let mut has_waited = false;
    loop {
        control.begin();
        let made = async {
            match shared.maker.place(has_waited) {
                Some(place) => shared.maker.make_first(control, place).await.map_err(Some),
                None => Err(None),
            }
        };
        let stop = match watch(control, pin!(made), || ()).await {
            Ok(Ok(instance)) => return Ok(instance),
            Ok(Err(Some((NotMade::Type(error), _)))) => return Err(mistyped(kind, &error)),
            Ok(Err(Some((failed, refused)))) => Stop::of_start(&failed, refused, control.timeout()),
            Ok(Err(None)) => Stop::NoRoom,
            Err(stop) => stop,
        };
        match stop {
            Stop::Fault(FaultKind::Timeout, reason) => return Err(LoadError::NotStarted(reason)),
            Stop::Fault(_, reason) => return Err(LoadError::Start(reason)),
            Stop::NoRoom if shared.maker.wait(control.timeout()).await => has_waited = true,
            Stop::NoRoom | Stop::Interrupted => {
                return Err(LoadError::NotStarted(format!(
                    "there is no room for it beside {instances} instances; lower the pipelines' concurrency"
                )));
            }
        }
    }
}

fn mistyped(kind: HandlerKind, error: &wasmtime::Error) -> LoadError {
    LoadError::WrongType { interface: kind.export(), reason: text::clean(&format!("{error:#}"), 1024) }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.clock.stop();
    }
}
