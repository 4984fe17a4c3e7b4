//! The task that asks for turns and for what waits. What it may cost is bounded: a question that takes long
//! is asked again after twenty times as long.

use super::rows::unsigned;
use super::targets::{Outlet, Outlets};
use crate::client::Fault;
use crate::effects::{Command, ask, exchange};
use pelton_core::effects::{Backlog, Target};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How long a turn lasts that is not renewed, by the database's clock (see `TURNS`); how long it is used
/// without, by our own; and when it is renewed.
const LEASE: Duration = Duration::from_secs(6);
const USED_FOR: Duration = Duration::from_secs(5);
const RENEWED_AFTER: Duration = Duration::from_millis(1_500);
/// Between two looks for what others have committed: while we have a turn, and while we have none.
const SELECT_ROWS: Duration = Duration::from_millis(250);
const LOOK_AT_OTHERS: Duration = Duration::from_secs(1);
/// The longest wait between two counts.
const SELDOM: Duration = Duration::from_secs(10);

/// Takes the turns that nobody has, and renews ours. Rows that another is just writing are left alone.
const TURNS: &str = "UPDATE pelton_targets t SET relay = $2, relay_until = clock_timestamp() + interval \
    '6 s' \
    FROM (SELECT id FROM pelton_targets WHERE id = ANY ($1) AND (relay = $2 OR relay_until IS NULL \
    OR relay_until < clock_timestamp()) ORDER BY id FOR UPDATE SKIP LOCKED) m WHERE t.id = m.id RETURNING \
    t.id";
const GIVE_UP: &str = "UPDATE pelton_targets SET relay = NULL, relay_until = NULL \
    WHERE id = ANY ($1) AND relay = $2";
pub(super) const GIVE_UP_ALL: &str =
    "UPDATE pelton_targets SET relay = NULL, relay_until = NULL WHERE relay = $1";
pub(crate) const COUNT: &str = "SELECT t.id, w.rows, w.last, (SELECT (extract(epoch FROM o.committed_at) \
    * 1000)::int8 \
    FROM pelton_outbox o WHERE o.target = t.id AND o.id = w.first) FROM unnest($1::int8[]) AS t(id), \
    LATERAL (SELECT count(*) AS rows, min(o.id) AS first, max(o.id) AS last FROM pelton_outbox o \
    WHERE o.target = t.id) w";

/// Until nobody has the outlets any more.
pub(super) async fn run(outlets: Weak<Outlets>) {
    let (mut renew_at, mut count_at) = (Instant::now(), Instant::now());
    loop {
        let Some(now) = outlets.upgrade() else { return };
        let until = renew_at.min(count_at);
        tokio::select! {
            () = tokio::time::sleep_until(until.into()) => {}
            // A relay has come or gone.
            () = now.soon.notified() => renew_at = Instant::now(),
        }
        let at = Instant::now();
        let looked = if at >= renew_at {
            let turns = now.turns().await;
            renew_at = at + RENEWED_AFTER;
            turns.map(drop)
        } else {
            Ok(())
        };
        let at = Instant::now();
        let looked = match looked {
            Ok(()) if at >= count_at => now.count().await,
            other => other,
        };
        if at >= count_at || looked.is_err() {
            let has_turns = now.all().iter().any(|outlet| outlet.turn().is_some());
            let next = if has_turns && looked.is_ok() { SELECT_ROWS } else { LOOK_AT_OTHERS };
            count_at = Instant::now() + next.max(at.elapsed() * 20).min(SELDOM);
        }
        if let Err(fault) = looked {
            now.sessions.server().failed(&fault);
            renew_at = renew_at.max(Instant::now() + SELECT_ROWS);
        }
    }
}

