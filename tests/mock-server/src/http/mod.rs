//! HTTP: one request in, the endpoint's handler behind the faults, one answer out.

mod answer;
mod api;
mod call;
mod route;
mod session;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

pub(crate) use answer::{Answer, Body};
pub(crate) use call::{Draft, bearer, cookie};

use self::call::Call;
use self::route::Route;
use self::session::Words;
use crate::fault::Fault;
use crate::listen::Registered;
use crate::record::{Counters, Kind};
use crate::state::Shared;
use crate::stream::Mode;
use crate::{control, locked, ws};

const MAX_BODY_BYTES: usize = 1 << 20;

/// The server chose to end the connection instead of answering.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut instead of answered")]
pub(crate) struct Cut;

/// Serves one request of a connection.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    connection: Arc<Registered>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Cut> {
    let path = request.uri().path();
    if request.method() == Method::OPTIONS {
        return Ok(answer::preflight(request.headers()).into_response(&shared, request.headers()));
    }
    if ws::is_path(path) {
        return ws::upgrade(shared, connection, request).await;
    }
    if path.starts_with(control::PREFIX) {
        connection.switch.exempt();
        let (parts, body) = request.into_parts();
        let answer = match read(body).await {
            Ok(body) => control::answer(&shared, &parts, &body).await,
            Err(answer) => answer,
        };
        return Ok(answer.into_response(&shared, &parts.headers));
    }

    let (parts, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(answer) => return Ok(answer.into_response(&shared, &parts.headers)),
    };
    let call = Call {
        path: parts.uri.path().to_owned(),
        method: parts.method,
        headers: parts.headers,
        json: serde_json::from_slice(&body).unwrap_or(Value::Null),
        body,
        settings: shared.settings(),
        now_ms: shared.now_ms(),
    };
    let Some((answer, headers)) = answer(&shared, call).await else {
        connection.switch.set(Mode::Cut);
        return Err(Cut);
    };
    Ok(answer.into_response(&shared, &headers))
}

/// The answer to a call, with its fault applied; none if the connection is to be cut.
async fn answer(shared: &Shared, mut call: Call) -> Option<(Answer, http::HeaderMap)> {
    let route = Route::find(&call.method, &call.path, call.speaks_node(), &call.settings);
    let fault = route
        .target()
        .and_then(|target| locked(&shared.faults).take(target));
    let mut hold = shared.hold();
    shared.log.count(|counters| count_arrival(counters, route.kind()));
    let mut draft = Draft::new(route.kind(), &call.method, &call.path);
    draft.record.fault = fault.as_ref().map(|fault| fault.name().to_owned());

    match &fault {
        Some(Fault::Delay { ms } | Fault::SlowUpgrade { ms }) => pause(*ms).await,
        Some(Fault::Hold { act_first: false }) => hold.released().await,
        _ => {}
    }
    if fault == Some(Fault::Unavailable) {
        push(shared, draft, None);
        return None;
    }
    if let Some(answer) = fault.as_ref().and_then(|fault| instead_of_acting(shared, fault)) {
        push(shared, draft, Some(answer.status));
        return Some((answer, call.headers));
    }

    call.now_ms = shared.now_ms();
    let answer = act_within_limits(shared, &route, &call, &mut draft);
    let drops = fault == Some(Fault::DropAnswer);
    push(shared, draft, (!drops).then_some(answer.status));
    match fault {
        Some(Fault::DropAnswer) => return None,
        Some(Fault::DelayAnswer { ms }) => pause(ms).await,
        Some(Fault::Hold { act_first: true }) => hold.released().await,
        Some(Fault::NoRefreshToken) => return Some((answer.without_refresh_token(), call.headers)),
        _ => {}
    }
    Some((answer, call.headers))
}

/// Lets the endpoint act, unless whoever asks has failed too often.
fn act_within_limits(shared: &Shared, route: &Route, call: &Call, draft: &mut Draft) -> Answer {
    let Some(target) = route.target() else {
        return act(shared, route, call, draft);
    };
    let (user, settings) = (named_user(shared, route, call), &call.settings);
    if let Some(answer) = shared.throttle.refusal(target, user.as_deref(), settings) {
        draft.record.user = user;
        draft.tally = |counters| counters.throttled += 1;
        return answer;
    }
    let answer = act(shared, route, call, draft);
    // Whatever is merely malformed is 400.
    if answer.status == 401 {
        shared.throttle.failed(target, user.as_deref(), settings);
    }
    answer
}

