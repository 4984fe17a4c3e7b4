//! Taking messages: first what this worker has left, then what workers that are gone have left, then what
//! is on the list. One connection, which waits for messages and does nothing else.
//!
//! What is taken is in the processing list of this worker before its answer is on the way. A blocking move
//! only wakes: whatever became of its answer, what it moved is found at the server.

use super::List;
use super::item;
use super::scripts::{HEARTBEAT_INTERVAL, RETURN, TAKE, TAKE_OVER};
use crate::facts;
use crate::fault::Fault;
use crate::in_flight::{Held, ServerPosition};
use crate::number::{Count, count};
use crate::points;
use crate::server::ANSWER;
use crate::shared::SourceShared;
use crate::task::{self, BLOCK, BYTES, PAGE, Task};
use pelton_core::Lane;
use pelton_core::contain::standing_at;
use redis::aio::MultiplexedConnection;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const WAITING: &str = "waiting for messages";
const TAKING_OVER: &str = "taking over what a worker has left";

/// Reads until the source closes.
pub async fn run(list: Arc<List>) {
    task::run(Reader { list, has_begun: false, own: None, looked: None, count: 0, read: Instant::now() })
        .await;
}

struct Reader {
    list: Arc<List>,
    /// The name was taken once: from then on it is not taken from another process.
    has_begun: bool,
    /// From which place of the processing list on it is to be looked through.
    own: Option<usize>,
    /// When it was last looked for what was left.
    looked: Option<Instant>,
    /// Messages taken.
    count: u64,
    /// When there was a read last.
    read: Instant,
}

impl Task for Reader {
    const DOING: &'static str = "reading";

    fn shared(&self) -> &SourceShared {
        &self.list.shared
    }

    async fn attach(&mut self) -> Result<MultiplexedConnection, Fault> {
        // Longer than the server waits: an answer that is on its way is not given up on.
        let mut connection = self.list.shared.server.connect(BLOCK + ANSWER).await?;
        self.beat(&mut connection).await?;
        Ok(connection)
    }

    /// One step: whatever comes first.
    async fn turn(&mut self, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
        points::reach("redis-read");
        let room = self.list.shared.room_since(self.read).await.min(PAGE);
        self.read = Instant::now();
        self.list.shared.refresh_waiting(self.list.options.interval());
        if room == 0 {
            self.list.shared.wait_for_room(self.list.options.interval().min(BLOCK)).await;
            return Ok(());
        }
        if self.list.options.at_most_once {
            return self.pop(connection, room).await;
        }
        if let Some(from) = self.own {
            return self.read_own(connection, from, room).await;
        }
        let interval = self.list.options.interval();
        if self.looked.is_none_or(|at| at.elapsed() >= interval) {
            return self.look_around(connection, room).await;
        }
        self.take(connection, room).await
    }
}

impl Reader {
    async fn beat(&mut self, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
        if self.list.options.at_most_once {
            return Ok(());
        }
        let (options, keys) = (&self.list.options, &self.list.keys);
        let mut call = HEARTBEAT_INTERVAL.prepare_invoke();
        call.key(keys.alive(&options.worker)).key(keys.workers());
        call.arg(&self.list.incarnation)
            .arg(options.alive_ms())
            .arg(&options.worker)
            .arg(u8::from(!self.has_begun));
        let told: Count = call.invoke_async(connection).await?;
        if told == Count(0) {
            return Err(Fault::says(format!(
                "another process works under the name `{}` on `{}`: give each worker a `worker` of its own",
                options.worker, options.list
            )));
        }
        self.has_begun = true;
        self.own = Some(0);
        Ok(())
    }

