//! Writing to a descriptor, whoever reads there or does not.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write as write_some};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What a pipe with any room at all takes at once (`PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// Writes all of it. With `patience`, at most so long is waited for room, each time.
///
/// # Errors
/// The system's; `TIMEDOUT` when nobody has read for so long.
pub fn write(fd: BorrowedFd<'_>, mut bytes: &[u8], patience: Option<Duration>) -> Result<(), Errno> {
    while !bytes.is_empty() {
        if patience.is_some() {
            wait(fd, patience)?;
        }
        let part = if patience.is_some() { &bytes[..bytes.len().min(AT_ONCE)] } else { bytes };
        match write_some(fd, part) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody who shares the stream has made it so.
            Err(Errno::AGAIN) => wait(fd, patience)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Until there is room, or until the reader is gone: the write says which.
fn wait(fd: BorrowedFd<'_>, patience: Option<Duration>) -> Result<(), Errno> {
    let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
    loop {
        let mut room = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
        match poll(&mut room, patience.as_ref()) {
            Ok(0) => return Err(Errno::TIMEDOUT),
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

    #[test]
    fn a_pipe_that_nobody_reads_is_waited_for_so_long_and_one_that_is_read_takes_all() {
        let (mut read, write_end) = std::io::pipe().expect("a pipe");
        let much = vec![7; 1 << 20];
        let given_up = write(write_end.as_fd(), &much, Some(Duration::from_millis(20)));
        assert_eq!(given_up, Err(Errno::TIMEDOUT));
        let mut all = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || write(write_end.as_fd(), &much, Some(Duration::from_secs(10))));
            read.read_to_end(&mut all).expect("it is read");
        });
        assert!(all.len() > 1 << 20);
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error_and_no_signal() {
        let (read, write_end) = std::io::pipe().expect("a pipe");
        drop(read);
        assert_eq!(write(write_end.as_fd(), b"x", None), Err(Errno::PIPE));
        assert_eq!(write(write_end.as_fd(), b"x", Some(Duration::from_secs(1))), Err(Errno::PIPE));
    }
}
