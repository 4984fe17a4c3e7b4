//! What of the database stands against its use, with the statements that mend it.

use super::tables::{TABLES, quoted};
use super::unusable;
use crate::client::{Blocking, Fault, Session, TlsMode};
use crate::config::PostgresConfig;
use crate::home::OWN_CONNECTIONS;
use crate::ledger::other_source;
use pelton_core::broker::Diagnosis;
use pelton_core::database::DatabaseUse;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// The oldest server that all this was tried on.
const SERVER: i32 = 150_000;

const SERVER_STATE: &str = "SELECT current_setting('server_version_num')::int4, \
    current_setting('server_version'), \
    pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on', \
    current_setting('max_connections')::int4 - (SELECT count(*) FROM pg_stat_activity)::int4, \
    current_setting('fsync') = 'off' OR current_setting('synchronous_commit') = 'off', \
    current_setting('server_encoding')";
const RIGHTS: &str = "SELECT m.name, to_regclass(m.name) IS NULL, \
    CASE WHEN to_regclass(m.name) IS NULL THEN false ELSE has_table_privilege(to_regclass(m.name), \
    m.privilege) END, \
    m.privilege FROM unnest($1::text[], $2::text[]) AS m(name, privilege)";
const NOTED: &str = "SELECT name, source FROM pelton_pipelines WHERE name = ANY($1::text[])";

/// Asks the database.
pub fn diagnose(config: &PostgresConfig, uses: &[DatabaseUse]) -> Diagnosis {
    let mut found = Diagnosis::default();
    if config.tls() == Some(TlsMode::Require) {
        let what = "`sslmode=require` encrypts, and does not look at who answers; write verify-full";
        found.warnings.push(what.to_owned());
    }
    let asked = Blocking::open(config).and_then(|db| db.ask(async |session| look(session, uses).await));
    match asked {
        Ok(more) => found.add(more),
        Err(error) => found.problems.push(error.to_string()),
    }
    found
}

async fn look(session: &Session, uses: &[DatabaseUse]) -> Result<Diagnosis, Fault> {
    let mut found = Diagnosis::default();
    server(session, uses, &mut found).await?;
    if !tables(session, &mut found).await? {
        return Ok(found);
    }
    let version = session.client.query_typed("SELECT max(version) FROM pelton_schema", &[]).await?;
    let version: Option<i32> = version.first().map(|row| row.try_get(0)).transpose()?.flatten();
    if let Some(words) = unusable(version) {
        found
            .problems
            .push(format!("{words}; run `pelton db init`, or `pelton db init --print` and have it run"));
    }
    let names: Vec<&str> = uses.iter().map(|wants| &*wants.ledger).collect();
    for row in session.client.query_typed(NOTED, &[(&names, Type::TEXT_ARRAY)]).await? {
        let (name, source): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        let other = uses.iter().find(|wants| &*wants.ledger == name && wants.source != source);
        found.problems.extend(other.map(|wants| other_source(wants, source)));
    }
    Ok(found)
}

async fn server(session: &Session, uses: &[DatabaseUse], found: &mut Diagnosis) -> Result<(), Fault> {
    let rows = session.client.query_typed(SERVER_STATE, &[]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (version, words): (i32, &str) = (row.try_get(0)?, row.try_get(1)?);
    if version < SERVER {
        found.problems.push(format!("the server is PostgreSQL {words}, and 15 is the oldest that will do"));
    }
    let (standby, read_only): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
    if standby {
        let what = "the server is a standby, which cannot be written to; name the primary in the URL";
        found.problems.push(what.to_owned());
    } else if read_only {
        found
            .problems
            .push("the database is read only (default_transaction_read_only); set it off".to_owned());
    }
    if row.try_get(5)? {
        let what = "the server answers before what is committed is on disk (`fsync` or `synchronous_commit` \
            is off): \
            what is completed is forgotten when it loses power, and is handled again";
        found.warnings.push(what.to_owned());
    }
    let encoding: &str = row.try_get(6)?;
    if encoding != "UTF8" {
        found
            .problems
            .push(format!("the database's encoding is {encoding}, and texts of messages need UTF8"));
    }
    let free: i32 = row.try_get(4)?;
    let wanted = uses.iter().map(|wants| wants.connections).sum::<usize>() + OWN_CONNECTIONS + 1;
    if usize::try_from(free).unwrap_or(0) < wanted {
        found.warnings.push(format!(
            "the server has {free} free connections, and this worker may want {wanted}; raise \
             `max_connections` of \
             the server, lower it here, or put a pooler before it"
        ));
    }
    Ok(())
}

/// Whether all tables are there and may be used; which are not, and which rights.
async fn tables(session: &Session, found: &mut Diagnosis) -> Result<bool, Fault> {
    let pairs = TABLES.iter().flat_map(|table| table.rights.iter().map(|right| (table.name, *right)));
    let (names, rights): (Vec<&str>, Vec<&str>) = pairs.unzip();
    let parameters = [(&names as _, Type::TEXT_ARRAY), (&rights as _, Type::TEXT_ARRAY)];
    let rows = session.client.query_typed(RIGHTS, &parameters).await?;
    let user: Vec<Row> = session.client.query_typed("SELECT current_user::text", &[]).await?;
    let user: String = user.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
    let (mut missing, mut lacking): (Vec<&str>, Vec<(&str, Vec<&str>)>) = (Vec::new(), Vec::new());
    for row in &rows {
        let (name, absent, may, right) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        match (absent, may) {
            (true, _) if missing.last() == Some(&name) => {}
            (true, _) => missing.push(name),
            (false, true) => {}
            (false, false) => match lacking.last_mut() {
                Some((table, rights)) if *table == name => rights.push(right),
                _ => lacking.push((name, vec![right])),
            },
        }
    }
    if !missing.is_empty() {
        found.problems.push(format!(
            "there is no {}; run `pelton db init`, or have what `pelton db init --print` prints run by \
            who may",
            missing.join(", ")
        ));
    }
    for (table, rights) in &lacking {
        found.problems.push(format!(
            "the user {user} may not {} {table}; have this run: GRANT {} ON {table} TO {}",
            rights.join(", "),
            rights.join(", "),
            quoted(&user)
        ));
    }
    Ok(missing.is_empty() && lacking.is_empty())
}
