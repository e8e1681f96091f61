//! The handle that tests hold.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;

use crate::fault::{Fault, Target, Times};
use crate::flood::{self, Flood};
use crate::listen::{self, Gate};
use crate::locked;
use crate::record::{Counters, Record, Snapshot};
use crate::settings::Settings;
use crate::state::Shared;
use crate::stream::Mode;
use crate::ws::{ConnectionInfo, Who};

/// How long a graceful end waits for the clients to close their half.
const GRACE: Duration = Duration::from_secs(2);

/// A running mock server. Clones are handles to the same one; it stops when the last is dropped.
#[derive(Debug, Clone)]
pub struct MockServer {
    guard: Arc<Guard>,
}

/// Stops the server when the last handle goes.
#[derive(Debug)]
struct Guard {
    shared: Arc<Shared>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// What a session begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPair {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

/// [`MockServer::wait_for`] ran out of time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not seen within {waited:?}; last counters: {counters:?}")]
pub struct WaitTimeout {
    /// The deadline.
    pub waited: Duration,
    /// The counters at the deadline.
    pub counters: Counters,
}

/// Options of a server to be started.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    port: u16,
    settings: Settings,
}

impl Builder {
    /// The port on 127.0.0.1. Default 0: the system chooses.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The settings to begin with, and to come back to at a reset.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Starts listening. Needs a tokio runtime.
    #[expect(
        clippy::unused_async,
        reason = "starting is allowed to take time in later versions"
    )]
    pub async fn start(self) -> io::Result<MockServer> {
        let shared = Arc::new(Shared::new(self.settings, Gate::bind(self.port)?));
        tokio::spawn(listen::accept_loop(Arc::clone(&shared)));
        Ok(MockServer {
            guard: Arc::new(Guard { shared }),
        })
    }
}

/// Start, address, settings.
impl MockServer {
    /// Starts with default settings on a free port.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Options, then start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.shared().gate.addr()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// `ws://127.0.0.1:PORT/ws`. `/ws/anything` is served alike; `/ws-bare` and `/ws-sink` are for benchmarks.
    pub fn ws_url(&self) -> String {
        format!("ws://{}/ws", self.addr())
    }

    /// The settings now.
    pub fn settings(&self) -> Settings {
        (*self.shared().settings()).clone()
    }

    /// Changes settings, for whatever is decided from now on.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        self.shared().change_settings(change);
        self.shared().hub.recheck();
    }

    /// Settings as at the start, no faults, no records, counters at zero, failed logins forgotten. Tokens and
    /// connections stay.
    pub fn reset(&self) {
        self.shared().reset();
    }

    /// Stops gracefully: no new connections, the open ones closed with `shutdown_close_code`, then the rest cut.
    pub async fn shutdown(&self) {
        self.shared().shut_down().await;
    }

    /// Waits until it is stopped, by `shutdown` or over the control API.
    pub async fn stopped(&self) {
        self.shared().stopped().await;
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.guard.shared
    }
}

/// Faults.
impl MockServer {
    /// Sets a fault. See [`Times`] for how several at one target go together.
    pub fn fault(&self, target: Target, fault: Fault, times: Times) {
        locked(&self.shared().faults).set(target, fault, times);
    }

    /// Removes all faults, and lets go what a [`Fault::Hold`] holds.
    pub fn clear_faults(&self) {
        locked(&self.shared().faults).clear(None);
        self.release();
    }

    /// Removes the faults at one target.
    pub fn clear_faults_at(&self, target: Target) {
        locked(&self.shared().faults).clear(Some(target));
    }

    /// Lets go every request that a [`Fault::Hold`] holds now.
    pub fn release(&self) {
        self.shared().release();
    }
}

/// Tokens.
impl MockServer {
    /// An access token outside any session, as a host application's own login would give.
    pub fn issue_access_token(&self, user: &str, lifetime: Duration) -> String {
        self.shared().issue_access_token(user, lifetime)
    }

    /// A session without a login request.
    pub fn issue_session(&self, user: &str) -> TokenPair {
        let (settings, now_ms) = (self.shared().settings(), self.shared().now_ms());
        let pair = locked(&self.shared().book).login(user, now_ms, &settings);
        let refresh = pair.refresh.map(|minted| minted.token).unwrap_or_default();
        TokenPair {
            access: pair.access.token,
            refresh,
        }
    }

    /// Blacklists every refresh token of a user.
    pub fn revoke_user(&self, user: &str) {
        locked(&self.shared().book).revoke_user(user);
    }

    /// Makes every access token issued until now expired from the server's view. With `enforce_expiry` their
    /// connections are closed.
    pub fn expire_tokens(&self) {
        self.shared().expire_tokens();
    }

    /// Every access token, refresh token and ticket ever issued, in plain: to search output for.
    pub fn tokens_issued(&self) -> Vec<String> {
        locked(&self.shared().book).issued()
    }
}

