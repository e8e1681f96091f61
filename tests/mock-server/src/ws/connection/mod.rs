//! The life of one WebSocket after its upgrade.

mod auth;
mod ending;
mod timers;

use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_tungstenite::tungstenite::{Error, Message};

use self::ending::End;
use self::timers::Timers;
use super::handshake::{Course, Opening};
use super::hub::{Command, ConnectionInfo};
use super::{Socket, config, open};
use crate::listen::Registered;
use crate::record::{ClosedBy, Kind, Record};
use crate::state::Shared;
use crate::stream::Mode;

/// How many ready messages share one flush.
const BATCH: usize = 64;
/// Recorded messages are cut to this many characters.
const MAX_RECORDED: usize = 1024;
/// Larger texts are application data without a look inside.
const MAX_INSPECTED: usize = 16 << 10;

/// Serves a connection from its upgrade to its end.
pub(crate) async fn run(
    shared: Arc<Shared>,
    registered: Arc<Registered>,
    upgrade: OnUpgrade,
    opening: Opening,
) {
    let Opening {
        info,
        expires_at_ms,
        course,
        commands,
        ..
    } = opening;
    let (id, path) = (info.id, info.path.clone());
    let was_refused = matches!(course, Course::Refuse { .. });
    let mut opened = !matches!(course, Course::AwaitAuth) && !was_refused;
    let mut user = info.user.clone();

    let end = match open(upgrade, config(&shared)).await {
        None => End::lost(ClosedBy::Client),
        Some(socket) => {
            let timers = Timers::new(&shared.settings(), &course);
            let awaits_auth = course == Course::AwaitAuth;
            let mut connection = Connection {
                shared: &shared,
                registered: &registered,
                socket,
                info,
                expires_at_ms,
                timers,
                awaits_auth,
            };
            let end = connection.serve(course, commands).await;
            opened |= connection.info.ready;
            user = connection.info.user.take();
            end
        }
    };
    shared.hub.leave(id);
    let record = Record {
        kind: Some(Kind::WsClosed),
        path,
        user,
        connection: Some(id),
        close_code: end.code,
        close_reason: Some(end.reason),
        closed_by: Some(end.by),
        ..Record::default()
    };
    if opened {
        shared.log.push(record, |counters| {
            counters.ws_closed += 1;
            counters.ws_open_now = counters.ws_open_now.saturating_sub(1);
        });
    }
}

struct Connection<'s> {
    shared: &'s Shared,
    registered: &'s Registered,
    socket: Socket,
    info: ConnectionInfo,
    expires_at_ms: Option<i64>,
    timers: Timers,
    awaits_auth: bool,
}

/// Goes on, or ends like this.
type Step = Result<ControlFlow<End>, Error>;
const ON: Step = Ok(ControlFlow::Continue(()));

impl Connection<'_> {
    async fn serve(&mut self, course: Course, mut commands: UnboundedReceiver<Command>) -> End {
        match self.begin(course).await {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(end)) => return end,
            Err(error) => return self.failed(&error),
        }
        loop {
            let due = self.next_due();
            let step = tokio::select! {
                command = commands.recv() => self.obey_all(command, &mut commands).await,
                message = self.socket.next() => self.receive_all(message).await,
                () = timers::at(due) => self.act_on_time().await,
            };
            match step {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(end)) => return end,
                Err(error) => return self.failed(&error),
            }
        }
    }

    async fn begin(&mut self, course: Course) -> Step {
        match course {
            Course::Serve | Course::AwaitAuth | Course::CloseAfter { .. } => ON,
            Course::Refuse {
                message,
                code,
                reason,
            } => self.refuse(message, code, &reason).await,
            Course::Cut => Ok(ControlFlow::Break(End::lost(ClosedBy::Server))),
            Course::HalfOpen => {
                self.registered.switch.set(Mode::HalfOpen);
                ON
            }
            Course::Oversized { bytes } => {
                self.socket.send(Message::Binary(vec![0; bytes].into())).await?;
                ON
            }
        }
    }

    /// Obeys a command and those behind it, with one flush for what they send.
    async fn obey_all(&mut self, first: Option<Command>, commands: &mut UnboundedReceiver<Command>) -> Step {
        let mut next = first;
        for left in (0..BATCH).rev() {
            match next {
                None => break,
                Some(Command::Send(message)) => self.feed(message).await?,
                Some(Command::Close { code, reason }) => return self.close(code, &reason).await,
                Some(Command::Recheck) if self.is_expired_by_decree() => return self.expired().await,
                Some(Command::Recheck) => {}
            }
            // Takes nothing out of the inbox that this batch would not handle.
            next = if left > 0 { commands.try_recv().ok() } else { None };
        }
        self.socket.flush().await?;
        ON
    }

    /// Handles a message and those that have arrived behind it, with one flush for the answers.
    async fn receive_all(&mut self, first: Option<Result<Message, Error>>) -> Step {
        let mut next = first;
        for left in (0..BATCH).rev() {
            let Some(message) = next else {
                return Ok(ControlFlow::Break(self.lost()));
            };
            if let ControlFlow::Break(end) = self.receive(message?).await? {
                return Ok(ControlFlow::Break(end));
            }
            if left == 0 {
                break;
            }
            match self.socket.next().now_or_never() {
                Some(ready) => next = ready,
                None => break,
            }
        }
        self.socket.flush().await?;
        ON
    }

    async fn receive(&mut self, message: Message) -> Step {
        self.timers.heard = true;
        match message {
            Message::Close(frame) => return Ok(ControlFlow::Break(self.closed_by_client(frame).await)),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return ON,
            Message::Text(_) | Message::Binary(_) => {}
        }
        let settings = self.shared.settings();
        let json = inspect(&message);
        let kind = json
            .as_ref()
            .and_then(|json| json.get("type"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        let token = json.as_ref().and_then(auth::token_of);
        if self.awaits_auth {
            return self.authenticate(token.unwrap_or_default()).await;
        }
        if let (true, Some(token)) = (settings.in_band_renewal && auth::is_auth(kind), token) {
            return self.renew(token, &settings).await;
        }
        self.shared.log.count_in();
        if settings.record_messages {
            self.record(&message);
        }
        if kind == "ping" {
            self.feed(text(&json!({ "type": "pong" }))).await?;
        } else if settings.echo {
            self.feed(message).await?;
        }
        ON
    }

    async fn feed(&mut self, message: Message) -> Result<(), Error> {
        self.socket.feed(message).await?;
        self.shared.log.count_out();
        Ok(())
    }

    fn record(&self, message: &Message) {
        let shown = match message {
            Message::Text(text) => text.chars().take(MAX_RECORDED).collect(),
            other => format!("{} bytes", other.len()),
        };
        let record = Record {
            kind: Some(Kind::WsMessage),
            path: self.info.path.clone(),
            user: self.info.user.clone(),
            connection: Some(self.info.id),
            token_seq: self.info.token_seq,
            message: Some(shown),
            ..Record::default()
        };
        self.shared.log.push(record, |_| {});
    }
}

/// The JSON of a text that may be one of the server's own messages.
fn inspect(message: &Message) -> Option<Value> {
    let Message::Text(text) = message else { return None };
    let may_be_ours = text.len() <= MAX_INSPECTED && text.starts_with('{') && text.contains("\"type\"");
    may_be_ours.then(|| serde_json::from_str(text).ok()).flatten()
}

fn text(json: &Value) -> Message {
    Message::text(json.to_string())
}
