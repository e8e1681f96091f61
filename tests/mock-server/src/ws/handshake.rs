//! The decision about an upgrade request: whose it is, whether it opens, and what becomes of it then.

use std::time::Duration;

use http::{Request, header};
use hyper::body::Incoming;
use tokio::sync::mpsc::UnboundedReceiver;

use super::credential::{Credential, Offer};
use super::hub::{Command, ConnectionInfo};
use crate::book::{Seen, TokenError};
use crate::fault::{Fault, Target};
use crate::http::{Answer, Draft, instead_of_acting};
use crate::listen::Registered;
use crate::locked;
use crate::record::{Counters, Kind};
use crate::settings::{AuthMode, Placement, Refusal, Settings};
use crate::state::Shared;

/// What to do about an upgrade request.
#[derive(Debug)]
pub(crate) enum Decision {
    Answer(Answer),
    Cut,
    Open(Box<Opening>),
}

/// A connection about to open.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) info: ConnectionInfo,
    pub(crate) subprotocol: Option<String>,
    /// When the credential stops being good, by the server's clock; none for anonymous connections.
    pub(crate) expires_at_ms: Option<i64>,
    pub(crate) course: Course,
    pub(crate) commands: UnboundedReceiver<Command>,
}

/// What becomes of an opened connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Course {
    /// It is served.
    Serve,
    /// It is served once its first message has authenticated it.
    AwaitAuth,
    /// It is served for a while, then closed.
    CloseAfter {
        ms: u64,
        code: Option<u16>,
        reason: String,
    },
    /// It was refused: an error message perhaps, then a close.
    Refuse {
        message: Option<String>,
        code: Option<u16>,
        reason: String,
    },
    /// The stream ends at once.
    Cut,
    /// The stream freezes at once.
    HalfOpen,
    /// It is served, beginning with a message of this size.
    Oversized { bytes: usize },
}

/// Decides, and records the decision. A connection that opens is entered in the hub before its answer goes
/// out, so that a client that is open is also counted.
pub(crate) async fn decide(
    shared: &Shared,
    request: &Request<Incoming>,
    registered: &Registered,
) -> Decision {
    let fault = locked(&shared.faults).take(Target::Ws);
    let mut hold = shared.hold();
    shared.log.count(|counters| {
        counters.requests += 1;
        counters.ws_handshakes += 1;
    });
    let path = request.uri().path();
    let mut draft = Draft::new(Kind::WsRefused, request.method(), path);
    draft.record.fault = fault.as_ref().map(|fault| fault.name().to_owned());
    match &fault {
        Some(Fault::Delay { ms } | Fault::SlowUpgrade { ms } | Fault::DelayAnswer { ms }) => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
        }
        Some(Fault::Hold { .. }) => hold.released().await,
        _ => {}
    }

    let settings = shared.settings();
    let offer = Offer::new(request.headers(), request.uri().query().unwrap_or_default());
    let known = |token: &str| locked(&shared.book).knows_access(token);
    let credential = offer.credential(&settings, known);
    let seen = credential
        .as_ref()
        .map(|credential| judge(shared, credential, &settings));
    note(&mut draft, credential.as_ref(), seen.as_ref());

    if matches!(fault, Some(Fault::Unavailable | Fault::DropAnswer)) {
        refused(shared, draft, None);
        return Decision::Cut;
    }
    if let Some(answer) = fault.as_ref().and_then(|fault| instead_of_acting(shared, fault)) {
        refused(shared, draft, Some(answer.status));
        return Decision::Answer(answer);
    }
    let user = seen.as_ref().and_then(|seen| seen.user.as_deref());
    if let Some(answer) = shared.throttle.refusal(Target::Ws, user, &settings) {
        shared.log.count(|counters| counters.throttled += 1);
        refused(shared, draft, Some(answer.status));
        return Decision::Answer(answer);
    }
    if settings
        .max_connections
        .is_some_and(|max| shared.hub.len() >= max)
    {
        refused(shared, draft, Some(503));
        let after = settings.max_connections_retry_after_s.to_string();
        return Decision::Answer(Answer::empty(503).with(header::RETRY_AFTER, after));
    }

    let course = match (course_of_fault(fault.as_ref()), verdict(seen.as_ref(), &settings)) {
        (Some(course @ (Course::HalfOpen | Course::Oversized { .. })), Verdict::Good) => course,
        (Some(course), _) if !matches!(course, Course::HalfOpen | Course::Oversized { .. }) => course,
        (_, Verdict::Good) => Course::Serve,
        (_, Verdict::Later) => Course::AwaitAuth,
        (_, Verdict::Bad(error)) => {
            shared.throttle.failed(Target::Ws, user, &settings);
            match course_of_refusal(&settings.refusal, error) {
                Ok(course) => course,
                Err(status) => {
                    refused(shared, draft, Some(status));
                    return Decision::Answer(Answer::empty(status));
                }
            }
        }
    };
    let no_subprotocol = fault == Some(Fault::NoSubprotocol);
    let subprotocol = offer.selected(&settings, known).filter(|_| !no_subprotocol);
    Decision::Open(Box::new(enter(
        shared,
        registered,
        draft,
        seen,
        subprotocol,
        course,
    )))
}

