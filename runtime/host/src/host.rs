//! The sandbox of the process: engine, threads, clock and room, and loading into it.

use crate::engine;
use crate::error::{HostError, LoadError};
use crate::guest::bindings::{many, one};
use crate::guest::link;
use crate::guest::output::{LogSink, PipelineLog, TracingSink};
use crate::guest::reason::Stop;
use crate::guest::state::State;
use crate::load::inspect::{self, ComponentInfo, World};
use crate::load::{cache::CodeCache, compile, read};
use crate::options::{HandlerSpec, HostOptions, Isolation};
use crate::run::clock::Clock;
use crate::run::control::Control;
use crate::run::handler::{Shared, WasmHandler};
use crate::run::instance::{Instance, Maker, Template};
use crate::run::pools::Pools;
use crate::run::room::Room;
use crate::run::watch::watch;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

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
    linker: Linker<State>,
    room: Arc<Room>,
    sink: Arc<dyn LogSink>,
}

impl Host {
    /// Sets the sandbox up: reserves address space, starts the threads. Once per process.
    pub fn new(options: HostOptions) -> Result<Self, HostError> {
        let cache = options.cache_dir.as_deref().map(CodeCache::open).transpose()?;
        let engine = engine::running(&options, cache.as_ref())?;
        let linker = link::linker(&engine).map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let room = Arc::new(Room::default());
        let threads =
            options.guest_threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from));
        Ok(Self(Arc::new(Sandbox {
            clock: Clock::start(&engine, &room)?,
            pools: Pools::new(threads.unwrap_or(1).max(1))?,
            sink: options.log_sink.clone().unwrap_or_else(|| Arc::new(TracingSink)),
            engine,
            cache,
            linker,
            room,
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
        let info =
            inspect::inspect_pinned(bytes, sandbox.options.max_component_bytes, spec.digest.as_deref())?;
        let component = compile::component(sandbox, bytes, &info.digest)?;
        let maker = Maker {
            engine: sandbox.engine.clone(),
            template: sandbox.template(&component, &info)?,
            log: PipelineLog::new(
                pipeline,
                Arc::clone(&sandbox.sink),
                spec.log_bytes_per_message,
                spec.log_bytes_per_second,
            ),
            memory: spec.memory,
            room: Arc::clone(&sandbox.room),
        };
        let shared = Shared::new(maker, spec);
        let instance = sandbox.trial(&shared, spec.timeout.clamp(START.0, START.1))?;
        if spec.isolation == Isolation::Reuse {
            shared.idle.put(instance);
        }
        Ok(Arc::new(WasmHandler::new(Arc::clone(sandbox), shared, info, spec)))
    }
}

impl Sandbox {
    /// Checks the component's types against the contract and the granted functions.
    fn template(&self, component: &Component, info: &ComponentInfo) -> Result<Template, LoadError> {
        let linked = self.linker.instantiate_pre(component);
        let linked = linked.map_err(|error| LoadError::Link(format!("{error:#}")))?;
        let template = match info.world {
            World::Message => one::HandlerPre::new(linked).map(Template::One),
            World::Batch => many::BatchPre::new(linked).map(Template::Many),
        };
        template.map_err(|error| LoadError::WrongType {
            interface: info.world.interface(),
            reason: format!("{error:#}"),
        })
    }

    /// Makes the first instance.
    fn trial(&self, shared: &Arc<Shared>, timeout: Duration) -> Result<Instance, LoadError> {
        let (answer, answered) = mpsc::channel();
        let control = Arc::new(Control::new(timeout));
        let ticking = self.clock.enter();
        let (watched, shared, room) = (Arc::clone(&control), Arc::clone(shared), Arc::clone(&self.room));
        let task = async move {
            let mut made = first(&shared, &watched).await;
            if matches!(made, Err(Stop::NoRoom)) && room.wait(timeout).await {
                made = first(&shared, &watched).await;
            }
            drop(ticking);
            // The caller waits below; it cannot be gone.
            drop(answer.send(made));
        };
        self.pools.spawn(control, Box::pin(task), false);
        match answered.recv() {
            Ok(Ok(instance)) => Ok(instance),
            Ok(Err(Stop::Fault(_, reason))) => Err(LoadError::Start(reason)),
            Ok(Err(Stop::NoRoom)) => Err(LoadError::Start(format!(
                "there is no room for another instance beside {}; lower the pipelines' concurrency",
                self.options.max_instances
            ))),
            Ok(Err(Stop::Interrupted)) | Err(_) => {
                Err(LoadError::Start("the worker is shutting down".to_owned()))
            }
        }
    }
}

/// One try at a first instance.
async fn first(shared: &Shared, control: &Arc<Control>) -> Result<Instance, Stop> {
    control.begin();
    let made = watch(control, shared.maker.make(control), || ()).await?;
    made.map_err(|failed| Stop::of_start(&failed.error, failed.refused, control.timeout()))
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.clock.stop();
    }
}