/// Live connections.
impl MockServer {
    /// The open WebSocket connections (without the benchmark paths).
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.shared().hub.list()
    }

    /// How many are open for one user.
    pub fn connection_count(&self, user: &str) -> usize {
        self.connections()
            .iter()
            .filter(|info| info.ready && info.user.as_deref() == Some(user))
            .count()
    }

    /// Sends to some connections; says to how many. Unauthenticated ones get nothing.
    pub fn send(&self, who: &Who, message: impl Into<Message>) -> usize {
        self.shared().hub.send(who, &message.into())
    }

    /// Sends to all connections of a user; says to how many.
    pub fn send_to_user(&self, user: &str, message: impl Into<Message>) -> usize {
        self.send(&Who::User(user.to_owned()), message)
    }

    /// Sends to one connection; says whether it was there.
    pub fn send_to_socket(&self, id: u64, message: impl Into<Message>) -> bool {
        self.send(&Who::Connection(id), message) == 1
    }

    /// Sends to all connections; says to how many.
    pub fn broadcast(&self, message: impl Into<Message>) -> usize {
        self.send(&Who::All, message)
    }

    /// Sends to all connections but one; says to how many.
    pub fn broadcast_except(&self, id: u64, message: impl Into<Message>) -> usize {
        self.send(&Who::Except(id), message)
    }

    /// Starts a flood of numbered messages and returns at once.
    pub fn flood(&self, flood: Flood) {
        tokio::spawn(flood::run(Arc::clone(self.shared()), flood));
    }

    /// Closes connections with a code, or without one (1005); says how many.
    pub fn close(&self, who: &Who, code: Option<u16>, reason: &str) -> usize {
        self.shared().hub.close(who, code, reason)
    }

    /// Closes all connections.
    pub fn close_all(&self, code: Option<u16>, reason: &str) -> usize {
        self.close(&Who::All, code, reason)
    }

    /// Cuts connections without a close frame (1006), by a TCP reset; says how many.
    pub fn cut(&self, who: &Who) -> usize {
        self.shared().hub.switch(who, Mode::Cut)
    }

    /// Cuts all WebSocket connections.
    pub fn cut_all(&self) -> usize {
        self.cut(&Who::All)
    }

    /// Stops reading and writing on connections while TCP stays up; says how many.
    pub fn half_open(&self, who: &Who) -> usize {
        self.shared().hub.switch(who, Mode::HalfOpen)
    }

    /// Freezes all WebSocket connections.
    pub fn half_open_all(&self) -> usize {
        self.half_open(&Who::All)
    }

    /// Stops reading from connections, so that the client's sends meet backpressure; says how many.
    pub fn pause_reads(&self, who: &Who) -> usize {
        self.shared().hub.switch(who, Mode::ReadsPaused)
    }

    /// Undoes `pause_reads` and `half_open`; says for how many.
    pub fn resume(&self, who: &Who) -> usize {
        self.shared().hub.switch(who, Mode::Normal)
    }
}

/// Going away and coming back.
impl MockServer {
    /// Stops listening and cuts every connection, HTTP too: the server is gone.
    pub fn stop_listening(&self) {
        self.shared().gate.close();
        self.shared().gate.cut_all(false);
    }

    /// Listens again on the same port.
    #[expect(
        clippy::unused_async,
        reason = "coming back is allowed to take time in later versions"
    )]
    pub async fn listen_again(&self) -> io::Result<()> {
        self.shared().gate.open()
    }

    /// Whether it listens.
    pub fn is_listening(&self) -> bool {
        self.shared().gate.is_open()
    }

    /// Goes away with every connection cut, and comes back on the same port at once.
    pub async fn restart(&self) -> io::Result<()> {
        self.restart_after(Duration::ZERO, None).await
    }

    /// Goes away, and comes back on the same port after a while. With a close code the WebSocket connections are closed
    /// with it first, otherwise they are cut. With the setting `boot_id` the tokens of before die.
    pub async fn restart_after(&self, away: Duration, close_code: Option<u16>) -> io::Result<()> {
        self.shared().go_away(close_code, false).await;
        self.shared().come_back(away).await
    }
}

/// What happened.
impl MockServer {
    /// All records, in order.
    pub fn records(&self) -> Vec<Record> {
        self.records_since(0)
    }

    /// The records after a sequence number.
    pub fn records_since(&self, seq: u64) -> Vec<Record> {
        self.shared().log.records(seq)
    }

    /// The counters now.
    pub fn counters(&self) -> Counters {
        self.shared().log.counters()
    }

    /// Waits until the predicate holds; looks anew at every change, without polling.
    pub async fn wait_for(
        &self,
        holds: impl Fn(&Snapshot<'_>) -> bool + Send + Sync,
        deadline: Duration,
    ) -> Result<Counters, WaitTimeout> {
        let waiting = tokio::time::timeout(deadline, self.shared().log.wait(&holds));
        waiting.await.map_err(|_| WaitTimeout {
            waited: deadline,
            counters: self.counters(),
        })
    }
}

/// The operations that take more than one step, for this handle and the control API alike.
impl Shared {
    pub(crate) fn issue_access_token(&self, user: &str, lifetime: Duration) -> String {
        let (settings, now_ms) = (self.settings(), self.now_ms());
        let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        locked(&self.book)
            .issue_access(user, lifetime_ms, now_ms, &settings)
            .0
            .token
    }

    pub(crate) fn expire_tokens(&self) {
        locked(&self.book).expire_access_tokens();
        self.hub.recheck();
    }

    /// Stops listening and ends every connection; `spare` keeps control requests alive for their answer.
    pub(crate) async fn go_away(&self, close_code: Option<u16>, spare: bool) {
        self.gate.close();
        if let Some(code) = close_code {
            self.hub.close(&Who::All, Some(code), "");
            self.drained().await;
        }
        self.gate.cut_all(spare);
    }

    pub(crate) async fn come_back(&self, away: Duration) -> io::Result<()> {
        tokio::time::sleep(away).await;
        locked(&self.book).reboot();
        self.gate.open()
    }

    pub(crate) async fn shut_down(&self) {
        self.gate.close();
        self.hub
            .close(&Who::All, Some(self.settings().shutdown_close_code), "");
        self.drained().await;
        self.stop();
    }

    async fn drained(&self) {
        let empty = |seen: &Snapshot<'_>| seen.counters.ws_open_now == 0;
        if tokio::time::timeout(GRACE, self.log.wait(&empty)).await.is_err() {
            tracing::info!("some clients did not answer the close; cutting them");
        }
    }
}
