//! What has happened so far: all that the picture shows. Knows no clock, no terminal and no network.

use std::time::Duration;

use freshsocket::{Ended, RefreshReason, SessionEvent, SessionState, SignOutCause, SocketEvent, SocketState};

use crate::ledger::{Ledger, Sums};
use crate::script::{Act, Pace};
use crate::seen::Seen;
use crate::stage::Cue;
use crate::words::{self, Health};

/// How far apart the samples of the history are.
const SAMPLE_MS: u64 = 50;

/// The run until now. Times are milliseconds since it began.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) pace: &'static Pace,
    pub(crate) now_ms: u64,
    pub(crate) acts: [Outcome; Act::ALL.len()],
    /// The place of the act that is on.
    pub(crate) act: usize,
    pub(crate) token: Option<Token>,
    pub(crate) session: SessionState,
    pub(crate) socket: SocketState,
    pub(crate) seen: Seen,
    pub(crate) sums: Sums,
    pub(crate) log: Vec<Line>,
    pub(crate) history: Vec<Sample>,
    pub(crate) failures: Vec<String>,
    /// The run has ended.
    pub(crate) over: bool,
    unix_at_start: u64,
}

/// How an act went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    #[default]
    Ahead,
    On {
        since_ms: u64,
    },
    Survived {
        since_ms: u64,
    },
    Failed {
        since_ms: u64,
    },
}

/// The token in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) number: u64,
    pub(crate) received_ms: u64,
    pub(crate) expires_ms: u64,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at_ms: u64,
    pub(crate) tag: Tag,
    pub(crate) text: String,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Fault,
    Token,
    Session,
    Socket,
    Survived,
    Failed,
    Run,
}

/// How things were at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at_ms: u64,
    pub(crate) session: Health,
    pub(crate) socket: Health,
}

impl Story {
    pub(crate) fn new(pace: &'static Pace, unix_at_start: u64) -> Self {
        Self {
            pace,
            now_ms: 0,
            acts: Default::default(),
            act: 0,
            token: None,
            session: SessionState::Restoring,
            socket: SocketState::Idle,
            seen: Seen::default(),
            sums: Sums::default(),
            log: Vec::new(),
            history: Vec::new(),
            failures: Vec::new(),
            over: false,
            unix_at_start,
        }
    }

    /// The act that is on.
    pub(crate) fn act(&self) -> Act {
        Act::ALL.get(self.act).copied().unwrap_or(Act::Finale)
    }

    pub(crate) fn now_unix_ms(&self) -> u64 {
        self.unix_at_start + self.now_ms
    }

    /// Time passes.
    pub(crate) fn at(&mut self, elapsed: Duration) {
        self.now_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        if self
            .history
            .last()
            .is_none_or(|last| self.now_ms >= last.at_ms + SAMPLE_MS)
        {
            self.sample();
        }
    }

    pub(crate) fn count(&mut self, ledger: &Ledger) {
        self.sums = ledger.sums();
    }

    pub(crate) fn session_state(&mut self, state: SessionState) {
        self.seen.session_state(&state);
        match &state {
            SessionState::SignedOut { cause } if *cause != SignOutCause::NotSignedIn => {
                self.say(
                    Tag::Session,
                    format!("signed out: {}", words::session(&state, 0).1),
                );
            }
            _ => {}
        }
        self.session = state;
        self.sample();
    }

    pub(crate) fn session_event(&mut self, event: &SessionEvent) {
        self.seen.session_event(event);
        match event {
            SessionEvent::Refreshed { token, expires_at } => {
                let expires_ms = expires_at.unwrap_or_default().saturating_sub(self.unix_at_start);
                self.token = Some(Token {
                    number: *token,
                    received_ms: self.now_ms,
                    expires_ms,
                });
                let life = words::seconds(expires_ms.saturating_sub(self.now_ms));
                let verb = if *token == 1 { "signed in" } else { "refreshed" };
                self.say(
                    Tag::Token,
                    format!("{verb}: token #{token}, good for {life:.1} s"),
                );
            }
            SessionEvent::RefreshStarted {
                why: RefreshReason::Refused,
            } => {
                self.say(Tag::Token, "refreshing: the server refused the old one");
            }
            SessionEvent::RefreshFailed { error } => {
                let next = match &self.session {
                    SessionState::Unreachable { next_attempt, .. } => {
                        words::until(*next_attempt, self.now_unix_ms())
                    }
                    _ => "never".into(),
                };
                self.say(
                    Tag::Token,
                    format!("refresh failed: {}; next try {next}", words::error(error)),
                );
            }
            SessionEvent::StoreFailed { error } => {
                self.say(Tag::Session, format!("store: {}", words::error(error)));
            }
            _ => {}
        }
    }

