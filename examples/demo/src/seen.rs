//! What the application has seen of the SDK so far, in numbers that the director waits for.

use freshsocket::{Ended, SessionEvent, SessionState, SocketEvent, SocketState};

/// Counts since the beginning; what happened during an act is the difference of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) signed_out: bool,
    pub(crate) open: bool,
    /// The socket gave up: it was refused, or closed for good.
    pub(crate) gave_up: bool,
    /// Whether a refresh is out, or its repetition scheduled.
    pub(crate) refreshing: bool,
    /// When the token expires, in milliseconds since 1970.
    pub(crate) expires_at: u64,
    pub(crate) refreshes: u64,
    pub(crate) refresh_failures: u64,
    pub(crate) handovers: u64,
    pub(crate) reconnects: u64,
    /// Ends of the application's connection, by kind.
    pub(crate) ends: u64,
    pub(crate) ended_4401: u64,
    pub(crate) ended_1012: u64,
    pub(crate) ended_lost: u64,
    pub(crate) ended_silent: u64,
    pub(crate) refused_401: u64,
    pub(crate) echoes: u64,
    /// Echoes since the present connection opened, or since the last one ended.
    pub(crate) flowing: u64,
    opened_before: bool,
}

impl Seen {
    pub(crate) fn session_state(&mut self, state: &SessionState) {
        self.signed_out = matches!(state, SessionState::SignedOut { .. });
        self.refreshing = matches!(
            state,
            SessionState::Refreshing { .. } | SessionState::Unreachable { .. }
        );
    }

    pub(crate) fn session_event(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::Refreshed { token, expires_at } => {
                // The first token came with the sign-in.
                self.refreshes = token.saturating_sub(1);
                self.expires_at = expires_at.unwrap_or_default();
            }
            SessionEvent::RefreshFailed { .. } => self.refresh_failures += 1,
            _ => {}
        }
    }

    pub(crate) fn echo(&mut self) {
        self.echoes += 1;
        self.flowing += 1;
    }

    /// Whether messages go there and back again.
    pub(crate) fn is_flowing(&self) -> bool {
        self.open && self.flowing >= 2
    }

    pub(crate) fn socket_state(&mut self, state: &SocketState) {
        self.open = state.is_open();
        self.gave_up = state.is_final();
    }

    pub(crate) fn socket_event(&mut self, event: &SocketEvent) {
        match event {
            SocketEvent::Opened { handover: true, .. } => self.handovers += 1,
            SocketEvent::Opened { .. } => {
                self.flowing = 0;
                self.reconnects += u64::from(self.opened_before);
                self.opened_before = true;
            }
            SocketEvent::AuthRefused {
                ended: Ended::Http { status: 401 },
            } => self.refused_401 += 1,
            SocketEvent::Ended { ended, .. } => {
                self.ends += 1;
                self.flowing = 0;
                match ended {
                    Ended::Closed { code: 4401, .. } => self.ended_4401 += 1,
                    Ended::Closed { code: 1012, .. } => self.ended_1012 += 1,
                    Ended::Lost { .. } => self.ended_lost += 1,
                    Ended::Silent => self.ended_silent += 1,
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
