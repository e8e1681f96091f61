//! The session endpoints: login, refresh, verify and logout, in every dialect.

use http::header;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::{Call, Draft};
use crate::book::{Pair, TokenError};
use crate::locked;
use crate::state::Shared;

/// The only password that is wrong.
const WRONG_PASSWORD: &str = "wrong";

/// What a dialect calls things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// `access`, `refresh`, `user`.
    Simple,
    /// `token`, `refreshToken`.
    Node,
    /// `token`, and no refresh token at all.
    TokenOnly,
    /// `HttpOnly` cookies.
    Cookie,
}

impl Words {
    pub(crate) fn user_field(self, call: &Call) -> &str {
        match self {
            Self::Node if call.json.get("email").is_some() => call.field("email"),
            _ if call.json.get("username").is_some() => call.field("username"),
            _ => call.field("email"),
        }
    }

    pub(crate) fn refresh_token(self, call: &Call) -> &str {
        match self {
            Self::Simple => call.field("refresh"),
            Self::Node | Self::TokenOnly => call.field("refreshToken"),
            Self::Cookie => call.cookie("refresh"),
        }
    }

    /// The token that is to be verified.
    pub(crate) fn verified_token(self, call: &Call) -> &str {
        match self {
            Self::Cookie => call.cookie("access"),
            _ => call.field("token"),
        }
    }
}

pub(crate) fn login(shared: &Shared, call: &Call, words: Words, draft: &mut Draft) -> Answer {
    let user = words.user_field(call);
    draft.record.user = Some(user.to_owned());
    if user.is_empty() || call.field("password").is_empty() {
        return Answer::json(400, json!({ "detail": "username and password are required" }));
    }
    if call.field("password") == WRONG_PASSWORD {
        let detail = "No active account found with the given credentials";
        return match words {
            Words::Node | Words::TokenOnly => Answer::json(401, json!({ "error": "Invalid credentials" })),
            Words::Simple | Words::Cookie => Answer::json(401, json!({ "detail": detail })),
        };
    }
    let pair = locked(&shared.book).login(user, call.now_ms, &call.settings);
    draft.tally = |counters| counters.logins_ok += 1;
    draft.record.issued_token_seq = Some(pair.access_seq);
    hand_out(call, words, &pair, Occasion::Login)
}

pub(crate) fn refresh(shared: &Shared, call: &Call, words: Words, draft: &mut Draft) -> Answer {
    let token = words.refresh_token(call);
    let key = call.idempotency_key();
    let (whose, rotated) = locked(&shared.book).rotate(token, key, call.now_ms, &call.settings);
    draft.record.idempotency_key = key.map(str::to_owned);
    if let Some((user, id)) = whose {
        draft.record.user = Some(user);
        draft.record.token_id = Some(id);
    }
    match rotated {
        Ok(pair) => {
            draft.tally = |counters| counters.refreshes_ok += 1;
            draft.record.issued_token_seq = Some(pair.access_seq);
            hand_out(call, words, &pair, Occasion::Refresh)
        }
        Err(error) => {
            draft.tally = |counters| counters.refreshes_refused += 1;
            draft.record.token_expired = error == TokenError::Expired;
            refuse_refresh(words, error)
        }
    }
}

pub(crate) fn verify(shared: &Shared, call: &Call, words: Words, draft: &mut Draft) -> Answer {
    let token = words.verified_token(call);
    let book = locked(&shared.book);
    let seen = book.see_access(token, call.now_ms, &call.settings);
    let is_refresh = seen.verdict == Err(TokenError::WrongType) && book.is_good_refresh(token, call.now_ms);
    drop(book);
    draft.saw(&seen);
    match (&seen.verdict, words) {
        (Ok(user), Words::Cookie) => Answer::json(200, json!({ "user": profile(user) })),
        (Ok(_), _) => done(call, json!({})),
        // The real endpoint verifies either kind.
        (Err(TokenError::WrongType), Words::Simple) if is_refresh => done(call, json!({})),
        (Err(TokenError::Missing), Words::Simple) => {
            Answer::json(400, json!({ "token": ["This field is required."] }))
        }
        (Err(_), _) => Answer::token_not_valid("Token is invalid or expired"),
    }
}

