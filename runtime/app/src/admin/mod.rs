//! The worker over HTTP: health, metrics, and an API for what the commands do.
//!
//! Whatever a client does, messages go on. So this has a runtime of its own with one thread of low priority,
//! and bounds for connections, headers, bodies, time and what is asked at once. It decides nothing: what
//! changes the worker goes the way that the commands go, through `control::server::Service`.

mod audit;
mod background;
mod call;
mod connection;
mod dispatch;
mod endpoint;
mod endpoints;
mod events;
mod guard;
mod idempotency;
mod limits;
mod listener;
mod listeners;
mod openapi;
mod own;
mod pages;
mod pipelines;
mod problem;
mod rates;
mod rendered;
mod router;
mod stall;
mod stamp;
mod state;
mod steer;
mod tls;
mod tokens;
mod versions;

use crate::config::{AdminListen, Config, Problem};
use crate::exit::{CONFIG, Fail};
use crate::worker::health::Health;
use crate::worker::state::WorkerState;
use connection::Serving;
use limits::Limits;
use listener::Listener;
use pelton_host::yield_to_others;
use rustix::process::{Resource, getrlimit};
use state::AdminState;
use std::sync::Arc;
use std::time::Duration;
use tls::Tls;
use tokens::Tokens;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

/// How much nicer its threads are than those that messages run on.
const NICER_BY: i32 = 5;
/// How long clients have, at the end, for what they are being told.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// What is listened to, until its end.
pub struct Admin {
    runtime: Option<Runtime>,
    shared: Arc<AdminState>,
    stop: watch::Sender<bool>,
}

/// What stands against `[admin]` in the files that it names. Blocks.
pub fn problems(config: &Config) -> Vec<Problem> {
    let (_, mut problems) = Tokens::read(&config.admin.tokens);
    if let Some(files) = &config.admin.tls {
        problems.extend(Tls::read(files).err());
    }
    problems
}

impl Admin {
    /// Opens what is configured and answers, as far as there is something to be told already. What is asked
    /// of the worker is done on the runtime `worker`.
    ///
    /// # Errors
    /// A file of the configuration cannot be used, or an address cannot be had.
    pub fn start(config: &Config, health: &Arc<Health>, worker: Handle) -> Result<Self, Fail> {
        let shared =
            AdminState::open(config, health.clone(), worker).map_err(|problems| invalid(&problems))?;
        let (stop, stopping) = watch::channel(false);
        let is_off = config.admin.listen == AdminListen::Off && config.admin.health_listen.is_none();
        let runtime = (!is_off).then(runtime).transpose()?;
        if let Some(runtime) = &runtime {
            let _within = runtime.enter();
            serve(config, &shared, &stopping)?;
            drop(runtime.spawn(background::keep_read(shared.clone())));
            drop(runtime.spawn(background::keep_looking(shared.clone())));
        }
        Ok(Self { runtime, shared, stop })
    }

    /// What tells it of the worker, once there is one.
    pub fn begin(&self) -> impl FnOnce(&Arc<WorkerState>) + use<> {
        let shared = self.shared.clone();
        move |worker| shared.begin(worker)
    }

    /// Answers no more. What is being told is told within a moment, or not at all.
    pub fn end(self) {
        self.stop.send_replace(true);
        self.shared.end();
        if let Some(runtime) = self.runtime {
            runtime.block_on(async { drop(tokio::time::timeout(END_TIMEOUT, self.stop.closed()).await) });
            runtime.shutdown_background();
        }
    }
}

fn invalid(problems: &[Problem]) -> Fail {
    let line = |problem: &Problem| format!("{}: {}", problem.path, problem.what);
    let lines: Vec<String> = problems.iter().map(line).collect();
    let (first, rest) = lines.split_first().map_or((String::new(), &[][..]), |(f, r)| (f.clone(), r));
    Fail::new(CONFIG, anyhow::anyhow!(first)).with(rest.iter().cloned())
}

fn runtime() -> std::io::Result<Runtime> {
    let nicer = || {
        if let Err(error) = yield_to_others(NICER_BY) {
            tracing::debug!(%error, "a thread of the API stays at normal priority");
        }
    };
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).max_blocking_threads(2).enable_all();
    builder.thread_name("pelton-admin").on_thread_start(nicer).build()
}

/// Opens the listeners. Within the runtime.
fn serve(config: &Config, shared: &Arc<AdminState>, stop: &watch::Receiver<bool>) -> Result<(), Fail> {
    let failed = |key: &str, error: std::io::Error| {
        Fail::new(CONFIG, anyhow::anyhow!("admin.{key}: cannot be opened: {error}"))
    };
    let mut all: Vec<(Listener, Serving)> = Vec::new();
    let files = getrlimit(Resource::Nofile).current;
    let api = |limits: Limits| Serving {
        router: router::api(shared),
        tls: shared.tls.clone(),
        limits: limits.within(files),
        stop: stop.clone(),
    };
    match &config.admin.listen {
        AdminListen::Off => {}
        AdminListen::Tcp(address) => {
            let listener = Listener::tcp(*address).map_err(|error| failed("listen", error))?;
            all.push((listener, api(Limits::API)));
        }
        AdminListen::Unix(path) => {
            let listener = Listener::unix(path).map_err(|error| failed("listen", error))?;
            all.push((listener, api(Limits::SOCKET)));
        }
        AdminListen::DataDir => match Listener::in_data_dir(&config.data_dir) {
            Ok(listener) => all.push((listener, api(Limits::SOCKET))),
            // As for the socket of the commands: the worker does without.
            Err(error) => tracing::warn!(%error, "no admin.sock can be made in data_dir: there is no API"),
        },
    }
    if let Some(address) = config.admin.health_listen {
        let listener = Listener::tcp(address).map_err(|error| failed("health_listen", error))?;
        let serving = Serving {
            router: router::health(shared),
            tls: None,
            limits: Limits::HEALTH.within(files),
            stop: stop.clone(),
        };
        all.push((listener, serving));
    }
    for (listener, serving) in all {
        if let Some(address) = listener.address() {
            let what = serving.limits.name;
            tracing::info!(listener = what, %address, "listening");
        }
        drop(tokio::spawn(connection::accept_all(listener, serving)));
    }
    Ok(())
}
