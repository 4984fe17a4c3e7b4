//! Asking the worker of a data directory, a line at a time.

use super::socket::connect;
use crate::exit::Fail;
use pelton_store::Store;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a socket is waited for, and how long between two tries.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(20);
/// How long a worker may take to say how it stands.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);

/// Asks, and hands on each line that comes before the last. `None` when no worker runs. An answer that is an
/// error is a refusal. Blocks for as long as the worker takes.
pub fn ask(
    data_dir: &Path,
    word: &str,
    request: &Value,
    mut between: impl FnMut(&Value),
) -> Result<Option<Value>, Fail> {
    let Some(pid) = Store::owner_of(data_dir) else { return Ok(None) };
    let lost = |what: String| {
        Fail::refused(format!(
            "the worker of this data directory (process {pid}) {what}. Look at its log, then ask again"
        ))
    };
    let unheard = |error: std::io::Error| lost(format!("does not answer: {error}"));
    let mut stream = reach(data_dir).map_err(unheard)?;
    stream.write_all(format!("{word} {request}\n").as_bytes()).map_err(unheard)?;
    for line in BufReader::new(stream).lines() {
        let said: Value = serde_json::from_str(&line.map_err(unheard)?).unwrap_or_default();
        match &said["error"] {
            Value::String(why) => return Err(Fail::in_lines(why)),
            _ if said["progress"].is_object() => between(&said["progress"]),
            _ => return Ok(Some(said)),
        }
    }
    Err(lost("ended before it was done".to_owned()))
}

/// A worker that has just started opens its socket a moment later.
fn reach(data_dir: &Path) -> std::io::Result<UnixStream> {
    let since = Instant::now();
    loop {
        match connect(data_dir) {
            Err(_) if since.elapsed() < PATIENCE => std::thread::park_timeout(AGAIN),
            reached => return reached,
        }
    }
}

/// Asks the worker of a data directory how its pipelines stand: for each its trouble, its parts, and what it
/// has counted.
/// None when it does not answer. Blocks.
pub fn status(data_dir: &Path) -> Option<Value> {
    let mut stream = connect(data_dir).ok()?;
    stream.set_read_timeout(Some(STATUS_PATIENCE)).ok()?;
    stream.write_all(b"status\n").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}
