//! The outgoing half: bytes on their way to the operating system, and the messages that are not wholly there yet.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite as _;
use zeroize::Zeroize as _;

use super::frame::{LONGEST_HEADER, Opcode, encode};
use crate::io::SendId;
use crate::message::Message;
use crate::native::dial::Transport;

/// A buffer that grew beyond this is given back once it is empty. (All of it is, when the connection rests.)
const KEPT_BUFFER: usize = 512 * 1024;

/// A message of which the operating system does not have every byte.
#[derive(Debug)]
pub(crate) struct Unsent {
    /// The count of bytes, from the connection's first, with which the message ends.
    end: u64,
    pub(crate) send: SendId,
    pub(crate) message: Message,
    /// Whoever sent it waits for it, and takes it back himself if the connection ends.
    pub(crate) awaited: bool,
}

/// Bytes and messages on their way out.
///
/// A frame is encoded into the buffer and written from there, so that a message's fate is a comparison of two counters:
/// it is sent exactly when the operating system has taken as many bytes as there were with the message's last one.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Frames; those before `written` were given to the transport.
    bytes: Vec<u8>,
    written: usize,
    /// All bytes that ever were in the buffer.
    enqueued: u64,
    /// All bytes that the operating system has. A TLS session that still holds some makes it lag behind `written`.
    accepted: u64,
    unsent: VecDeque<Unsent>,
    /// The buffer holds, or held since it was last wiped, a frame with a token.
    secret: bool,
}

impl Outgoing {
    /// Bytes that wait here.
    pub(super) fn held(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether the operating system has everything.
    pub(super) fn is_empty(&self) -> bool {
        self.accepted == self.enqueued
    }

    /// Messages that are not sent, oldest first.
    pub(super) fn unsent(&self) -> &VecDeque<Unsent> {
        &self.unsent
    }

    /// Nobody waits for this message any longer; whether it is on its way at all.
    pub(super) fn disown(&mut self, send: SendId) -> bool {
        let found = self.unsent.iter_mut().find(|unsent| unsent.send == send);
        found.map(|unsent| unsent.awaited = false).is_some()
    }

    pub(super) fn take_unsent(&mut self) -> VecDeque<Unsent> {
        std::mem::take(&mut self.unsent)
    }

    /// Puts a message behind what is there. Unless it goes out at once, it is to be remembered before the next.
    #[inline]
    pub(super) fn push(&mut self, message: &Message) -> io::Result<()> {
        let opcode = if matches!(message, Message::Text(_)) {
            Opcode::Text
        } else {
            Opcode::Binary
        };
        self.push_frame(opcode, message.as_bytes())
    }

    /// Remembers the message that was put in last.
    pub(super) fn remember(&mut self, send: SendId, message: Message, awaited: bool) {
        self.unsent.push_back(Unsent {
            end: self.enqueued,
            send,
            message,
            awaited,
        });
    }

    /// Puts a text frame with a token behind what is there. Its bytes are wiped when they are out.
    pub(super) fn push_secret(&mut self, text: &str) -> io::Result<()> {
        self.secret = true;
        self.push_frame(Opcode::Text, text.as_bytes())
    }

    pub(super) fn push_ping(&mut self) -> io::Result<()> {
        self.push_frame(Opcode::Ping, &[])
    }

    /// Puts bytes that are frames already behind what is there.
    pub(super) fn push_raw(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.enqueued += bytes.len() as u64;
    }

    fn push_frame(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        self.make_room(payload.len() + LONGEST_HEADER);
        let before = self.bytes.len();
        encode(opcode, payload, &mut self.bytes)?;
        self.enqueued += (self.bytes.len() - before) as u64;
        Ok(())
    }

    /// Growing moves a buffer and leaves its old bytes behind: with a token in it, it is moved by hand and wiped.
    fn make_room(&mut self, more: usize) {
        if self.secret && self.bytes.capacity() - self.bytes.len() < more {
            let mut moved = Vec::with_capacity((self.bytes.len() + more).max(2 * self.bytes.len()));
            moved.extend_from_slice(&self.bytes);
            self.bytes.zeroize();
            self.bytes = moved;
        }
    }

    /// Writes until everything is with the operating system. Messages that are, are taken off the list; `sent` gets
    /// those that nobody waits for.
    #[inline]
    pub(super) fn poll_write(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
        sent: &mut Vec<SendId>,
    ) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let result = self.poll_write_bytes(transport, cx);
        while self
            .unsent
            .front()
            .is_some_and(|first| first.end <= self.accepted)
        {
            if let Some(first) = self.unsent.pop_front().filter(|first| !first.awaited) {
                sent.push(first.send);
            }
        }
        result
    }

    fn poll_write_bytes(&mut self, transport: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let count = ready!(Pin::new(&mut *transport).poll_write(cx, &self.bytes[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            if !transport.buffers() {
                self.accepted += count as u64;
            }
        }
        if transport.buffers() {
            ready!(Pin::new(transport).poll_flush(cx))?;
        }
        self.accepted = self.enqueued;
        self.written = 0;
        if self.secret {
            self.secret = false;
            self.bytes.zeroize();
        }
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BUFFER {
            self.bytes.shrink_to(KEPT_BUFFER);
        }
        Poll::Ready(Ok(()))
    }

    /// Gives memory back while nothing is on its way.
    pub(super) fn rest(&mut self) {
        if self.is_empty() {
            self.bytes = Vec::new();
            self.unsent = VecDeque::new();
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if self.secret {
            self.bytes.zeroize();
        }
    }
}
