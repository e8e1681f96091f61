//! What the application's handle and the connection's task share, behind one lock that is held for short polls only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Context;

use tokio::sync::mpsc;

use super::Clock;
use super::signals::{Signals, Wakers};
use crate::inspect::Inspector;
use crate::io::{ConnEnd, ConnId, ConnectFailure, Input, SendId};
use crate::message::Message;
use crate::native::wire::Wire;
use crate::options::{LimitOptions, SocketOptions};
use crate::secret::Secret;
use crate::time::Mono;

/// One connection, as everybody sees it.
pub(super) struct State {
    pub(super) conn: ConnId,
    pub(super) tell: mpsc::UnboundedSender<Input>,
    pub(super) clock: Clock,
    pub(super) signals: Arc<Signals>,
    pub(super) wakers: Wakers,
    pub(super) limits: LimitOptions,
    pub(super) inspector: Inspector,
    pub(super) phase: Phase,

    /// Messages that the task read, for the application.
    pub(super) inbox: VecDeque<Message>,
    pub(super) inbox_bytes: usize,
    /// The last message, if it might have been a refusal.
    pub(super) last: Option<Message>,
    pub(super) last_received: Mono,
    /// Counts the application's reads: by comparing, the task sees whether it came.
    pub(super) reads: u64,

    /// What the task is to write.
    pub(super) queue: VecDeque<Queued>,
    pub(super) pings: u32,
    pub(super) closing: Closing,
    pub(super) aborted: bool,
    /// The task knows that writing has failed.
    pub(super) broken_told: bool,
    /// The machine knows that everything was written, our close included.
    pub(super) flushed_told: bool,
    /// After the end: messages that their senders take back.
    returned: Vec<(SendId, Message)>,
    /// To do once the lock is open again.
    pub(super) after: After,
}

/// Where the connection is in its life.
pub(super) enum Phase {
    Connecting,
    Open(Box<Wire>),
    /// Told. A wire that is left is to be closed in good order.
    Over(Option<Box<Wire>>),
}

/// What the task is to write.
pub(super) enum Queued {
    Message(SendId, Message),
    Secret(Secret),
}

/// How far our own close has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    No,
    Asked { code: u16, reason: String },
    Sent,
}

/// What is not done under the lock, because it runs code of others.
#[derive(Default)]
pub(super) struct After {
    /// Tell the observer that these are sent.
    pub(super) sent: Vec<SendId>,
    pub(super) wake_senders: bool,
    pub(super) wake_receiver: bool,
    pub(super) wake_everybody: bool,
}

impl State {
    pub(super) fn new(
        conn: ConnId,
        options: &SocketOptions,
        tell: mpsc::UnboundedSender<Input>,
        clock: Clock,
        signals: Arc<Signals>,
    ) -> Self {
        Self {
            conn,
            tell,
            last_received: clock(),
            clock,
            wakers: Wakers::new(&signals),
            signals,
            limits: options.limits.clone(),
            inspector: Inspector::new(options),
            phase: Phase::Connecting,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            last: None,
            reads: 0,
            queue: VecDeque::new(),
            pings: 0,
            closing: Closing::No,
            aborted: false,
            broken_told: false,
            flushed_told: false,
            returned: Vec::new(),
            after: After::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// Whether the application may still hand over messages.
    pub(super) fn takes_messages(&self) -> bool {
        !self.is_over() && self.closing == Closing::No && !self.aborted
    }

    /// The upgrade was accepted.
    pub(super) fn opened(&mut self, wire: Wire, subprotocol: Option<String>) {
        self.last_received = (self.clock)();
        self.phase = Phase::Open(Box::new(wire));
        // An application that came before there was anything to read may have gone again.
        self.signals.task_reads.store(true, SeqCst);
        self.signals.watch();
        self.tell(Input::Opened {
            conn: self.conn,
            subprotocol,
        });
        self.after.wake_everybody = true;
    }

    /// The attempt failed. It is told as that and not as an end.
    pub(super) fn failed(&mut self, failure: ConnectFailure) {
        self.phase = Phase::Over(None);
        self.tell(Input::ConnectFailed {
            conn: self.conn,
            failure,
        });
        self.after.wake_everybody = true;
    }

    /// The connection is over. The machine is told before anybody who waits hears of it, so that a message that its
    /// sender queues again comes behind those that come back here.
    pub(super) fn end(&mut self, end: ConnEnd, answer: Answer) {
        let mut unsent = Vec::new();
        let mut left = None;
        match std::mem::replace(&mut self.phase, Phase::Over(None)) {
            over @ Phase::Over(_) => {
                self.phase = over;
                return;
            }
            Phase::Connecting => {}
            Phase::Open(mut wire) => {
                let (messages, clean) = wire.take_unsent();
                for message in messages {
                    let to = if message.awaited {
                        &mut self.returned
                    } else {
                        &mut unsent
                    };
                    to.push((message.send, message.message));
                }
                if clean && answer != Answer::None {
                    wire.hold_answer(&mut Context::from_waker(&self.wakers.write), answer.code());
                    left = Some(wire);
                }
            }
        }
        unsent.extend(self.take_queue());
        self.phase = Phase::Over(left);
        self.tell(Input::Ended {
            conn: self.conn,
            end,
            unsent,
        });
        self.after.wake_everybody = true;
    }

    /// The end without a close frame.
    pub(super) fn lost(&mut self, detail: &str) {
        let refused = self.inspector.was_refusal(self.last.as_ref());
        self.end(
            ConnEnd::Lost {
                detail: detail.to_owned(),
                refused,
            },
            Answer::None,
        );
    }

    /// After the end: messages that the driver handed over before it heard of it.
    pub(super) fn take_late(&mut self) -> Vec<(SendId, Message)> {
        if self.is_over() {
            self.take_queue()
        } else {
            Vec::new()
        }
    }

    /// After the end: the message that its sender is to take back, if it was not sent.
    pub(super) fn take_returned(&mut self, send: SendId) -> Option<Message> {
        let at = self.returned.iter().position(|(returned, _)| *returned == send)?;
        Some(self.returned.swap_remove(at).1)
    }

    fn take_queue(&mut self) -> Vec<(SendId, Message)> {
        let messages = std::mem::take(&mut self.queue)
            .into_iter()
            .filter_map(|queued| match queued {
                Queued::Message(send, message) => Some((send, message)),
                Queued::Secret(_) => None,
            });
        messages.collect()
    }

    pub(super) fn tell(&self, input: Input) {
        // Nobody listens once the whole client is gone, and then nothing is missed.
        let _ = self.tell.send(input);
    }
}

impl After {
    /// Takes what there is to do, if there is anything.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Self> {
        let nothing =
            self.sent.is_empty() && !(self.wake_senders || self.wake_receiver || self.wake_everybody);
        if nothing { None } else { Some(std::mem::take(self)) }
    }
}

/// What the peer is owed when the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    None,
    /// The answer to its close frame.
    Close,
    /// A close frame with this code.
    Violation(u16),
}

impl Answer {
    fn code(self) -> Option<u16> {
        if let Self::Violation(code) = self {
            Some(code)
        } else {
            None
        }
    }
}
