//! Making the tables.

use super::tables::{TABLES, VERSION, note_version, quoted};
use crate::client::{Blocking, Fault, Kind, Session};
use crate::config::PostgresConfig;
use pelton_core::broker::OpenError;
use pelton_core::shown::shown;
use tokio_postgres::types::Type;

/// Taken by whoever makes the tables, so that two never do at a time.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('pelton.schema'))";
const MISSING: &str = "SELECT name FROM unnest($1::text[]) AS m(name) WHERE to_regclass(name) IS NULL";

/// Who asks, where tables are made, and whether that may be; no schema, if there is none to make them in.
const RIGHT: &str = "SELECT current_user::text, current_schema()::text, \
    has_schema_privilege(current_schema(), 'CREATE')";

/// Makes the tables that are missing, all or none.
///
/// # Errors
/// It is away, or this user may not; or a later program has made them.
pub fn init(config: &PostgresConfig) -> Result<Vec<String>, OpenError> {
    Blocking::open(config)?.ask(async |session| {
        session.client.batch_execute("BEGIN; SET LOCAL lock_timeout = '30s'").await?;
        session.client.query_typed(LOCK, &[]).await?;
        let done = make(session).await?;
        session.client.batch_execute("COMMIT").await?;
        Ok(done)
    })
}

async fn make(session: &Session) -> Result<Vec<String>, Fault> {
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    let missing = session.client.query_typed(MISSING, &[(&names, Type::TEXT_ARRAY)]).await?;
    let missing = missing.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
    if !missing.iter().any(|name| name == "pelton_schema") {
        let known = session.client.query_typed("SELECT max(version) FROM pelton_schema", &[]).await?;
        let known: Option<i32> = known.first().map(|row| row.try_get(0)).transpose()?.flatten();
        if let Some(version) = known.filter(|version| *version > VERSION) {
            let words = format!(
                "the tables are of version {version} already, and this program makes version {VERSION}; use \
                 the program that made them"
            );
            return Err(Fault::new(Kind::Refused, words));
        }
    }
    if !missing.is_empty() {
        may_create(session).await?;
    }
    let mut done = Vec::new();
    for table in TABLES {
        for create in table.create {
            session.client.batch_execute(create).await?;
        }
        if missing.iter().any(|name| name == table.name) {
            done.push(format!("made {}", table.name));
        }
    }
    let noted = session.client.execute(&note_version(), &[]).await?;
    if noted > 0 && !done.is_empty() && done.len() < TABLES.len() {
        done.push(format!("the tables are of version {VERSION} now"));
    }
    if done.is_empty() {
        done.push(format!("all tables are there (version {VERSION}); nothing was done"));
    }
    Ok(done)
}

/// Sees that this user may make tables, before one is tried: the server names neither the right nor whose
/// it is.
async fn may_create(session: &Session) -> Result<(), Fault> {
    let rows = session.client.query_typed(RIGHT, &[]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (user, schema): (&str, Option<&str>) = (row.try_get(0)?, row.try_get(1)?);
    let may: Option<bool> = row.try_get(2)?;
    let (Some(schema), Some(false)) = (schema, may) else { return Ok(()) };
    let words = format!(
        "the user {} may not make tables in the schema {} (42501); have this run by the schema's owner, \
         and run \
         `pelton db init` again: GRANT CREATE ON SCHEMA {} TO {}. Or have somebody who may run what \
         `pelton db \
         init --print` prints",
        shown(user),
        shown(schema),
        quoted(schema),
        quoted(user)
    );
    Err(Fault::new(Kind::Refused, words))
}
