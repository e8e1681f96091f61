//! Faults: what the server does wrong on purpose, at which endpoint, and how often.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

/// The endpoint a fault waits at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Every login, of any dialect.
    Login,
    /// Every refresh, of any dialect.
    Refresh,
    /// Token verification, and `GET /cookie/me`.
    Verify,
    /// Logout.
    Logout,
    /// The WebSocket ticket.
    Ticket,
    /// `/api/me` and `/api/echo`.
    Api,
    /// The WebSocket handshake.
    Ws,
    /// Every HTTP endpoint, that is all of the above except `Ws`. A fault at the endpoint itself goes first.
    Http,
}

/// How often a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Until it is cleared. Replaces what was set at the target before.
    Always,
    /// This many times, after the counted faults set earlier and before an `Always` one.
    Next(u32),
}

/// One fault. The HTTP kinds also work at the WebSocket's upgrade request; the WebSocket kinds only there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Fault {
    /// A refusal with a JSON body, without acting.
    Refuse {
        /// The status. Default 401.
        #[serde(default = "unauthorized")]
        status: u16,
        /// The body. Default: what the endpoint says about a bad token.
        #[serde(default)]
        body: Option<serde_json::Value>,
    },
    /// Waits, then acts and answers as usual.
    Delay {
        /// How long.
        ms: u64,
    },
    /// Acts, waits, then answers as usual.
    DelayAnswer {
        /// How long.
        ms: u64,
    },
    /// Waits until the test calls `release()`, then goes on as usual.
    Hold {
        /// Whether the server acts before it waits (so that only the answer is held) or after.
        #[serde(default)]
        act_first: bool,
    },
    /// Acts, then cuts the connection instead of answering.
    DropAnswer,
    /// Cuts the connection without acting.
    Unavailable,
    /// Answers with a status, without acting: 5xx, 429.
    Status {
        /// The status.
        code: u16,
        /// The `Retry-After` header.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
        /// The body. Default empty.
        #[serde(default)]
        body: Option<String>,
        /// Its content type. Default `text/plain`.
        #[serde(default)]
        content_type: Option<String>,
    },
    /// Answers 200 with JSON that breaks off, without acting.
    Malformed,
    /// Answers with an HTML page, without acting.
    Html {
        /// The status. Default 200, the mean one.
        #[serde(default = "ok")]
        status: u16,
    },
    /// Answers 200 with a JSON string of this many bytes, streamed, without acting.
    HugeBody {
        /// How many.
        bytes: u64,
    },
    /// Redirects, without acting.
    Redirect {
        /// The `Location`.
        to: String,
        /// The status. Default 307.
        #[serde(default = "temporary_redirect")]
        status: u16,
    },
    /// Acts, but leaves the refresh token out of the answer.
    NoRefreshToken,

    /// Refuses the upgrade with a status.
    RefuseUpgrade {
        /// The status.
        status: u16,
        /// The `Retry-After` header.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// Accepts any credential, then closes.
    AcceptThenClose {
        /// The close code; none closes without one (1005).
        #[serde(default)]
        code: Option<u16>,
        /// The close reason.
        #[serde(default)]
        reason: String,
        /// How long after the upgrade.
        #[serde(default)]
        after_ms: u64,
    },
    /// Accepts any credential, then ends the TCP stream without a close frame (1006).
    AcceptThenCut,
    /// Accepts any credential, sends `{"type":"error","message":...}`, then closes.
    ErrorMessageThenClose {
        /// The message.
        message: String,
        /// The close code; none closes without one.
        #[serde(default)]
        code: Option<u16>,
    },
    /// Upgrades as usual, then stops reading and writing while TCP stays up.
    HalfOpen,
    /// Waits before answering the upgrade.
    SlowUpgrade {
        /// How long.
        ms: u64,
    },
    /// Upgrades without selecting a subprotocol.
    NoSubprotocol,
    /// Upgrades as usual, then sends one binary message of this size.
    OversizedMessage {
        /// Its size.
        bytes: usize,
    },
}

impl Fault {
    /// The name of the fault as in its JSON, for records.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Refuse { .. } => "refuse",
            Self::Delay { .. } => "delay",
            Self::DelayAnswer { .. } => "delayAnswer",
            Self::Hold { .. } => "hold",
            Self::DropAnswer => "dropAnswer",
            Self::Unavailable => "unavailable",
            Self::Status { .. } => "status",
            Self::Malformed => "malformed",
            Self::Html { .. } => "html",
            Self::HugeBody { .. } => "hugeBody",
            Self::Redirect { .. } => "redirect",
            Self::NoRefreshToken => "noRefreshToken",
            Self::RefuseUpgrade { .. } => "refuseUpgrade",
            Self::AcceptThenClose { .. } => "acceptThenClose",
            Self::AcceptThenCut => "acceptThenCut",
            Self::ErrorMessageThenClose { .. } => "errorMessageThenClose",
            Self::HalfOpen => "halfOpen",
            Self::SlowUpgrade { .. } => "slowUpgrade",
            Self::NoSubprotocol => "noSubprotocol",
            Self::OversizedMessage { .. } => "oversizedMessage",
        }
    }
}

/// A `Retry-After` header, in either of its two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetryAfter {
    /// A number of seconds.
    Seconds(u64),
    /// The HTTP date that many seconds from now, by the server's clock.
    DateIn(u64),
}

/// The faults that are set, by target.
#[derive(Debug, Default)]
pub(crate) struct FaultTable {
    queues: HashMap<Target, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    counted: VecDeque<(Fault, u32)>,
    always: Option<Fault>,
}

impl FaultTable {
    pub(crate) fn set(&mut self, target: Target, fault: Fault, times: Times) {
        let queue = self.queues.entry(target).or_default();
        match times {
            Times::Always => {
                *queue = Queue {
                    counted: VecDeque::new(),
                    always: Some(fault),
                }
            }
            Times::Next(0) => {}
            Times::Next(n) => queue.counted.push_back((fault, n)),
        }
    }

    pub(crate) fn clear(&mut self, target: Option<Target>) {
        match target {
            Some(target) => drop(self.queues.remove(&target)),
            None => self.queues.clear(),
        }
    }

    /// The fault for a request at `target`, used up by one.
    pub(crate) fn take(&mut self, target: Target) -> Option<Fault> {
        let own = self.queues.get_mut(&target).and_then(Queue::take);
        if own.is_some() || target == Target::Ws {
            return own;
        }
        self.queues.get_mut(&Target::Http).and_then(Queue::take)
    }

    /// What is set, for the control API.
    pub(crate) fn list(&self) -> Vec<serde_json::Value> {
        let describe = |target: Target, fault: &Fault, left: Option<u32>| serde_json::json!({ "target": target, "fault": fault, "times": left });
        self.queues
            .iter()
            .flat_map(|(target, queue)| {
                let counted = queue
                    .counted
                    .iter()
                    .map(|(fault, left)| describe(*target, fault, Some(*left)));
                counted.chain(queue.always.iter().map(|fault| describe(*target, fault, None)))
            })
            .collect()
    }
}

impl Queue {
    fn take(&mut self) -> Option<Fault> {
        let Some((fault, left)) = self.counted.front_mut() else {
            return self.always.clone();
        };
        *left -= 1;
        if *left > 0 {
            return Some(fault.clone());
        }
        self.counted.pop_front().map(|(fault, _)| fault)
    }
}

fn unauthorized() -> u16 {
    401
}

fn ok() -> u16 {
    200
}

fn temporary_redirect() -> u16 {
    307
}
