//! Two pipelines with one handler: the end of one is not the end of the other.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{block_on, chaos, chunk, host, load, spec};
use pelton_core::outcome::Outcome;
use pelton_core::ports::{BoxFuture, Handler};
use pelton_host::HandlerSpec;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

type Reports = Receiver<Vec<(usize, Outcome)>>;

/// Gives it a chunk whose second message does not end, and waits for the first.
fn occupy(handler: &dyn Handler) -> (BoxFuture<'static, ()>, Reports) {
    let (sender, reports) = channel();
    let done =
        handler.handle(chunk(&["a", "s"]), Box::new(move |_, outcomes| sender.send(outcomes).unwrap()));
    assert_eq!(reports.recv_timeout(Duration::from_secs(20)).unwrap(), [(0, Outcome::Ok(None))]);
    (done, reports)
}

#[test]
fn interrupting_one_of_two_leaves_the_other_alone() {
    let handler = load(&host(), chaos(), &HandlerSpec { timeout: Duration::from_secs(600), ..spec() });
    let replay = handler.isolated_handle().unwrap();
    assert_eq!((replay.digest(), replay.max_chunk()), (handler.digest(), handler.max_chunk()));
    for (ended, other) in [(&*replay, &*handler as &dyn Handler), (&*handler, &*replay)] {
        let (done, reports) = occupy(ended);
        let (goes_on, others) = occupy(other);
        ended.interrupt();
        block_on(done);
        assert_eq!(reports.try_recv().unwrap(), [(1, Outcome::Interrupted)]);
        // It would be interrupted with the first, within a few milliseconds.
        assert_eq!(others.recv_timeout(Duration::from_millis(200)), Err(RecvTimeoutError::Timeout));
        other.interrupt();
        block_on(goes_on);
        assert_eq!(others.try_recv().unwrap(), [(1, Outcome::Interrupted)]);
    }
}
