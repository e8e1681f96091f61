//! The endpoints behind a bearer token: tickets for the WebSocket, and two to try the SDK's HTTP helper on.

use http::header;
use serde_json::json;

use super::answer::Answer;
use super::call::{Call, Draft};
use super::session::profile;
use crate::book::TokenError;
use crate::locked;
use crate::state::Shared;

/// A one-time ticket for the WebSocket.
pub(crate) fn ticket(shared: &Shared, call: &Call, draft: &mut Draft) -> Answer {
    let mut book = locked(&shared.book);
    let seen = book.see_access(call.bearer(), call.now_ms, &call.settings);
    draft.saw(&seen);
    match &seen.verdict {
        Ok(user) => {
            let minted = book.issue_ticket(user, &seen, call.now_ms, &call.settings);
            let expires_in = (minted.expires_at_ms - call.now_ms).max(0).div_euclid(1000);
            draft.record.ticket_id = Some(minted.id);
            Answer::json(200, json!({ "ticket": minted.token, "expires_in": expires_in }))
        }
        Err(error) => refuse(*error),
    }
}

/// Who the token is.
pub(crate) fn me(shared: &Shared, call: &Call, draft: &mut Draft) -> Answer {
    match user(shared, call, draft) {
        Ok(user) => Answer::json(200, json!({ "user": profile(&user) })),
        Err(error) => refuse(error),
    }
}

/// The body back, as it came.
pub(crate) fn echo(shared: &Shared, call: &Call, draft: &mut Draft) -> Answer {
    match user(shared, call, draft) {
        Ok(_) => {
            let content_type = call
                .headers
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            Answer::raw(
                200,
                content_type.unwrap_or("application/octet-stream"),
                call.body.clone(),
            )
        }
        Err(error) => refuse(error),
    }
}

/// The bearer token, or the session cookie.
pub(crate) fn token(call: &Call) -> &str {
    if call.bearer().is_empty() {
        call.cookie("access")
    } else {
        call.bearer()
    }
}

/// The user of that token.
fn user(shared: &Shared, call: &Call, draft: &mut Draft) -> Result<String, TokenError> {
    let seen = locked(&shared.book).see_access(token(call), call.now_ms, &call.settings);
    draft.saw(&seen);
    seen.verdict
}

fn refuse(error: TokenError) -> Answer {
    Answer::json(
        401,
        json!({ "error": error.message(), "detail": error.message() }),
    )
    .with(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")
}
