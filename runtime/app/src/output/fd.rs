//! Writing to a descriptor, whoever reads there or does not.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write as write_some};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What a pipe with any room at all takes at once (`PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// Writes all of it, however long that takes. For who may wait: a thread that writes a log.
///
/// # Errors
/// The system's.
pub fn write_patiently(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write_some(fd, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody who shares the stream has made it so.
            Err(Errno::AGAIN) => wait(fd, &|| None)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// How long a wait stands before it is asked again whether there is patience.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Writes all of it. With `patience`, at most so long is waited for room, each time; it may come while that
/// is waited for, when the process is told to end.
///
/// # Errors
/// The system's; `TIMEDOUT` when nobody has read for so long.
pub fn write(
    fd: BorrowedFd<'_>,
    mut bytes: &[u8],
    patience: impl Fn() -> Option<Duration>,
) -> Result<(), Errno> {
    while !bytes.is_empty() {
        // Whoever writes more than there is room for waits in the system, where nothing wakes it.
        wait(fd, &patience)?;
        match write_some(fd, &bytes[..bytes.len().min(AT_ONCE)]) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            // Somebody who shares the stream has taken the room, or has made it one that does not wait.
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Until there is room, or until the reader is gone: the write says which.
fn wait(fd: BorrowedFd<'_>, patience: &impl Fn() -> Option<Duration>) -> Result<(), Errno> {
    let mut waited = Duration::ZERO;
    loop {
        let most = patience().map(|patience| patience.saturating_sub(waited));
        if most == Some(Duration::ZERO) {
            return Err(Errno::TIMEDOUT);
        }
        let some = most.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL);
        let mut room = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
        match poll(&mut room, Timespec::try_from(some).ok().as_ref()) {
            // What was waited before there was an end to it does not count.
            Ok(0) => waited += if most.is_some() { some } else { Duration::ZERO },
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[test]
    fn a_pipe_that_nobody_reads_is_waited_for_so_long_and_one_that_is_read_takes_all() {
        let (mut read, write_end) = std::io::pipe().expect("a pipe");
        let much = vec![7; 1 << 20];
        let given_up = write(write_end.as_fd(), &much, || Some(Duration::from_millis(20)));
        assert_eq!(given_up, Err(Errno::TIMEDOUT));
        let mut all = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || write(write_end.as_fd(), &much, || Some(Duration::from_secs(10))));
            read.read_to_end(&mut all).expect("it is read");
        });
        assert!(all.len() > 1 << 20);
    }

    #[test]
    fn who_waits_hears_that_there_is_no_time_left() {
        let (_read, write_end) = std::io::pipe().expect("a pipe");
        let (asked, told) = (AtomicU32::new(0), Duration::from_millis(1));
        let patience = || (asked.fetch_add(1, Relaxed) > 20).then_some(told);
        assert_eq!(write(write_end.as_fd(), &vec![7; 1 << 20], patience), Err(Errno::TIMEDOUT));
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error_and_no_signal() {
        let (read, write_end) = std::io::pipe().expect("a pipe");
        drop(read);
        assert_eq!(write(write_end.as_fd(), b"x", || None), Err(Errno::PIPE));
        assert_eq!(write(write_end.as_fd(), b"x", || Some(Duration::from_secs(1))), Err(Errno::PIPE));
    }
}
