//! Completions that are behind others: what they have read is shown, and its own completion has not been
//! handed over yet. They are held until it has been, so that the writer meets it first: it would take them
//! for conflicts. What is behind one that is held, in its lane, is held with it.
//!
//! Nobody waits in a circle: whoever has read a shown write has ended after it was shown. All the same no one
//! waits for long: then the writer says what becomes of it.

use super::{PipelineStore, change};
use crate::writer::Change;
use pelton_core::effects::Effects;
use pelton_core::ports::{BoxFuture, Claim, Completion, ErrorClass};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// So long at most: what it waits for runs elsewhere, or is asked for again.
const LONGEST: Duration = Duration::from_secs(1);

type Results = Vec<Result<(), ErrorClass>>;

/// Claims whose completion is held.
#[derive(Debug, Default)]
pub struct Held {
    claims: Mutex<HashSet<Claim>>,
    fewer: Notify,
    /// Another limit than the usual one, for tests.
    #[cfg(test)]
    pub longest: std::sync::OnceLock<Duration>,
}

impl Held {
    fn claims(&self) -> MutexGuard<'_, HashSet<Claim>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_any(&self, claims: &[Claim]) -> bool {
        let held = self.claims();
        !held.is_empty() && claims.iter().any(|claim| held.contains(claim))
    }

    fn end(&self, of: &[Completion]) {
        let mut held = self.claims();
        held.retain(|claim| of.iter().all(|item| item.claim != *claim));
        drop(held);
        self.fewer.notify_waiters();
    }

    async fn none_of(&self, claims: &[Claim]) {
        loop {
            let mut told = std::pin::pin!(self.fewer.notified());
            told.as_mut().enable();
            if !self.has_any(claims) {
                return;
            }
            told.await;
        }
    }

    fn longest(&self) -> Duration {
        #[cfg(test)]
        if let Some(longest) = self.longest.get() {
            return *longest;
        }
        LONGEST
    }
}

/// Completes a batch. What is behind nothing is handed over before this returns.
pub fn complete(store: &PipelineStore, batch: Vec<Completion>) -> BoxFuture<'static, Results> {
    if batch.iter().all(|item| item.effects.is_none() && item.after.is_none()) {
        return change(&store.writer, &store.pipeline, batch.into_iter().map(Change::Complete).collect());
    }
    let _handing_over = handing_over(store);
    let held = &store.pipeline.held;
    let count = batch.len();
    let (mut now, mut places, mut later) =
        (Vec::with_capacity(count), Vec::with_capacity(count), Vec::new());
    let mut place = 0;
    let mut batch = batch.into_iter().peekable();
    while let Some(first) = batch.next() {
        let call = take_call(first, &mut batch);
        let size = call.len();
        if waits(store, &call) {
            held.claims().extend(call.iter().map(|item| item.claim));
            later.push((place, hold(store.clone(), call)));
        } else {
            call.iter().for_each(|item| goes(store, item, true));
            places.extend(place..place + size);
            now.extend(call);
        }
        place += size;
    }
    let answered = hand_over(store, now);
    Box::pin(async move {
        let mut results = vec![Err(ErrorClass::Transient); count];
        for (place, result) in places.into_iter().zip(answered.await) {
            results[place] = result;
        }
        for (place, call) in later {
            // What became of one whose task has panicked nobody knows: it is asked for again.
            for (at, result) in call.await.unwrap_or_default().into_iter().enumerate() {
                results[place + at] = result;
            }
        }
        results
    })
}

/// The messages of a call that follow its first one.
fn take_call(
    first: Completion,
    batch: &mut std::iter::Peekable<impl Iterator<Item = Completion>>,
) -> Vec<Completion> {
    let is_shared = first.effects.as_ref().is_some_and(|staged| staged.messages > 1);
    let mut call = vec![first];
    while let Some(next) = batch.next_if(|next| is_shared && next.effects == call[0].effects) {
        call.push(next);
    }
    call
}

fn waits(store: &PipelineStore, call: &[Completion]) -> bool {
    let after: Vec<Claim> = call.iter().filter_map(|item| item.after).collect();
    let is_behind = |effects: &Arc<Effects>| store.writer.shown.is_behind(effects);
    store.pipeline.held.has_any(&after) || effects(call).is_some_and(is_behind)
}

fn effects(call: &[Completion]) -> Option<&Arc<Effects>> {
    call.first()?.effects.as_ref().map(|staged| &staged.effects)
}

fn goes(store: &PipelineStore, item: &Completion, goes: bool) {
    if let Some(staged) = &item.effects {
        store.writer.shown.goes(&staged.effects, goes);
    }
}

fn handing_over(store: &PipelineStore) -> MutexGuard<'_, ()> {
    store.writer.handing_over.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands completions over. Those that the writer cannot do now do not go any more: they are asked for again.
fn hand_over(store: &PipelineStore, items: Vec<Completion>) -> BoxFuture<'static, Results> {
    if items.is_empty() {
        return Box::pin(std::future::ready(Vec::new()));
    }
    let of: Vec<Completion> = items.iter().filter(|item| item.effects.is_some()).cloned().collect();
    let answered =
        change(&store.writer, &store.pipeline, items.into_iter().map(Change::Complete).collect());
    let store = store.clone();
    Box::pin(async move {
        let results = answered.await;
        if results.contains(&Err(ErrorClass::Transient)) {
            of.iter().for_each(|item| goes(&store, item, false));
        }
        results
    })
}

/// Waits until a call is behind nothing, and hands it over then.
fn hold(store: PipelineStore, call: Vec<Completion>) -> JoinHandle<Results> {
    tokio::spawn(async move {
        let held = &store.pipeline.held;
        let after: Vec<Claim> = call.iter().filter_map(|item| item.after).collect();
        let nothing_ahead = async {
            held.none_of(&after).await;
            if let Some(effects) = effects(&call) {
                store.writer.shown.nothing_ahead(effects).await;
            }
        };
        if tokio::time::timeout(held.longest(), nothing_ahead).await.is_err() {
            tracing::debug!(
                pipeline = %store.pipeline.name,
                "what a message has read of state is not committed for long: it is held no longer"
            );
        }
        let answered = {
            let _handing_over = handing_over(&store);
            held.end(&call);
            call.iter().for_each(|item| goes(&store, item, true));
            hand_over(&store, call)
        };
        answered.await
    })
}
