//! Writing: by the application itself, and by the task what the machine handed over.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use super::Over;
use super::state::{Closing, Phase, Queued, State};
use crate::io::{Input, SendId};
use crate::message::Message;

/// Frames that may wait to be written together.
const HOLD: usize = 256 * 1024;

/// A queue that grew beyond this is given back once it is empty.
const KEPT_QUEUE: usize = 64;

/// Under this number waits whoever flushes; no message has it.
const FLUSHER: SendId = SendId(u64::MAX);

impl State {
    /// See `Pipe::poll_send`.
    pub(super) fn poll_send(
        &mut self,
        waker: &Waker,
        send: SendId,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), Over>> {
        if message.is_none() {
            return self.poll_sent(waker, send, message);
        }
        if !self.takes_messages() {
            return Poll::Ready(Err(Over));
        }
        if !self.poll_writable(waker, send, 0) {
            return Poll::Pending;
        }
        let Phase::Open(wire) = &mut self.phase else {
            return Poll::Pending;
        };
        let Some(message) = message.take() else {
            return Poll::Ready(Ok(()));
        };
        let mut cx = Context::from_waker(&self.wakers.write);
        if wire.write(&mut cx, send, message, &mut self.after.sent) {
            return Poll::Ready(Ok(()));
        }
        // Registered before the flush that finds the transport full: the other way round, room could come in between.
        self.signals.add_sender(send, waker);
        self.flush();
        self.rest_of(send)
    }

    /// See `Pipe::poll_feed`.
    pub(super) fn poll_feed(
        &mut self,
        waker: &Waker,
        send: SendId,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), Over>> {
        if !self.takes_messages() {
            return Poll::Ready(Err(Over));
        }
        if message.is_some() && !self.poll_writable(waker, send, HOLD) {
            return Poll::Pending;
        }
        if let (Phase::Open(wire), Some(message)) = (&mut self.phase, message.take()) {
            wire.hold(send, message);
        }
        Poll::Ready(Ok(()))
    }

    /// See `Pipe::poll_flush`.
    pub(super) fn poll_flush(&mut self, waker: &Waker) -> Poll<Result<(), Over>> {
        if self.is_over() {
            return Poll::Ready(Err(Over));
        }
        if self.poll_writable(waker, FLUSHER, 0) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Writes what the task is to write, as far as the transport takes it.
    pub(super) fn write_queue(&mut self) {
        let mut waited_for = !self.queue.is_empty();
        loop {
            let Phase::Open(wire) = &mut self.phase else {
                return;
            };
            for _ in 0..std::mem::take(&mut self.pings) {
                wire.hold_ping();
            }
            while wire.held() < HOLD {
                match self.queue.pop_front() {
                    Some(Queued::Message(send, message)) => wire.hold(send, message),
                    Some(Queued::Secret(text)) => wire.hold_secret(text.expose()),
                    None => break,
                }
            }
            let flushed = self.flush();
            if self.queue.is_empty() || !flushed {
                break;
            }
        }
        if !self.queue.is_empty() {
            return;
        }
        if self.queue.capacity() > KEPT_QUEUE {
            self.queue = VecDeque::new();
        }
        if let (Phase::Open(wire), Closing::Asked { code, reason }) = (&mut self.phase, &self.closing) {
            wire.hold_close(&mut Context::from_waker(&self.wakers.write), *code, reason);
            self.closing = Closing::Sent;
            self.flush();
            waited_for = true;
        }
        self.after.wake_senders |= waited_for;
    }

    /// Whether the task has something to write that it has to write itself.
    pub(super) fn task_writes(&self) -> bool {
        !self.queue.is_empty() || self.pings > 0 || matches!(self.closing, Closing::Asked { .. })
    }

    /// See `Pipe::disown`.
    pub(super) fn disown(&mut self, send: SendId) -> Option<Message> {
        let on_its_way = match &mut self.phase {
            Phase::Open(wire) => wire.disown(send),
            Phase::Connecting | Phase::Over(_) => false,
        };
        let returned = self.take_returned(send);
        if !on_its_way && returned.is_none() {
            self.after.sent.push(send);
        }
        returned
    }

    /// Writes what waits; whether everything is with the operating system.
    pub(super) fn flush(&mut self) -> bool {
        let Phase::Open(wire) = &mut self.phase else {
            return false;
        };
        let flushed = wire.poll_flush(&mut Context::from_waker(&self.wakers.write), &mut self.after.sent);
        if !self.broken_told && wire.broken().is_some() {
            // Not the end yet (see `Wire::broken`); the task sees to it that it comes.
            self.broken_told = true;
            self.signals.task.wake();
        }
        if flushed.is_ready() && self.closing == Closing::Sent && !self.broken_told && !self.flushed_told {
            self.flushed_told = true;
            self.tell(Input::Flushed { conn: self.conn });
        }
        flushed.is_ready()
    }

    /// The rest of a message that was written in part.
    fn poll_sent(
        &mut self,
        waker: &Waker,
        send: SendId,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), Over>> {
        if self.is_over() {
            *message = self.take_returned(send);
            return Poll::Ready(if message.is_some() { Err(Over) } else { Ok(()) });
        }
        self.flush();
        if self.rest_of(send).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.signals.add_sender(send, waker);
        self.flush();
        self.rest_of(send)
    }

    fn rest_of(&self, send: SendId) -> Poll<Result<(), Over>> {
        match &self.phase {
            Phase::Open(wire) if wire.is_unsent(send) => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Whether a message may be written now: nothing of the machine's is waiting, and of frames no more than `held`
    /// bytes. If not, `waker` is woken when it is worth asking again.
    fn poll_writable(&mut self, waker: &Waker, send: SendId, held: usize) -> bool {
        if self.is_writable(held) {
            return true;
        }
        self.signals.add_sender(send, waker);
        // Asked again with the waker in its place.
        self.is_writable(held)
    }

    fn is_writable(&mut self, held: usize) -> bool {
        let Phase::Open(wire) = &self.phase else {
            return false;
        };
        if !self.queue.is_empty() {
            return false;
        }
        if wire.broken().is_some() {
            return false;
        }
        // With nothing written that did not go out, there is room: no need to ask the operating system.
        let few = if held == 0 {
            wire.is_flushed()
        } else {
            wire.held() < held
        };
        few || self.flush()
    }
}
