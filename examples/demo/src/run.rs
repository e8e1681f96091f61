//! The application of the demo: signs in, connects, exchanges messages, and tells the story as it happens.
//!
//! Everything arrives in one loop: what the SDK says comes before what the application does, so that the account of
//! what was on the wire of which connection is right.

use std::time::{Duration, Instant};

use freshsocket::{
    Changes, Ended, SendStatus, Sending, Session, SessionEvent, Socket, SocketEvent, SocketState,
};
use freshsocket_mock_server::MockServer;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::args::{Args, Sabotage};
use crate::ledger::Ledger;
use crate::output::Output;
use crate::script::Pace;
use crate::seen::Seen;
use crate::stage::{Cue, Stage, unix_ms};
use crate::story::{Story, Tag};

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(66);
/// How long the last echoes may take.
const HOMECOMING: Duration = Duration::from_secs(5);
/// A send that takes longer hangs.
const LONGEST_SEND: Duration = Duration::from_secs(5);
/// What the messages begin with.
const PREFIX: &str = "message ";
/// The message that `--sabotage` is about.
const VICTIM: u64 = 7;

/// A run that could not even begin, in words.
pub(crate) type Failure = String;

/// How a run ended.
pub(crate) struct Finished {
    pub(crate) story: Story,
    pub(crate) ledger: Ledger,
    /// The user stopped it.
    pub(crate) interrupted: bool,
}

/// Plays the whole run.
pub(crate) async fn play(args: &Args, pace: &'static Pace, output: &mut Output) -> Result<Finished, Failure> {
    let server = start_server(pace).await?;
    let session = build_session(&server, pace, args.seed).await?;
    let session_events = session.events();
    session
        .login([("username", "ada"), ("password", "correct")])
        .await
        .map_err(|error| error.to_string())?;
    let socket = session
        .socket(server.ws_url())
        .connect()
        .map_err(|error| error.to_string())?;
    let (seen, director_sees) = watch::channel(Seen::default());
    let (cues, cue_queue) = mpsc::unbounded_channel();
    let stage = Stage {
        server: server.clone(),
        session: session.clone(),
        pace,
        seen: director_sees,
        cues,
        sabotage: args.sabotage,
    };
    let director = tokio::spawn(stage.direct());
    let mut run = Run {
        began: Instant::now(),
        story: Story::new(pace, unix_ms()),
        ledger: Ledger::default(),
        socket_states: socket.states(),
        socket_events: socket.events(),
        session_states: session.states(),
        session_events,
        socket,
        cues: cue_queue,
        seen,
        queued: Vec::new(),
        last_number: 0,
        sabotage: args.sabotage,
        sending: true,
    };
    let interrupted = run.until_over(output).await;
    director.abort();
    run.close(&session).await;
    run.tell(output);
    server.shutdown().await;
    Ok(Finished {
        story: run.story,
        ledger: run.ledger,
        interrupted,
    })
}

async fn start_server(pace: &'static Pace) -> Result<MockServer, Failure> {
    let server = MockServer::start()
        .await
        .map_err(|error| format!("the mock server does not start: {error}"))?;
    server.set(|settings| {
        settings.access_lifetime_ms = millis(pace.token_life);
        settings.fractional_times = true;
        settings.honour_idempotency_key = true;
        settings.enforce_expiry = true;
    });
    Ok(server)
}

async fn build_session(
    server: &MockServer,
    pace: &'static Pace,
    seed: Option<u64>,
) -> Result<Session, Failure> {
    let mut builder = Session::builder(server.http_url())
        .session_options(|options| {
            options.refresh.margin_fraction = pace.margin_fraction;
            options.refresh.idempotency_header = Some("Idempotency-Key".into());
            (options.refresh.retry.base_ms, options.refresh.retry.cap_ms) =
                (millis(pace.refresh_retry.0), millis(pace.refresh_retry.1));
        })
        .socket_options(|options| {
            (options.reconnect.delay.base_ms, options.reconnect.delay.cap_ms) =
                (millis(pace.reconnect.0), millis(pace.reconnect.1));
            options.reconnect.healthy_after_ms = millis(pace.healthy_after);
            (options.heartbeat.interval_ms, options.heartbeat.timeout_ms) =
                (millis(pace.heartbeat.0), millis(pace.heartbeat.1));
        });
    if let Some(seed) = seed {
        builder = builder.seed(seed);
    }
    builder.build().await.map_err(|error| error.to_string())
}

/// The loop's state.
struct Run {
    began: Instant,
    story: Story,
    ledger: Ledger,
    socket: Socket,
    session_states: Changes<freshsocket::SessionState>,
    session_events: Changes<SessionEvent>,
    socket_states: Changes<SocketState>,
    socket_events: Changes<SocketEvent>,
    cues: mpsc::UnboundedReceiver<Cue>,
    seen: watch::Sender<Seen>,
    /// Messages that waited for a connection when they were last looked at.
    queued: Vec<(u64, Sending)>,
    last_number: u64,
    sabotage: Option<Sabotage>,
    sending: bool,
}

