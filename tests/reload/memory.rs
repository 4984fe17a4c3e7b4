//! What memory a process has.

/// Memory that a process has, in KiB.
pub fn resident(pid: u32) -> u64 {
    kib(pid, "status", "VmRSS:")
}

/// What of it is in huge pages, in KiB: each of them stays whole while a byte of it is in use.
pub fn huge(pid: u32) -> u64 {
    kib(pid, "smaps_rollup", "AnonHugePages:")
}

fn kib(pid: u32, file: &str, name: &str) -> u64 {
    let text = read(pid, file);
    let line = text.lines().find(|line| line.starts_with(name)).expect("the kernel says it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Bytes of memory with code in it that comes from no file: that of compiled components.
pub fn code(pid: u32) -> u64 {
    let compiled = |line: &str| {
        let mut words = line.split_whitespace();
        let (range, may) = (words.next()?, words.next()?);
        let from_file = words.nth(3).is_some();
        let (from, to) = range.split_once('-')?;
        let at = |text| u64::from_str_radix(text, 16).ok();
        (may.contains('x') && !from_file).then(|| Some(at(to)? - at(from)?)).flatten()
    };
    read(pid, "maps").lines().filter_map(compiled).sum()
}

fn read(pid: u32, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("the process runs")
}