/// Logout blacklists the refresh token. Where the dialect asks for a bearer token, a bad one is refused.
pub(crate) fn logout(shared: &Shared, call: &Call, words: Words, draft: &mut Draft) -> Answer {
    if words != Words::Cookie {
        let seen = locked(&shared.book).see_access(call.bearer(), call.now_ms, &call.settings);
        draft.saw(&seen);
        if seen.verdict.is_err() {
            return Answer::token_not_valid("Given token not valid for any token type");
        }
    }
    locked(&shared.book).blacklist(words.refresh_token(call));
    match words {
        Words::Simple if call.settings.success_status == 200 => Answer::empty(205),
        Words::Cookie => Answer::empty(204)
            .with(header::SET_COOKIE, "access=; HttpOnly; Path=/; Max-Age=0")
            .with(header::SET_COOKIE, "refresh=; HttpOnly; Path=/cookie; Max-Age=0"),
        _ => done(call, json!({})),
    }
}

/// What a user looks like in answers.
pub(crate) fn profile(user: &str) -> Value {
    json!({ "id": user, "username": user })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Login,
    Refresh,
}

fn hand_out(call: &Call, words: Words, pair: &Pair, occasion: Occasion) -> Answer {
    let settings = &call.settings;
    let says_expiry = settings.expires_in_answer || settings.opaque_tokens;
    let expires_in = (pair.access.expires_at_ms - call.now_ms).max(0) / 1000;
    let refresh = pair.refresh.as_ref().map(|minted| minted.token.as_str());
    let mut body = match words {
        Words::Simple => json!({ "access": pair.access.token }),
        Words::Node | Words::TokenOnly => json!({ "token": pair.access.token }),
        Words::Cookie => json!({}),
    };
    match words {
        Words::Simple => set(&mut body, "refresh", refresh.map(Value::from)),
        Words::Node => set(&mut body, "refreshToken", refresh.map(Value::from)),
        Words::TokenOnly | Words::Cookie => {}
    }
    let says_user = occasion == Occasion::Login && matches!(words, Words::Simple | Words::Cookie);
    set(&mut body, "user", says_user.then(|| profile(&pair.user)));
    let expiry_name = if words == Words::Node {
        "expiresIn"
    } else {
        "expires_in"
    };
    set(&mut body, expiry_name, says_expiry.then(|| json!(expires_in)));

    if words != Words::Cookie {
        // An empty body would lose the tokens, so 204 is for the other answers.
        let status = if settings.success_status == 204 {
            200
        } else {
            settings.success_status
        };
        return Answer::json(status, body);
    }
    let silent = settings.success_status == 204 || (occasion == Occasion::Refresh && !says_expiry);
    let status = if settings.success_status == 204 {
        200
    } else {
        settings.success_status
    };
    let mut answer = if silent {
        Answer::empty(204)
    } else {
        Answer::json(status, body)
    };
    answer = answer.with(
        header::SET_COOKIE,
        cookie_header("access", &pair.access.token, "/"),
    );
    if let Some(refresh) = refresh {
        answer = answer.with(header::SET_COOKIE, cookie_header("refresh", refresh, "/cookie"));
    }
    answer
}

fn refuse_refresh(words: Words, error: TokenError) -> Answer {
    match (words, error) {
        (Words::Node | Words::TokenOnly, _) => Answer::json(401, json!({ "error": "Invalid refresh token" })),
        (Words::Simple, TokenError::Missing) => {
            Answer::json(400, json!({ "refresh": ["This field is required."] }))
        }
        (_, TokenError::Blacklisted) => Answer::token_not_valid("Token is blacklisted"),
        (_, TokenError::WrongType) => Answer::token_not_valid("Token has wrong type"),
        _ => Answer::token_not_valid("Token is invalid or expired"),
    }
}

/// A success that carries no token.
fn done(call: &Call, body: Value) -> Answer {
    match call.settings.success_status {
        204 => Answer::empty(204),
        status => Answer::json(status, body),
    }
}

fn cookie_header(name: &str, value: &str, path: &str) -> String {
    format!("{name}={value}; HttpOnly; Path={path}; SameSite=Lax")
}

fn set(body: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(fields), Some(value)) = (body.as_object_mut(), value) {
        fields.insert(name.to_owned(), value);
    }
}