    pub(crate) fn socket_state(&mut self, state: SocketState) {
        self.seen.socket_state(&state);
        match &state {
            SocketState::Backoff {
                cause, next_attempt, ..
            } => {
                let next = words::until(*next_attempt, self.now_unix_ms());
                self.say(
                    Tag::Socket,
                    format!("next attempt {next} · {}", words::ended(cause)),
                );
            }
            SocketState::Refused { cause } => {
                self.say(Tag::Socket, format!("refused: {}", words::ended(cause)));
            }
            _ => {}
        }
        self.socket = state;
        self.sample();
    }

    /// Something happened on the socket; `caught` messages were on the wire of a connection that ended.
    pub(crate) fn socket_event(&mut self, event: &SocketEvent, caught: u64) {
        let first = self.seen.reconnects;
        self.seen.socket_event(event);
        match event {
            SocketEvent::Opened { handover: true, .. } => {
                self.say(Tag::Socket, "handed over to a connection with the new token");
            }
            SocketEvent::Opened { .. } => {
                let text = if self.seen.reconnects > first {
                    "connected again"
                } else {
                    "connected"
                };
                self.say(Tag::Socket, text);
            }
            SocketEvent::Ended {
                ended: Ended::Asked, ..
            } => {}
            SocketEvent::Ended { ended, .. } => {
                let wire = if caught > 0 {
                    format!(" · {caught} on the wire")
                } else {
                    String::new()
                };
                self.say(Tag::Socket, format!("ended: {}{wire}", words::ended(ended)));
            }
            SocketEvent::AuthRefused {
                ended: ended @ Ended::Http { .. },
            } => self.say(Tag::Socket, words::ended(ended)),
            SocketEvent::Unread { count } => {
                self.say(Tag::Failed, format!("{count} messages were not read in time"));
            }
            _ => {}
        }
    }

    pub(crate) fn cue(&mut self, cue: Cue) {
        let since_ms = match self.acts.get(self.act) {
            Some(Outcome::On { since_ms }) => *since_ms,
            _ => self.now_ms,
        };
        match cue {
            Cue::Begin(place) => {
                self.act = place;
                self.set_outcome(Outcome::On {
                    since_ms: self.now_ms,
                });
                let act = self.act();
                let number = act
                    .fault_number()
                    .map_or(String::new(), |number| format!("fault {number}: "));
                self.say(Tag::Fault, format!("{number}{}", act.title()));
            }
            Cue::Survived { after, how } => {
                self.set_outcome(Outcome::Survived { since_ms });
                let act = self.act();
                let after = if act.is_outage() {
                    format!(" after {:.1} s", after.as_secs_f64())
                } else {
                    String::new()
                };
                self.say(Tag::Survived, format!("{}{after}: {how}", act.title()));
            }
            Cue::Failed { why } => {
                self.set_outcome(Outcome::Failed { since_ms });
                self.fail(format!("{}: {why}", self.act().title()));
            }
            Cue::End => {}
        }
    }

    /// A promise was broken.
    pub(crate) fn fail(&mut self, why: impl Into<String>) {
        let why = why.into();
        self.say(Tag::Failed, why.clone());
        self.failures.push(why);
    }

    pub(crate) fn say(&mut self, tag: Tag, text: impl Into<String>) {
        self.log.push(Line {
            at_ms: self.now_ms,
            tag,
            text: text.into(),
        });
    }

    fn set_outcome(&mut self, outcome: Outcome) {
        if let Some(place) = self.acts.get_mut(self.act) {
            *place = outcome;
        }
    }

    fn sample(&mut self) {
        let session = words::session_health(&self.session);
        let socket = words::socket_health(&self.socket);
        self.history.push(Sample {
            at_ms: self.now_ms,
            session,
            socket,
        });
    }
}

impl Outcome {
    pub(crate) fn since_ms(&self) -> Option<u64> {
        match self {
            Self::Ahead => None,
            Self::On { since_ms } | Self::Survived { since_ms } | Self::Failed { since_ms } => {
                Some(*since_ms)
            }
        }
    }
}

impl Tag {
    /// Whether the line tells the run in short.
    pub(crate) fn is_headline(self) -> bool {
        matches!(self, Self::Survived | Self::Failed)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Token => "token",
            Self::Session => "session",
            Self::Socket => "socket",
            Self::Survived => "survived",
            Self::Failed => "FAILED",
            Self::Run => "run",
        }
    }
}
