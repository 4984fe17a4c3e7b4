//! The tables: what makes them, what tells that something is missing. Workers never change them, and run with
//! those of their own version or the next.

mod diagnose;
mod init;
mod tables;

pub use diagnose::diagnose;
pub use init::init;

use crate::client::{Fault, Kind, Session};
use tables::VERSION;

/// What makes the tables, and lets a user use them.
pub fn printed(user: &str) -> String {
    tables::printed(user)
}

/// Whether a worker of this version works with the tables that are there.
///
/// # Errors
/// It does not, or the database does not say.
pub async fn is_usable(session: &Session) -> Result<(), Fault> {
    let rows = session.client.query_typed("SELECT max(version) FROM pelton_schema", &[]).await?;
    let version: Option<i32> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
    unusable(version).map_or(Ok(()), |words| Err(Fault::new(Kind::Schema, words)))
}

/// Why tables of a version are of no use; none when they are.
fn unusable(version: Option<i32>) -> Option<String> {
    match version {
        None => Some("its tables were never made whole".to_owned()),
        Some(version) if version < VERSION => {
            Some(format!("its tables are of version {version}, and this program needs {VERSION}"))
        }
        Some(version) if version > VERSION + 1 => Some(format!(
            "its tables are of version {version}, and this program works with {VERSION} and {}: upgrade it",
            VERSION + 1
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_runs_with_its_own_version_and_the_next() {
        let usable = [VERSION - 1, VERSION, VERSION + 1, VERSION + 2].map(|v| unusable(Some(v)).is_none());
        assert_eq!(usable, [false, true, true, false]);
        assert!(unusable(None).is_some());
    }

    #[test]
    fn what_is_printed_makes_all_and_grants_it() {
        let printed = printed("shop \"worker\"");
        for table in tables::TABLES {
            assert!(
                printed.contains(&format!("CREATE TABLE IF NOT EXISTS {} (", table.name)),
                "{}",
                table.name
            );
            assert!(printed.contains(&format!(" ON {} TO \"shop \"\"worker\"\"\";", table.name)));
        }
        assert!(printed.starts_with("BEGIN;\n") && printed.ends_with("COMMIT;\n"));
    }
}
