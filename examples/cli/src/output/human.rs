//! The form for people: messages as they are, everything else as one short line with a time.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use freshsocket::{
    ClosedBy, Ended, Error, ErrorKind, Message, RefreshReason, SendStatus, SessionState, SignOutCause,
    SocketState,
};

use super::line::{Line, Refresh};

/// How to print for people.
#[derive(Debug)]
pub(crate) struct Human {
    pub(crate) quiet: bool,
    /// Standard error is a terminal that wants colours.
    pub(crate) colour: bool,
    /// Standard output is a terminal, which a message must not be able to steer.
    pub(crate) terminal: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Good,
    Plain,
    Bad,
}

impl Human {
    /// A message's line on standard output.
    pub(crate) fn message(&self, message: &Message) -> String {
        let mut line = match message {
            Message::Text(text) if self.terminal => tame(text.as_str()).into_owned(),
            Message::Text(text) => text.as_str().to_owned(),
            Message::Binary(bytes) => format!("base64:{}", BASE64_STANDARD.encode(bytes)),
        };
        line.push('\n');
        line
    }

    /// A line on standard error about what happened at this time; `None` for what people need not read.
    pub(crate) fn status(&self, line: &Line<'_>, at_unix_ms: u64) -> Option<String> {
        let (tone, text) = describe(line, at_unix_ms)?;
        if self.quiet && tone != Tone::Bad {
            return None;
        }
        let seconds = at_unix_ms / 1_000;
        let (h, m, s) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        let time = format!("{h:02}:{m:02}:{s:02}Z");
        let text = tame(&text).replace('\n', "\\n");
        Some(match (self.colour, tone) {
            (false, _) => format!("{time} {text}"),
            (true, Tone::Good) => format!("\x1b[2m{time}\x1b[0m \x1b[32m{text}\x1b[0m"),
            (true, Tone::Plain) => format!("\x1b[2m{time} {text}\x1b[0m"),
            (true, Tone::Bad) => format!("\x1b[2m{time}\x1b[0m \x1b[31m{text}\x1b[0m"),
        })
    }
}

fn describe(line: &Line<'_>, now: u64) -> Option<(Tone, String)> {
    Some(match line {
        Line::Session { state } => session(state, now)?,
        Line::Refresh {
            refresh: Refresh::Started { why },
        } => {
            let why = match why {
                RefreshReason::Timer => "it is time",
                RefreshReason::Refused => "the server refused the last one",
                RefreshReason::Retry => "again",
                _ => "one is needed",
            };
            (Tone::Plain, format!("token: asking for a new one ({why})"))
        }
        Line::Refresh {
            refresh: Refresh::Done { token, expires_at },
        } => (
            Tone::Good,
            format!("token: number {token}, {}", expiry(*expires_at, now)),
        ),
        Line::Refresh {
            refresh: Refresh::Failed { error },
        } => (Tone::Bad, format!("token: {}", what(error))),
        Line::ExpiringSoon { expires_at } => (
            Tone::Bad,
            format!(
                "token: {}, and this server renews none",
                expiry(Some(*expires_at), now)
            ),
        ),
        Line::Socket { state } => socket(state, now)?,
        Line::Attempt {
            attempt,
            placement,
            token,
            handover,
        } => {
            let with = if *token == 0 {
                "without a token".into()
            } else {
                format!("token {token} as {placement}")
            };
            let over = if *handover { ", to take over" } else { "" };
            (Tone::Plain, format!("socket: attempt {attempt}, {with}{over}"))
        }
        Line::Opened {
            subprotocol,
            handover,
        } => {
            let protocol = subprotocol
                .map(|name| format!(", subprotocol {name}"))
                .unwrap_or_default();
            let how = if *handover { "handed over" } else { "open" };
            (Tone::Good, format!("socket: {how}{protocol}"))
        }
        Line::Renewed => (Tone::Good, "socket: showed the new token".into()),
        Line::OneConnectionPerUser => (
            Tone::Plain,
            "socket: this server allows one connection per user; the old one is closed first from now on"
                .into(),
        ),
        Line::AuthRefused { ended } => (Tone::Bad, format!("socket: refused ({})", how(ended))),
        Line::Unread { count } => (Tone::Bad, format!("socket: {count} messages dropped unread")),
        Line::Send {
            send,
            status: SendStatus::Queued,
        } => (Tone::Plain, format!("send {send}: queued")),
        Line::Send {
            send,
            status: SendStatus::Failed(error),
        } => (Tone::Bad, format!("send {send}: {}", what(error))),
        // The state that follows an end says how it came, and what is next.
        Line::Ended { .. } | Line::Send { .. } | Line::Message { .. } => return None,
        Line::Error { during, error } => (Tone::Bad, format!("{during}: {}", what(error))),
        Line::Missed { stream, count } => {
            (Tone::Bad, format!("{count} {stream} not shown: too many at once"))
        }
        Line::Exit { code: 0, reason } => (Tone::Plain, format!("end: {reason}")),
        Line::Exit { code, reason } => (Tone::Bad, format!("end: {reason} (exit code {code})")),
    })
}

