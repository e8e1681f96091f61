//! One open WebSocket connection, polled: messages in, messages out, and the exact account of what went out.
//!
//! Reading is tungstenite's, and so are the answers to pings and closes and the state of the closing handshake; writing
//! is ours (see `frame`). Nothing here waits or wakes: whoever polls brings the `Context`.

mod frame;
mod input;
mod outgoing;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, error::ProtocolError};

use self::input::{Input, Io, least_frame};
use self::outgoing::Outgoing;
pub(crate) use self::outgoing::Unsent;
use super::dial::Transport;
use crate::io::{ConnEnd, SendId};
use crate::message::{Message, Text};

/// The close code that stands for "none came" (RFC 6455, section 7.1.5).
const NO_CODE: u16 = 1005;

/// The longest reason that a close frame has room for.
const LONGEST_REASON: usize = 123;

/// What came.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(Message),
    /// A ping, which is answered, or a pong.
    Control,
    /// The peer's close frame; nothing comes after it.
    Close {
        code: u16,
        reason: String,
    },
}

/// Why nothing more can come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    Lost { detail: String },
    Violation { code: u16, detail: String },
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Wire {
    transport: Transport,
    /// `None` while resting: nothing was received for a while, and no memory is held for it.
    context: Option<WebSocketContext>,
    config: WebSocketConfig,
    input: Input,
    out: Outgoing,
    /// Why writing failed. Reading goes on: what the peer said before it hung up is worth more than that it did.
    broken: Option<String>,
}

impl Wire {
    /// A wire on an upgraded transport; `leftover` came behind the upgrade.
    pub(crate) fn new(transport: Transport, leftover: Vec<u8>, max_message_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let input = Input::new(leftover);
        Self {
            transport,
            context: None,
            config,
            input,
            out: Outgoing::default(),
            broken: None,
        }
    }

