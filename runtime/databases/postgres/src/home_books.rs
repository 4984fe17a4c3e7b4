//! State and outbox as people look at them, beside the workers.

use crate::client::{Blocking, Fault, random};
use crate::config::PostgresConfig;
use crate::effects::{Command, NumberOf, Parameter, Steps, ask, make_store};
use crate::outbox::{
    LAST_LETTER, LETTERS, PAGE, PURGE_LETTERS, REPLAY, counted, id_of, letter, number, waiting,
};
use crate::schema;
use crate::state::SIZE;
use pelton_core::broker::OpenError;
use pelton_core::effects::{
    Bucket, Effects, HomeBooks, KnownTarget, OutboxLetter, OutboxLetterFilter, Purge, Stamps, StateEntry,
    Target, Waiting, Write,
};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

const STORE: &str = "SELECT id FROM pelton_stores WHERE ledger = $1 AND name = $2";
const KEYS: &str = "SELECT key FROM pelton_state WHERE bucket = $1 AND key > $2 ORDER BY key LIMIT $3";
/// What values of a page take is bounded, and the last of them is beyond that.
const ENTRIES: &str = "SELECT s.key, s.value FROM (\
    SELECT p.*, sum(length(p.value)) OVER (ORDER BY p.key) - length(p.value) AS before FROM (\
    SELECT key, value FROM pelton_state WHERE bucket = $1 AND key > $2 ORDER BY key LIMIT $3) p) s \
    WHERE s.before < 4194304 ORDER BY s.key";
const GET: &str = "SELECT value FROM pelton_state WHERE bucket = $1 AND key = $2";
const DELETE: &str = "DELETE FROM pelton_state WHERE bucket = $1 AND key = ANY ($2) RETURNING key";
const TARGETS: &str = "SELECT t.id, w.rows, w.last, (SELECT (extract(epoch FROM o.committed_at) * \
    1000)::int8 \
    FROM pelton_outbox o WHERE o.target = t.id AND o.id = w.first), t.ledger, t.name, \
    (SELECT count(*) FROM pelton_outbox_letters l WHERE l.target = t.id) FROM pelton_targets t, \
    LATERAL (SELECT count(*) AS rows, min(o.id) AS first, max(o.id) AS last FROM pelton_outbox o \
    WHERE o.target = t.id) w WHERE ($1::text IS NULL OR t.ledger = $1) ORDER BY t.id";
const PURGE_ROWS: &str = "DELETE FROM pelton_outbox WHERE target = $1 AND id = ANY ($2) RETURNING id";
const PURGE_UP_TO: &str = "DELETE FROM pelton_outbox WHERE target = $1 AND id <= $2 RETURNING id";

/// An open database, for a command.
pub(crate) struct PostgresHomeBooks {
    db: Blocking,
    stamps: Stamps,
}

fn parameter(value: impl ToSql + Sync + Send + 'static, kind: Type) -> Parameter {
    (Box::new(value), kind)
}

impl PostgresHomeBooks {
    /// Connects, and looks whether the tables are there.
    ///
    /// # Errors
    /// It is away, or is not set up.
    pub fn open(config: &PostgresConfig) -> Result<Self, OpenError> {
        let db = Blocking::open(config)?;
        db.ask(async |session| schema::is_usable(session).await)?;
        Ok(Self { db, stamps: Stamps::from(random()) })
    }

    fn all<T: Send>(
        &self,
        commands: Vec<Command>,
        read: impl Fn(&Row) -> Result<T, Fault> + Send,
    ) -> Result<Vec<T>, OpenError> {
        self.db.ask(async move |session| {
            let rows = ask(session, &commands).await?;
            rows.iter().flatten().map(read).collect()
        })
    }

    fn rows<T: Send>(
        &self,
        sql: &'static str,
        parameters: Vec<Parameter>,
        read: impl Fn(&Row) -> Result<T, Fault> + Send,
    ) -> Result<Vec<T>, OpenError> {
        self.all(vec![Command::new(sql, parameters)], read)
    }

    fn count(&self, sql: &'static str, parameters: Vec<Parameter>) -> Result<u64, OpenError> {
        let counts = self.rows(sql, parameters, |row| Ok(row.try_get::<_, i64>(0)?))?;
        Ok(counts.first().copied().map(unsigned).unwrap_or_default())
    }

