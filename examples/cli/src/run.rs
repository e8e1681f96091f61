//! One run: sign in, connect, and go on until the plan is fulfilled or cannot be.

use std::io::IsTerminal as _;
use std::time::Duration;

use freshsocket::{
    ClosedBy, Error, ErrorKind, SendStatus, Session, SessionState, Socket, SocketEvent, SocketHandle,
    SocketState,
};
use tokio::time::Instant;

use crate::config::Config;
use crate::exit::{Code, Exit, Failure};
use crate::expect::Expectations;
use crate::input::{self, Format};
use crate::output::{Line, Output, Sent};
use crate::plan::Plan;
use crate::secrets::{Secrets, Source};
use crate::sender::Sender;
use crate::sign_in;
use crate::signals::Interrupted;
use crate::watch::{Seen, Watch, What};

/// Everything, from the options to the exit code.
pub(crate) async fn run(
    config: Config,
    mut secrets: Secrets,
    plan: Plan,
    output: &Output,
) -> Result<Exit, Failure> {
    let failed = |error| Failure::unexpected("signals cannot be received", &error);
    let mut interrupted = Interrupted::listen().map_err(failed)?;
    let session = sign_in::build(&config, &secrets).await?;
    let mut watch = Watch::session(&session);
    let has_session = !matches!(secrets.source, Source::Nobody);

    let limit = plan.sign_in_limit();
    let start = {
        let signing_in = sign_in::sign_in(&session, &config.options, &mut secrets, limit, output);
        tokio::pin!(signing_in);
        loop {
            tokio::select! {
                biased;
                code = interrupted.wait() => return Ok(Exit::new(code, "interrupted")),
                Some(seen) = watch.change(), if has_session => tell(output, &seen),
                start = &mut signing_in => break start?,
            }
        }
    };

    let socket = session
        .socket_with(config.options.socket.clone())
        .connect()
        .map_err(Failure::options)?;
    let handle = socket.handle();
    handle.connect();
    let lines = plan.reads_stdin.then(|| {
        let longest = config.options.socket.limits.max_message_bytes;
        let longest = if plan.format == Format::Base64 {
            longest.saturating_mul(2)
        } else {
            longest
        };
        input::read_lines(plan.format, longest, std::io::stdin().is_terminal())
    });
    let Plan {
        first,
        expect,
        open_within,
        duration,
        ends_with_input,
        ..
    } = plan;
    let run = Run {
        sender: Sender::start(handle.clone(), first, lines),
        session,
        socket,
        handle,
        watch,
        output,
        expect,
        has_session,
        logout: secrets.logout,
        ends_with_input,
        opened: false,
        input_over: false,
        lost: 0,
        over: None,
    };
    let deadline = |limit: Option<Duration>| limit.map(|limit| start + limit);
    Ok(run
        .until_the_end(deadline(open_within), deadline(duration), interrupted)
        .await)
}

struct Run<'a> {
    session: Session,
    socket: Socket,
    handle: SocketHandle,
    watch: Watch,
    sender: Sender,
    output: &'a Output,
    expect: Expectations,
    has_session: bool,
    logout: bool,
    ends_with_input: bool,
    /// A connection was open at least once.
    opened: bool,
    /// There is nothing more to send, and everything was sent or failed.
    input_over: bool,
    /// What was to be sent and was not.
    lost: u64,
    /// The socket is over for good.
    over: Option<Error>,
}

