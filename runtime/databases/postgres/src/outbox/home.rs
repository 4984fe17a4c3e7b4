//! The outbox as relays see it.

use super::rows::{PAGE, id_of, target_of, waiting};
use super::targets::{Bound, Outlet, Outlets};
use crate::client::Fault;
use crate::effects::{Command, ask, exchange};
use pelton_core::effects::{Backlog, OutboxHome, RowEnd, Target, Waiting};
use pelton_core::ports::{BoxFuture, ErrorClass};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::types::Type;

/// The highest row of a target that is there.
const LAST: &str = "SELECT max(id) FROM pelton_outbox WHERE target = $1";
/// Whoever has not ended and may add rows below one that is there.
const HOLDERS: &str = "SELECT DISTINCT virtualtransaction FROM pg_catalog.pg_locks WHERE locktype = \
    'relation' \
    AND relation = 'pelton_outbox'::regclass AND mode = 'RowExclusiveLock' AND pid IS DISTINCT FROM \
    pg_backend_pid() \
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())";
const SENT: &str = "DELETE FROM pelton_outbox WHERE target = $1 AND id = ANY ($2)";
const REFUSED: &str = "WITH gone AS (DELETE FROM pelton_outbox o USING unnest($2::int8[], $3::text[]) AS \
    r(id, reason) \
    WHERE o.target = $1 AND o.id = r.id RETURNING o.*, r.reason) \
    INSERT INTO pelton_outbox_letters (target, committed_at, message_id, reason, topic, key, headers, body) \
    SELECT target, committed_at, message_id, reason, topic, key, headers, body FROM gone ORDER BY id";

/// How long rows are waited for that are there, and behind which others may appear.
const CONNECT_WAIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// Rows of one target: those that were sent, and those that were refused.
type Ends = (Vec<i64>, Vec<(i64, String)>);

/// The outbox that a database keeps.
pub(crate) struct PostgresOutbox(pub Arc<Outlets>);

impl PostgresOutbox {
    async fn number(&self, target: Target) -> Result<i64, Fault> {
        let Outlets { names, sessions, .. } = &*self.0;
        let numbers = names.numbers(sessions, std::iter::empty(), [target].into_iter()).await?;
        Ok(numbers.target(target))
    }

    async fn page(&self, target: Target, after: u64, max: usize) -> Result<Vec<Waiting>, Fault> {
        let Some(outlet) = self.0.of(target) else { return Ok(Vec::new()) };
        let number = self.number(target).await?;
        let after = if after == 0 { 0 } else { id_of(after) };
        let until = Instant::now() + CONNECT_WAIT;
        loop {
            let (page, bound) = self.look(&outlet, number, after, max).await?;
            let is_more = page.first().is_some_and(|first| id_of(first.row) > bound.row);
            if !is_more || Instant::now() >= until {
                return Ok(page.into_iter().take_while(|one| id_of(one.row) <= bound.row).collect());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// In this order: the highest row, whoever may add one below it, and the rows.
    async fn look(
        &self,
        outlet: &Arc<Outlet>,
        number: i64,
        after: i64,
        max: usize,
    ) -> Result<(Vec<Waiting>, Bound), Fault> {
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        // Of what is known to be whole nothing need be asked.
        let answers = exchange(&self.0.sessions, move |session| {
            Box::pin(async move {
                let commands = [
                    Command::new(LAST, vec![(Box::new(number), Type::INT8)]),
                    Command::new(HOLDERS, Vec::new()),
                    Command::new(
                        PAGE,
                        vec![
                            (Box::new(number), Type::INT8),
                            (Box::new(after), Type::INT8),
                            (Box::new(max), Type::INT8),
                        ],
                    ),
                ];
                ask(session, &commands).await
            })
        })
        .await?;
        let [last, holders, rows] = &answers[..] else { return Ok((Vec::new(), outlet.bound())) };
        let last: Option<i64> = last.first().map(|row| row.try_get(0)).transpose()?.flatten();
        let holders = holders.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        let bound = outlet.bound_moves(last.unwrap_or_default(), holders);
        let page = rows.iter().map(|row| waiting(row, outlet.target)).collect::<Result<Vec<_>, Fault>>()?;
        Ok((page, bound))
    }

    async fn end(&self, rows: &[(u64, RowEnd)]) -> Result<(), Fault> {
        let mut targets: BTreeMap<Target, Ends> = BTreeMap::new();
        for (row, end) in rows {
            let of = targets.entry(target_of(*row)).or_default();
            match end {
                RowEnd::Sent => of.0.push(id_of(*row)),
                RowEnd::Refused(reason) => of.1.push((id_of(*row), reason.replace('\0', "\u{fffd}"))),
            }
        }
        let mut commands = Vec::new();
        for (target, (sent, refused)) in targets {
            let number = self.number(target).await?;
            if !sent.is_empty() {
                commands.push(Command::new(
                    SENT,
                    vec![(Box::new(number), Type::INT8), (Box::new(sent), Type::INT8_ARRAY)],
                ));
            }
            if !refused.is_empty() {
                let (ids, reasons): (Vec<i64>, Vec<String>) = refused.into_iter().unzip();
                commands.push(Command::new(
                    REFUSED,
                    vec![
                        (Box::new(number), Type::INT8),
                        (Box::new(ids), Type::INT8_ARRAY),
                        (Box::new(reasons), Type::TEXT_ARRAY),
                    ],
                ));
            }
        }
        exchange(&self.0.sessions, |session| Box::pin(async move { ask(session, &commands).await }))
            .await?;
        Ok(())
    }

    fn failed(&self, fault: &Fault) -> ErrorClass {
        self.0.sessions.server().failed(fault)
    }
}

impl OutboxHome for PostgresOutbox {
    fn waiting(
        &self,
        target: Target,
        after: u64,
        max: usize,
    ) -> BoxFuture<'_, Result<Vec<Waiting>, ErrorClass>> {
        Box::pin(async move { self.page(target, after, max).await.map_err(|fault| self.failed(&fault)) })
    }

    /// Each statement is whole by itself, and all may be asked again.
    fn ended(&self, rows: Vec<(u64, RowEnd)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(async move {
            let ended = self.end(&rows).await.map_err(|fault| self.failed(&fault));
            if ended.is_ok() {
                for (row, _) in &rows {
                    self.0.of(target_of(*row)).inspect(|outlet| outlet.ended(1));
                }
            }
            vec![ended; rows.len()]
        })
    }

    fn backlog(&self, target: Target) -> Backlog {
        self.0.of(target).map(|outlet| outlet.backlog()).unwrap_or_default()
    }

    fn turn(&self, target: Target) -> Option<u64> {
        let outlet = self.0.of(target)?;
        if outlet.wants(true) {
            self.0.soon.notify_one();
        }
        outlet.turn()
    }

    fn leaves(&self, target: Target) {
        if self.0.of(target).is_some_and(|outlet| outlet.wants(false)) {
            self.0.soon.notify_one();
        }
    }

    fn committed(&self, target: Target) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match self.0.of(target) {
                Some(outlet) => outlet.committed().await,
                // Nobody sends to one that was never opened.
                None => std::future::pending().await,
            }
        })
    }
}
