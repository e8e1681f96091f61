//! What is on its way, and what happens when it arrives.

use freshsocket::Error;
use freshsocket::io::{ConnectFailure, EffectId, HttpAnswer, HttpRequest, Input};

use super::Fleet;
use super::faults::Mending;
use super::store::Access;
use super::wire::Frame;

/// A holder's process: which holder, and which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) holder: usize,
    pub(super) life: u64,
}

pub(super) enum Event {
    // HTTP
    AtServer {
        from: Process,
        effect: EffectId,
        request: HttpRequest,
        exchange: Option<usize>,
    },
    Answer {
        to: Process,
        effect: EffectId,
        answer: Result<HttpAnswer, Error>,
        exchange: Option<usize>,
    },
    /// The driver gives up waiting.
    HttpLimit {
        of: Process,
        effect: EffectId,
    },
    // The store
    AtStore {
        from: Process,
        effect: EffectId,
        access: Access,
        asked: u64,
        /// How long the answer takes.
        back: u64,
    },
    FromStore {
        to: Process,
        effect: EffectId,
        input: Box<Input>,
    },
    // Connections
    AtWs {
        conn: u64,
    },
    Dialled {
        conn: u64,
        failure: Option<ConnectFailure>,
    },
    Up {
        conn: u64,
        frame: Frame,
    },
    Down {
        conn: u64,
        frame: Frame,
    },
    /// The token that a connection was opened with expires.
    Expiry {
        conn: u64,
    },
    /// The server has heard nothing from a connection for a while: is it still there?
    ServerLooks {
        conn: u64,
    },
    /// The driver's own limit for its closing handshake.
    CloseLimit {
        conn: u64,
    },
    // Life
    /// Something that the driver did ended at once: its machine hears of it next.
    Inbox {
        holder: usize,
    },
    Fault,
    Mend(Mending),
    App {
        holder: usize,
    },
    Signal {
        to: Process,
        online: bool,
    },
    /// The application comes back from the background.
    Foreground {
        to: Process,
    },
    /// Another holder wrote the store, and somebody says so.
    StoreChanged {
        to: Process,
    },
    /// A sign-out while the store had a live pair must mend itself by now.
    WasItJust {
        of: Process,
    },
}

impl Fleet {
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::AtServer {
                from,
                effect,
                request,
                exchange,
            } => self.at_server(from, effect, &request, exchange),
            Event::Answer {
                to,
                effect,
                answer,
                exchange,
            } => self.http_answer(to, effect, answer, exchange),
            Event::HttpLimit { of, effect } => self.http_limit(of, effect),
            Event::AtStore {
                from,
                effect,
                access,
                asked,
                back,
            } => self.at_store(from, effect, access, (asked, back)),
            Event::FromStore { to, effect, input } => {
                if self.is_alive(to) && self.holders[to.holder].effects.remove(&effect).is_some() {
                    self.feed(to.holder, *input);
                }
            }
            Event::AtWs { conn } => self.at_ws(conn),
            Event::Dialled { conn, failure } => self.dialled(conn, failure),
            Event::Up { conn, frame } => self.up(conn, frame),
            Event::Down { conn, frame } => self.down(conn, frame),
            Event::Expiry { conn } => self.token_of_conn_expired(conn),
            Event::ServerLooks { conn } => self.server_looks(conn),
            Event::CloseLimit { conn } => self.close_limit(conn),
            Event::Inbox { holder } => self.run_inbox(holder),
            Event::Fault => self.fault(),
            Event::Mend(mending) => self.mend(mending),
            Event::App { holder } => self.act(holder),
            Event::Signal { to, online } => {
                if self.is_alive(to) {
                    self.note(|| format!("h{} is told online={online}", to.holder));
                    self.feed(to.holder, Input::Network { online });
                }
            }
            Event::Foreground { to } => {
                if self.is_alive(to) {
                    self.feed(to.holder, Input::Foreground { foreground: true });
                }
            }
            Event::StoreChanged { to } => {
                if self.is_alive(to) {
                    self.feed(to.holder, Input::StoreChanged);
                }
            }
            Event::WasItJust { of } => self.check_sign_out_again(of),
        }
    }
}
