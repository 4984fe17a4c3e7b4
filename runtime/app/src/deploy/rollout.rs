//! A new version in the worker that runs: loaded beside the hot path, kept, then given messages.

use super::catalog::Catalog;
use super::signature;
use super::state::{Kept, Pin};
use crate::config::HandlerConfig;
use crate::telemetry::time::now_ms;
use pelton_core::points;
use pelton_core::ports::Handler;
use pelton_core::rollout::{JudgeAfter, Judgement, Plan};
use pelton_engine::{Canary, HandlerVersions};
use pelton_host::{Cause, Host, WasmHandler, digest};
use pelton_store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// What the deploys of all pipelines need.
#[derive(Clone)]
pub struct Deployer {
    pub host: Host,
    pub store: Store,
    /// Bytes of a component, at most.
    pub max_component_bytes: usize,
}

/// Where the handler of one pipeline is replaced.
pub struct Target {
    /// The pipeline's name.
    pub pipeline: String,
    /// As it is configured.
    pub handler: HandlerConfig,
    /// Those that run.
    pub versions: Arc<HandlerVersions>,
    /// Those that are kept.
    pub catalog: Arc<Catalog>,
    orders: Arc<Orders>,
}

impl Target {
    pub fn new(
        pipeline: &str,
        handler: HandlerConfig,
        versions: Arc<HandlerVersions>,
        catalog: Arc<Catalog>,
    ) -> Self {
        Self { pipeline: pipeline.to_owned(), handler, versions, catalog, orders: Arc::default() }
    }

    /// The same, as another configuration has it.
    pub fn with(&self, handler: HandlerConfig) -> Self {
        Self {
            pipeline: self.pipeline.clone(),
            handler,
            versions: self.versions.clone(),
            catalog: self.catalog.clone(),
            orders: self.orders.clone(),
        }
    }
}

/// What is to be deployed.
pub struct Order {
    pub bytes: Vec<u8>,
    /// Over its digest.
    pub signature: Option<String>,
    /// Where it comes from, for people.
    pub origin: String,
    /// None: it takes all messages at once.
    pub plan: Option<Plan>,
    /// It is an earlier version, and the one in use is left for it.
    pub back: bool,
    /// It is loaded even when it is the version in use: its limits have changed.
    pub again: bool,
}

/// The orders of one pipeline. Loading takes long or short, and the last order counts, whichever is ready
/// first.
#[derive(Default)]
struct Orders {
    given: AtomicU64,
    /// The last that was carried out; held while one is.
    done: Mutex<u64>,
}

/// Why a version is refused, and what that is about. Goes on where its name stops.
#[derive(Debug)]
pub struct Refused {
    pub why: String,
    pub cause: Cause,
}

impl Refused {
    /// Whether the same bytes would be refused again, so that there is no need to look at them again.
    pub fn is_verdict(&self) -> bool {
        self.cause == Cause::Bytes
    }

    /// It gives way to what was deployed before or after it.
    fn settled(why: impl Into<String>) -> Self {
        Self { why: why.into(), cause: Cause::Bytes }
    }
}

/// Something of this process or its disk.
impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self { why, cause: Cause::Moment }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

/// What has become of it so far.
pub enum Deployed {
    /// It is the version in use.
    Unchanged,
    /// It takes all messages now.
    Swapped,
    /// It is on trial; the task ends with the trial, and says why it failed.
    Trying(Arc<Canary>, JoinHandle<Result<(), String>>),
}

/// Deploys to one pipeline. `Err` says why the version is refused; then nothing has changed.
pub async fn deploy(deployer: &Deployer, target: &Arc<Target>, order: Order) -> Result<Deployed, Refused> {
    let number = target.orders.given.fetch_add(1, Ordering::SeqCst) + 1;
    points::reach("deploy-begun");
    let wanted = digest(&order.bytes);
    if let Some(canary) = target.versions.canary().filter(|canary| *canary.digest() == *wanted) {
        let share = percent(canary.share());
        return Err(Refused::settled(format!("is on trial already, with {share} of the messages")));
    }
    if !order.again && *target.versions.digest() == *wanted {
        // To deploy what is in use is to be content with it.
        target.versions.send_back("the version in use was deployed again");
        return Ok(Deployed::Unchanged);
    }
    let order = Arc::new(order);
    let shadow = order.plan.is_some_and(|plan| plan.shadow);
    if shadow && target.handler.spec.grants.sql.is_some() {
        let why = "cannot be tried in the shadow: its pipeline grants `sql`, and what a statement does \
                   counts; try it with --canary and without --shadow";
        return Err(Refused { why: why.to_owned(), cause: Cause::Settings });
    }
    // What it writes to the log is not to be taken for what has happened.
    let name = if shadow { format!("{} (shadow)", target.pipeline) } else { target.pipeline.clone() };
    let handler = load(deployer, target, &order, name).await?;
    points::reach("deploy-loaded");
    let mut done = target.orders.done.lock().await;
    if *done > number {
        return Err(Refused::settled("gives way to a version that was deployed after it"));
    }
    *done = number;
    let version = kept(&handler, &order.origin);
    match order.plan {
        None => swap(deployer.store.clone(), target.clone(), handler, order, version).await?,
        Some(plan) => return try_out(deployer, target, handler, (&order, number), version, plan).await,
    }
    Ok(Deployed::Swapped)
}

