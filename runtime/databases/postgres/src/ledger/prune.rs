//! What has expired goes in small steps, by one worker of the fleet at a time.
//!
//! The table is walked through page by page, without an index over time: rows are claimed and completed by
//! updates that an index over what they change would make dearer than the walk.

use crate::client::{Ask, Fault, QUICK, Sessions};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_postgres::types::Type;

/// Pages of one step.
const PAGES: i64 = 128;
/// Between two steps, and between two walks.
const STEP: Duration = Duration::from_millis(250);
const REST: Duration = Duration::from_secs(60);

/// One step, unless another worker walks now. It gives the number of pages, and nothing where another does.
const PRUNE: &str = "WITH mine AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(hashtext('pelton.prune')) \
    AS ok), \
    gone AS (DELETE FROM pelton_processed p USING mine \
    WHERE mine.ok AND p.ctid >= format('(%s,0)', $1)::tid AND p.ctid < format('(%s,0)', $1 + $2)::tid \
    AND p.at < now() - least(interval '7 days', (SELECT min(l.kept) FROM pelton_pipelines l)) \
    AND p.at < now() - CASE WHEN p.state = 'd' \
    THEN coalesce((SELECT l.kept FROM pelton_pipelines l WHERE l.number = p.pipeline), interval '0') \
    ELSE greatest(interval '7 days', \
    (SELECT l.kept FROM pelton_pipelines l WHERE l.number = p.pipeline)) END RETURNING 1) \
    SELECT pg_relation_size('pelton_processed') / current_setting('block_size')::int8, (SELECT count(*) \
    FROM gone) \
    FROM mine WHERE ok";

/// Workers that nobody waits for any more.
const FORGET: &str = "DELETE FROM pelton_workers WHERE heartbeat < now() - CASE WHEN ended IS NULL \
    THEN interval '7 days' ELSE interval '1 day' END";

/// Walks again and again, as long as the worker is there.
pub async fn prunes(sessions: Weak<Sessions>) {
    loop {
        let mut page = 0;
        loop {
            tokio::time::sleep(STEP).await;
            let Some(sessions) = sessions.upgrade() else { return };
            match step(&sessions, page).await {
                Ok(Some(pages)) if page + PAGES < pages => page += PAGES,
                Ok(_) => break,
                Err(fault) => {
                    tracing::debug!("expired rows could not be removed now: {fault}");
                    break;
                }
            }
        }
        tokio::time::sleep(REST).await;
    }
}

/// One step from a page on: how many pages there are; none where another worker walks.
///
/// # Errors
/// Those of the database.
pub async fn step(sessions: &Arc<Sessions>, page: i64) -> Result<Option<i64>, Fault> {
    let parameters = [(&page as _, Type::INT8), (&PAGES as _, Type::INT8)];
    let mut asks = vec![Ask { sql: PRUNE, parameters: &parameters }];
    if page == 0 {
        asks.push(Ask { sql: FORGET, parameters: &[] });
    }
    let rows = sessions.transaction(QUICK, &asks).await?;
    let pages = rows.first().and_then(|rows| rows.first()).map(|row| row.try_get(0)).transpose()?;
    Ok(pages)
}
