//! What commands look at and change in the database, beside the workers that use it.

use crate::client::{Blocking, Fault, Kind, Session};
use crate::config::PostgresConfig;
use crate::ledger::Key;
use crate::letters::PostgresLetterReader;
use crate::schema;
use crate::steering;
use pelton_core::broker::{LetterReader, OpenError};
use pelton_core::database::{DatabaseBooks, FleetStatus, FleetWorker, KnownMessage, SteeringChange};
use pelton_core::ports::ClaimItem;
use pelton_core::shown::shown;
use tokio_postgres::types::Type;

const KNOWN: &str = "SELECT (extract(epoch FROM p.at) * 1000)::int8, p.state, p.attempts, p.letter IS NOT \
    NULL, \
    w.name FROM pelton_processed p LEFT JOIN pelton_workers w ON w.number = p.worker \
    AND p.state IN ('w', 'r') \
    WHERE p.pipeline = (SELECT number FROM pelton_pipelines WHERE name = $1) AND p.key = $2";

/// What a worker has in work that lives stays.
const FORGET: &str = "DELETE FROM pelton_processed p \
    WHERE p.pipeline = (SELECT number FROM pelton_pipelines WHERE name = $1) AND p.key = $2 \
    AND (p.state NOT IN ('w', 'r') OR NOT EXISTS (SELECT FROM pelton_workers w \
    WHERE w.number = p.worker AND w.ended IS NULL AND w.heartbeat > now() - interval '1 minute')) \
    RETURNING p.key";

const LETTERS: &str = "SELECT count(*) FROM pelton_letters \
    WHERE pipeline = (SELECT number FROM pelton_pipelines WHERE name = $1)";

const WORKERS: &str = "SELECT name, greatest(0, (extract(epoch FROM now() - heartbeat) * 1000)::int8), \
    coalesce((claimed ->> $1)::int8, 0) FROM pelton_workers \
    WHERE ended IS NULL AND heartbeat > now() - interval '1 day' AND jsonb_exists(claimed, $1) \
    ORDER BY name, number";

/// The database, open for a command.
pub struct PostgresBooks {
    db: Blocking,
}

impl PostgresBooks {
    /// Connects, and looks whether the tables are there.
    ///
    /// # Errors
    /// It is away, or is not set up.
    pub fn open(config: &PostgresConfig) -> Result<Self, OpenError> {
        let db = Blocking::open(config)?;
        db.ask(async |session| schema::is_usable(session).await)?;
        Ok(Self { db })
    }
}

async fn known(session: &Session, ledger: &str, key: Key) -> Result<Option<KnownMessage>, Fault> {
    let rows = session.client.query_typed(KNOWN, &[(&ledger, Type::TEXT), (&key, Type::UUID)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (at, state): (i64, i8) = (row.try_get(0)?, row.try_get(1)?);
    let done = matches!(state.cast_unsigned(), b'd' | b'r');
    let in_work = matches!(state.cast_unsigned(), b'w' | b'r');
    let name: Option<String> = row.try_get(4)?;
    Ok(Some(KnownMessage {
        completed_at_ms: done.then(|| u64::try_from(at).unwrap_or(0)),
        attempts: u32::try_from(row.try_get::<_, i32>(2)?).unwrap_or(0),
        worker: in_work.then(|| name.unwrap_or_else(|| "a worker that is not known any more".to_owned())),
        lettered: row.try_get(3)?,
    }))
}

fn key_of(item: &ClaimItem) -> Key {
    Key::of(item.scope.as_deref(), Some(item.identity), &item.message)
}

impl DatabaseBooks for PostgresBooks {
    fn known(&mut self, ledger: &str, item: &ClaimItem) -> Result<Option<KnownMessage>, OpenError> {
        let key = key_of(item);
        self.db.ask(async move |session| known(session, ledger, key).await)
    }

    fn forget(&mut self, ledger: &str, item: &ClaimItem) -> Result<bool, OpenError> {
        let key = key_of(item);
        self.db.ask(async move |session| {
            let parameters = [(&ledger as _, Type::TEXT), (&key as _, Type::UUID)];
            let gone = session.client.query_typed(FORGET, &parameters).await?;
            if !gone.is_empty() {
                return Ok(true);
            }
            let Some(known) = known(session, ledger, key).await? else { return Ok(false) };
            let worker = known.worker.unwrap_or_else(|| "a worker".to_owned());
            let words = format!(
                "the worker {} has this message in work; try again when it has ended",
                shown(&worker)
            );
            Err(Fault::new(Kind::Refused, words))
        })
    }

    fn letters(self: Box<Self>, ledger: &str) -> Result<Box<dyn LetterReader>, OpenError> {
        Ok(Box::new(PostgresLetterReader::new(self.db, ledger)))
    }

    fn letter_count(&mut self, ledger: &str) -> Result<u64, OpenError> {
        self.db.ask(async move |session| {
            let rows = session.client.query_typed(LETTERS, &[(&ledger, Type::TEXT)]).await?;
            let count: i64 = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
            Ok(u64::try_from(count).unwrap_or(0))
        })
    }

    fn steering(&mut self, ledger: &str) -> Result<Option<String>, OpenError> {
        self.db.ask(async move |session| steering::read_one(session, ledger).await)
    }

    fn steer(&mut self, ledger: &str, change: &SteeringChange) -> Result<bool, OpenError> {
        self.db.ask(async move |session| steering::steer_one(session, ledger, change).await)
    }

    fn status(&mut self, ledger: &str) -> Result<FleetStatus, OpenError> {
        self.db.ask(async move |session| {
            let number = |number: i64| u64::try_from(number).unwrap_or(0);
            let rows = session.client.query_typed(WORKERS, &[(&ledger, Type::TEXT)]).await?;
            let mut status = FleetStatus::default();
            for row in rows {
                let (heard, claimed): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
                let worker = FleetWorker {
                    name: row.try_get(0)?,
                    heard_ms_ago: number(heard),
                    claimed: number(claimed),
                };
                status.claimed += worker.claimed;
                status.workers.push(worker);
            }
            Ok(status)
        })
    }
}