    fn known_targets(&self, owner: Option<&str>) -> Result<Vec<KnownTarget>, OpenError> {
        self.rows(TARGETS, vec![parameter(owner.map(str::to_owned), Type::TEXT)], |row| {
            let (id, backlog, _) = counted(row)?;
            Ok(KnownTarget {
                target: Target(id),
                pipeline: row.try_get(4)?,
                name: row.try_get(5)?,
                queue: None,
                backlog,
                letters: unsigned(row.try_get(6)?),
            })
        })
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

impl HomeBooks for PostgresHomeBooks {
    fn known_bucket(&self, owner: Option<&str>, store: &str) -> Result<Option<Bucket>, OpenError> {
        let owner = owner.unwrap_or_default().to_owned();
        let named = vec![parameter(owner, Type::TEXT), parameter(store.to_owned(), Type::TEXT)];
        Ok(self.rows(STORE, named, |row| Ok(row.try_get(0)?))?.pop().map(Bucket))
    }

    fn make_bucket(&self, owner: Option<&str>, store: &str) -> Result<Bucket, OpenError> {
        let (owner, store) = (owner.unwrap_or_default().to_owned(), store.to_owned());
        self.db.ask(async move |session| make_store(session, &owner, &store).await).map(Bucket)
    }

    fn state_keys(
        &self,
        bucket: Bucket,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Vec<u8>>, OpenError> {
        self.rows(KEYS, of_page(bucket, after, max), |row| Ok(row.try_get(0)?))
    }

    fn state_entries(
        &self,
        bucket: Bucket,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<StateEntry>, OpenError> {
        self.rows(ENTRIES, of_page(bucket, after, max), |row| {
            Ok(StateEntry { key: row.try_get(0)?, value: row.try_get(1)? })
        })
    }

    fn state_get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Vec<u8>>, OpenError> {
        let wanted = vec![parameter(bucket.0, Type::INT8), parameter(key.to_vec(), Type::BYTEA)];
        Ok(self.rows(GET, wanted, |row| Ok(row.try_get(0)?))?.pop())
    }

    fn state_size(&self, bucket: Bucket) -> Result<u64, OpenError> {
        self.count(SIZE, vec![parameter(bucket.0, Type::INT8)])
    }

    fn state_set(&self, bucket: Bucket, entries: &[StateEntry]) -> Result<(), OpenError> {
        let mut effects = Effects::default();
        for StateEntry { key, value } in entries {
            // The last of several of one key counts.
            effects.writes.retain(|write| write.key != *key);
            let (key, value, stamp) = (key.clone(), Some(value.clone()), self.stamps.next());
            effects.writes.push(Write { bucket, key, value, stamp });
        }
        let mut commands = vec![Command::new("BEGIN ISOLATION LEVEL READ COMMITTED", Vec::new())];
        commands.extend(Steps::of_call(&effects, &NumberOf::itself(bucket)).commands);
        commands.push(Command::new("COMMIT", Vec::new()));
        self.all(commands, |_| Ok(())).map(drop)
    }

    fn state_delete(&self, bucket: Bucket, keys: &[Vec<u8>]) -> Result<u64, OpenError> {
        let wanted = vec![parameter(bucket.0, Type::INT8), parameter(keys.to_vec(), Type::BYTEA_ARRAY)];
        Ok(self.rows(DELETE, wanted, |_| Ok(()))?.len() as u64)
    }

    fn targets(&self, owner: &str) -> Result<Vec<KnownTarget>, OpenError> {
        self.known_targets(Some(owner))
    }

    fn waiting_targets(&self) -> Result<Vec<KnownTarget>, OpenError> {
        let all = self.known_targets(None)?;
        Ok(all.into_iter().filter(|target| target.backlog.rows > 0).collect())
    }

    fn waiting(&self, target: Target, after: u64, max: usize) -> Result<Vec<Waiting>, OpenError> {
        let after = if after == 0 { 0 } else { id_of(after) };
        let wanted = vec![
            parameter(target.0, Type::INT8),
            parameter(after, Type::INT8),
            parameter(limit(max), Type::INT8),
        ];
        self.rows(PAGE, wanted, move |row| waiting(row, target))
    }

    fn purge(&self, target: Target, rows: Purge<'_>) -> Result<u64, OpenError> {
        let ours = |row: &&u64| **row == number(target, id_of(**row));
        let gone = match rows {
            Purge::Rows(rows) => {
                let ids: Vec<i64> = rows.iter().filter(ours).map(|row| id_of(*row)).collect();
                let wanted = vec![parameter(target.0, Type::INT8), parameter(ids, Type::INT8_ARRAY)];
                self.rows(PURGE_ROWS, wanted, |_| Ok(()))?
            }
            Purge::UpTo(last) if ours(&&last) => {
                let wanted = vec![parameter(target.0, Type::INT8), parameter(id_of(last), Type::INT8)];
                self.rows(PURGE_UP_TO, wanted, |_| Ok(()))?
            }
            Purge::UpTo(_) => Vec::new(),
        };
        Ok(gone.len() as u64)
    }

    fn letters(&self, owner: &str, filter: &OutboxLetterFilter) -> Result<Vec<OutboxLetter>, OpenError> {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let wanted = vec![
            parameter(owner.to_owned(), Type::TEXT),
            parameter(signed(filter.after), Type::INT8),
            parameter(filter.until.map(signed), Type::INT8),
            parameter(filter.id.map(signed), Type::INT8),
            parameter(filter.target.clone(), Type::TEXT),
            parameter(limit(filter.limit), Type::INT8),
        ];
        self.rows(LETTERS, wanted, letter)
    }

    fn last_letter(&self, owner: &str) -> Result<Option<u64>, OpenError> {
        let of = vec![parameter(owner.to_owned(), Type::TEXT)];
        let last = self.rows(LAST_LETTER, of, |row| Ok(row.try_get::<_, Option<i64>>(0)?))?;
        Ok(last.first().copied().flatten().map(unsigned))
    }

    fn replay_letters(&self, letters: &[u64]) -> Result<u64, OpenError> {
        self.count(REPLAY, of_letters(letters))
    }

    fn purge_letters(&self, letters: &[u64]) -> Result<u64, OpenError> {
        self.count(PURGE_LETTERS, of_letters(letters))
    }
}

fn of_page(bucket: Bucket, after: Option<&[u8]>, max: usize) -> Vec<Parameter> {
    vec![
        parameter(bucket.0, Type::INT8),
        parameter(after.unwrap_or_default().to_vec(), Type::BYTEA),
        parameter(limit(max), Type::INT8),
    ]
}

fn of_letters(letters: &[u64]) -> Vec<Parameter> {
    let ids: Vec<i64> = letters.iter().filter_map(|id| i64::try_from(*id).ok()).collect();
    vec![parameter(ids, Type::INT8_ARRAY)]
}
