//! The program itself, as others are started with it.

use std::path::{Path, PathBuf};

/// The program that runs, whatever has become of its file: an upgrade replaces it while a worker goes on, and
/// what is at its old place then is another program, or nothing.
pub fn own() -> std::io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() }
}
