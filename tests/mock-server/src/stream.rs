//! The TCP stream with a switch: what lets a test cut, freeze or pause a connection under HTTP and WebSocket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a connection's stream does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// Reads and writes.
    Normal,
    /// Writes, but reads nothing.
    ReadsPaused,
    /// Neither reads nor writes, while TCP stays up.
    HalfOpen,
    /// Fails, and resets the peer (RST) when dropped.
    Cut,
}

/// The shared switch of one connection.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    mode: AtomicU8,
    exempt: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Switch {
    /// Changes the mode. A cut is for ever.
    pub(crate) fn set(&self, mode: Mode) {
        let changed = self.mode.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| {
            (old != Mode::Cut as u8).then_some(mode as u8)
        });
        if changed.is_ok() {
            self.reader.wake();
            self.writer.wake();
        }
    }

    /// Lets the connection survive a restart: it carries the control request that asked for it.
    pub(crate) fn exempt(&self) {
        self.exempt.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_exempt(&self) -> bool {
        self.exempt.load(Ordering::SeqCst)
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.mode() == Mode::Cut
    }

    fn mode(&self) -> Mode {
        match self.mode.load(Ordering::SeqCst) {
            0 => Mode::Normal,
            1 => Mode::ReadsPaused,
            2 => Mode::HalfOpen,
            _ => Mode::Cut,
        }
    }
}

/// A TCP stream that obeys its switch.
#[derive(Debug)]
pub(crate) struct FaultStream {
    tcp: TcpStream,
    switch: Arc<Switch>,
}

impl FaultStream {
    pub(crate) fn new(tcp: TcpStream, switch: Arc<Switch>) -> Self {
        Self { tcp, switch }
    }

    fn reset(&self) -> io::Error {
        // Without lingering the drop of the socket sends RST instead of FIN.
        if let Err(error) = self.tcp.set_zero_linger() {
            tracing::debug!(%error, "no zero linger; the cut will be a FIN");
        }
        io::Error::new(io::ErrorKind::ConnectionReset, "cut by the mock server")
    }

    /// Whether reading may go on; if not, the reader is woken at the next change.
    fn gate_read(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.switch.mode() == Mode::Normal {
            return Poll::Ready(Ok(()));
        }
        self.switch.reader.register(cx.waker());
        match self.switch.mode() {
            Mode::Normal => Poll::Ready(Ok(())),
            Mode::ReadsPaused | Mode::HalfOpen => Poll::Pending,
            Mode::Cut => Poll::Ready(Err(self.reset())),
        }
    }

    fn gate_write(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.switch.mode(), Mode::Normal | Mode::ReadsPaused) {
            return Poll::Ready(Ok(()));
        }
        self.switch.writer.register(cx.waker());
        match self.switch.mode() {
            Mode::Normal | Mode::ReadsPaused => Poll::Ready(Ok(())),
            Mode::HalfOpen => Poll::Pending,
            Mode::Cut => Poll::Ready(Err(self.reset())),
        }
    }

    /// Runs one write-side operation behind the gate. Registers first, so that a cut also wakes a writer
    /// that waits for the kernel's buffer.
    fn write_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.gate_write(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        let done = write(Pin::new(&mut self.tcp), cx);
        if done.is_ready() {
            return done;
        }
        self.switch.writer.register(cx.waker());
        if self.switch.mode() == Mode::Cut {
            Poll::Ready(Err(self.reset()))
        } else {
            Poll::Pending
        }
    }
}

impl AsyncRead for FaultStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.gate_read(cx) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        let done = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if done.is_ready() {
            return done;
        }
        self.switch.reader.register(cx.waker());
        if self.switch.mode() == Mode::Cut {
            Poll::Ready(Err(self.reset()))
        } else {
            Poll::Pending
        }
    }
}

impl AsyncWrite for FaultStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write_with(cx, |tcp, cx| tcp.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_with(cx, |tcp, cx| tcp.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_with(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_with(cx, AsyncWrite::poll_shutdown)
    }
}
