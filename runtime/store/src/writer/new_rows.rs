//! Rows that a group adds to embedded queues: the number of the first is read once, that of the last written
//! once.

use crate::numbers::{signed, unsigned};
use crate::queue::rows;
use rusqlite::{Connection, params};

/// By queue: a group touches few.
#[derive(Default)]
pub struct NewRows(Vec<Numbers>);

struct Numbers {
    queue: i64,
    next: u64,
    added: u64,
}

impl NewRows {
    /// The next row of a queue.
    pub fn next(&mut self, db: &Connection, queue: i64) -> rusqlite::Result<u64> {
        let known = self.0.iter().position(|numbers| numbers.queue == queue);
        let place = match known {
            Some(place) => place,
            None => {
                let sql = "SELECT next_seq FROM queues WHERE id = ?1";
                let next: i64 = db.prepare_cached(sql)?.query_row([queue], |r| r.get(0))?;
                self.0.push(Numbers { queue, next: unsigned(next), added: 0 });
                self.0.len() - 1
            }
        };
        let numbers = &mut self.0[place];
        let row = rows::id(queue, numbers.next);
        numbers.next += 1;
        numbers.added += 1;
        Ok(row)
    }

    pub fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        for Numbers { queue, next, added } in &self.0 {
            let sql = "UPDATE queues SET next_seq = ?2, depth = depth + ?3 WHERE id = ?1";
            db.prepare_cached(sql)?.execute(params![queue, signed(*next), signed(*added)])?;
        }
        Ok(())
    }
}