fn session(state: &SessionState, now: u64) -> Option<(Tone, String)> {
    Some(match state {
        SessionState::SignedOut {
            cause: SignOutCause::NotSignedIn,
        } => return None,
        SessionState::SignedOut { cause } => {
            let why = match cause {
                SignOutCause::LoggedOut => "as asked",
                SignOutCause::RefreshRefused => "the server refused to renew the token",
                SignOutCause::RefreshInterrupted => "a renewal was cut off, and its answer is lost",
                SignOutCause::Expired => "the token expired, and this server renews none",
                SignOutCause::SignedOutElsewhere => "another holder of the store signed out",
                SignOutCause::SaidByCallback => "the token command said so",
                _ => "for a reason unknown to this version",
            };
            (Tone::Bad, format!("session: signed out, {why}"))
        }
        SessionState::Active { expires_at } => (
            Tone::Good,
            format!("session: active, {}", expiry(*expires_at, now)),
        ),
        SessionState::Unreachable { next_attempt, .. } => (
            Tone::Bad,
            format!("session: server unreachable, {}", next(*next_attempt, now)),
        ),
        // The refresh has lines of its own.
        _ => return None,
    })
}

fn socket(state: &SocketState, now: u64) -> Option<(Tone, String)> {
    Some(match state {
        SocketState::WaitingForSession => (Tone::Bad, "socket: waits for a sign-in".into()),
        SocketState::Backoff {
            cause, next_attempt, ..
        } => (
            Tone::Bad,
            format!("socket: {}, {}", how(cause), next(*next_attempt, now)),
        ),
        SocketState::Offline => (Tone::Bad, "socket: no network".into()),
        SocketState::Refused { cause } => (
            Tone::Bad,
            format!(
                "socket: refused for good, with a new token as well ({})",
                how(cause)
            ),
        ),
        SocketState::Closed { by, code, reason } => {
            let (tone, who) = match by {
                ClosedBy::Application => (Tone::Plain, "closed"),
                ClosedBy::AttemptsExhausted => (Tone::Bad, "gave up after all attempts"),
                _ => (Tone::Bad, "ended for good by the server"),
            };
            (
                tone,
                format!("socket: {who} ({})", code_and_reason(*code, reason)),
            )
        }
        // The events say these.
        _ => return None,
    })
}

fn how(ended: &Ended) -> String {
    match ended {
        Ended::Closed { code, reason } => {
            format!("closed by the server ({})", code_and_reason(*code, reason))
        }
        Ended::Lost { detail } => format!("connection lost ({detail})"),
        Ended::Silent => "connection dead: no answer to the ping".into(),
        Ended::Http { status } => format!("HTTP {status} at the upgrade"),
        Ended::Unreachable { detail } => format!("no connection ({detail})"),
        Ended::TimedOut => "the attempt took too long".into(),
        Ended::AuthMessage => "the server's message refuses the token".into(),
        Ended::NoToken { cause } => format!("no token to connect with ({})", what(cause)),
        Ended::Replaced => "replaced by a newer connection".into(),
        Ended::Asked => "closed".into(),
        other => format!("code {}", other.code()),
    }
}

/// An error in words. The SDK's advice for unreachable servers is for applications: wait, a session goes on by itself.
fn what(error: &Error) -> String {
    let text = error.to_string();
    let advice = error.kind().advice();
    match error.kind() {
        ErrorKind::Unreachable => text
            .strip_suffix(advice)
            .map_or(text.clone(), |text| text.trim_end().to_owned()),
        _ => text,
    }
}

fn code_and_reason(code: u16, reason: &str) -> String {
    if reason.is_empty() {
        code.to_string()
    } else {
        format!("{code} {reason}")
    }
}

fn expiry(at: Option<u64>, now: u64) -> String {
    match at {
        None => "no expiry".into(),
        Some(at) if at <= now => "expired".into(),
        Some(at) => format!("expires in {}", span(at - now)),
    }
}

fn next(at: u64, now: u64) -> String {
    if at <= now {
        "next attempt now".into()
    } else {
        format!("next attempt in {}", span(at - now))
    }
}

fn span(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        10_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

/// Control characters of a server's text made visible, so that it cannot steer the terminal.
fn tame(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|c| {
                if steers(c) {
                    c.escape_unicode().to_string()
                } else {
                    c.to_string()
                }
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_steer_the_terminal() {
        let human = Human {
            quiet: false,
            colour: false,
            terminal: true,
        };
        assert_eq!(human.message(&Message::text("a\x1b[2Jb\tc")), "a\\u{1b}[2Jb\tc\n");
        let ended = Ended::Closed {
            code: 4000,
            reason: "\x1b]0;x".into(),
        };
        let line = human
            .status(&Line::AuthRefused { ended: &ended }, 3_661_000)
            .unwrap();
        assert_eq!(
            line,
            "01:01:01Z socket: refused (closed by the server (4000 \\u{1b}]0;x))"
        );
    }

    #[test]
    fn a_pipe_gets_messages_as_they_are() {
        let human = Human {
            quiet: false,
            colour: false,
            terminal: false,
        };
        assert_eq!(human.message(&Message::text("a\x1bb")), "a\x1bb\n");
        assert_eq!(human.message(&Message::binary(vec![0, 1])), "base64:AAE=\n");
    }
}
