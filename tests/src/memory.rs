//! What memory a process has, as the system counts it. `None` when there is no such process any more.

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

/// What of the resident memory is in huge pages, in KiB: each of them stays whole while a byte of it is in use.
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
