//! The other sides of P5: what a careful programmer writes with the same client library. One connection, one
//! thread, a hundred messages at a time; no ledger, no retries, nothing taken over.

use super::{BODY, Done};
use crate::book::Set;
use crate::load::{Load, number};
use crate::redis::ours::{GROUP, KEY};
use crate::work;
use anyhow::{Context, Result};
use pelton_tests::redis::Redis;
use redis::Connection;
use redis::streams::StreamReadReply;
use std::time::Instant;

/// Messages of a read.
const BATCH: usize = 100;
/// Where the list's messages are while they are handled.
const TAKEN: &str = "taken";

/// Reads the stream to the end of the load: `COUNT 100`, and one XACK for what it brought.
pub fn stream(server: &Redis, load: Load) -> Result<Done> {
    let mut connection = connect(server)?;
    redis::cmd("XGROUP").arg("CREATE").arg(KEY).arg(GROUP).arg("0").query::<()>(&mut connection)?;
    run(load, || {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg("one").arg("COUNT").arg(BATCH).arg("STREAMS").arg(KEY).arg(">");
        let reply: StreamReadReply = read.query(&mut connection)?;
        let entries = reply.keys.into_iter().flat_map(|key| key.ids);
        let (ids, bodies): (Vec<_>, Vec<_>) =
            entries.map(|entry| (entry.id.clone(), entry.get::<Vec<u8>>(BODY).unwrap_or_default())).unzip();
        let numbers = handle(&bodies);
        redis::cmd("XACK").arg(KEY).arg(GROUP).arg(ids).query::<()>(&mut connection)?;
        Ok(numbers)
    })
}

/// Reads the list to the end of the load: a hundred LMOVE in one round trip, and a hundred LREM.
pub fn list(server: &Redis, load: Load) -> Result<Done> {
    let mut connection = connect(server)?;
    run(load, || {
        let mut moves = redis::pipe();
        for _ in 0..BATCH {
            moves.cmd("LMOVE").arg(KEY).arg(TAKEN).arg("RIGHT").arg("LEFT");
        }
        let bodies: Vec<Option<Vec<u8>>> = moves.query(&mut connection)?;
        let bodies: Vec<Vec<u8>> = bodies.into_iter().flatten().collect();
        let numbers = handle(&bodies);
        let mut removes = redis::pipe();
        for body in &bodies {
            // The oldest is the last one.
            removes.cmd("LREM").arg(TAKEN).arg(-1).arg(body).ignore();
        }
        removes.query::<()>(&mut connection)?;
        Ok(numbers)
    })
}

fn connect(server: &Redis) -> Result<Connection> {
    Ok(redis::Client::open(server.url())?.get_connection()?)
}

/// Takes batches until the load is done.
fn run(load: Load, mut batch: impl FnMut() -> Result<Vec<u64>>) -> Result<Done> {
    let (mut delivered, mut count, mut began) = (Set::default(), 0, None);
    while count < load.count {
        began.get_or_insert_with(Instant::now);
        let numbers = batch()?;
        count += numbers.len() as u64;
        numbers.into_iter().for_each(|number| delivered.add(number));
    }
    Ok((delivered, began.context("nothing was received")?.elapsed()))
}

fn handle(bodies: &[Vec<u8>]) -> Vec<u64> {
    let one = |body: &Vec<u8>| {
        std::hint::black_box(work::run(body));
        number(body)
    };
    bodies.iter().map(one).collect()
}
