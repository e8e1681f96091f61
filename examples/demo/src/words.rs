//! What the SDK's states and causes are called in the picture: short, and always with what happens next.

use freshsocket::{Ended, Error, ErrorKind, SessionState, SignOutCause, SocketState};

/// How well something is, for its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    Good,
    /// Doing something about it.
    #[default]
    Busy,
    /// Waiting until it can.
    Waiting,
    /// Over.
    Bad,
}

/// A state in words: its name, and why it is so and what happens next.
pub(crate) fn session(state: &SessionState, now_unix_ms: u64) -> (&'static str, String) {
    match state {
        SessionState::Restoring => ("restoring", String::new()),
        SessionState::SignedOut { cause } => ("signed out", sign_out(*cause).into()),
        SessionState::Active { .. } => ("active", "signed in as ada".into()),
        SessionState::Refreshing { .. } => (
            "refreshing",
            "the present token is used until the new one is here".into(),
        ),
        SessionState::Unreachable {
            cause, next_attempt, ..
        } => {
            let next = until(*next_attempt, now_unix_ms);
            (
                "unreachable",
                format!("{}; signed in all the same, next attempt {next}", error(cause)),
            )
        }
        _ => ("?", String::new()),
    }
}

/// The same for a socket's state.
pub(crate) fn socket(state: &SocketState, now_unix_ms: u64) -> (&'static str, String) {
    match state {
        SocketState::Idle => ("idle", String::new()),
        SocketState::WaitingForSession => ("waiting", "for a sign-in".into()),
        SocketState::Authenticating => ("authenticating", "waiting for a valid token".into()),
        SocketState::Connecting { attempt } => ("connecting", format!("attempt {attempt}")),
        SocketState::Open => ("open", "messages go straight to the connection".into()),
        SocketState::Backoff {
            cause, next_attempt, ..
        } => (
            "backoff",
            format!(
                "{}; next attempt {}",
                ended(cause),
                until(*next_attempt, now_unix_ms)
            ),
        ),
        SocketState::Offline => ("offline", "connects when the network is back".into()),
        SocketState::Refused { cause } => ("refused", ended(cause)),
        SocketState::Closed { code, .. } => ("closed", format!("code {code}")),
        _ => ("?", String::new()),
    }
}

pub(crate) fn session_health(state: &SessionState) -> Health {
    match state {
        SessionState::Active { .. } => Health::Good,
        SessionState::Unreachable { .. } => Health::Waiting,
        SessionState::SignedOut { .. } => Health::Bad,
        _ => Health::Busy,
    }
}

pub(crate) fn socket_health(state: &SocketState) -> Health {
    match state {
        SocketState::Open => Health::Good,
        SocketState::Backoff { .. } | SocketState::Offline | SocketState::WaitingForSession => {
            Health::Waiting
        }
        SocketState::Refused { .. } | SocketState::Closed { .. } => Health::Bad,
        _ => Health::Busy,
    }
}

/// How a connection ended.
pub(crate) fn ended(ended: &Ended) -> String {
    match ended {
        Ended::Closed { code: 4401, .. } => "4401, the token is no longer good".into(),
        Ended::Closed { code: 1012, .. } => "1012, the server restarts".into(),
        Ended::Closed { code, .. } => format!("closed by the server with {code}"),
        Ended::Lost { .. } => "the connection was cut (1006)".into(),
        Ended::Silent => "nothing comes through any more".into(),
        Ended::Http { status } => format!("upgrade refused: HTTP {status}"),
        Ended::Unreachable { .. } => "server gone".into(),
        Ended::TimedOut => "no answer in time".into(),
        Ended::AuthMessage => "the server said that the token is no good".into(),
        Ended::NoToken { cause } => format!("no token: {}", error(cause)),
        Ended::Replaced => "replaced".into(),
        Ended::Asked => "closed by us".into(),
        _ => "ended".into(),
    }
}

pub(crate) fn error(error: &Error) -> String {
    match error.status() {
        Some(status) => format!("HTTP {status}"),
        None if error.kind() == ErrorKind::Unreachable => "server unreachable".into(),
        None => error.message().into(),
    }
}

fn sign_out(cause: SignOutCause) -> &'static str {
    match cause {
        SignOutCause::NotSignedIn => "nobody has signed in yet",
        SignOutCause::LoggedOut => "signed out by us",
        SignOutCause::RefreshRefused => "the server refused the refresh token",
        SignOutCause::Expired => "the token expired, and there is no way to renew it",
        _ => "signed out",
    }
}

/// How long it is until then.
pub(crate) fn until(at_unix_ms: u64, now_unix_ms: u64) -> String {
    match at_unix_ms.saturating_sub(now_unix_ms) {
        0..50 => "now".into(),
        ms => format!("in {:.1} s", seconds(ms)),
    }
}

/// Milliseconds as seconds, to be shown.
#[allow(clippy::cast_precision_loss)] // A run has seconds, not millennia.
pub(crate) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w12_a_state_says_why_and_what_happens_next() {
        let state = SocketState::Backoff {
            attempt: 2,
            cause: Ended::Unreachable {
                detail: "connection refused".into(),
            },
            next_attempt: 10_800,
        };
        assert_eq!(
            socket(&state, 10_000),
            ("backoff", "server gone; next attempt in 0.8 s".to_owned())
        );
        assert_eq!(socket(&state, 11_000).1, "server gone; next attempt now");
    }

    #[test]
    fn numbers_are_grouped() {
        let grouped: Vec<_> = [0, 999, 1_000, 1_234_567].map(grouped).into();
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
    }
}
