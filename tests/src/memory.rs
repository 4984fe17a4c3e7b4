//! What memory a process has, as the system counts it. `None` when there is no such process any more. And a
//! limit of it, where the system lets us set one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What is resident now, in KiB.
#[must_use]
pub fn resident(pid: u32) -> Option<u64> {
    kib(pid, "status", "VmRSS:")
}

/// The most that was resident so far, in KiB.
#[must_use]
pub fn peak(pid: u32) -> Option<u64> {
    kib(pid, "status", "VmHWM:")
}

/// What of the resident memory is in huge pages, in KiB: each of them stays whole while a byte of it is in
/// use.
#[must_use]
pub fn huge(pid: u32) -> Option<u64> {
    kib(pid, "smaps_rollup", "AnonHugePages:")
}

/// Bytes of memory with code in it that comes from no file: that of compiled components.
#[must_use]
pub fn code(pid: u32) -> Option<u64> {
    let compiled = |line: &str| {
        let mut words = line.split_whitespace();
        let (range, may) = (words.next()?, words.next()?);
        let from_file = words.nth(3).is_some();
        let (from, to) = range.split_once('-')?;
        let at = |text| u64::from_str_radix(text, 16).ok();
        (may.contains('x') && !from_file).then(|| Some(at(to)? - at(from)?)).flatten()
    };
    Some(read(pid, "maps")?.lines().filter_map(compiled).sum())
}

fn kib(pid: u32, file: &str, name: &str) -> Option<u64> {
    let text = read(pid, file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn read(pid: u32, file: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// A control group of its own, with a limit: what goes beyond it is killed.
#[derive(Debug)]
pub struct Limit(PathBuf);

impl Limit {
    /// One of so many bytes. None where none can be made: it takes the right to.
    #[must_use]
    pub fn of(bytes: u64) -> Option<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let of = |controller: &str| {
            let line = |line: &str| {
                line.split_once(':')?.1.split_once(':').map(|(c, p)| (c.to_owned(), p.to_owned()))
            };
            groups.lines().filter_map(line).find(|(name, _)| name == controller).map(|(_, path)| path)
        };
        let name = format!("pelton-{}-{bytes}", std::process::id());
        let places = [
            of("memory").map(|path| (format!("/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes")),
            of("").map(|path| (format!("/sys/fs/cgroup{path}"), "memory.max")),
        ];
        places.into_iter().flatten().find_map(|(parent, file)| {
            let limit = Self(Path::new(&parent).join(&name));
            std::fs::create_dir(&limit.0).ok()?;
            std::fs::write(limit.0.join(file), bytes.to_string()).ok()?;
            Some(limit)
        })
    }

    /// The command, to be started in it.
    #[must_use]
    pub fn around(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside.arg("-c").arg("echo $$ > \"$0/cgroup.procs\" && exec \"$@\"").arg(&self.0);
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            inside.current_dir(dir);
        }
        inside
    }
}

impl Drop for Limit {
    /// What was in it has ended by now, or is just ending.
    fn drop(&mut self) {
        let since = std::time::Instant::now();
        while std::fs::remove_dir(&self.0).is_err() && since.elapsed() < crate::wait::DEADLINE / 10 {
            std::thread::park_timeout(crate::wait::POLL_INTERVAL);
        }
    }
}
