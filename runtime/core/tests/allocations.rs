//! What is allocated for each message on its way through the core: what one batch needs is no message's.

#![allow(unsafe_code, reason = "an allocator that counts is one, and allocators are unsafe")]
#![allow(clippy::unwrap_used)]

use pelton_core::message::{
    Channel, Delivery, Identity, Lane, Message, Name, Parts, Position, Receipt, Time,
};
use pelton_core::pipeline::{Command, Input, Known, Pipeline, Rules};
use pelton_core::ports::{Capabilities, Claim, Verdict};
use pelton_core::{HeaderList, Outcome, RetryPolicy};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

/// The system's, with what this thread asks of it counted.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all of it is the system's allocator, which keeps the promises of one.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often memory was asked for meanwhile.
fn asked<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = ASKED.get();
    let done = work();
    (ASKED.get() - before, done)
}

#[test]
fn a_message_has_one_owner_and_one_piece_of_memory() {
    let channel = Arc::new(Channel::of_partition("p", "orders", 3));
    let headers: HeaderList = [pelton_core::Header::new("a", "1")].iter().collect();
    let parts = Parts {
        channel: &channel,
        name: Name::Number(17),
        key: Some(b"customer-7"),
        headers: headers.view(),
        body: &[0; 1_000],
        ..Parts::default()
    };
    let (made, message) = asked(|| Message::new(parts));
    assert_eq!(made, 2, "the owner, and its bytes");
    let (read, _) = asked(|| {
        let other = message.clone();
        let header = other.headers().find("a").unwrap();
        assert_eq!((other.id() == message.id(), other.id().is_graphic(100)), (true, true));
        (header.value.len(), other.body().len(), other.key().map(<[u8]>::len), other.weight())
    });
    assert_eq!(read, 0, "what is read is where it is");
}

const BATCH: u64 = 256;
const BATCHES: u64 = 64;

/// A topic in the order of its keys: each message a key of its own, as most have that come after one another.
#[test]
fn nothing_is_allocated_for_a_message_that_passes_through_the_core() {
    let source = Capabilities {
        lease_ms: None,
        native_delay: false,
        lane_order: false,
        cumulative: true,
        shares_ledger: false,
    };
    let mut pipeline = Pipeline::new(rules(source), 1);
    pipeline.flush(Time(0));
    let message = Message::new(Parts { body: b"x", ..Parts::named("m") });
    let mut run = |batches: std::ops::Range<u64>| {
        for batch in batches {
            let read = (batch * BATCH..(batch + 1) * BATCH).map(|n| {
                let position = Position { partition: 0, offset: n };
                let known = Known { identity: Identity::Position(position), key: None, seen: None };
                let (receipt, lane) = (Receipt(n), Some(Lane(n)));
                let of = Delivery::of(message.clone());
                (Delivery { receipt, lane, position: Some(position), assignment: 1, ..of }, Ok(known))
            });
            pipeline.apply(Time(batch), Input::Received(Ok(read.collect())));
            work_off(&mut pipeline, Time(batch));
        }
    };
    // What grows to its size and is kept.
    run(0..8);
    let (asked, ()) = asked(|| run(8..8 + BATCHES));
    let each = asked as f64 / (BATCH * BATCHES) as f64;
    // A chunk has some twenty, whatever its size.
    assert!(each < 1.0, "{each} allocations for each message");
    assert!(pipeline.is_idle());
}

fn work_off(pipeline: &mut Pipeline, now: Time) {
    loop {
        let commands = pipeline.flush(now);
        let answers: Vec<Input> = commands.into_iter().flat_map(answers).collect();
        if answers.is_empty() {
            return;
        }
        answers.into_iter().for_each(|answer| pipeline.apply(now, answer));
    }
}

fn answers(command: Command) -> Vec<Input> {
    match command {
        Command::Claim { chunk, items, .. } => {
            let fresh =
                |index| Verdict::Fresh { claim: Claim { chunk, index }, attempt: 1, crashed: false };
            vec![Input::Claimed { chunk, verdicts: Ok((0..).take(items.len()).map(fresh).collect()) }]
        }
        Command::Handle { chunk, work } => {
            let outcomes = (0..work.len()).map(|place| (place, Outcome::Ok(None))).collect();
            let handled = Input::Handled { chunk, handler: "sha256:0".into(), outcomes };
            vec![handled, Input::Finished { chunk, micros: 1 }]
        }
        Command::Complete { batch, items } => {
            vec![Input::Stored { batch, results: vec![Ok(()); items.len()] }]
        }
        Command::Settle { batch, items } => {
            vec![Input::Settled { batch, results: vec![Ok(()); items.len()] }]
        }
        _ => Vec::new(),
    }
}

fn rules(source: Capabilities) -> Rules {
    Rules {
        retry: RetryPolicy {
            max_attempts: 5,
            max_receives: 1_000,
            initial_ms: 60_000,
            max_ms: 60_000,
            max_delay_ms: 3_600_000,
            multiplier: 1.0,
            jitter: 0.0,
        },
        max_in_flight: 10_000,
        max_waiting: 10_000,
        max_in_flight_bytes: 1 << 30,
        max_message_bytes: 1 << 20,
        concurrency: 4,
        max_chunk: 256,
        chunk_us: pelton_core::chunk_size::CHUNK_US,
        dedup: true,
        source,
        handler: "sha256:0".into(),
        redrive: false,
        effects: false,
        flow: pelton_core::flow::FlowRules::default(),
    }
}
