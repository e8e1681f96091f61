//! What happened: one record per request, handshake and close, and counters over all of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::locked;
use crate::settings::Placement;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A login request.
    Login,
    /// A refresh request.
    Refresh,
    /// A verification.
    Verify,
    /// A logout.
    Logout,
    /// A request for a WebSocket ticket.
    Ticket,
    /// `/api/me` or `/api/echo`.
    Api,
    /// A request that was redirected by its path.
    Redirect,
    /// A request for a path that does not exist.
    NotFound,
    /// A WebSocket that opened with a credential accepted (or is to be closed by a fault).
    WsOpen,
    /// A WebSocket whose credential was refused, at the upgrade or just after.
    WsRefused,
    /// A renewal by a message on a live connection, accepted or refused (then the status is 401).
    WsAuth,
    /// A message received; only with the setting `recordMessages`.
    WsMessage,
    /// The end of a WebSocket that had opened.
    WsClosed,
}

/// One thing that happened. Tokens appear by id, never in plain.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Record {
    /// Place in the order of all records, from 1.
    pub seq: u64,
    /// Milliseconds since the server started, monotonic.
    pub at_ms: u64,
    /// What it is about.
    pub kind: Option<Kind>,
    /// HTTP method.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// The user, where known.
    pub user: Option<String>,
    /// HTTP status answered; none when the connection was cut instead.
    pub status: Option<u16>,
    /// The `jti` of the token that arrived, or the start of its SHA-256.
    pub token_id: Option<String>,
    /// The running number the server gave that access token.
    pub token_seq: Option<u64>,
    /// Whether that token had expired when it arrived.
    pub token_expired: bool,
    /// Where the credential was.
    pub placement: Option<Placement>,
    /// The `jti` of the ticket.
    pub ticket_id: Option<String>,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// The fault that was applied.
    pub fault: Option<String>,
    /// The id of the WebSocket connection.
    pub connection: Option<u64>,
    /// The running numbers of the access tokens this answer issued.
    pub issued_token_seq: Option<u64>,
    /// Close code; none where the close had no code (1005), 1006 where there was no close frame.
    pub close_code: Option<u16>,
    /// Close reason.
    pub close_reason: Option<String>,
    /// Who closed first.
    pub closed_by: Option<ClosedBy>,
    /// Text of a recorded message, at most 1024 characters; of a binary one its size.
    pub message: Option<String>,
    /// The WebSocket subprotocol selected.
    pub subprotocol: Option<String>,
}

impl Record {
    /// Whether the record is of this kind.
    pub fn is(&self, kind: Kind) -> bool {
        self.kind == Some(kind)
    }
}

/// Who ended a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBy {
    /// The client, or its TCP connection.
    Client,
    /// The server.
    Server,
}

/// Sums over everything since the start or the last reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Counters {
    /// TCP connections accepted.
    pub tcp_accepted: u64,
    /// HTTP requests, without the control API, with WebSocket handshakes. Counted on arrival.
    pub requests: u64,
    /// Login requests. Counted on arrival.
    pub logins: u64,
    /// Logins that succeeded.
    pub logins_ok: u64,
    /// Refresh requests. Counted on arrival, before any fault.
    pub refreshes: u64,
    /// Refreshes the server performed, whether or not the answer got out.
    pub refreshes_ok: u64,
    /// Refreshes the server refused on their merits.
    pub refreshes_refused: u64,
    /// Verifications.
    pub verifies: u64,
    /// Logouts.
    pub logouts: u64,
    /// Ticket requests.
    pub tickets: u64,
    /// Requests for `/api/me` and `/api/echo`.
    pub api: u64,
    /// Requests and handshakes answered with 429, because authentication failed too often.
    pub throttled: u64,
    /// Faults applied.
    pub faults: u64,
    /// WebSocket handshakes, whatever became of them. Counted on arrival.
    pub ws_handshakes: u64,
    /// Handshakes that carried an expired token.
    pub ws_expired: u64,
    /// WebSocket connections opened and accepted.
    pub ws_opened: u64,
    /// WebSocket connections refused, at the upgrade or just after.
    pub ws_refused: u64,
    /// WebSocket connections that ended.
    pub ws_closed: u64,
    /// WebSocket connections open now.
    pub ws_open_now: u64,
    /// In-band renewals accepted.
    pub ws_renewals: u64,
    /// Messages received from clients (without `/ws-bare`).
    pub messages_in: u64,
    /// Messages sent to clients (without `/ws-bare` and `/ws-sink`).
    pub messages_out: u64,
}

