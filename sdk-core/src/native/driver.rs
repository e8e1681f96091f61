//! The loop between the machine and the world: takes inputs, performs outputs in order, sleeps until the next deadline.
//!
//! Decides nothing. One task per client owns the machine; nothing else touches it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};
use tracing::{debug, trace};

use super::activity::{ActivityKind, Teller};
use super::callback::Callback;
use super::clock;
use super::http::Http;
use super::pipe::Pipe;
use super::shared::{Command, Shared};
use super::socket::SocketShared;
use super::store::Store;
use crate::error::Error;
use crate::io::{CallId, CallbackAnswer, ConnId, ConnectRequest, EffectId, Input, Output, Reply, SocketId};
use crate::machine::Machine;
use crate::secret::AccessToken;
use crate::time::{Mono, Now};

/// How long a shutdown waits for closing handshakes.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// While there is a deadline the machine looks at the clocks this often: timers stop while the device sleeps, and after a
/// wake the machine is to know of it soon (S7).
const LOOK_AT_CLOCKS_MS: u64 = 5_000;

/// Between two hints of a store, so that one which hints without end costs little.
const HINT_PAUSE: Duration = Duration::from_millis(20);

/// What the driver performs outputs with.
pub(crate) struct World {
    pub(crate) http: Http,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) callback: Option<Arc<dyn Callback>>,
    pub(crate) runtime: tokio::runtime::Handle,
}

pub(crate) struct Driver {
    machine: Machine,
    shared: Arc<Shared>,
    world: World,
    commands: mpsc::UnboundedReceiver<Command>,
    inputs: mpsc::UnboundedReceiver<Input>,
    calls: HashMap<CallId, oneshot::Sender<Result<Reply, Error>>>,
    effects: HashMap<EffectId, AbortHandle>,
    sockets: HashMap<SocketId, Weak<SocketShared>>,
    conns: HashMap<ConnId, Arc<Pipe>>,
    /// Until when the published token may be handed out without asking.
    fresh_until: Mono,
    /// Store accesses happen one after the other, in the order they were asked for.
    store_queue: mpsc::UnboundedSender<StoreJob>,
    store_task: Option<JoinHandle<()>>,
    watch_task: Option<AbortHandle>,
    /// A hint of the store's is on its way; it stands for all that come meanwhile.
    hinted: Arc<AtomicBool>,
    tokens: mpsc::UnboundedSender<AccessToken>,
    teller: Teller,
}

type StoreJob = Box<dyn FnOnce(Arc<dyn Store>) -> futures_util::future::BoxFuture<'static, Input> + Send>;

impl Driver {
    /// Starts the tasks of a client; the machine's first outputs are performed at once.
    pub(crate) fn spawn(
        machine: Machine,
        shared: Arc<Shared>,
        world: World,
        commands: mpsc::UnboundedReceiver<Command>,
        inputs: mpsc::UnboundedReceiver<Input>,
    ) {
        let runtime = world.runtime.clone();
        let (store_queue, jobs) = mpsc::unbounded_channel();
        let store_task = world
            .store
            .clone()
            .map(|store| runtime.spawn(run_store(store, jobs, shared.inputs.clone())));
        let hinted = Arc::new(AtomicBool::new(false));
        // A callback session has no use for what a store holds.
        let watched = world.store.clone().filter(|_| world.callback.is_none());
        let watch_task = watched.map(|store| {
            let watch = run_watch(store, hinted.clone(), shared.inputs.clone());
            runtime.spawn(watch).abort_handle()
        });
        let (tokens, new_tokens) = mpsc::unbounded_channel();
        runtime.spawn(run_callbacks(Arc::downgrade(&shared), new_tokens));
        let driver = Self {
            machine,
            shared,
            world,
            commands,
            inputs,
            calls: HashMap::new(),
            effects: HashMap::new(),
            sockets: HashMap::new(),
            conns: HashMap::new(),
            fresh_until: Mono::NEVER,
            store_queue,
            store_task,
            watch_task,
            hinted,
            tokens,
            teller: Teller::default(),
        };
        runtime.spawn(driver.run());
    }

