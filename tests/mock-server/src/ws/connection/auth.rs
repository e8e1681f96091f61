//! Credentials that come as messages: the first one, and renewals.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Connection, ON, Step, text};
use crate::book::TokenError;
use crate::fault::Target;
use crate::http::Draft;
use crate::record::Kind;
use crate::settings::{Placement, Settings};
use crate::ws::credential::Credential;
use crate::ws::handshake::{self, Course, course_of_refusal};

impl Connection<'_> {
    /// The first message as credential.
    pub(super) async fn authenticate(&mut self, token: &str) -> Step {
        let settings = self.shared.settings();
        let credential = Credential {
            placement: Placement::FirstMessage,
            token: token.to_owned(),
        };
        let seen = handshake::judge(self.shared, &credential, &settings);
        let mut draft = Draft::new(Kind::WsOpen, &http::Method::GET, &self.info.path);
        draft.record.connection = Some(self.info.id);
        handshake::note(&mut draft, Some(&credential), Some(&seen));
        match seen.verdict {
            Ok(_) => {
                self.info.user = seen.user;
                self.info.token_id = Some(seen.id);
                self.info.token_seq = seen.seq;
                self.info.placement = Some(Placement::FirstMessage);
                self.info.ready = true;
                self.expires_at_ms = Some(seen.expires_at_ms);
                self.timers.auth_by = None;
                self.awaits_auth = false;
                self.shared.hub.ready(&self.info, &settings);
                handshake::opened(self.shared, draft);
                self.socket.send(text(&json!({ "type": "auth_ok" }))).await?;
                ON
            }
            Err(error) => {
                if let Some(user) = seen.user.as_deref() {
                    self.shared.throttle.failed(Target::Ws, Some(user), &settings);
                }
                handshake::refused(self.shared, draft, Some(101));
                self.refuse_late(error, &settings).await
            }
        }
    }

    /// A fresh token on a live connection.
    pub(super) async fn renew(&mut self, token: &str, settings: &Settings) -> Step {
        let credential = Credential {
            placement: Placement::FirstMessage,
            token: token.to_owned(),
        };
        let seen = handshake::judge(self.shared, &credential, settings);
        let mut draft = Draft::new(Kind::WsAuth, &http::Method::GET, &self.info.path);
        draft.record.connection = Some(self.info.id);
        handshake::note(&mut draft, Some(&credential), Some(&seen));
        let refused = match &seen.verdict {
            Ok(user) if self.info.user.as_ref().is_some_and(|own| own != user) => Some(TokenError::Invalid),
            Ok(_) => None,
            Err(error) => Some(*error),
        };
        draft.record.status = Some(if refused.is_some() { 401 } else { 200 });
        if refused.is_none() {
            self.expires_at_ms = Some(seen.expires_at_ms);
            self.info.user = seen.user;
            self.info.token_id = Some(seen.id);
            self.info.token_seq = seen.seq;
            self.shared.hub.ready(&self.info, settings);
        }
        self.shared.log.push(draft.record, |counters| {
            counters.ws_renewals += u64::from(refused.is_none());
        });
        if refused.is_some() {
            let user = self.info.user.as_deref();
            self.shared.throttle.failed(Target::Ws, user, settings);
        }
        let Some(error) = refused else {
            self.feed(text(&json!({ "type": "auth_ok" }))).await?;
            return ON;
        };
        self.feed(error_message(error)).await?;
        match settings.renewal_refusal_close_code {
            Some(code) => self.close(Some(code), "").await,
            None => ON,
        }
    }

    /// Refuses after the upgrade, where an HTTP status is out of reach: 4401 takes its place.
    pub(super) async fn refuse_late(&mut self, error: TokenError, settings: &Settings) -> Step {
        // The upgrade named nobody, and the next one will not either: it is for nobody's account as well.
        self.shared.throttle.failed(Target::Ws, None, settings);
        match course_of_refusal(&settings.refusal, error) {
            Ok(Course::Refuse {
                message,
                code,
                reason,
            }) => self.refuse(message, code, &reason).await,
            _ => {
                self.refuse(Some(error.message().to_owned()), Some(4401), "")
                    .await
            }
        }
    }

    pub(super) async fn refuse(&mut self, message: Option<String>, code: Option<u16>, reason: &str) -> Step {
        if let Some(message) = message {
            self.socket
                .feed(text(&json!({ "type": "error", "message": message })))
                .await?;
        }
        self.close(code, reason).await
    }
}

/// Whether a message of this type carries a fresh token.
pub(super) fn is_auth(kind: &str) -> bool {
    matches!(kind, "auth" | "authenticate" | "refresh_token")
}

/// The token of such a message.
pub(super) fn token_of(json: &Value) -> Option<&str> {
    json.get("token")
        .or_else(|| json.get("access_token"))
        .and_then(Value::as_str)
}

fn error_message(error: TokenError) -> Message {
    text(&json!({ "type": "error", "message": error.message() }))
}
