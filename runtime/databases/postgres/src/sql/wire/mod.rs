//! The protocol of the server, as far as the transactions of handlers need it.
//!
//! The driver that the ledger uses asks for results in binary form only, and hides the tag of a `COMMIT` and
//! how the session stands. Here results are text in the database's own form, whatever its type; all that goes
//! together is sent together, and after a failure in it the server skips the rest; and a `COMMIT` of a
//! transaction that had failed is seen for what it is.

mod dial;
mod messages;
mod startup;

pub(crate) use dial::{Endpoint, Io, cancel, dial};
pub(crate) use messages::{CancelKey, Message, Reader, Status, values};

use bytes::{Buf, BytesMut};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

/// Room for what is read at once.
const READ: usize = 16 * 1024;

/// A connection: what goes out and what comes in at the same time, since a server that cannot send does not
/// read either.
pub(crate) struct Wire {
    reading: ReadHalf<Box<dyn Io>>,
    writing: WriteHalf<Box<dyn Io>>,
    /// What is to be sent.
    pub out: BytesMut,
    input: BytesMut,
    reader: Reader,
    unflushed: bool,
    /// Names this connection to the server.
    pub key: CancelKey,
}

impl Wire {
    fn new(stream: Box<dyn Io>, longest_row: usize) -> Self {
        let (reading, writing) = tokio::io::split(stream);
        Self {
            reading,
            writing,
            out: BytesMut::new(),
            input: BytesMut::new(),
            reader: Reader::new(longest_row),
            unflushed: false,
            key: CancelKey { process: 0, secret: 0 },
        }
    }

    /// The next message; sends what is to be sent meanwhile. May be dropped at any time: nothing is lost.
    ///
    /// # Errors
    /// The connection is lost, or what came is not the protocol.
    pub(crate) async fn next(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = self.reader.next(&mut self.input)? {
                return Ok(message);
            }
            self.input.reserve(READ);
            let owes = self.unflushed || !self.out.is_empty();
            tokio::select! {
                sent = send(&mut self.writing, &mut self.out, &mut self.unflushed), if owes => sent?,
                read = self.reading.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server has closed it"));
                    }
                }
            }
        }
    }

    /// Says goodbye, as far as that can be done at once.
    pub(crate) async fn close(mut self) {
        postgres_protocol::message::frontend::terminate(&mut self.out);
        let goodbye = async {
            self.writing.write_all(&self.out).await?;
            self.writing.shutdown().await
        };
        if let Ok(Err(error)) = tokio::time::timeout(std::time::Duration::from_secs(1), goodbye).await {
            tracing::debug!("a connection to a database was closed without a goodbye: {error}");
        }
    }
}

/// Sends a piece of what is to be sent.
async fn send(to: &mut WriteHalf<Box<dyn Io>>, out: &mut BytesMut, unflushed: &mut bool) -> io::Result<()> {
    if out.is_empty() {
        to.flush().await?;
        *unflushed = false;
        return Ok(());
    }
    match to.write(out).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        wrote => {
            out.advance(wrote);
            *unflushed = true;
            Ok(())
        }
    }
}
