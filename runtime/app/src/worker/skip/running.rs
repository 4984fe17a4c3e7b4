//! A skip in the worker that runs, which alone knows what is in work.

use super::letter::write_letter;
use super::{SkipTarget, look, named, order};
use crate::control::protocol::SkipRequest;
use crate::worker::state::{RunningPipeline, WorkerState};
use pelton_core::broker::Look;
use pelton_core::pipeline::{Fate, Named, Skipped};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at whether it is done.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long a message may be on its way from one state to the next before that is said.
const PASSING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a letter may take to be written.
const LETTER_TIMEOUT: Duration = Duration::from_secs(60);

/// Does it. What is to be said beside.
pub async fn skip(worker: &Arc<WorkerState>, wanted: SkipRequest) -> Result<Option<String>, String> {
    let live = worker.find(&wanted.pipeline);
    let live = &live.ok_or_else(|| format!("the worker runs no pipeline `{}`", wanted.pipeline))?;
    let place = Arc::new(SkipTarget {
        config: worker.config(),
        pipeline: live.pipeline.clone(),
        store: worker.store.clone(),
        ledger: live.ledger.clone(),
        text: wanted.place,
        wait: Duration::from_millis(wanted.wait_ms),
        runs: true,
    });
    let of = place.clone();
    let named = blocking(move || named(&of)).await?;
    match begin(live, &named, &wanted.reason).await? {
        Skipped::InWork(doing) | Skipped::Passing(doing) => Err(format!(
            "{} {doing}: it is left alone; ask again when it waits, or stop the worker",
            place.text
        )),
        Skipped::Begun => settled(live, named).await,
        Skipped::Awaited => elsewhere(live, &place, named, wanted.reason).await,
    }
}

/// What is on its way to be started, to wait or to be gone is there in a moment.
async fn begin(live: &RunningPipeline, named: &Named, reason: &str) -> Result<Skipped, String> {
    let since = Instant::now();
    loop {
        let skip = order(named.clone(), reason.to_owned());
        let begun = live.stats.skip(skip).await.ok_or_else(ended)?;
        if !matches!(begun, Skipped::Passing(_)) || since.elapsed() >= PASSING_TIMEOUT {
            return Ok(begun);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// What the pipeline does not hold. It may come while the broker is asked: then it is skipped there, and
/// what is said of a message that did not come is not true any more.
async fn elsewhere(
    live: &Arc<RunningPipeline>,
    place: &Arc<SkipTarget>,
    named: Named,
    reason: String,
) -> Result<Option<String>, String> {
    let of = place.clone();
    let looked = match blocking(move || look(&of)).await {
        Ok(Look::Comes) => comes(live, &named, place).await.map(|()| None),
        Ok(Look::Here(found)) => Ok(Some(found)),
        Err(why) => Err(why),
    };
    if !live.stats.unskip(named.clone()).await.ok_or_else(ended)? {
        return settled(live, named).await;
    }
    let Some(found) = looked? else { return settled(live, named).await };
    // Nobody else does it from here on: how this ends is how it ended.
    let after = write_letter(place, live.ports.letters.clone(), found, reason).await?;
    blocking(after).await
}

/// Waits until the pipeline is handed it.
async fn comes(live: &RunningPipeline, named: &Named, place: &SkipTarget) -> Result<(), String> {
    let since = Instant::now();
    while live.stats.awaits(named.clone()).await.ok_or_else(ended)? {
        if since.elapsed() >= place.wait {
            return Err(format!(
                "{} did not come within {:?}: it may wait for a retry, be with another worker, or be done \
                 with; --wait takes longer",
                place.text, place.wait
            ));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// Waits until it is settled. That it is held no more says nothing: without a letter it comes again.
async fn settled(live: &RunningPipeline, named: Named) -> Result<Option<String>, String> {
    let since = Instant::now();
    loop {
        match live.stats.fate(named.clone()).await.ok_or_else(ended)? {
            Some(Fate::DeadLettered) => return Ok(None),
            Some(Fate::UnderWay) => {}
            Some(Fate::ComesAgain) | None => {
                return Err(
                    "it was handed back before its letter was written, since the worker ends or its \
                     lease has ended: it comes again. Ask again"
                        .to_owned(),
                );
            }
        }
        if since.elapsed() >= LETTER_TIMEOUT {
            return Err(format!(
                "its letter is not written after {LETTER_TIMEOUT:?}, and is tried until it is: the worker's \
                 log says why"
            ));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn ended() -> String {
    "the pipeline has ended meanwhile: see the worker's log, and ask again".to_owned()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panicked| Err(panicked.to_string()))
}
