//! What must hold, in every step of every world. To add a rule: a check in the file it belongs to, called where the thing
//! it is about happens, ending in `violated` with the clause of the contract as its name.
//!
//! - `tokens`: W2, W3, W8: what a connection or request carries.
//! - `exchange`: S3, S8, S10: who exchanges a refresh token when, what is stored, what is published, who is signed out.
//! - `sends`: W10: every message has one end, under its user, in order.
//! - `alive`: nothing is stuck, nothing is busy, nothing grows; and in the end all is well.

mod alive;
mod exchange;
mod sends;
mod tokens;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use freshsocket::io::{CallId, EffectId, HttpAnswer, SendId, SocketId};
use freshsocket::time::Mono;

use sends::Sent;
use tokens::{Known, StoredToken};

/// What the rules remember of the world.
#[derive(Default)]
pub(super) struct Rules {
    /// For a planted bug.
    pub(super) last_answer: Option<HttpAnswer>,
    /// The applications have stopped, so that everything can come to its end.
    pub(super) quiet: bool,
    /// When the server sent an answer.
    pub(super) answers_sent: BTreeMap<(usize, u64, EffectId), u64>,
    /// The last answer that the server gave to this process was one that it had given before.
    pub(super) replayed: BTreeSet<(usize, u64)>,
    /// Every access token that was ever durable, and what its record meant when it was written.
    stored: BTreeMap<String, StoredToken>,
    /// The newest pair of each family that was published where it was stored.
    published: BTreeMap<usize, u64>,
    /// Families of which a holder went on alone, without its store.
    split: BTreeSet<usize>,
    sends: Vec<Sent>,
}

/// What the rules remember of one process.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) store_failed: bool,
    pub(super) store_failed_at: u64,
    pub(super) frozen_since: u64,
    /// For how long nobody ran.
    pub(super) pauses_ms: u64,
    /// The sign-in that is out.
    pub(super) login: Option<CallId>,
    /// The application is signing out, in this very step.
    pub(super) logged_out: bool,
    /// Calls without an answer, and when they were made.
    pub(super) calls: BTreeMap<CallId, u64>,
    sockets: BTreeMap<SocketId, WatchedSocket>,
    identity: Option<u64>,
    /// Refreshes that are out for the present sign-in.
    refreshes_out: BTreeSet<EffectId>,
    refresh_times: VecDeque<u64>,
    /// Exchanges whose pair is not yet where it is kept.
    open_exchanges: Vec<usize>,
    /// When the intent was last written, and so the lease begun.
    lease_began: u64,
    /// The family of the refresh token that was sent last.
    family: Option<usize>,
    /// The server definitely refused a refresh token of this family.
    refused_family: Option<usize>,
    /// When the last pair was adopted.
    adopted_at: u64,
    session_since: Mono,
    known: BTreeMap<String, Known>,
    /// How much of its sleep its clocks can have hidden from it, all together.
    blind_ms: u64,
    last_clock: Option<(u64, i64)>,
    outputs: (u64, usize),
    idle_ticks: (u64, u32),
}

#[derive(Default)]
struct WatchedSocket {
    since: Mono,
    /// The number of the token that the last attempt carries.
    attempt: u64,
    refused: Option<u64>,
    dials: VecDeque<u64>,
    /// Grows when the user changes or the application closes the socket: there is no order across that.
    story: u64,
    last_out: Option<(u64, SendId)>,
}

impl Watched {
    pub(super) fn changed(&mut self, socket: SocketId, mono: Mono) {
        self.sockets.entry(socket).or_default().since = mono;
    }

    pub(super) fn attempt(&mut self, socket: SocketId, token: u64, mono: Mono) {
        let socket = self.sockets.entry(socket).or_default();
        (socket.attempt, socket.since) = (token, mono);
    }

    pub(super) fn refused(&mut self, socket: SocketId) {
        let socket = self.sockets.entry(socket).or_default();
        socket.refused = Some(socket.attempt);
    }

    /// A call of the application is a new start, whatever came before.
    pub(super) fn asked_to_connect(&mut self, socket: SocketId) {
        let socket = self.sockets.entry(socket).or_default();
        socket.refused = None;
        socket.dials.clear();
    }

    pub(super) fn forget(&mut self, socket: SocketId) {
        self.sockets.remove(&socket);
    }

    /// Somebody else is signed in: whatever sockets did before is another story.
    pub(super) fn another_user(&mut self) {
        self.generation_ends();
        self.refresh_times.clear();
        for socket in self.sockets.values_mut() {
            socket.story += 1;
            socket.dials.clear();
        }
    }

    /// The application closes a socket: what comes after is another story.
    pub(super) fn asked_to_close(&mut self, socket: SocketId) {
        self.sockets.entry(socket).or_default().story += 1;
    }

    /// What was out for the user before is no longer wanted, and may still be on its way.
    pub(super) fn generation_ends(&mut self) {
        self.refreshes_out.clear();
    }

    /// The device slept; whether its clock ran on.
    pub(super) fn slept(&mut self, ms: u64, counted: bool) {
        if counted {
            self.paused(ms);
        } else {
            self.pauses_ms += ms;
        }
    }

    /// Nobody ran for so long, by the process's own clock.
    pub(super) fn paused(&mut self, ms: u64) {
        self.pauses_ms += ms;
        self.session_since = self.session_since + ms;
        for socket in self.sockets.values_mut() {
            socket.since = socket.since + ms;
        }
    }
}
