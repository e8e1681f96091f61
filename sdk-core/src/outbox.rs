//! Messages that wait for a connection: bounded by number, bytes and age, bound to the user who queued them (W10).

use std::collections::VecDeque;

use crate::error::{Error, ErrorKind};
use crate::io::SendId;
use crate::message::Message;
use crate::options::{OutboxMode, OutboxOptions, WhenFull};
use crate::time::Mono;

/// The queue of one socket.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    send: SendId,
    message: Message,
    since: Mono,
}

/// Messages that lost, and why.
pub(crate) type Failed = Vec<(SendId, Error)>;

impl Outbox {
    /// Queues a message, or says which messages fail so that the bounds hold.
    pub(crate) fn push(
        &mut self,
        options: &OutboxOptions,
        send: SendId,
        message: Message,
        now: Mono,
    ) -> Failed {
        if options.mode == OutboxMode::Reject {
            let error = Error::new(
                ErrorKind::NotConnected,
                "there is no connection, and the outbox is switched off",
            );
            return vec![(send, error)];
        }
        self.push_moving(options, send, message, now)
    }

    /// The same for a message that does not wait for a connection but for those before it, in a handover.
    pub(crate) fn push_moving(
        &mut self,
        options: &OutboxOptions,
        send: SendId,
        message: Message,
        now: Mono,
    ) -> Failed {
        let size = message.len();
        if size > options.max_bytes || options.max_messages == 0 {
            return vec![(send, full())];
        }
        let mut failed = Failed::new();
        while self.waiting.len() >= options.max_messages || self.bytes + size > options.max_bytes {
            if options.when_full == WhenFull::RejectNew {
                return vec![(send, full())];
            }
            failed.extend(self.pop_front().map(|lost| (lost.send, full())));
        }
        self.bytes += size;
        self.waiting.push_back(Waiting {
            send,
            message,
            since: now,
        });
        failed
    }

    /// Puts messages that a lost connection did not send back in front, in their order. They were accepted before, so
    /// the bounds do not apply to them again; their age begins anew.
    pub(crate) fn put_back(&mut self, unsent: Vec<(SendId, Message)>, now: Mono) {
        for (send, message) in unsent.into_iter().rev() {
            self.bytes += message.len();
            self.waiting.push_front(Waiting {
                send,
                message,
                since: now,
            });
        }
    }

    /// Takes everything, in order.
    pub(crate) fn take_all(&mut self) -> Vec<(SendId, Message)> {
        self.bytes = 0;
        self.waiting.drain(..).map(|w| (w.send, w.message)).collect()
    }

    /// Fails everything.
    pub(crate) fn fail_all(&mut self, error: &Error) -> Failed {
        self.take_all()
            .into_iter()
            .map(|(send, _)| (send, error.clone()))
            .collect()
    }

    /// Fails what is too old; second, when to look again.
    pub(crate) fn expire(&mut self, options: &OutboxOptions, now: Mono) -> (Failed, Option<Mono>) {
        let mut failed = Failed::new();
        if options.max_age_ms == 0 {
            return (failed, None);
        }
        // Messages put back have a younger date and stand in front, so the whole queue is looked through.
        let mut kept = VecDeque::with_capacity(self.waiting.len());
        for waiting in std::mem::take(&mut self.waiting) {
            if now.since(waiting.since) >= options.max_age_ms {
                self.bytes -= waiting.message.len();
                let error = Error::new(
                    ErrorKind::MessageExpired,
                    "the message waited too long for a connection",
                );
                failed.push((waiting.send, error));
            } else {
                kept.push_back(waiting);
            }
        }
        self.waiting = kept;
        let next = self.waiting.iter().map(|w| w.since + options.max_age_ms).min();
        (failed, next)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn pop_front(&mut self) -> Option<Waiting> {
        let lost = self.waiting.pop_front()?;
        self.bytes -= lost.message.len();
        Some(lost)
    }
}

fn full() -> Error {
    Error::new(ErrorKind::OutboxFull, "the outbox is full")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(max_messages: usize, max_bytes: usize, when_full: WhenFull) -> OutboxOptions {
        OutboxOptions {
            max_messages,
            max_bytes,
            when_full,
            max_age_ms: 100,
            ..OutboxOptions::default()
        }
    }

    fn lost(failed: &Failed) -> Vec<(u64, ErrorKind)> {
        failed
            .iter()
            .map(|(send, error)| (send.0, error.kind()))
            .collect()
    }

    #[test]
    fn w10_bounds_by_count_and_bytes_with_either_policy() {
        let reject = options(2, 10, WhenFull::RejectNew);
        let mut outbox = Outbox::default();
        assert!(outbox.push(&reject, SendId(1), "aaaa".into(), Mono(0)).is_empty());
        assert!(outbox.push(&reject, SendId(2), "bbbb".into(), Mono(0)).is_empty());
        assert_eq!(
            lost(&outbox.push(&reject, SendId(3), "c".into(), Mono(0))),
            [(3, ErrorKind::OutboxFull)]
        );

        let drop = options(10, 10, WhenFull::DropOldest);
        assert_eq!(
            lost(&outbox.push(&drop, SendId(4), "dddddddd".into(), Mono(0))),
            [(1, ErrorKind::OutboxFull), (2, ErrorKind::OutboxFull)]
        );
        assert_eq!(
            lost(&outbox.push(&drop, SendId(5), "eeeeeeeeeee".into(), Mono(0))),
            [(5, ErrorKind::OutboxFull)]
        );
        assert_eq!(outbox.take_all().len(), 1);
    }

    #[test]
    fn w10_age_is_bounded_and_order_is_kept_when_put_back() {
        let options = options(10, 100, WhenFull::RejectNew);
        let mut outbox = Outbox::default();
        outbox.push(&options, SendId(3), "x".into(), Mono(50));
        outbox.put_back(vec![(SendId(1), "a".into()), (SendId(2), "b".into())], Mono(90));
        let (failed, next) = outbox.expire(&options, Mono(150));
        assert_eq!(lost(&failed), [(3, ErrorKind::MessageExpired)]);
        assert_eq!(next, Some(Mono(190)));
        assert_eq!(
            outbox
                .take_all()
                .iter()
                .map(|(send, _)| send.0)
                .collect::<Vec<_>>(),
            [1, 2]
        );
    }
}