    /// A page of what is in the processing list, and not here.
    async fn read_own(
        &mut self,
        connection: &mut MultiplexedConnection,
        from: usize,
        room: usize,
    ) -> Result<(), Fault> {
        // Before the question: what is removed meanwhile is not missing.
        let ours = self.list.shared.shelf().places();
        let key = self.list.keys.processing(&self.list.options.worker);
        let page: Vec<Vec<u8>> =
            redis::cmd("LRANGE").arg(key).arg(from).arg(from + PAGE - 1).query_async(connection).await?;
        let count = page.len();
        let (page, odd): (Vec<_>, Vec<_>) = page.into_iter().partition(|item| item::place(item).is_some());
        if !odd.is_empty() {
            return self.put_back(connection, odd).await;
        }
        let missing = self.missing(page, &ours);
        let is_all = missing.len() <= room;
        self.list.take_in(missing.into_iter().take(room).collect());
        // What did not fit is looked for again: what is done with meanwhile has moved the rest forward.
        self.own = if !is_all { Some(0) } else { (count == PAGE).then_some(from + PAGE) };
        Ok(())
    }

    /// What another tool has put into the processing list has no number, and would stay there for ever.
    async fn put_back(
        &mut self,
        connection: &mut MultiplexedConnection,
        odd: Vec<Vec<u8>>,
    ) -> Result<(), Fault> {
        let (options, keys) = (&self.list.options, &self.list.keys);
        tracing::warn!(
            pipeline = %self.list.shared.pipeline, list = options.list, messages = odd.len(),
            "a processing list has messages that no worker has put there: they go back onto the list, and \
             are handled from there"
        );
        let mut call = RETURN.prepare_invoke();
        call.key(keys.processing(&options.worker)).key(&options.list).arg(self.list.push()).arg(odd);
        call.invoke_async::<()>(connection).await?;
        self.own = Some(0);
        Ok(())
    }

    fn missing(&self, items: Vec<Vec<u8>>, ours: &HashSet<ServerPosition>) -> Vec<Vec<u8>> {
        let (shelf, now) = (self.list.shared.shelf(), Instant::now());
        let is_missing = |place| shelf.is_missing(place, ours, now);
        items.into_iter().filter(|bytes| item::place(bytes).is_some_and(is_missing)).collect()
    }

    /// Takes over what workers have left that are gone; and sees whether something of ours is not here,
    /// because its lease has ended.
    async fn look_around(
        &mut self,
        connection: &mut MultiplexedConnection,
        room: usize,
    ) -> Result<(), Fault> {
        let (options, keys) = (&self.list.options, &self.list.keys);
        let all = facts::workers(connection, keys).await?;
        let mut is_well = true;
        for worker in all.iter().filter(|worker| **worker != options.worker) {
            let mut call = TAKE_OVER.prepare_invoke();
            call.key(keys.alive(worker)).key(keys.processing(worker)).key(keys.arriving(worker));
            call.key(keys.processing(&options.worker)).key(keys.workers()).key(&options.list);
            call.key(keys.alive(&options.worker));
            call.arg(worker).arg(room).arg(self.list.push()).arg(&self.list.incarnation);
            call.arg(options.alive_ms());
            let moved: Option<Vec<Vec<u8>>> =
                match call.invoke_async(connection).await.map_err(|e| Fault::of(&e)) {
                    // What another tool has put there is in nobody's way but that worker's.
                    Err(fault) if fault.refuses => {
                        self.complain_of(worker, &fault);
                        is_well = false;
                        continue;
                    }
                    told => told?,
                };
            let moved = moved.unwrap_or_default();
            if !moved.is_empty() {
                self.list.shared.take_over(moved.len());
                tracing::info!(
                    pipeline = %self.list.shared.pipeline, list = options.list, worker,
                    messages = moved.len(),
                    "took over messages of a worker that is gone"
                );
                let is_all = moved.len() < room;
                self.list.take_in(moved);
                if !is_all {
                    // There may be more; and what is older comes first.
                    return Ok(());
                }
            }
        }
        let Count(length) =
            redis::cmd("LLEN").arg(keys.processing(&options.worker)).query_async(connection).await?;
        if length > count(self.list.shared.shelf().live(Instant::now())) {
            self.own = Some(0);
        }
        if is_well {
            self.list.shared.works(TAKING_OVER);
        }
        self.looked = Some(Instant::now());
        Ok(())
    }

    /// What a worker has left cannot be looked at.
    fn complain_of(&self, worker: &str, fault: &Fault) {
        let keys = format!("{} and {}", self.list.keys.processing(worker), self.list.keys.arriving(worker));
        let words = format!("{fault} ({keys})");
        self.list.shared.complain(TAKING_OVER, &Fault::says(words));
    }