/// The view that `wait_for` shows to its predicate.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// The counters.
    pub counters: Counters,
    /// All records, in order.
    pub records: &'a [Record],
}

/// The log: records, counters, and a bell that rings at every change.
#[derive(Debug)]
pub(crate) struct Log {
    started: Instant,
    inner: Mutex<Inner>,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    records: Vec<Record>,
    counters: Counters,
    next_seq: u64,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            inner: Mutex::default(),
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            bell: Notify::new(),
        }
    }

    /// Changes counters and rings.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut locked(&self.inner).counters);
        self.bell.notify_waiters();
    }

    pub(crate) fn count_in(&self) {
        self.messages_in.fetch_add(1, Ordering::SeqCst);
        self.bell.notify_waiters();
    }

    pub(crate) fn count_out(&self) {
        self.messages_out.fetch_add(1, Ordering::SeqCst);
        self.bell.notify_waiters();
    }

    /// Numbers a record, keeps it, and changes the counters that belong to it in the same step.
    pub(crate) fn push(&self, mut record: Record, change: impl FnOnce(&mut Counters)) {
        {
            let mut inner = locked(&self.inner);
            inner.next_seq += 1;
            record.seq = inner.next_seq;
            record.at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            change(&mut inner.counters);
            tracing::info!(
                seq = record.seq,
                kind = ?record.kind,
                method = record.method,
                path = record.path,
                user = record.user,
                status = record.status,
                connection = record.connection,
                close_code = record.close_code,
                fault = record.fault,
                token_seq = record.token_seq,
                "event"
            );
            inner.records.push(record);
        }
        self.bell.notify_waiters();
    }

    pub(crate) fn records(&self, since: u64) -> Vec<Record> {
        let inner = locked(&self.inner);
        inner
            .records
            .iter()
            .filter(|record| record.seq > since)
            .cloned()
            .collect()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.with_messages(locked(&self.inner).counters)
    }

    /// Waits until `holds` says yes. Never ends by itself; give it a deadline outside.
    pub(crate) async fn wait(&self, holds: &(dyn Fn(&Snapshot<'_>) -> bool + Send + Sync)) -> Counters {
        loop {
            let rung = self.bell.notified();
            tokio::pin!(rung);
            // Listens before looking, so that a change between the two is not missed.
            rung.as_mut().enable();
            if let Some(counters) = self.look(holds) {
                return counters;
            }
            rung.await;
        }
    }

    /// Forgets the records and zeroes the counters, except for what is open now.
    pub(crate) fn reset(&self) {
        let mut inner = locked(&self.inner);
        let ws_open_now = inner.counters.ws_open_now;
        inner.records.clear();
        inner.counters = Counters {
            ws_open_now,
            ..Counters::default()
        };
        self.messages_in.store(0, Ordering::SeqCst);
        self.messages_out.store(0, Ordering::SeqCst);
    }

    fn look(&self, holds: &(dyn Fn(&Snapshot<'_>) -> bool + Send + Sync)) -> Option<Counters> {
        let inner = locked(&self.inner);
        let counters = self.with_messages(inner.counters);
        holds(&Snapshot {
            counters,
            records: &inner.records,
        })
        .then_some(counters)
    }

    fn with_messages(&self, counters: Counters) -> Counters {
        Counters {
            messages_in: self.messages_in.load(Ordering::SeqCst),
            messages_out: self.messages_out.load(Ordering::SeqCst),
            ..counters
        }
    }
}