    /// The next thing that came. After an error or a close there is nothing more to read.
    #[inline]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, WireError>> {
        // Asked first, because a read in vain would clear the whole buffer for it. An error is the read's to report.
        if self.input.is_idle(&self.transport) && self.transport.poll_readable(cx).is_pending() {
            return Poll::Pending;
        }
        if self.input.is_undecided() && self.context.as_ref().is_none_or(WebSocketContext::can_write) {
            match self.input.poll_first(&mut self.transport, cx) {
                Poll::Ready(Ok(true)) => self.context = None,
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.explain(Error::Io(error)))),
                Poll::Pending => return Poll::Pending,
            }
        }
        let read = self.with_context(cx, |context, io| context.read(io));
        match read {
            Ok(tungstenite::Message::Text(text)) => {
                self.input.used += least_frame(text.len());
                Poll::Ready(Ok(Incoming::Message(Message::Text(Text::from_wire(text)))))
            }
            Ok(tungstenite::Message::Binary(bytes)) => {
                self.input.used += least_frame(bytes.len());
                Poll::Ready(Ok(Incoming::Message(Message::Binary(bytes))))
            }
            Ok(tungstenite::Message::Ping(data)) => {
                self.input.used += least_frame(data.len());
                self.input.owes_pong = true;
                Poll::Ready(Ok(Incoming::Control))
            }
            Ok(tungstenite::Message::Pong(data)) => {
                self.input.used += least_frame(data.len());
                Poll::Ready(Ok(Incoming::Control))
            }
            Ok(tungstenite::Message::Close(frame)) => {
                let (code, reason) = frame.map_or((NO_CODE, String::new()), |frame| {
                    (frame.code.into(), frame.reason.as_str().to_owned())
                });
                Poll::Ready(Ok(Incoming::Close { code, reason }))
            }
            // Not given by `read`.
            Ok(tungstenite::Message::Frame(_)) => Poll::Ready(Ok(Incoming::Control)),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.input.found_nothing();
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(self.explain(error))),
        }
    }

    /// Writes the message and whatever waited before it, as far as the transport takes it. `true`: the operating
    /// system has all of it. Otherwise it is remembered, until a later flush or `take_unsent`.
    #[inline]
    pub(crate) fn write(
        &mut self,
        cx: &mut Context<'_>,
        send: SendId,
        message: Message,
        sent: &mut Vec<SendId>,
    ) -> bool {
        let pushed = self.out.push(&message);
        self.note(pushed);
        // The usual case: everything goes out, and there was nothing to remember.
        if self.poll_flush(cx, sent).is_ready() {
            return true;
        }
        self.out.remember(send, message, true);
        false
    }

    /// Puts the message behind what waits, to be written with the next flush: many small ones in one call.
    pub(crate) fn hold(&mut self, send: SendId, message: Message) {
        let pushed = self.out.push(&message);
        self.note(pushed);
        self.out.remember(send, message, false);
    }

    /// As `hold`, for a text that carries a token.
    pub(crate) fn hold_secret(&mut self, text: &str) {
        let pushed = self.out.push_secret(text);
        self.note(pushed);
    }

    /// As `hold`, for a ping.
    pub(crate) fn hold_ping(&mut self) {
        let pushed = self.out.push_ping();
        self.note(pushed);
    }

    /// As `hold`, for our close frame. No message may be written after it.
    pub(crate) fn hold_close(&mut self, cx: &mut Context<'_>, code: u16, reason: &str) {
        let fits = (0..=reason.len().min(LONGEST_REASON))
            .rev()
            .find(|end| reason.is_char_boundary(*end));
        let reason = reason.get(..fits.unwrap_or(0)).unwrap_or_default();
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        let frame = (code != NO_CODE).then_some(frame);
        self.with_context(cx, |context, io| {
            // The adapter takes every byte, so this fails only when the connection is over, and then needs no close.
            let _ = context.close(io, frame);
        });
    }

    /// Ready when the operating system has everything. `sent` gets the messages that it got whole by this, except
    /// awaited ones. Pending for ever once `is_broken`.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>, sent: &mut Vec<SendId>) -> Poll<()> {
        if self.broken.is_some() {
            return Poll::Pending;
        }
        match self.out.poll_write(&mut self.transport, cx, sent) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(result) => {
                self.note(result);
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Bytes that wait to be written.
    pub(crate) fn held(&self) -> usize {
        self.out.held()
    }

    /// Whether the operating system has everything.
    pub(crate) fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// Whether the operating system lacks a part of this message.
    pub(crate) fn is_unsent(&self, send: SendId) -> bool {
        self.out.unsent().iter().any(|unsent| unsent.send == send)
    }

    /// Nobody waits for this message any longer; whether it is on its way at all.
    pub(crate) fn disown(&mut self, send: SendId) -> bool {
        self.out.disown(send)
    }

    /// Why writing failed, if it did.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Bytes that came since the beginning: by comparing, one sees that something came.
    pub(crate) fn received(&self) -> u64 {
        self.input.total
    }

    /// For the end: the messages of which the operating system lacks a part, in order, and whether the connection may
    /// still be closed in good order. It may not with any of those on the way: the peer could get one whole.
    pub(crate) fn take_unsent(&mut self) -> (std::collections::VecDeque<Unsent>, bool) {
        let unsent = self.out.take_unsent();
        let clean = unsent.is_empty() && self.broken.is_none();
        (unsent, clean)
    }

    /// After a close or a violation: our answer to it, which is written by `poll_hang_up`.
    pub(crate) fn hold_answer(&mut self, cx: &mut Context<'_>, violation: Option<u16>) {
        if let Some(code) = violation {
            return self.hold_close(cx, code, "");
        }
        self.with_context(cx, |context, io| {
            let _ = context.flush(io);
        });
    }

    /// The end in good order: writes what is left, says that nothing more comes, waits for the peer to do the same.
    pub(crate) fn poll_hang_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.context = None;
        if self.poll_flush(cx, &mut Vec::new()).is_pending() {
            return if self.broken.is_some() {
                Poll::Ready(())
            } else {
                Poll::Pending
            };
        }
        match Pin::new(&mut self.transport).poll_shutdown(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
        let mut ignored = [0; 1024];
        // Bounded: what a peer sends after its close is not worth reading to the end.
        for _ in 0..64 {
            let mut into = ReadBuf::new(&mut ignored);
            match Pin::new(&mut self.transport).poll_read(cx, &mut into) {
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {}
                Poll::Ready(_) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// Gives memory back: an idle connection needs no buffers. Those for reading stay if anything might be in them.
    pub(crate) fn rest(&mut self) {
        self.out.rest();
        let Some(context) = &self.context else { return };
        if self.input.is_spent() && context.can_write() && self.out.is_empty() {
            self.context = None;
        }
    }

    #[cfg(test)]
    pub(crate) fn is_resting(&self) -> bool {
        self.context.is_none()
    }

    fn with_context<R>(
        &mut self,
        cx: &mut Context<'_>,
        work: impl FnOnce(&mut WebSocketContext, &mut Io<'_, '_>) -> R,
    ) -> R {
        let context = match &mut self.context {
            Some(context) => context,
            none => {
                let config = self.config.read_buffer_size(self.input.reset());
                none.insert(WebSocketContext::new(Role::Client, Some(config)))
            }
        };
        let mut io = Io {
            transport: &mut self.transport,
            cx,
            out: &mut self.out,
            input: &mut self.input,
        };
        work(context, &mut io)
    }

    fn note<T>(&mut self, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.broken.get_or_insert_with(|| format!("writing: {error}"));
                None
            }
        }
    }

    /// In words of our own where tungstenite's could hold a piece of a message.
    fn explain(&self, error: Error) -> WireError {
        let violation = |code, detail: String| WireError::Violation { code, detail };
        let lost = |detail: String| WireError::Lost {
            detail: self.broken.clone().unwrap_or(detail),
        };
        match error {
            Error::Capacity(error) => violation(1009, error.to_string()),
            Error::Utf8(_) => violation(1007, "text that is not UTF-8".to_owned()),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            | Error::ConnectionClosed
            | Error::AlreadyClosed => lost("the connection ended without a close frame".to_owned()),
            Error::Protocol(error) => violation(1002, error.to_string()),
            Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                lost(format!("the connection ended without a close frame: {error}"))
            }
            Error::Io(error) => lost(error.to_string()),
            error => lost(error.to_string()),
        }
    }
}

impl WireError {
    /// As the machine is told; `refused`: the last message was an auth refusal.
    pub(crate) fn into_end(self, refused: bool) -> ConnEnd {
        match self {
            Self::Lost { detail } => ConnEnd::Lost { detail, refused },
            Self::Violation { code, detail } => ConnEnd::Violation { code, detail },
        }
    }
}