/// Judges a credential; a ticket is used up by it.
pub(crate) fn judge(shared: &Shared, credential: &Credential, settings: &Settings) -> Seen {
    let now_ms = shared.now_ms();
    let mut book = locked(&shared.book);
    match credential.placement {
        Placement::Ticket => book.use_ticket(&credential.token, now_ms),
        _ => book.see_access(&credential.token, now_ms, settings),
    }
}

/// How a refusal after the upgrade goes on the wire; as an error, the status that refuses before it.
pub(crate) fn course_of_refusal(refusal: &Refusal, error: TokenError) -> Result<Course, u16> {
    match refusal {
        Refusal::Http { status } => Err(*status),
        Refusal::Close { code, reason } => Ok(Course::Refuse {
            message: None,
            code: *code,
            reason: reason.clone(),
        }),
        Refusal::Message { code, reason } => {
            let message = Some(error.message().to_owned());
            Ok(Course::Refuse {
                message,
                code: *code,
                reason: reason.clone(),
            })
        }
    }
}

enum Verdict {
    Good,
    /// The credential is to come as the first message.
    Later,
    Bad(TokenError),
}

fn verdict(seen: Option<&Seen>, settings: &Settings) -> Verdict {
    let first_message =
        settings.auth_mode == AuthMode::FirstMessage && settings.accept.contains(&Placement::FirstMessage);
    match seen.map(|seen| &seen.verdict) {
        Some(Ok(_)) => Verdict::Good,
        Some(Err(error)) => Verdict::Bad(*error),
        None if first_message => Verdict::Later,
        None if settings.anonymous => Verdict::Good,
        None => Verdict::Bad(TokenError::Missing),
    }
}

fn course_of_fault(fault: Option<&Fault>) -> Option<Course> {
    Some(match fault? {
        Fault::AcceptThenClose {
            code,
            reason,
            after_ms,
        } => Course::CloseAfter {
            ms: *after_ms,
            code: *code,
            reason: reason.clone(),
        },
        Fault::AcceptThenCut => Course::Cut,
        Fault::ErrorMessageThenClose { message, code } => Course::Refuse {
            message: Some(message.clone()),
            code: *code,
            reason: String::new(),
        },
        Fault::HalfOpen => Course::HalfOpen,
        Fault::OversizedMessage { bytes } => Course::Oversized { bytes: *bytes },
        _ => return None,
    })
}

fn enter(
    shared: &Shared,
    registered: &Registered,
    mut draft: Draft,
    seen: Option<Seen>,
    subprotocol: Option<String>,
    course: Course,
) -> Opening {
    let id = shared.hub.next_id();
    draft.record.connection = Some(id);
    draft.record.subprotocol.clone_from(&subprotocol);
    let info = ConnectionInfo {
        id,
        user: seen.as_ref().and_then(|seen| seen.user.clone()),
        path: draft.record.path.clone(),
        token_id: draft.record.token_id.clone(),
        token_seq: draft.record.token_seq,
        placement: draft.record.placement,
        ready: false,
    };
    let commands = shared.hub.enter(info.clone(), registered.switch.clone());
    match &course {
        Course::Refuse { .. } => refused(shared, draft, Some(101)),
        // Recorded when the first message has come.
        Course::AwaitAuth => {}
        _ => {
            shared.hub.ready(&info, &shared.settings());
            opened(shared, draft);
        }
    }
    Opening {
        info,
        subprotocol,
        expires_at_ms: seen.map(|seen| seen.expires_at_ms),
        course,
        commands,
    }
}

/// Notes in a draft what a handshake or a first message carried.
pub(crate) fn note(draft: &mut Draft, credential: Option<&Credential>, seen: Option<&Seen>) {
    draft.record.placement = credential.map(|credential| credential.placement);
    let Some(seen) = seen else { return };
    draft.saw(seen);
    if draft.record.placement == Some(Placement::Ticket) {
        draft.record.ticket_id = draft.record.token_id.clone();
    }
}

/// Records an opened connection.
pub(crate) fn opened(shared: &Shared, mut draft: Draft) {
    draft.record.kind = Some(Kind::WsOpen);
    draft.record.status = Some(101);
    let (expired, faulty) = (draft.record.token_expired, draft.record.fault.is_some());
    shared.log.push(draft.record, |counters| {
        counters.ws_opened += 1;
        counters.ws_open_now += 1;
        tally(counters, expired, faulty);
    });
}

/// Records a refused one.
pub(crate) fn refused(shared: &Shared, mut draft: Draft, status: Option<u16>) {
    draft.record.kind = Some(Kind::WsRefused);
    draft.record.status = status;
    let (expired, faulty) = (draft.record.token_expired, draft.record.fault.is_some());
    shared.log.push(draft.record, |counters| {
        counters.ws_refused += 1;
        tally(counters, expired, faulty);
    });
}

fn tally(counters: &mut Counters, expired: bool, faulty: bool) {
    counters.ws_expired += u64::from(expired);
    counters.faults += u64::from(faulty);
}
