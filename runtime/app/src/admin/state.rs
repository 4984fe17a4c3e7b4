//! What all that is answered shares.

use super::audit::Audit;
use super::idempotency::Idempotency;
use super::limits::{ASKED, TURN_TIMEOUT};
use super::listeners::Listeners;
use super::problem::Problem;
use super::rates::Rates;
use super::rendered::Rendered;
use super::tls::Tls;
use super::tokens::Tokens;
use crate::config::{self, AdminConfig, Config};
use crate::control::protocol::{Reply, Request, WorkerStatus};
use crate::control::server::{Client, Service};
use crate::worker::health::Health;
use crate::worker::state::{RunningPipeline, WorkerState};
use axum::body::Bytes;
use axum::http::StatusCode;
use pelton_core::contain::contained;
use serde_json::Value;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::timeout;

/// The worker, as far as it is there, and who may ask it.
pub struct AdminState {
    pub config: AdminConfig,
    pub health: Arc<Health>,
    pub tokens: Tokens,
    pub tls: Option<Arc<Tls>>,
    pub audit: Audit,
    pub idempotency: Idempotency,
    pub listeners: Arc<Listeners>,
    pub rates: Rates,
    /// Components that are on their way.
    pub uploads: Semaphore,
    /// What the API says of itself.
    pub document: OnceLock<Value>,
    /// The last status of the pipelines.
    pub last_status: Mutex<Option<(Instant, Arc<WorkerStatus>)>>,
    /// Where what is asked of the worker is done.
    runtime: Handle,
    /// What it is asked at once.
    turns: Semaphore,
    /// None before its handlers are loaded, and after its end.
    worker: RwLock<Option<Arc<WorkerState>>>,
    rendered: Rendered,
}

impl AdminState {
    /// Reads the files that the configuration names. Blocks.
    pub fn open(
        config: &Config,
        health: Arc<Health>,
        runtime: Handle,
    ) -> Result<Arc<Self>, Vec<config::Problem>> {
        let (audit, config) = (Audit::open(&config.data_dir), config.admin.clone());
        let tokens = Tokens::open(&config.tokens)?;
        let tls = config.tls.as_ref().map(Tls::open).transpose().map_err(|problem| vec![problem])?;
        Ok(Arc::new(Self {
            config,
            health,
            tokens,
            tls: tls.map(Arc::new),
            audit,
            idempotency: Idempotency::default(),
            listeners: Arc::default(),
            rates: Rates::default(),
            uploads: Semaphore::new(1),
            document: OnceLock::new(),
            last_status: Mutex::default(),
            runtime,
            turns: Semaphore::new(ASKED),
            worker: RwLock::default(),
            rendered: Rendered::default(),
        }))
    }

    pub fn begin(&self, worker: &Arc<WorkerState>) {
        *self.worker.write().unwrap_or_else(PoisonError::into_inner) = Some(worker.clone());
    }

    /// There is nothing to be asked any more.
    pub fn end(&self) {
        *self.worker.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The text of the metrics.
    pub async fn metrics(&self) -> Result<Bytes, Problem> {
        self.rendered.text(self.worker()?).await
    }

    /// Once its handlers are loaded.
    pub fn worker(&self) -> Result<Arc<WorkerState>, Problem> {
        let worker = self.worker.read().unwrap_or_else(PoisonError::into_inner).clone();
        worker.ok_or_else(|| {
            Problem::later("the worker starts, or ends: its pipelines do not run. Ask again in a moment")
        })
    }

    /// Asks the worker as the commands do. What it does ends when nobody waits for it any more, if that is of
    /// its kind.
    pub async fn ask(&self, request: Request) -> Result<Reply, Problem> {
        let worker = self.worker()?;
        let busy = |_| Problem::later("the worker is asked too much at once; ask again in a moment");
        let turn = timeout(TURN_TIMEOUT, self.turns.acquire()).await.map_err(busy)?;
        let _turn = turn.map_err(|_| Problem::later("the worker ends"))?;
        // Dropped with this, which the other end hears.
        let (_waits, gone) = mpsc::channel(1);
        let asked = self
            .runtime
            .spawn(contained(async move { worker.answer(request, &mut Client::within(gone)).await }));
        match asked.await {
            Ok(Ok(done)) => done.map_err(Problem::refused),
            Ok(Err(panicked)) => {
                tracing::error!("{panicked}, while the API asked the worker; please report it");
                let what = "an internal fault of Pelton; its log has more";
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, what))
            }
            Err(_) => Err(Problem::later("the worker ends")),
        }
    }

    /// Messages that wait at the broker of a pipeline, as far as that is known without asking it.
    pub fn backlog(&self, _live: &RunningPipeline) -> Option<u64> {
        None
    }
}
