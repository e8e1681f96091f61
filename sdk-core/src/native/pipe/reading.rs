//! Reading, by the application itself or ahead for it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll};

use super::state::{Answer, Phase, State};
use crate::io::{ConnEnd, Input};
use crate::message::Message;
use crate::native::wire::{Incoming, WireError};
use crate::time::Mono;

/// At most this much is read in one go, so that the lock is not held, and an executor not kept, for long.
const BATCH_MESSAGES: usize = 64;
const BATCH_BYTES: usize = 256 * 1024;

/// Longer messages are no refusals, and would be kept alive for nothing.
const LONGEST_REFUSAL: usize = 8 * 1024;

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// Nothing more is there; the read waker is registered.
    Dry,
    /// There may be more.
    Enough,
    Over,
}

impl State {
    /// A read by the application: what the task has read for it, then what is there.
    pub(super) fn read_for_application(&mut self, into: &mut VecDeque<Message>) -> Filled {
        self.reads = self.reads.wrapping_add(1);
        self.signals.task_reads.store(false, SeqCst);
        self.signals.unserved.store(false, SeqCst);
        let filled = if self.drain_inbox(into) {
            let messages = BATCH_MESSAGES.min(self.limits.receive_messages);
            let bytes = BATCH_BYTES.min(self.limits.receive_bytes);
            self.read_batch(into, messages, bytes).0
        } else {
            Filled::Enough
        };
        if filled == Filled::Enough {
            // No waker is registered: if the application does not come back, the task must notice by itself.
            self.signals.unserved.store(true, SeqCst);
            self.signals.watch();
        }
        filled
    }

    /// Reads for an application that is not there, up to the bounds.
    pub(super) fn read_ahead(&mut self) -> Filled {
        while !self.inbox_is_full() {
            let mut inbox = std::mem::take(&mut self.inbox);
            let messages = BATCH_MESSAGES.min(self.limits.receive_messages - inbox.len());
            let bytes = BATCH_BYTES.min(self.limits.receive_bytes - self.inbox_bytes);
            let (filled, read) = self.read_batch(&mut inbox, messages, bytes);
            self.inbox = inbox;
            self.inbox_bytes += read;
            if filled != Filled::Enough {
                return filled;
            }
        }
        Filled::Enough
    }

    /// A time at which the peer was known to be alive.
    pub(super) fn last_received(&self) -> Mono {
        // Not to read is our choice then, so the silence says nothing about the peer.
        if self.inbox_is_full() {
            (self.clock)()
        } else {
            self.last_received
        }
    }

    /// Gives memory back while nothing happens.
    pub(super) fn rest(&mut self) {
        if let Phase::Open(wire) = &mut self.phase {
            wire.rest();
        }
        if self.inbox.is_empty() {
            self.inbox = VecDeque::new();
        }
        // A copy of its own, so that it does not keep the whole buffer that it was read into.
        if let Some(last) = self.last.take() {
            self.last = last.as_text().map(Message::text);
        }
    }

    /// Moves messages from the inbox; whether that was all.
    fn drain_inbox(&mut self, into: &mut VecDeque<Message>) -> bool {
        let (mut count, mut bytes) = (0, 0);
        while count < BATCH_MESSAGES && bytes < BATCH_BYTES {
            let Some(message) = self.inbox.pop_front() else {
                break;
            };
            count += 1;
            bytes += message.len();
            into.push_back(message);
        }
        self.inbox_bytes -= bytes;
        self.inbox.is_empty() && count < BATCH_MESSAGES
    }

    pub(super) fn inbox_is_full(&self) -> bool {
        self.inbox.len() >= self.limits.receive_messages || self.inbox_bytes >= self.limits.receive_bytes
    }

    /// Reads until nothing is there, or enough; second, how many bytes of messages.
    fn read_batch(&mut self, into: &mut VecDeque<Message>, messages: usize, bytes: usize) -> (Filled, usize) {
        let Phase::Open(wire) = &mut self.phase else {
            return (if self.is_over() { Filled::Over } else { Filled::Dry }, 0);
        };
        let mut cx = Context::from_waker(&self.wakers.read);
        let received = wire.received();
        let length = into.len();
        let full = length + messages;
        let mut read = 0;
        // Frames of which nothing is delivered count too: a peer may send them without end.
        let mut frames = messages + BATCH_MESSAGES;
        let result = loop {
            if into.len() >= full || read >= bytes || frames == 0 {
                break Ok(Filled::Enough);
            }
            frames -= 1;
            match wire.poll_read(&mut cx) {
                Poll::Ready(Ok(Incoming::Message(message))) => {
                    let verdict = self.inspector.look(&message);
                    if let Some(notice) = verdict.notice {
                        let _ = self.tell.send(Input::Noticed {
                            conn: self.conn,
                            notice,
                        });
                    }
                    if verdict.deliver {
                        read += message.len();
                        into.push_back(message);
                    }
                }
                Poll::Ready(Ok(Incoming::Control)) => {}
                Poll::Ready(Ok(Incoming::Close { code, reason })) => break Err(Stop::Close { code, reason }),
                Poll::Ready(Err(error)) => break Err(Stop::Error(error)),
                Poll::Pending => break Ok(Filled::Dry),
            }
        };
        if wire.received() != received {
            self.last_received = (self.clock)();
        }
        // Answers to pings, which are written with whatever else waits.
        let answers = wire.held() > 0;
        if into.len() > length {
            let possible = |last: &&Message| last.len() <= LONGEST_REFUSAL && last.as_text().is_some();
            self.last = into.back().filter(possible).cloned();
        }
        let filled = match result {
            Ok(filled) => {
                if answers {
                    self.flush();
                }
                filled
            }
            Err(stop) => {
                self.stop(stop);
                Filled::Over
            }
        };
        (filled, read)
    }

    /// Nothing more comes.
    fn stop(&mut self, stop: Stop) {
        let refused = self.inspector.was_refusal(self.last.as_ref());
        match stop {
            Stop::Close { code, reason } => self.end(
                ConnEnd::Closed {
                    code,
                    reason,
                    refused,
                },
                Answer::Close,
            ),
            Stop::Error(error) => {
                let answer = match &error {
                    WireError::Violation { code, .. } => Answer::Violation(*code),
                    WireError::Lost { .. } => Answer::None,
                };
                self.end(error.into_end(refused), answer);
            }
        }
    }
}

enum Stop {
    Close { code: u16, reason: String },
    Error(WireError),
}