impl Outlets {
    /// The outlets that fit, by the database's numbers.
    async fn numbered(&self, fits: impl Fn(&Outlet) -> bool) -> Result<BTreeMap<i64, Arc<Outlet>>, Fault> {
        let outlets: Vec<_> = self.all().into_iter().filter(|outlet| fits(outlet)).collect();
        let targets: Vec<Target> = outlets.iter().map(|outlet| outlet.target).collect();
        let numbers = self.names.numbers(&self.sessions, std::iter::empty(), targets.into_iter()).await?;
        Ok(outlets.into_iter().map(|outlet| (numbers.target(outlet.target), outlet)).collect())
    }

    /// Asks for the turns of what relays here send for, and gives up the others.
    async fn turns(&self) -> Result<(), Fault> {
        let asked_at = Instant::now();
        let unwanted = self.numbered(|outlet| !outlet.is_wanted() && outlet.turn().is_some()).await?;
        let wanted = self.numbered(Outlet::is_wanted).await?;
        if unwanted.is_empty() && wanted.is_empty() {
            return Ok(());
        }
        // Nothing goes out for these from here on.
        unwanted.values().for_each(|outlet| outlet.has_turn(None));
        let of = |sql, outlets: &BTreeMap<i64, Arc<Outlet>>| {
            let ids: Vec<i64> = outlets.keys().copied().collect();
            let who = self.data_dir.to_string();
            Command::new(sql, vec![(Box::new(ids), Type::INT8_ARRAY), (Box::new(who), Type::TEXT)])
        };
        let commands = vec![of(GIVE_UP, &unwanted), of(TURNS, &wanted)];
        let asked = if unwanted.is_empty() { commands.into_iter().skip(1).collect() } else { commands };
        let answers =
            exchange(&self.sessions, |session| Box::pin(async move { ask(session, &asked).await })).await?;
        let ours = answers.last().into_iter().flatten().map(|row| Ok(row.try_get(0)?));
        let ours = ours.collect::<Result<Vec<i64>, Fault>>()?;
        for (id, outlet) in wanted {
            if ours.contains(&id) {
                outlet.has_turn(Some(asked_at + USED_FOR.min(LEASE)));
            } else if outlet.turn().is_none() {
                outlet.has_turn(None);
            }
        }
        Ok(())
    }

    /// Gives all turns up: others may have them at once.
    pub async fn close(&self) {
        let outlets = self.all();
        let had: Vec<_> = outlets.iter().filter(|outlet| outlet.turn().is_some()).collect();
        for outlet in &outlets {
            outlet.wants(false);
        }
        if had.is_empty() {
            return;
        }
        had.iter().for_each(|outlet| outlet.has_turn(None));
        let who = self.data_dir.to_string();
        let given = exchange(&self.sessions, |session| {
            Box::pin(async move {
                ask(session, &[Command::new(GIVE_UP_ALL, vec![(Box::new(who), Type::TEXT)])]).await
            })
        });
        if let Err(fault) = given.await {
            tracing::debug!("the turns to send were not given up, and end by themselves: {fault}");
        }
    }

    async fn count(&self) -> Result<(), Fault> {
        let outlets = self.numbered(|_| true).await?;
        let ids: Vec<i64> = outlets.keys().copied().collect();
        let rows = exchange(&self.sessions, |session| {
            Box::pin(async move {
                ask(session, &[Command::new(COUNT, vec![(Box::new(ids), Type::INT8_ARRAY)])]).await
            })
        })
        .await?;
        for row in rows.iter().flatten() {
            let (id, backlog, last) = counted(row)?;
            if let Some(outlet) = outlets.get(&id) {
                outlet.counted(backlog, last);
            }
        }
        Ok(())
    }
}

/// A target, what waits for it, and the highest row.
pub(crate) fn counted(row: &Row) -> Result<(i64, Backlog, i64), Fault> {
    let (rows, last, oldest): (i64, Option<i64>, Option<i64>) =
        (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    let backlog = Backlog { rows: unsigned(rows), oldest_at_ms: oldest.map(unsigned) };
    Ok((row.try_get(0)?, backlog, last.unwrap_or_default()))
}
