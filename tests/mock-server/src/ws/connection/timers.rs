//! What the server does by itself: deadlines, expiry, greeting, heartbeat.

use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::ending::End;
use super::{Connection, ON, Step, text};
use crate::book::TokenError;
use crate::http::Draft;
use crate::locked;
use crate::record::{ClosedBy, Kind};
use crate::settings::Settings;
use crate::stream::Mode;
use crate::ws::handshake::{self, Course};

/// When the server acts by itself.
pub(super) struct Timers {
    /// A connection that has not authenticated by then is refused.
    pub(super) auth_by: Option<Instant>,
    welcome_at: Option<Instant>,
    /// A scheduled close.
    close_at: Option<(Instant, Option<u16>, String)>,
    heartbeat_at: Option<Instant>,
    heartbeat: Duration,
    /// Whether the client was heard of since the last ping.
    pub(super) heard: bool,
}

impl Timers {
    pub(super) fn new(settings: &Settings, course: &Course) -> Self {
        let now = Instant::now();
        let heartbeat = Duration::from_millis(settings.heartbeat_interval_ms);
        let welcome_at = || now + Duration::from_millis(settings.welcome_delay_ms);
        let mut timers = Self {
            auth_by: None,
            welcome_at: settings.welcome.then(welcome_at),
            close_at: None,
            heartbeat_at: (!heartbeat.is_zero()).then(|| now + heartbeat),
            heartbeat,
            heard: true,
        };
        match course {
            Course::AwaitAuth => {
                timers.auth_by = Some(now + Duration::from_millis(settings.first_message_timeout_ms));
            }
            Course::CloseAfter { ms, code, reason } => {
                timers.close_at = Some((now + Duration::from_millis(*ms), *code, reason.clone()));
            }
            _ => {}
        }
        timers
    }
}

impl Connection<'_> {
    pub(super) fn next_due(&self) -> Option<Instant> {
        let timers = &self.timers;
        let close_at = timers.close_at.as_ref().map(|(at, ..)| *at);
        [
            timers.auth_by,
            timers.welcome_at.filter(|_| !self.awaits_auth),
            close_at,
            timers.heartbeat_at,
            self.expires_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When to look at the expiry, if it matters here.
    fn expires_at(&self) -> Option<Instant> {
        let left_ms = self.left_ms()?;
        Instant::now().checked_add(Duration::from_millis(u64::try_from(left_ms).unwrap_or_default()))
    }

    fn is_past_expiry(&self) -> bool {
        self.left_ms().is_some_and(|left_ms| left_ms <= 0)
    }

    /// What is left of the token by the server's clock, which tests move.
    fn left_ms(&self) -> Option<i64> {
        let matters = !self.awaits_auth && self.shared.settings().enforce_expiry;
        Some(
            self.expires_at_ms
                .filter(|_| matters)?
                .saturating_sub(self.shared.now_ms()),
        )
    }

    /// Whether the control API declared the token expired, where that matters.
    pub(super) fn is_expired_by_decree(&self) -> bool {
        let expired = self
            .info
            .token_seq
            .is_some_and(|seq| locked(&self.shared.book).is_expired(seq));
        expired && self.shared.settings().enforce_expiry
    }

    pub(super) async fn act_on_time(&mut self) -> Step {
        let now = Instant::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if let Some((_, code, reason)) = self.timers.close_at.take_if(|(at, ..)| *at <= now) {
            return self.close(code, &reason).await;
        }
        if is_due(self.timers.auth_by) {
            let mut draft = Draft::new(Kind::WsRefused, &http::Method::GET, &self.info.path);
            draft.record.connection = Some(self.info.id);
            handshake::refused(self.shared, draft, Some(101));
            return self
                .refuse_late(TokenError::Missing, &self.shared.settings())
                .await;
        }
        if self.is_past_expiry() {
            return self.expired().await;
        }
        if is_due(self.timers.welcome_at) && !self.awaits_auth {
            self.timers.welcome_at = None;
            let welcome =
                json!({ "type": "connected", "user_id": self.info.user, "connection_id": self.info.id });
            self.socket.send(text(&welcome)).await?;
        }
        if is_due(self.timers.heartbeat_at) {
            return self.beat(now).await;
        }
        ON
    }

    /// Pings; drops a client that has been silent since the last ping.
    async fn beat(&mut self, now: Instant) -> Step {
        if !self.timers.heard {
            self.registered.switch.set(Mode::Cut);
            let reason = "heartbeat".to_owned();
            return Ok(ControlFlow::Break(End {
                reason,
                ..End::lost(ClosedBy::Server)
            }));
        }
        self.timers.heard = false;
        self.timers.heartbeat_at = Some(now + self.timers.heartbeat);
        self.socket.send(Message::Ping(bytes::Bytes::new())).await?;
        ON
    }

    pub(super) async fn expired(&mut self) -> Step {
        let settings = self.shared.settings();
        self.close(Some(settings.expiry_close_code), &settings.expiry_close_reason)
            .await
    }
}

/// Waits for a moment; for ever where there is none.
pub(super) async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