/// Checked, compiled and started once; the host lets one version compile at a time.
async fn load(
    deployer: &Deployer,
    target: &Arc<Target>,
    order: &Arc<Order>,
    name: String,
) -> Result<Arc<WasmHandler>, Refused> {
    let (host, of, given) = (deployer.host.clone(), target.clone(), order.clone());
    let load = move || {
        let handler = &of.handler;
        signature::check(&handler.keys, &digest(&given.bytes), given.signature.as_deref())
            .map_err(|why| Refused { why, cause: Cause::Settings })?;
        let loaded = host.load_bytes(&name, &given.bytes, &handler.spec);
        loaded.map_err(|error| Refused { why: error.to_string(), cause: error.cause() })
    };
    tokio::task::spawn_blocking(load).await.map_err(|ended| ended.to_string())?
}

/// Durable first, then the pointer: after a crash the next start has the one or the other, whole.
async fn swap(
    store: Store,
    target: Arc<Target>,
    handler: Arc<WasmHandler>,
    order: Arc<Order>,
    version: Kept,
) -> Result<(), String> {
    let swap = move || {
        let before = target.versions.digest();
        keep(&target, &version.digest, &order)?;
        promote(&target, version, order.back)?;
        target.versions.swap(handler);
        points::reach("deploy-swapped");
        note(&store, &target.pipeline, &target.versions);
        tracing::info!(
            pipeline = %target.pipeline, handler = %target.versions.digest(), %before, origin = order.origin,
            "a new version takes all messages; the old one finishes what it has"
        );
        Ok(())
    };
    tokio::task::spawn_blocking(swap).await.map_err(|ended| ended.to_string())?
}

async fn try_out(
    deployer: &Deployer,
    target: &Arc<Target>,
    handler: Arc<WasmHandler>,
    (order, number): (&Arc<Order>, u64),
    version: Kept,
    plan: Plan,
) -> Result<Deployed, Refused> {
    let (of, given, name) = (target.clone(), order.clone(), version.digest.clone());
    let kept = tokio::task::spawn_blocking(move || keep(&of, &name, &given)).await;
    kept.map_err(|ended| ended.to_string())??;
    let handler = if plan.shadow { handler.in_background() } else { handler };
    let canary = target.versions.try_out(handler, plan);
    points::reach("deploy-swapped");
    tracing::info!(
        pipeline = %target.pipeline, handler = version.digest, share = plan.share,
        shadow = plan.shadow, origin = order.origin,
        "a new version is tried out"
    );
    let (deployer, target, trying, order) =
        (deployer.clone(), target.clone(), canary.clone(), order.clone());
    let follow = async move {
        follow(&target, &trying, &version, plan).await?;
        if plan.shadow {
            after_shadow(&deployer, &target, &order, number).await
        } else {
            passed(&deployer, &target, version).await
        }
    };
    Ok(Deployed::Trying(canary, tokio::spawn(follow)))
}

