//! What all handlers of a process share to reach the network: the threads that wait for it, the resolver, and
//! the room for bodies. Guests' threads have no driver for sockets, and must not be held up by one.

use super::counts::{Counts, HttpCounts};
use crate::grants::http::HttpResolver;
use crate::run::threads::NoThreads;
use crate::run::threads::there_is_room_for;
use pelton_core::ports::BoxFuture;
use rustls::RootCertStore;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

/// Threads that wait for sockets.
const THREADS: usize = 2;
/// Names that may be looked up at once: the system's resolver holds a thread for each.
const LOOKUPS: usize = 128;
/// What the parts of bodies that are in memory may take, over all requests of the process.
const BODIES_BYTES: usize = 256 << 20;
/// What one request may hold of bodies: the buffers of both ways.
pub(crate) const EXCHANGE_BYTES: u32 = 128 << 10;

/// One for each process.
pub(crate) struct Net {
    runtime: OnceLock<Runtime>,
    starting: Mutex<()>,
    resolver: Arc<dyn HttpResolver>,
    roots: OnceLock<Result<Arc<RootCertStore>, String>>,
    /// Bytes that bodies may still take.
    pub(crate) room: Arc<Semaphore>,
    /// By pipeline, for as long as it has a handler.
    counts: Mutex<HashMap<String, Weak<Counts>>>,
}

/// The system's own.
struct System;

impl Net {
    pub(crate) fn new(resolver: Option<Arc<dyn HttpResolver>>) -> Self {
        Self {
            runtime: OnceLock::new(),
            starting: Mutex::default(),
            resolver: resolver.unwrap_or_else(|| Arc::new(System)),
            roots: OnceLock::new(),
            room: Arc::new(Semaphore::new(BODIES_BYTES)),
            counts: Mutex::default(),
        }
    }

    /// The counts of a pipeline: those of its handler before, while there is one.
    pub(super) fn counts(&self, pipeline: &str) -> Arc<Counts> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = counts.get(pipeline).and_then(Weak::upgrade) {
            return known;
        }
        counts.retain(|_, one| one.strong_count() > 0);
        let new = Arc::default();
        counts.insert(pipeline.to_owned(), Arc::downgrade(&new));
        new
    }

    /// What they are now.
    pub(crate) fn counted(&self, pipeline: &str) -> HttpCounts {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(pipeline).and_then(Weak::upgrade).map(|counts| counts.now()).unwrap_or_default()
    }

    /// The threads, started with the first handler that needs them.
    pub(crate) fn handle(&self) -> Result<Handle, NotStarted> {
        let _one = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime.handle().clone());
        }
        there_is_room_for(THREADS)?;
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).max_blocking_threads(LOOKUPS).thread_name("http").enable_all();
        let runtime = builder.build()?;
        Ok(self.runtime.get_or_init(|| runtime).handle().clone())
    }

    pub(crate) fn resolver(&self) -> Arc<dyn HttpResolver> {
        Arc::clone(&self.resolver)
    }

    /// The certificates that the system trusts, read once.
    pub(crate) fn roots(&self) -> Result<Arc<RootCertStore>, String> {
        self.roots.get_or_init(system_roots).clone()
    }
}

/// The threads could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStarted {
    #[error("threads for HTTP cannot be started: {0}")]
    FewThreads(#[from] NoThreads),
    #[error("threads for HTTP cannot be started: {0}")]
    Threads(#[from] io::Error),
}

fn system_roots() -> Result<Arc<RootCertStore>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or("there are none".to_owned(), ToString::to_string);
        return Err(format!(
            "no authority's certificate can be read ({why}), so no server can be trusted: install the \
             system's, or name a file of them with SSL_CERT_FILE or `ca_file`"
        ));
    }
    Ok(Arc::new(roots))
}

impl HttpResolver for System {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
