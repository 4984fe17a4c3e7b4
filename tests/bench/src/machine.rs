//! What was measured on: no number means anything without it.

use std::fs;

/// One line each: processor, cores, kernel, memory, versions.
pub fn description() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    [
        format!("processor: {}", field("/proc/cpuinfo", "model name")),
        format!("cores: {cores}"),
        format!("memory: {}", field("/proc/meminfo", "MemTotal")),
        format!("kernel: {}", read("/proc/sys/kernel/osrelease")),
        format!("load before: {}", read("/proc/loadavg")),
        format!("SQLite: {}", rusqlite::version()),
        format!("wasmtime: {}", locked("wasmtime")),
        format!("Pelton: {}", env!("CARGO_PKG_VERSION")),
    ]
    .map(|line| format!("- {line}"))
    .join("\n")
}

/// The version of a dependency, by the lock file this program was built with.
fn locked(package: &str) -> String {
    let lock = include_str!("../../../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");
    let rest = lock.split_once(&entry).map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split('"').next()).unwrap_or("unknown").to_owned()
}

/// The value after `name:` in a file of such lines.
fn field(file: &str, name: &str) -> String {
    let text = read(file);
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
    value.unwrap_or("unknown").to_owned()
}

fn read(file: &str) -> String {
    fs::read_to_string(file).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}