/// Waits for the end of a trial, and says what it came to.
async fn follow(
    target: &Arc<Target>,
    canary: &Arc<Canary>,
    version: &Kept,
    plan: Plan,
) -> Result<(), String> {
    // Later than that nobody but a clock may look.
    let first = match plan.judge_after {
        JudgeAfter::Messages(_) => plan.at_most_ms,
        JudgeAfter::Millis(ms) => ms,
    };
    let judgement = tokio::select! {
        judgement = canary.judged() => judgement,
        judgement = judged_by_time(&target.versions, canary, first) => judgement,
    };
    let pipeline = &target.pipeline;
    if let Some(compared) = canary.compared() {
        tracing::info!(
            %pipeline, handler = version.digest, agreed = compared.agreed, differed = compared.differed,
            dropped = compared.dropped, refused = compared.refused,
            slower_percent = compared.slower_percent().unwrap_or(0.0),
            first = compared.first,
            "what the version in the shadow came to"
        );
    }
    if let Judgement::Failed(why) = judgement {
        tracing::warn!(%pipeline, handler = version.digest, why, "the new version is sent back: the old \
            one takes all messages");
        return Err(why);
    }
    tracing::info!(%pipeline, handler = version.digest, "the new version has passed its trial and takes \
        all messages");
    Ok(())
}

/// A version that has passed in the shadow gets instances of its own for the messages themselves.
async fn after_shadow(
    deployer: &Deployer,
    target: &Arc<Target>,
    order: &Arc<Order>,
    number: u64,
) -> Result<(), String> {
    let handler =
        load(deployer, target, order, target.pipeline.clone()).await.map_err(|refused| refused.why)?;
    let done = target.orders.done.lock().await;
    if *done > number {
        return Err("gives way to a version that was deployed after it".to_owned());
    }
    let version = kept(&handler, &order.origin);
    swap(deployer.store.clone(), target.clone(), handler, order.clone(), version).await
}

/// Keeps that a version has passed its trial.
async fn passed(deployer: &Deployer, target: &Arc<Target>, version: Kept) -> Result<(), String> {
    let (store, pipeline, target) = (deployer.store.clone(), target.pipeline.clone(), target.clone());
    let keep = move || {
        note(&store, &target.pipeline, &target.versions);
        // A deploy that came meanwhile has its own word.
        if *target.versions.digest() != *version.digest {
            return Ok(());
        }
        promote(&target, version, false)
    };
    let kept = tokio::task::spawn_blocking(keep).await.map_err(|ended| ended.to_string())?;
    kept.inspect_err(|why| {
        tracing::error!(%pipeline, why, "the version that takes all messages now could not be noted: a \
            restart goes back to the one before it");
    })
}

/// Nobody looks when no message comes.
async fn judged_by_time(versions: &HandlerVersions, canary: &Arc<Canary>, ms: u64) -> Judgement {
    const POLL_INTERVAL: Duration = Duration::from_millis(500);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    loop {
        versions.look(canary);
        if let Ok(judgement) = tokio::time::timeout(POLL_INTERVAL, canary.judged()).await {
            return judgement;
        }
    }
}

fn keep(target: &Target, digest: &str, order: &Order) -> Result<(), String> {
    let kept = target.catalog.keep(digest, &order.bytes, order.signature.as_deref());
    kept.map_err(|error| format!("cannot be kept in data_dir: {error}; make room, then deploy again"))?;
    points::reach("deploy-stored");
    Ok(())
}

fn promote(target: &Target, version: Kept, back: bool) -> Result<(), String> {
    let promoted = target.catalog.change(|state| {
        if back {
            state.leave();
        }
        state.promote(version);
    });
    promoted
        .map_err(|error| format!("cannot be noted in data_dir: {error}; make room, then deploy again"))?;
    points::reach("deploy-promoted");
    Ok(())
}

/// The configured file was looked at, and taken or refused for good: it does not count again until it
/// changes.
pub async fn note_configured(target: &Arc<Target>, digest: String, pin: Option<Pin>) {
    let (of, pipeline) = (target.clone(), &target.pipeline);
    let change = move || of.catalog.change(|state| state.set_configured(digest, pin));
    if let Ok(Err(error)) = tokio::task::spawn_blocking(change).await {
        tracing::debug!(%pipeline, %error, "what was looked at cannot be noted");
    }
}

/// The status shows an older digest when this fails, no more.
fn note(store: &Store, pipeline: &str, versions: &HandlerVersions) {
    if let Err(error) = store.note_handler(pipeline, &versions.digest()) {
        tracing::warn!(pipeline, %error, "the status still names the old version");
    }
}

/// A loaded version, as it is kept.
pub fn kept(handler: &WasmHandler, origin: &str) -> Kept {
    let info = handler.info();
    Kept {
        digest: handler.digest().to_string(),
        size: info.size as u64,
        imports: info.imports.clone(),
        origin: origin.to_owned(),
        since_ms: now_ms(),
        left: false,
    }
}

/// A share, for people.
pub fn percent(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 1e2)
}