impl Run {
    /// Lives until the director has ended the play and the last echo is home; says whether the user stopped it.
    async fn until_over(&mut self, output: &mut Output) -> bool {
        let mut next_message = interval(self.story.pace.message_every);
        let mut next_frame = interval(FRAME);
        next_message.set_missed_tick_behavior(MissedTickBehavior::Delay);
        next_frame.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut home_by = None;
        loop {
            tokio::select! {
                biased;
                Some(state) = self.session_states.next() => self.at_now().session_state(state),
                Some(event) = self.session_events.next() => self.at_now().session_event(&event),
                Some(event) = self.socket_events.next() => self.socket_event(&event),
                Some(state) = self.socket_states.next() => self.at_now().socket_state(state),
                Some(cue) = self.cues.recv() => {
                    if cue == Cue::End {
                        self.sending = false;
                        home_by = Some(Instant::now() + HOMECOMING);
                    }
                    self.at_now().cue(cue);
                }
                message = self.socket.next(), if !self.story.socket.is_final() => self.received(message),
                () = output.interrupted() => return true,
                _ = next_message.tick(), if self.sending => self.send().await,
                _ = next_frame.tick() => {}
            }
            self.look_after_queued();
            self.seen.send_replace(self.story.seen);
            self.tell(output);
            if home_by.is_some_and(|by| self.story.sums.settled() || Instant::now() > by) {
                return false;
            }
        }
    }

    fn tell(&mut self, output: &mut Output) {
        self.story.at(self.began.elapsed());
        self.story.count(&self.ledger);
        output.show(&self.story);
    }

    fn at_now(&mut self) -> &mut Story {
        self.story.at(self.began.elapsed());
        &mut self.story
    }

    fn socket_event(&mut self, event: &SocketEvent) {
        let mut caught = 0;
        if let SocketEvent::Ended { ended, .. } = event
            && *ended != Ended::Asked
        {
            self.look_after_queued();
            caught = self.ledger.cut(self.story.act);
        }
        self.at_now().socket_event(event, caught);
    }

    async fn send(&mut self) {
        self.last_number += 1;
        let number = self.last_number;
        self.ledger.sent(number);
        match timeout(LONGEST_SEND, self.socket.send(format!("{PREFIX}{number}"))).await {
            Ok(Ok(sending)) if sending.status() == SendStatus::Sent => self.ledger.handed(number),
            Ok(Ok(sending)) => self.queued.push((number, sending)),
            Ok(Err(error)) => {
                self.ledger.failed(number);
                // What goes wrong with one goes wrong with all that follow.
                self.sending = false;
                self.at_now()
                    .fail(format!("message {number} was not taken: {error}"));
            }
            Err(_) => {
                self.sending = false;
                self.at_now().fail(format!("sending message {number} hung"));
            }
        }
    }

    fn look_after_queued(&mut self) {
        let ledger = &mut self.ledger;
        self.queued.retain(|(number, sending)| match sending.status() {
            SendStatus::Sent => {
                ledger.handed(*number);
                false
            }
            SendStatus::Failed(_) => {
                ledger.failed(*number);
                false
            }
            _ => true,
        });
    }

    fn received(&mut self, message: Option<Result<freshsocket::Message, freshsocket::Error>>) {
        let text = match &message {
            Some(Ok(message)) => message.as_text().unwrap_or_default(),
            Some(Err(error)) => return self.at_now().fail(format!("the socket ended: {error}")),
            None => return,
        };
        match text.strip_prefix(PREFIX).and_then(|number| number.parse().ok()) {
            Some(VICTIM) if self.sabotage == Some(Sabotage::Lose) => {}
            Some(number) => {
                self.ledger.echoed(number);
                if number == VICTIM && self.sabotage == Some(Sabotage::Duplicate) {
                    self.ledger.echoed(number);
                }
            }
            None => self.ledger.strange(),
        }
        self.story.seen.echo();
    }

    /// Ends in good order, and looks whether it was one.
    async fn close(&mut self, session: &Session) {
        let signed_in = session.state().is_signed_in();
        self.story.at(self.began.elapsed());
        self.story.count(&self.ledger);
        if !signed_in {
            self.story.fail("the session was signed out");
        }
        if !self.socket.is_connected() {
            self.story.fail("the socket is not connected at the end");
        }
        if !self.story.sums.kept() {
            let sums = &self.story.sums;
            let why = format!(
                "messages: {} lost, {} duplicated, {} out of order, {} unknown",
                sums.lost(),
                sums.duplicated,
                sums.reordered,
                sums.strange
            );
            self.story.fail(why);
        }
        self.story.over = true;
        let goodbye = async {
            self.socket.disconnect().await;
            session.logout().await
        };
        if !matches!(timeout(HOMECOMING, goodbye).await, Ok(Ok(true))) && self.story.failures.is_empty() {
            self.story.fail("the sign-out at the end was not confirmed");
        }
        self.story.say(Tag::Run, "signed out by us");
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
