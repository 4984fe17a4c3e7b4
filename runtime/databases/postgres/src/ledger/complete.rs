//! Completions: those without effects all in one statement; each call's with what it has staged, in its own
//! transaction and in the order of its lane.

use super::commit::{Call, CallEnd, commit};
use super::ending::{End, end_live};
use super::{Held, PipelineLedger};
use pelton_core::effects::Staged;
use pelton_core::ports::{BoxFuture, Claim, Completion, ErrorClass};
use std::sync::Arc;

type Results = Vec<Result<(), ErrorClass>>;

/// The messages of one call, by their places in the batch.
struct OneCall {
    staged: Staged,
    places: Vec<usize>,
    claims: Vec<Claim>,
    after: Vec<Claim>,
}

/// Completes a batch. What has no effects and follows nothing is asked for before this returns, and what has
/// is begun.
pub fn complete(shared: &Arc<PipelineLedger>, batch: Vec<Completion>) -> BoxFuture<'static, Results> {
    let count = batch.len();
    let (mut plain, mut calls, mut behind) = (Vec::new(), Vec::<OneCall>::new(), Vec::new());
    for (place, item) in batch.into_iter().enumerate() {
        match (item.effects, item.after) {
            (Some(staged), after) => add(&mut calls, staged, place, item.claim, after),
            (None, Some(ahead)) => behind.push((place, item.claim, ahead)),
            (None, None) => plain.push((place, item.claim)),
        }
    }
    let plain = {
        let (places, claims): (Vec<usize>, Vec<Claim>) = plain.into_iter().unzip();
        let held =
            claims.into_iter().map(|claim| Some((claim, shared.live.begin(claim)?.0, End::Complete)));
        let ended = end_live(shared, held.collect());
        async move { places.into_iter().zip(ended.await).collect::<Vec<_>>() }
    };
    let begun: Vec<_> = calls.into_iter().map(|call| begin(shared, call)).collect();
    let behind: Vec<_> =
        behind.into_iter().map(|(place, claim, ahead)| follow(shared, place, claim, ahead)).collect();
    Box::pin(async move {
        let mut results = vec![Err(ErrorClass::LeaseLost); count];
        let mut all = plain.await;
        for task in begun.into_iter().chain(behind) {
            // One that has panicked says nothing: what became of it is found out when it is asked again.
            if let Ok(these) = task.await {
                all.extend(these);
            }
        }
        all.into_iter().for_each(|(place, result)| results[place] = result);
        results
    })
}

fn add(calls: &mut Vec<OneCall>, staged: Staged, place: usize, claim: Claim, after: Option<Claim>) {
    // The messages of a call mostly come one after another.
    let known = calls.iter().rposition(|call| call.staged == staged);
    let at = known.unwrap_or_else(|| {
        calls.push(OneCall { staged, places: Vec::new(), claims: Vec::new(), after: Vec::new() });
        calls.len() - 1
    });
    calls[at].places.push(place);
    calls[at].claims.push(claim);
    calls[at].after.extend(after);
}

type Task = tokio::task::JoinHandle<Vec<(usize, Result<(), ErrorClass>)>>;

/// One without effects, behind another of its lane.
fn follow(shared: &Arc<PipelineLedger>, place: usize, claim: Claim, ahead: Claim) -> Task {
    let held = shared.live.begin(claim);
    let shared = shared.clone();
    let runtime = shared.sessions.server().runtime().clone();
    runtime.spawn(async move {
        let Some((held, _)) = held else { return vec![(place, Err(ErrorClass::LeaseLost))] };
        if shared.live.is_open_after(ahead).await {
            shared.live.stays(claim, false);
            return vec![(place, Err(ErrorClass::Conflict))];
        }
        let ended = end_live(&shared, vec![Some((claim, held, End::Complete))]).await;
        ended.into_iter().map(|result| (place, result)).collect()
    })
}

fn begin(shared: &Arc<PipelineLedger>, call: OneCall) -> Task {
    let held: Vec<_> = call.claims.iter().map(|claim| shared.live.begin(*claim)).collect();
    let shared = shared.clone();
    let runtime = shared.sessions.server().runtime().clone();
    runtime.spawn(async move {
        let result = run(&shared, &call, &held).await;
        let mut results = Vec::with_capacity(call.places.len());
        for ((place, claim), held) in call.places.iter().zip(&call.claims).zip(&held) {
            match (held, result) {
                (None, _) => results.push((*place, Err(ErrorClass::LeaseLost))),
                (Some(_), (result, in_doubt)) => {
                    match result {
                        Ok(()) => shared.live.end(*claim),
                        Err(ErrorClass::LeaseLost) => shared.live.is_overtaken(*claim),
                        Err(_) => shared.live.stays(*claim, in_doubt),
                    }
                    results.push((*place, result));
                }
            }
        }
        results
    })
}

/// What came of a call, and whether its commit is in doubt still.
async fn run(
    shared: &Arc<PipelineLedger>,
    call: &OneCall,
    held: &[Option<(Held, bool)>],
) -> (Result<(), ErrorClass>, bool) {
    let live: Vec<&(Held, bool)> = held.iter().flatten().collect();
    let is_whole = u32::try_from(live.len()) == Ok(call.staged.messages);
    let mut rows: Vec<Held> = live.iter().map(|(held, _)| *held).collect();
    rows.sort_unstable_by_key(|held| held.key);
    if live.iter().any(|(_, in_doubt)| *in_doubt) {
        return looked_after(shared, &rows).await;
    }
    if !is_whole {
        return (Err(ErrorClass::Conflict), false);
    }
    for ahead in &call.after {
        if !call.claims.contains(ahead) && shared.live.is_open_after(*ahead).await {
            return (Err(ErrorClass::Conflict), false);
        }
    }
    let call = Call { effects: call.staged.effects.clone(), rows };
    match commit(shared, &call).await {
        Ok(()) => (Ok(()), false),
        Err(CallEnd::Not(class)) => (Err(class), false),
        Err(CallEnd::InDoubt) => looked_after(shared, &call.rows).await,
    }
}

async fn looked_after(shared: &PipelineLedger, rows: &[Held]) -> (Result<(), ErrorClass>, bool) {
    let known = shared.standing(rows).await;
    (known, known == Err(ErrorClass::Transient))
}
