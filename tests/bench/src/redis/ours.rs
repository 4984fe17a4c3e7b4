//! Our side: a pipeline on the stream or the list, with the whole engine behind it.

use super::{BODY, Done};
use crate::args::Setup;
use crate::load::Load;
use crate::ours::{Dedup, End, MAX_IN_FLIGHT, NAME, Ours};
use anyhow::{Result, anyhow};
use pelton_core::ports::Source;
use pelton_redis::{ListOptions, Names, RedisList, RedisStream, Server, StreamOptions};
use pelton_tests::redis::Redis;
use std::sync::Arc;
use std::time::Duration;

/// The stream or list.
pub const KEY: &str = "bench";
/// The group that reads the stream.
pub const GROUP: &str = "group";

/// Reads the stream until the load is completed.
pub fn stream(setup: &Setup, server: &Redis, ours: &Ours, load: Load) -> Result<Done> {
    run(setup, server, ours, load, |server| {
        let options = StreamOptions {
            pipeline: NAME.into(),
            stream: KEY.to_owned(),
            group: GROUP.to_owned(),
            start: "0".to_owned(),
            consumer: "one".to_owned(),
            claim_min_idle: Duration::from_secs(60),
            maxlen: None,
            names: Names { body: Some(BODY.to_owned()), key: None },
            at_least: ours.concurrency,
            at_most: MAX_IN_FLIGHT,
            completed: Arc::new(|_| None),
        };
        Ok(Arc::new(RedisStream::open(options, server)))
    })
}

/// Reads the list until the load is completed.
pub fn list(setup: &Setup, server: &Redis, ours: &Ours, load: Load) -> Result<Done> {
    run(setup, server, ours, load, |server| {
        let options = ListOptions {
            pipeline: NAME.into(),
            list: KEY.to_owned(),
            pop: pelton_redis::End::Right,
            at_most_once: false,
            ordered: false,
            worker: "one".to_owned(),
            takeover_after: Duration::from_secs(60),
            at_least: ours.concurrency,
            at_most: MAX_IN_FLIGHT,
        };
        Ok(Arc::new(RedisList::open(options, server).map_err(|why| anyhow!(why))?))
    })
}

fn run(
    setup: &Setup,
    server: &Redis,
    ours: &Ours,
    load: Load,
    open: impl FnOnce(Server) -> Result<Arc<dyn Source>>,
) -> Result<Done> {
    let dir = tempfile::tempdir_in(&setup.work_dir)?;
    let server = Server::parse(&server.url(), KEY).map_err(|why| anyhow!(why))?;
    let drained = ours.run(dir.path(), load, Dedup::MessageId, End::Completed, |_, _| open(server))?;
    Ok((drained.delivered, drained.handling))
}
