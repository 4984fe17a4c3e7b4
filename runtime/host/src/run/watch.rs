//! Watches one call: its deadline, how long it runs or waits, and the wish to end it.

use crate::guest::reason::Stop;
use crate::run::control::Control;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::Sleep;

/// Runs `call` until it ends by itself, its time is over, or the chunk is interrupted. `cut` is
/// called (perhaps repeatedly) while the call is slow, or has waited for long.
///
/// A call that never waits costs nothing here. The timer of one that does is made when it first
/// waits; one that spins meets the clock instead, so that the guest's frames are known.
///
/// The call is pinned by the caller, since its future has kilobytes that would be copied here.
pub(crate) async fn watch<F: Future>(
    control: &Control,
    mut call: Pin<&mut F>,
    mut cut: impl FnMut(),
) -> Result<F::Output, Stop> {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    std::future::poll_fn(move |cx| {
        if let Poll::Ready(value) = call.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        let mut waits_long = false;
        let stop = look(control, &mut timer, &mut waits_long, cx);
        if waits_long || control.is_slow() {
            cut();
        }
        stop.map(Err)
    })
    .await
}

/// The call is suspended: by the clock, or in a host call.
fn look(
    control: &Control,
    timer: &mut Option<Pin<Box<Sleep>>>,
    waits_long: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Stop> {
    control.park(cx.waker());
    if control.interrupted() {
        return Poll::Ready(Stop::Interrupted);
    }
    if control.take_yielded() {
        return Poll::Pending;
    }
    loop {
        let now = Instant::now();
        let deadline = control.deadline();
        if now >= deadline {
            return Poll::Ready(Stop::waited(control.timeout()));
        }
        *waits_long = now >= control.long_at();
        let until = if *waits_long { deadline } else { deadline.min(control.long_at()) };
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
        if timer.deadline() != until.into() {
            timer.as_mut().reset(until.into());
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
    }
}