    async fn run(mut self) {
        self.perform_all(clock::now());
        loop {
            let now = clock::mono();
            if now >= self.fresh_until {
                self.shared.no_longer_fresh();
                self.fresh_until = Mono::NEVER;
            }
            let deadline = self
                .machine
                .next_deadline()
                .unwrap_or(Mono::NEVER)
                .min(self.fresh_until);
            let wait = (deadline != Mono::NEVER).then(|| {
                // One more, so that the clock has passed the deadline when its rounding has not.
                Duration::from_millis(deadline.since(now).saturating_add(1).min(LOOK_AT_CLOCKS_MS))
            });
            self.shared.awake_within(wait);
            tokio::select! {
                // Ends of connections before commands: a message that comes after an end must find it known.
                biased;
                input = self.inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown(done)) => return self.shut_down(done).await,
                    Some(command) => self.obey(command),
                    None => return,
                },
                () = sleep(wait) => self.handle(Input::Tick),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Call(call, input, answer) => {
                self.calls.insert(call, answer);
                self.handle(input);
            }
            Command::Shutdown(_) => {}
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::TokenNeeded => {
                self.shared.token_needed_taken();
                self.handle(Input::TokenNeeded);
                self.shared.token_needed_handled();
            }
            Input::OpenSocket { socket, options } => {
                let newcomers = self.shared.take_newcomers();
                self.sockets
                    .extend(newcomers.iter().map(|socket| (socket.id, Arc::downgrade(socket))));
                self.handle(Input::OpenSocket { socket, options });
            }
            Input::Send { socket, send, .. } => {
                self.handle(input);
                if let Some(socket) = self.socket(socket) {
                    socket.send_decided(send);
                }
            }
            Input::Ended {
                conn,
                end,
                mut unsent,
            } => {
                if let Some(pipe) = self.conns.remove(&conn) {
                    // What the machine gave it before it heard of the end.
                    unsent.extend(pipe.take_late());
                }
                self.handle(Input::Ended { conn, end, unsent });
            }
            Input::ConnectFailed { conn, failure } => {
                self.conns.remove(&conn);
                self.handle(Input::ConnectFailed { conn, failure });
            }
            Input::HttpAnswered { effect, .. } | Input::CallbackAnswered { effect, .. } => {
                self.effects.remove(&effect);
                self.handle(input);
            }
            Input::StoreChanged => {
                // First, so that a change from here on has a hint of its own.
                self.hinted.store(false, Ordering::Release);
                self.handle(Input::StoreChanged);
            }
            Input::DropSocket { socket } => {
                let known = self.socket(socket);
                self.handle(Input::DropSocket { socket });
                self.sockets.remove(&socket);
                if let Some(known) = known {
                    // Again, in case a connection was added since the last handle went.
                    known.let_go();
                }
            }
            input => self.handle(input),
        }
    }

    /// The one place where the machine is told something, and is asked what to do until it has nothing more to say.
    fn handle(&mut self, input: Input) {
        trace!(?input, "machine input");
        let now = clock::now();
        self.machine.handle(now, input);
        self.perform_all(now);
    }

    /// What the application hears of the session comes last: whatever it does upon that must meet the new state of
    /// affairs. (A message sent after a sign-in must not find the connection of the user before.)
    fn perform_all(&mut self, now: Now) {
        self.teller.at(now.unix_ms);
        let mut news = Vec::new();
        while let Some(output) = self.machine.poll() {
            trace!(?output, "machine output");
            let number = self.number(&output);
            match output {
                Output::PublishSession(_)
                | Output::SessionEvent(_)
                | Output::TokenRefreshed { .. }
                | Output::Reply { .. } => news.push((number, output)),
                output => self.perform(number, output),
            }
        }
        for (number, output) in news {
            self.perform(number, output);
        }
        self.teller.tell(&self.shared.activity);
    }

    /// The output's number in the activity, if it is of what that tells.
    fn number(&mut self, output: &Output) -> Option<u64> {
        let is_told = match output {
            // There is one at most for each input, so that what was published last is what was before.
            Output::PublishSession(view) => self.shared.view().state != view.state,
            Output::SessionEvent(_) | Output::PublishSocket { .. } | Output::SocketEvent { .. } => true,
            _ => false,
        };
        is_told.then(|| self.teller.number())
    }

    fn note(&mut self, number: Option<u64>, what: impl FnOnce() -> ActivityKind) {
        if let Some(number) = number {
            self.teller.note(&self.shared.activity, number, what);
        }
    }

    fn perform(&mut self, number: Option<u64>, output: Output) {
        match output {
            Output::Http { effect, request } => {
                let http = self.world.http.clone();
                self.answer_later(effect, async move {
                    let answer = http.perform(&request).await;
                    Input::HttpAnswered { effect, answer }
                });
            }
            Output::Cancel { effect } => {
                if let Some(task) = self.effects.remove(&effect) {
                    task.abort();
                }
            }
            Output::LoadStore { effect } => self.in_store(Box::new(move |store| {
                Box::pin(async move {
                    Input::StoreLoaded {
                        effect,
                        loaded: store.load().await,
                    }
                })
            })),
            Output::SwapStore {
                effect,
                expected,
                next,
            } => self.in_store(Box::new(move |store| {
                Box::pin(async move {
                    Input::StoreSwapped {
                        effect,
                        swapped: store.swap(expected, next).await,
                    }
                })
            })),
            Output::AskCallback { effect, force } => self.ask_callback(effect, force),
            Output::PublishSession(view) => {
                debug!(state = view.state.name(), "session");
                self.fresh_until = view.token.as_ref().map_or(Mono::NEVER, |token| token.fresh_until);
                if let Some(state) = self.shared.publish(view) {
                    self.note(number, || ActivityKind::SessionState(state));
                }
            }
            Output::SessionEvent(event) => {
                debug!(?event, "session event");
                self.shared.events.send(&event);
                self.note(number, || ActivityKind::SessionEvent(event));
            }
            Output::TokenRefreshed { token } => {
                let _ = self.tokens.send(token);
            }
            Output::Reply { call, result } => {
                if let Some(answer) = self.calls.remove(&call) {
                    let _ = answer.send(result);
                }
            }
            Output::Connect {
                conn,
                socket,
                replaces,
                request,
            } => self.connect(conn, socket, replaces, request),
            Output::Overlap { socket, stage } => {
                if let Some(socket) = self.socket(socket) {
                    socket.overlap(stage);
                }
            }
            Output::Transmit { conn, messages } => {
                self.with_pipe(conn, |pipe| pipe.transmit(messages));
            }
            Output::TransmitSecret { conn, text } => self.with_pipe(conn, |pipe| pipe.transmit_secret(text)),
            Output::Direct { socket, conn } => {
                if let (Some(socket), Some(pipe)) = (self.socket(socket), self.conns.get(&conn)) {
                    socket.set_direct(Some(pipe));
                }
            }
            Output::Indirect { socket } => {
                if let Some(socket) = self.socket(socket) {
                    socket.set_direct(None);
                }
            }
            Output::ReadActivity { conn } => {
                if let Some(pipe) = self.conns.get(&conn) {
                    let last_received = pipe.last_received();
                    let _ = self.shared.inputs.send(Input::Activity { conn, last_received });
                }
            }
            Output::Ping { conn } => self.with_pipe(conn, Pipe::ping),
            Output::Close { conn, code, reason } => self.with_pipe(conn, |pipe| pipe.close(code, reason)),
            Output::Abort { conn } => self.with_pipe(conn, Pipe::abort),
            Output::PublishSocket { socket, state } => {
                debug!(socket = socket.0, state = state.name(), "socket");
                if let Some(socket) = self.socket(socket) {
                    socket.publish(&state);
                }
                let socket = socket.0;
                self.note(number, || ActivityKind::SocketState { socket, state });
            }
            Output::SocketEvent { socket, event } => {
                debug!(socket = socket.0, ?event, "socket event");
                if let Some(socket) = self.socket(socket) {
                    socket.events.send(&event);
                }
                let socket = socket.0;
                self.note(number, || ActivityKind::SocketEvent { socket, event });
            }
            Output::SendFailed { socket, send, error } => {
                if let Some(socket) = self.socket(socket) {
                    socket.send_failed(send, error);
                }
            }
        }
    }

    fn socket(&self, id: SocketId) -> Option<Arc<SocketShared>> {
        self.sockets.get(&id).and_then(Weak::upgrade)
    }

    fn with_pipe(&self, conn: ConnId, act: impl FnOnce(&Pipe)) {
        if let Some(pipe) = self.conns.get(&conn) {
            act(pipe);
        }
    }

    fn connect(&mut self, conn: ConnId, id: SocketId, replaces: Option<ConnId>, request: ConnectRequest) {
        let Some(socket) = self.socket(id) else { return };
        let (pipe, task) = Pipe::new(
            conn,
            request,
            &socket.options,
            self.world.tls.clone(),
            Arc::new(clock::mono),
            self.shared.inputs.clone(),
            socket.clone(),
        );
        if let Some(event) = socket.add_lane(conn, &pipe, replaces) {
            let number = self.teller.number();
            self.note(Some(number), || ActivityKind::SocketEvent { socket: id.0, event });
        }
        self.conns.insert(conn, pipe);
        self.world.runtime.spawn(task);
    }

    fn answer_later(&mut self, effect: EffectId, work: impl Future<Output = Input> + Send + 'static) {
        let inputs = self.shared.inputs.clone();
        let task = self.world.runtime.spawn(async move {
            let _ = inputs.send(work.await);
        });
        self.effects.insert(effect, task.abort_handle());
    }

    fn in_store(&self, job: StoreJob) {
        // Without a store the machine asks for none.
        let _ = self.store_queue.send(job);
    }

    fn ask_callback(&mut self, effect: EffectId, force: bool) {
        let Some(callback) = self.world.callback.clone() else {
            return;
        };
        let runtime = self.world.runtime.clone();
        self.answer_later(effect, async move {
            // In a task of its own, so that a panic of the application's is an answer and not our end.
            let asked = super::callback::AbortOnDrop(runtime.spawn(async move { callback.ask(force).await }));
            let answer = asked.answer().await.unwrap_or_else(|| {
                let error = Error::new(crate::ErrorKind::CallbackFailed, "the token callback panicked");
                CallbackAnswer::Unreachable(error)
            });
            Input::CallbackAnswered { effect, answer }
        });
    }

    /// Closes what is open, waits a little for the other side, and ends.
    async fn shut_down(mut self, done: Option<oneshot::Sender<()>>) {
        let sockets: Vec<SocketId> = self.sockets.keys().copied().collect();
        for socket in sockets {
            self.handle(Input::DropSocket { socket });
        }
        let deadline = tokio::time::Instant::now() + SHUTDOWN;
        while !self.conns.is_empty() {
            match tokio::time::timeout_at(deadline, self.inputs.recv()).await {
                Ok(Some(input)) => self.take(input),
                _ => break,
            }
        }
        // First, so that whatever is said from here on fails for who says it.
        self.commands.close();
        self.inputs.close();
        let known = self.sockets.values().filter_map(Weak::upgrade);
        self.teller.at(clock::now().unix_ms);
        for socket in known.chain(self.shared.take_newcomers()) {
            if let Some(state) = socket.dispose() {
                let number = self.teller.number();
                let socket = socket.id.0;
                self.teller
                    .note(&self.shared.activity, number, || ActivityKind::SocketState {
                        socket,
                        state,
                    });
            }
        }
        self.teller.tell(&self.shared.activity);
        self.shared.dispose();
        if let Some(task) = self.store_task.take() {
            // What is still to be written is written before anybody is told that it is over. Without its queue the
            // task ends when it has done everything.
            self.store_queue = mpsc::unbounded_channel().0;
            let _ = tokio::time::timeout_at(deadline, task).await;
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for task in self.effects.values().chain(&self.watch_task) {
            task.abort();
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

async fn run_store(
    store: Arc<dyn Store>,
    mut jobs: mpsc::UnboundedReceiver<StoreJob>,
    inputs: mpsc::UnboundedSender<Input>,
) {
    while let Some(job) = jobs.recv().await {
        let answer = job(store.clone()).await;
        if inputs.send(answer).is_err() {
            // The client is gone. What it still wanted written (a cleared session, say) is written all the same.
        }
    }
}

/// Passes the store's hints on, one at a time.
async fn run_watch(store: Arc<dyn Store>, hinted: Arc<AtomicBool>, inputs: mpsc::UnboundedSender<Input>) {
    let Some(mut hints) = store.watch() else { return };
    while hints.next().await.is_some() {
        if !hinted.swap(true, Ordering::AcqRel) && inputs.send(Input::StoreChanged).is_err() {
            return;
        }
        tokio::time::sleep(HINT_PAUSE).await;
    }
}

async fn run_callbacks(shared: Weak<Shared>, mut tokens: mpsc::UnboundedReceiver<AccessToken>) {
    while let Some(token) = tokens.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        shared.run_callbacks(&token);
    }
}