    async fn take(&mut self, connection: &mut MultiplexedConnection, room: usize) -> Result<(), Fault> {
        let (options, keys) = (&self.list.options, &self.list.keys);
        let (processing, arriving) = (keys.processing(&options.worker), keys.arriving(&options.worker));
        let mut call = TAKE.prepare_invoke();
        call.key(&options.list).key(&processing).key(&arriving).key(keys.alive(&options.worker));
        call.arg(&self.list.incarnation).arg(options.alive_ms()).arg(self.list.pop()).arg(room).arg(BYTES);
        call.arg(self.count).arg(self.list.number);
        let taken: Option<Vec<Vec<u8>>> = call.invoke_async(connection).await?;
        let Some(taken) = taken else { return self.beat(connection).await };
        self.count += count(taken.len());
        if !taken.is_empty() {
            // Somebody could push them.
            self.list.shared.works(WAITING);
            self.list.take_in(taken);
            return Ok(());
        }
        let mut wait = redis::cmd("BLMOVE");
        wait.arg(&options.list).arg(arriving).arg(options.pop.word()).arg("LEFT");
        self.wait(connection, wait, self.block()).await
    }

    /// Has the server wait for a message. At `maxmemory` it refuses even that; nothing can come then, and
    /// the list is looked at by itself after the same time.
    async fn wait(
        &self,
        connection: &mut MultiplexedConnection,
        mut wait: redis::Cmd,
        time: Duration,
    ) -> Result<(), Fault> {
        let waited: Result<Option<Vec<u8>>, _> = wait.arg(time.as_secs_f64()).query_async(connection).await;
        match waited.map_err(|error| Fault::of(&error)) {
            Ok(_) => self.list.shared.works(WAITING),
            Err(fault) if fault.is_full => {
                self.list.shared.complain(WAITING, &fault);
                self.list.shared.pause(time).await;
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// Until the next look around.
    fn block(&self) -> Duration {
        let left = self.looked.map(|at| self.list.options.interval().saturating_sub(at.elapsed()));
        left.unwrap_or_default().clamp(Duration::from_millis(10), BLOCK)
    }

    /// At most once: what the server pops is gone there.
    async fn pop(&mut self, connection: &mut MultiplexedConnection, room: usize) -> Result<(), Fault> {
        let list = self.list.clone();
        let options = &list.options;
        list.popping.store(true, Ordering::Release);
        let popped = redis::cmd(list.pop()).arg(&options.list).arg(room).query_async(connection).await;
        let popped =
            popped.map(|popped: Option<Vec<Vec<u8>>>| self.take_popped(popped.unwrap_or_default()));
        list.popping.store(false, Ordering::Release);
        if popped? == 0 {
            // Moves the last one to where it is: that wakes, and takes nothing.
            let end = options.pop.word();
            let mut wait = redis::cmd("BLMOVE");
            wait.arg(&options.list).arg(&options.list).arg(end).arg(end);
            self.wait(connection, wait, BLOCK).await?;
        }
        Ok(())
    }

    /// Takes in what was popped; how many there are.
    fn take_popped(&mut self, bodies: Vec<Vec<u8>>) -> usize {
        let (first, popped) = (self.count, bodies.len());
        self.count += count(popped);
        let numbered = (first..).zip(bodies);
        let items = numbered.map(|(count, body)| item::of((self.list.process, count), &body));
        self.list.take_in(items.collect());
        popped
    }
}

impl List {
    fn take_in(&self, items: Vec<Vec<u8>>) {
        let until = Instant::now() + self.lease();
        let lane = self.options.ordered.then_some(Lane(0));
        let mut shelf = self.shared.shelf();
        for bytes in items {
            let made = || {
                points::reach("redis-entry");
                item::message(&self.channel, &bytes)
            };
            let at = || format!("{}, item {}", self.options.list, item::named(&bytes));
            let Some((place, message)) = standing_at(at, made) else { continue };
            shelf.hold(Held { place, message, lane, named: false, receives: 0, until, ending: false });
        }
        drop(shelf);
        self.shared.arrived.notify_one();
    }
}
