//! What operators want of pipelines, beside the configuration: a text for each, of which the store knows
//! nothing.

use crate::{Store, StoreError};
use rusqlite::{OptionalExtension, params};

impl Store {
    /// What is wanted of the pipeline of this name; none where nothing is. Blocks.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn steering(&self, pipeline: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT words FROM steering WHERE pipeline = ?1";
        Ok(self.db().query_row(sql, [pipeline], |r| r.get(0)).optional()?)
    }

    /// Sets what is wanted of it, or that nothing is. On disk when it returns. Blocks.
    ///
    /// # Errors
    /// It cannot be written: all is as it was.
    pub fn set_steering(&self, pipeline: &str, words: Option<&str>) -> Result<(), StoreError> {
        let db = self.db();
        self.write(&db, |db| {
            let Some(words) = words else {
                db.execute("DELETE FROM steering WHERE pipeline = ?1", [pipeline])?;
                return Ok(());
            };
            let sql = "INSERT INTO steering VALUES (?1, ?2)
                       ON CONFLICT DO UPDATE SET words = excluded.words";
            db.execute(sql, params![pipeline, words])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{Options, Store};

    #[test]
    fn what_is_wanted_outlives_the_process_and_is_seen_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Store::open_owner(dir.path(), Options::default()).unwrap();
        assert_eq!(owner.steering("orders").unwrap(), None);
        owner.set_steering("orders", Some("{}")).unwrap();
        let beside = Store::open_beside(dir.path(), Options::default()).unwrap();
        assert_eq!(beside.steering("orders").unwrap().as_deref(), Some("{}"));
        beside.set_steering("orders", Some("[]")).unwrap();
        assert_eq!(owner.steering("orders").unwrap().as_deref(), Some("[]"));
        owner.close();
        drop((owner, beside));
        let again = Store::open_owner(dir.path(), Options::default()).unwrap();
        assert_eq!(again.steering("orders").unwrap().as_deref(), Some("[]"));
        again.set_steering("orders", None).unwrap();
        assert_eq!((again.steering("orders").unwrap(), again.steering("other").unwrap()), (None, None));
    }
}
