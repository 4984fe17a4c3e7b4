//! Writing the letter of one message that no pipeline holds: by an engine of its own, with a source of one
//! message.

use super::{SkipTarget, named, order, scope};
use crate::deploy::catalog::Catalog;
use crate::worker::assemble;
use crate::worker::local_counts::LocalCounts;
use pelton_core::broker::{AfterLetter, FoundContent, FoundMessage};
use pelton_core::ports::{
    BoxFuture, Capabilities, DeadLetters, ErrorClass, Handler, Lag, Report, Scope, Settle, Source, Work,
};
use pelton_core::{Delivery, Message, Outcome, Receipt};
use pelton_engine::{Control, Observers, Phase, PipelineSpec, PipelineStats, Ports};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How long a letter may take to be durable.
const LETTER_TIMEOUT: Duration = Duration::from_secs(60);

/// Writes the letter; durable when it returns. What is left to do then.
pub async fn write_letter(
    place: &SkipTarget,
    letters: Arc<dyn DeadLetters>,
    found: FoundMessage,
    reason: String,
) -> Result<AfterLetter, String> {
    let FoundMessage { content, after } = found;
    let written = match content {
        FoundContent::Read { delivery, shares_ledger: true } if place.ledger.part.is_some() => {
            // Its letter and the queue are not in one place: first the letter, then it is removed.
            let (receipt, message) = (delivery.receipt, delivery.message.clone());
            let one = One::new(*delivery, false, scope(place)?);
            let written = drive(place, letters, Arc::new(one), &reason).await?;
            if written && !place.ledger.own.remove(receipt, message.key()).await {
                return Err(format!(
                    "the letter of {} is written, and it is in the queue still: it is passed over when it \
                     comes",
                    place.text
                ));
            }
            written
        }
        FoundContent::Read { delivery, shares_ledger } => {
            let one = One::new(*delivery, shares_ledger, scope(place)?);
            drive(place, letters, Arc::new(one), &reason).await?
        }
        FoundContent::Unread { source, bare, why } => {
            if drive(place, letters.clone(), source, &reason).await? {
                return Ok(after);
            }
            let reason = format!("{reason} (nothing could be read at this place{})", why()?);
            drive(place, letters, Arc::new(One::new(*bare, false, scope(place)?)), &reason).await?
        }
    };
    if written { Ok(after) } else { Err(format!("there is no message at {}", place.text)) }
}

/// Whether a letter was written.
async fn drive(
    place: &SkipTarget,
    letters: Arc<dyn DeadLetters>,
    source: Arc<dyn Source>,
    reason: &str,
) -> Result<bool, String> {
    let catalog = Catalog::open(&place.config.data_dir, &place.pipeline.name);
    let digest = catalog.state().promoted().map(|kept| kept.digest.clone()).unwrap_or_default();
    let handler: Arc<dyn Handler> = Arc::new(Nobody(digest.as_str().into()));
    let ports = Ports {
        source,
        letters,
        ledger: place.ledger.port(),
        handler,
        decoder: None,
        outbox: None,
        observers: Observers::default(),
    };
    let skip = Some(order(named(place)?, reason.to_owned()));
    let spec = PipelineSpec { skip, ..assemble::spec(&place.config, &place.pipeline) };
    let stats = Arc::new(PipelineStats::default());
    let local_counts = LocalCounts::of(&place.ledger, &stats);
    // The sender lives as long as the engine runs.
    let (_phase, phase) = watch::channel(Phase::Running);
    let control = Control { phase, until_empty: true, shutdown_timeout: place.config.shutdown_timeout };
    let running = pelton_engine::run(vec![(spec, ports, stats.clone())], control, 0);
    let ended = tokio::time::timeout(LETTER_TIMEOUT, running).await;
    let late =
        |_| format!("the letter was not written within {LETTER_TIMEOUT:?}: see the log, and ask again");
    if let Some(local_counts) = local_counts {
        local_counts.flush().await;
    }
    ended.map_err(late)?.map_err(|_| "the store failed: nothing more can be promised".to_owned())?;
    Ok(stats.counts().counters.dead_letters() > 0)
}

/// One message, once.
struct One {
    delivery: Mutex<Option<Delivery>>,
    /// Whether it has arrived: the engine asks for more. Before that it may be on its way, and an engine
    /// that ends when nothing is left must not end without it.
    arrived: AtomicBool,
    shares_ledger: bool,
    scope: Option<Scope>,
    closed: Notify,
}

impl One {
    fn new(delivery: Delivery, shares_ledger: bool, scope: Option<Scope>) -> Self {
        let delivery = Mutex::new(Some(delivery));
        Self { delivery, arrived: AtomicBool::new(false), shares_ledger, scope, closed: Notify::new() }
    }
}

impl Source for One {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            lease_ms: None,
            native_delay: self.shares_ledger,
            lane_order: self.shares_ledger,
            cumulative: false,
            shares_ledger: self.shares_ledger,
        }
    }

    fn receive(&self, _: usize, _: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        Box::pin(async move {
            let taken = self.delivery.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(delivery) = taken {
                return Ok(vec![delivery]);
            }
            self.arrived.store(true, SeqCst);
            self.closed.notified().await;
            Ok(Vec::new())
        })
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(std::future::ready(vec![Ok(()); batch.len()]))
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(std::future::ready(vec![Ok(()); batch.len()]))
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        Box::pin(std::future::ready(Ok(Lag { unsettled: u64::from(!self.arrived.load(SeqCst)) })))
    }

    /// As its own source has it: a ledger that is shared knows it by that.
    fn scope(&self, message: &Message) -> Scope {
        self.scope.clone().unwrap_or_else(|| message.origin().into())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.closed.notify_one();
        Box::pin(std::future::ready(()))
    }
}

/// Starts nothing: what it is given in spite of that is not handled.
struct Nobody(Arc<str>);

impl Handler for Nobody {
    fn digest(&self) -> Arc<str> {
        self.0.clone()
    }

    fn max_chunk(&self) -> usize {
        1
    }

    fn handle(&self, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let reason = || "it was to be skipped, and is not the one that was meant".to_owned();
        let outcomes = (0..work.len()).map(|place| (place, Outcome::Reject { reason: reason() })).collect();
        report(&self.0, outcomes);
        Box::pin(std::future::ready(()))
    }

    fn interrupt(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    /// The answer of `receive` and that of `lag` come to the engine in any order.
    #[test]
    fn the_message_is_left_until_the_engine_has_it() {
        let one = One::new(Delivery::of(pelton_core::Message::default()), true, None);
        let mut cx = Context::from_waker(Waker::noop());
        let mut left = || match one.lag().as_mut().poll(&mut cx) {
            Poll::Ready(Ok(lag)) => lag.unsettled,
            other => panic!("{other:?}"),
        };
        assert_eq!(left(), 1);
        let mut receive = one.receive(9, 9);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(receive.as_mut().poll(&mut cx), Poll::Ready(Ok(got)) if got.len() == 1));
        assert_eq!(left(), 1, "its answer may be on its way");
        assert!(one.receive(9, 9).as_mut().poll(&mut cx).is_pending());
        assert_eq!(left(), 0);
    }
}
