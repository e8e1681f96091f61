//! The connections of one socket: what their messages are looked at for, and which of the messages of two that overlap
//! reach the application (W5). Unlike the native client's lanes these push: the web cannot be told to stop reading.

use std::sync::Arc;

use freshsocket::inspect::Inspector;
use freshsocket::io::{ConnEnd, ConnId, Notice, OverlapStage, SocketId};
use freshsocket::options::{Credential, SocketOptions};
use freshsocket::overlap::{Overlap, Side};
use freshsocket::time::Mono;
use wasm_bindgen::JsValue;

use crate::text;

/// A text longer than this is never a refusal; see `inspect.rs`.
const LONGEST_REFUSAL: u32 = 8 * 1024;

/// One connection, or attempt at one.
pub(crate) struct Conn {
    pub(crate) socket: SocketId,
    pub(crate) last_received: Mono,
    inspector: Inspector,
    /// The last message, if it might have been a refusal.
    last: Option<JsValue>,
}

/// One socket of the application's.
pub(crate) struct Lanes {
    pub(crate) options: Arc<SocketOptions>,
    meeting: Option<Meeting>,
}

/// A connection and the one that is to replace it.
struct Meeting {
    old: ConnId,
    new: ConnId,
    /// Absent where everything is to be delivered.
    overlap: Option<Overlap>,
    /// Those of the new one wait no longer for the end of the old one.
    mixed: bool,
    /// What the new one brought meanwhile.
    held: Vec<JsValue>,
    held_bytes: usize,
}

impl Conn {
    pub(crate) fn new(socket: SocketId, options: &SocketOptions, now: Mono) -> Self {
        Self {
            socket,
            last_received: now,
            inspector: Inspector::new(options),
            last: None,
        }
    }

    /// Looks at a message: whether it is for the application, and what the machine is to be told.
    pub(crate) fn look(&mut self, data: &JsValue, now: Mono) -> (bool, Option<Notice>) {
        self.last_received = now;
        let may_refuse = text::text_length(data).is_some_and(|length| length <= LONGEST_REFUSAL);
        self.last = may_refuse.then(|| data.clone());
        if self.inspector.is_indifferent() {
            return (true, None);
        }
        let Some(message) = text::message(data) else {
            return (false, None);
        };
        let verdict = self.inspector.look(&message);
        (verdict.deliver, verdict.notice)
    }

    /// The end, with whether the last message was a refusal.
    pub(crate) fn end(&self, code: u16, reason: String, detail: &str) -> ConnEnd {
        let last = self.last.as_ref().and_then(text::message);
        let refused = self.inspector.was_refusal(last.as_ref());
        match code {
            1006 => ConnEnd::Lost {
                detail: detail.to_owned(),
                refused,
            },
            code => ConnEnd::Closed {
                code,
                reason,
                refused,
            },
        }
    }
}

impl Lanes {
    pub(crate) fn new(options: Arc<SocketOptions>) -> Self {
        Self {
            options,
            meeting: None,
        }
    }

    /// The subprotocol that may be told. A server that selects the token itself would otherwise have it printed.
    pub(crate) fn tellable(&self, selected: String) -> Option<String> {
        let marker = match &self.options.credential {
            Credential::Subprotocol { name } => Some(name),
            _ => None,
        };
        let mut tellable = self.options.subprotocols.iter().chain(marker);
        tellable.any(|name| *name == selected).then_some(selected)
    }

    /// A connection is opened to replace another: from now on both may bring the same messages. Gives what an earlier
    /// meeting still held.
    pub(crate) fn meet(&mut self, old: ConnId, new: ConnId) -> Vec<JsValue> {
        let held = self.release();
        self.meeting = Some(Meeting {
            old,
            new,
            overlap: Overlap::new(self.options.duplicates.clone()),
            mixed: false,
            held: Vec::new(),
            held_bytes: 0,
        });
        held
    }

    /// Whether two connections overlap. If not, what arrives is delivered.
    pub(crate) fn overlaps(&self) -> bool {
        self.meeting.is_some()
    }

    /// A message for the application came: what is to be delivered now.
    pub(crate) fn arrived(&mut self, conn: ConnId, data: JsValue) -> Vec<JsValue> {
        let Some(meeting) = &mut self.meeting else {
            return vec![data];
        };
        if conn != meeting.new || meeting.mixed {
            return Vec::from_iter(meeting.admits(conn, &data).then_some(data));
        }
        meeting.held_bytes += text::size(&data);
        meeting.held.push(data);
        if meeting.held_bytes > self.options.limits.receive_bytes {
            return self.release();
        }
        Vec::new()
    }

    /// A connection is over: what waited for its end.
    pub(crate) fn ended(&mut self, conn: ConnId) -> Vec<JsValue> {
        if self.meeting.as_ref().is_some_and(|meeting| meeting.old == conn) {
            self.release()
        } else {
            Vec::new()
        }
    }

    /// The connection that is being replaced.
    pub(crate) fn replaced(&self) -> Option<ConnId> {
        self.meeting.as_ref().map(|meeting| meeting.old)
    }

    /// How the overlap goes on: what waited for that.
    pub(crate) fn overlap(&mut self, stage: OverlapStage) -> Vec<JsValue> {
        let held = self.release();
        if stage == OverlapStage::Over {
            self.meeting = None;
        }
        held
    }

    fn release(&mut self) -> Vec<JsValue> {
        let Some(meeting) = &mut self.meeting else {
            return Vec::new();
        };
        meeting.mixed = true;
        meeting.held_bytes = 0;
        let mut held = std::mem::take(&mut meeting.held);
        let new = meeting.new;
        held.retain(|data| meeting.admits(new, data));
        held
    }
}

impl Meeting {
    fn admits(&mut self, conn: ConnId, data: &JsValue) -> bool {
        let Some(overlap) = &mut self.overlap else {
            return true;
        };
        let side = if conn == self.new { Side::New } else { Side::Old };
        text::message(data).is_none_or(|message| overlap.admits(side, &message))
    }
}