/// Who a request says it comes from, whether or not that is so.
fn named_user(shared: &Shared, route: &Route, call: &Call) -> Option<String> {
    let of_refresh = |words: Words| locked(&shared.book).refresh_user(words.refresh_token(call));
    let of_access = |token: &str| {
        let book = locked(&shared.book);
        book.see_access(token, call.now_ms, &call.settings).user
    };
    match route {
        Route::SimpleLogin => Some(Words::Simple.user_field(call).to_owned()),
        Route::NodeLogin => Some(Words::Node.user_field(call).to_owned()),
        Route::TokenOnlyLogin => Some(Words::TokenOnly.user_field(call).to_owned()),
        Route::CookieLogin => Some(Words::Cookie.user_field(call).to_owned()),
        Route::SimpleRefresh => of_refresh(Words::Simple),
        Route::NodeRefresh => of_refresh(Words::Node),
        Route::CookieRefresh => of_refresh(Words::Cookie),
        Route::SimpleVerify => of_access(Words::Simple.verified_token(call)),
        Route::CookieMe => of_access(Words::Cookie.verified_token(call)),
        Route::SimpleLogout | Route::NodeLogout | Route::Ticket => of_access(call.bearer()),
        Route::Me | Route::Echo => of_access(api::token(call)),
        Route::CookieLogout | Route::Redirect(_) | Route::WrongMethod | Route::NotFound => None,
    }
}

fn act(shared: &Shared, route: &Route, call: &Call, draft: &mut Draft) -> Answer {
    match route {
        Route::SimpleLogin => session::login(shared, call, Words::Simple, draft),
        Route::NodeLogin => session::login(shared, call, Words::Node, draft),
        Route::TokenOnlyLogin => session::login(shared, call, Words::TokenOnly, draft),
        Route::CookieLogin => session::login(shared, call, Words::Cookie, draft),
        Route::SimpleRefresh => session::refresh(shared, call, Words::Simple, draft),
        Route::NodeRefresh => session::refresh(shared, call, Words::Node, draft),
        Route::CookieRefresh => session::refresh(shared, call, Words::Cookie, draft),
        Route::SimpleVerify => session::verify(shared, call, Words::Simple, draft),
        Route::CookieMe => session::verify(shared, call, Words::Cookie, draft),
        Route::SimpleLogout => session::logout(shared, call, Words::Simple, draft),
        Route::NodeLogout => session::logout(shared, call, Words::Node, draft),
        Route::CookieLogout => session::logout(shared, call, Words::Cookie, draft),
        Route::Ticket => api::ticket(shared, call, draft),
        Route::Me => api::me(shared, call, draft),
        Route::Echo => api::echo(shared, call, draft),
        Route::Redirect(to) => Answer::redirect(call.settings.redirect_status, to),
        Route::WrongMethod => Answer::json(405, json!({ "detail": "Method not allowed." })),
        Route::NotFound => Answer::json(404, json!({ "detail": "Not found." })),
    }
}

/// The answer of those faults that keep the endpoint from acting.
pub(crate) fn instead_of_acting(shared: &Shared, fault: &Fault) -> Option<Answer> {
    Some(match fault {
        Fault::Refuse { status, body } => {
            let default = || json!({ "detail": "Token is invalid or expired", "code": "token_not_valid" });
            Answer::json(*status, body.clone().unwrap_or_else(default))
        }
        Fault::Status {
            code,
            retry_after,
            body,
            content_type,
        } => {
            let answer = match body {
                None => Answer::empty(*code),
                Some(body) => Answer::raw(
                    *code,
                    content_type.as_deref().unwrap_or("text/plain"),
                    body.clone(),
                ),
            };
            answer.with_retry_after(*retry_after, shared)
        }
        Fault::RefuseUpgrade { status, retry_after } => {
            Answer::empty(*status).with_retry_after(*retry_after, shared)
        }
        Fault::Malformed => Answer::raw(200, "application/json", r#"{"access": "eyJhbGciOi"#),
        Fault::Html { status } => Answer::raw(
            *status,
            "text/html; charset=utf-8",
            "<!doctype html><title>Sign in to the Wi-Fi</title>",
        ),
        Fault::HugeBody { bytes } => Answer {
            body: answer::AnswerBody::Padding(*bytes),
            ..Answer::empty(200)
        },
        Fault::Redirect { to, status } => Answer::redirect(*status, to),
        _ => return None,
    })
}

fn count_arrival(counters: &mut Counters, kind: Kind) {
    counters.requests += 1;
    match kind {
        Kind::Login => counters.logins += 1,
        Kind::Refresh => counters.refreshes += 1,
        Kind::Verify => counters.verifies += 1,
        Kind::Logout => counters.logouts += 1,
        Kind::Ticket => counters.tickets += 1,
        Kind::Api => counters.api += 1,
        _ => {}
    }
}

fn push(shared: &Shared, mut draft: Draft, status: Option<u16>) {
    draft.record.status = status;
    let (tally, faulty) = (draft.tally, draft.record.fault.is_some());
    shared.log.push(draft.record, |counters| {
        tally(counters);
        counters.faults += u64::from(faulty);
    });
}

async fn read(body: Incoming) -> Result<bytes::Bytes, Answer> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(_) => Err(Answer::json(
            413,
            json!({ "detail": "The body is too large or broke off." }),
        )),
    }
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
