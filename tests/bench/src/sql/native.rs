//! The other side: loops that one would write, each with a connection of its own.

use crate::load::Load;
use anyhow::{Context, Result};
use pelton_tests::postgres::{Db, SUPERUSER};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls};

/// What a loop does with its messages.
#[derive(Debug, Clone, Copy)]
pub enum Loop {
    /// A row each, and nothing that would tell a second delivery from the first.
    Insert,
    /// The same in a transaction with a row that says that the message was processed: two round trips.
    WithLedger,
    /// So many rows by one statement.
    Rows(u64),
}

/// Writes the load.
pub fn run(db: &Db, what: Loop, connections: usize, load: Load) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("theirs").build()?;
    runtime.block_on(async {
        let next = Arc::new(AtomicU64::new(load.first));
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let client = connect(db).await?;
            tasks.push(tokio::spawn(write(client, what, load, next.clone())));
        }
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}

async fn connect(db: &Db) -> Result<Client> {
    let (host, port) = db.address.split_once(':').context("host:port")?;
    let mut config = Config::new();
    config.host(host).port(port.parse()?).user(SUPERUSER).dbname(&db.name);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn write(client: Client, what: Loop, load: Load, next: Arc<AtomicU64>) -> Result<()> {
    let each = if let Loop::Rows(each) = what { each } else { 1 };
    let insert = client.prepare(&insert_of(each)).await?;
    let processed = client.prepare("INSERT INTO bench_processed (key) VALUES ($1::text::uuid)").await?;
    loop {
        let first = next.fetch_add(each, Relaxed);
        let numbers = first..(first + each).min(load.numbers().end);
        if numbers.is_empty() {
            return Ok(());
        }
        let rows: Vec<(i64, String)> = numbers.map(|number| row(load, number)).collect();
        let values: Vec<&(dyn ToSql + Sync)> =
            rows.iter().flat_map(|(id, body)| [id as &(dyn ToSql + Sync), body]).collect();
        match what {
            Loop::WithLedger => {
                let key = format!("{first:032x}");
                let key: [&(dyn ToSql + Sync); 1] = [&key];
                let (begun, noted, inserted) = tokio::join!(
                    client.batch_execute("BEGIN"),
                    client.execute(&processed, &key),
                    client.execute(&insert, &values)
                );
                begun?;
                noted?;
                inserted?;
                client.batch_execute("COMMIT").await?;
            }
            // What is left at the end is a statement of another length.
            Loop::Rows(_) if rows.len() as u64 != each => {
                client.execute(&insert_of(rows.len() as u64), &values).await?;
            }
            Loop::Insert | Loop::Rows(_) => drop(client.execute(&insert, &values).await?),
        }
    }
}

fn insert_of(rows: u64) -> String {
    let rows: Vec<String> = (0..rows).map(|row| format!("(${}, ${})", 2 * row + 1, 2 * row + 2)).collect();
    format!("INSERT INTO bench (id, body) VALUES {}", rows.join(", "))
}

fn row(load: Load, number: u64) -> (i64, String) {
    (number as i64, String::from_utf8_lossy(&load.body(number)).into_owned())
}