impl Run<'_> {
    async fn until_the_end(
        mut self,
        open_by: Option<Instant>,
        end_at: Option<Instant>,
        mut interrupted: Interrupted,
    ) -> Exit {
        let exit = loop {
            if let Some(exit) = self.verdict() {
                break exit;
            }
            tokio::select! {
                // The rarest first: a flood of messages must not hide a deadline.
                biased;
                code = interrupted.wait() => break Exit::new(code, "interrupted"),
                () = at(end_at) => break self.at_the_deadline(),
                () = at(open_by), if !self.opened => {
                    break Exit::new(Code::Unreachable, "not connected within the time");
                }
                Some(seen) = self.watch.change() => self.take(seen),
                report = self.sender.reports.recv(), if !self.input_over => self.reported(report),
                Some(read) = self.socket.next() => self.take(Seen::read(read)),
            }
        };
        self.close().await;
        self.settle(exit)
    }

    /// Whether it is over, and how.
    fn verdict(&self) -> Option<Exit> {
        if self.output.is_closed() {
            return Some(Exit::new(Code::Ok, "nobody reads standard output any more"));
        }
        if self.expect.met() {
            return Some(Exit::new(Code::Ok, "everything expected was seen"));
        }
        if let Some(error) = &self.over {
            return Some(self.ended_by_server(error));
        }
        if self.has_session {
            // The state now, and not one that was told: that may be of before a sign-in.
            if let SessionState::SignedOut { cause } = self.session.state() {
                let why = serde_json::to_string(&cause).unwrap_or_default();
                return Some(Exit::new(
                    Code::Ended,
                    format!("signed out: {}", why.trim_matches('"')),
                ));
            }
        }
        let done = self.ends_with_input && self.input_over && self.opened;
        done.then(|| Exit::new(Code::Ok, "everything was sent"))
    }

    fn ended_by_server(&self, error: &Error) -> Exit {
        match self.handle.state() {
            SocketState::Closed {
                by: ClosedBy::Server,
                code: 1000,
                ..
            } if self.expect.any() => self.unmet(),
            SocketState::Closed {
                by: ClosedBy::Server,
                code: 1000,
                ..
            } => Exit::new(Code::Ok, "the server closed the connection normally"),
            _ if error.kind() == ErrorKind::AttemptsExhausted => {
                Exit::new(Code::Unreachable, error.message().to_owned())
            }
            _ => Exit::new(Code::Ended, error.to_string()),
        }
    }

    fn at_the_deadline(&self) -> Exit {
        if !self.opened {
            Exit::new(Code::Unreachable, "not connected within the time")
        } else if self.expect.any() {
            self.unmet()
        } else {
            Exit::new(Code::Ok, "the time is over")
        }
    }

    fn unmet(&self) -> Exit {
        Exit::new(Code::Unmet, format!("not seen: {}", self.expect.missing()))
    }

    /// Prints what was told and remembers what matters.
    fn take(&mut self, seen: Seen) {
        if self.has_session || !matches!(seen.what, What::Session(_) | What::SessionEvent(_)) {
            tell(self.output, &seen);
        }
        match &seen.what {
            What::SocketEvent(SocketEvent::Opened { .. }) => self.opened = true,
            What::Message(message) => return self.expect.see(message),
            What::Over(error) => self.over = Some(error.clone()),
            _ => {}
        }
        match self.watch.newly_missed() {
            0 => {}
            count => self.output.line(&Line::Missed {
                stream: "states and events",
                count,
            }),
        }
    }

    fn reported(&mut self, report: Option<Sent>) {
        let Some(Sent { send, status }) = report else {
            self.input_over = true;
            return;
        };
        self.lost += u64::from(matches!(status, SendStatus::Failed(_)));
        self.output.line(&Line::Send {
            send,
            status: &status,
        });
    }

    /// Closes with code 1000, and prints what is still told.
    async fn close(&mut self) {
        self.sender.stop();
        let (handle, session) = (self.handle.clone(), self.session.clone());
        let logout = self.logout;
        let closing = async move {
            handle.disconnect().await;
            if logout {
                // Returns once the store is clear; trouble with it is told as an event.
                let _ = session.logout().await;
            }
            session.close().await;
        };
        tokio::pin!(closing);
        let mut closed = false;
        loop {
            tokio::select! {
                biased;
                Some(seen) = self.watch.change() => self.take(seen),
                report = self.sender.reports.recv(), if !self.input_over => self.reported(report),
                Some(read) = self.socket.next() => self.take(Seen::read(read)),
                () = &mut closing, if !closed => closed = true,
                else => return,
            }
        }
    }

    /// The final word, which knows what became of everything that was to be sent.
    fn settle(&self, exit: Exit) -> Exit {
        if exit.code == Code::Ok && self.lost > 0 && !self.expect.any() {
            return Exit::new(
                Code::NotSent,
                format!("{} of what was to be sent was not", self.lost),
            );
        }
        exit
    }
}

/// Prints what was told.
fn tell(output: &Output, seen: &Seen) {
    let line = match &seen.what {
        What::Session(state) => Some(Line::Session { state }),
        What::SessionEvent(event) => Line::of_session(event),
        What::Socket(state) => Some(Line::Socket { state }),
        What::SocketEvent(event) => Line::of_socket(event),
        What::Message(message) => Some(Line::Message { message }),
        What::Over(error) => Some(Line::Error {
            during: "socket",
            error,
        }),
    };
    if let Some(line) = line {
        output.line_of(seen.at_unix_ms, &line);
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
