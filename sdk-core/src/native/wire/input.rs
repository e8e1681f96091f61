//! The incoming half: what was given to tungstenite, and in which pieces.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, ReadBuf};

use super::outgoing::Outgoing;
use crate::native::dial::Transport;

/// What a read asks of the operating system at most. Measured: below, large messages suffer from the number of reads;
/// above, small ones from the clearing of the buffer before each.
const LARGE: usize = 128 * 1024;

/// The same for a connection on which little comes at a time: ten thousand that get one short message each, all at
/// once, must not take as many large buffers for a moment.
const SMALL: usize = 8 * 1024;

/// What was given to the present context, and what became of it. By this it is known when nothing is left in a context,
/// so that it can be given up, or replaced by one with another buffer.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// What was read before the context asked for it. Given to it through reads: made from it (as `from_partially_read`
    /// does), a context would take the leftover's size for that of its buffer, and read in such pieces for ever.
    leftover: Vec<u8>,
    /// Bytes given to the present context.
    given: u64,
    /// At least so many of them became messages. The rest may be longer headers, or a message's beginning.
    pub(super) used: u64,
    /// All bytes that ever came.
    pub(super) total: u64,
    /// The last read found nothing.
    dry: bool,
    /// A ping was given out, and its answer is made by the next read.
    pub(super) owes_pong: bool,
    /// The present context, if there is one, has a large buffer.
    large: bool,
}

impl Input {
    /// `leftover` came behind the upgrade.
    pub(super) fn new(leftover: Vec<u8>) -> Self {
        Self {
            leftover,
            ..Self::default()
        }
    }

    /// For a new context; the size of its buffer.
    pub(super) fn reset(&mut self) -> usize {
        (self.given, self.used, self.dry, self.owes_pong) = (0, 0, false, false);
        self.large = self.leftover.len() > SMALL;
        if self.large { LARGE } else { SMALL }
    }

    /// Whether all that was given has come out as messages, and was dealt with.
    pub(super) fn is_spent(&self) -> bool {
        self.used == self.given && !self.owes_pong && self.leftover.is_empty()
    }

    /// Whether the context has nothing to give or to do until the transport is readable.
    pub(super) fn is_idle(&self, transport: &Transport) -> bool {
        // A TLS session may hold more, which only a read finds.
        self.dry || (!transport.buffers() && self.is_spent())
    }

    /// Whether the next read may decide how large the context's buffer is to be.
    pub(super) fn is_undecided(&self) -> bool {
        !self.large && self.is_spent()
    }

    /// Reads what the next context, or the present one, is to begin with; `true`: a context for more is needed.
    pub(super) fn poll_first(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(LARGE, 0);
            let mut into = ReadBuf::new(scratch);
            let read = Pin::new(transport).poll_read(cx, &mut into);
            if read.is_pending() {
                self.found_nothing();
            }
            ready!(read)?;
            self.leftover = into.filled().to_vec();
            Poll::Ready(Ok(self.leftover.len() > SMALL))
        })
    }

    /// The transport has nothing more for the moment.
    pub(super) fn found_nothing(&mut self) {
        self.dry = true;
        self.owes_pong = false;
    }

    fn count(&mut self, bytes: usize) {
        self.given += bytes as u64;
        self.total += bytes as u64;
        self.dry = false;
    }

    fn read_leftover(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.leftover.len());
        into[..count].copy_from_slice(&self.leftover[..count]);
        if count == self.leftover.len() {
            self.leftover = Vec::new();
        } else {
            self.leftover.drain(..count);
        }
        self.count(count);
        count
    }
}

/// The least that an unmasked frame with this much payload takes.
pub(super) fn least_frame(payload: usize) -> u64 {
    let header = match payload {
        0..126 => 2,
        126..0x1_0000 => 4,
        _ => 10,
    };
    (payload + header) as u64
}

/// The transport as tungstenite wants it, for the length of one poll. Reads go through; what it writes is put behind
/// what waits, so that it never holds anything back.
pub(super) struct Io<'a, 'b> {
    pub(super) transport: &'a mut Transport,
    pub(super) cx: &'a mut Context<'b>,
    pub(super) out: &'a mut Outgoing,
    pub(super) input: &'a mut Input,
}

impl Read for Io<'_, '_> {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.input.leftover.is_empty() {
            return Ok(self.input.read_leftover(into));
        }
        let mut into = ReadBuf::new(into);
        match Pin::new(&mut *self.transport).poll_read(self.cx, &mut into) {
            Poll::Ready(Ok(())) => {
                let count = into.filled().len();
                self.input.count(count);
                Ok(count)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Io<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.push_raw(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
