//! From an endpoint's options to a request, and from an answer to a decision: granted, refused, or unreachable.

use crate::cookies;
use crate::error::{Error, ErrorKind};
use crate::http_date::retry_after_ms;
use crate::io::{HttpAnswer, HttpRequest, TokenGrant};
use crate::json::Json;
use crate::options::{Endpoint, SessionOptions, TicketOptions, join_url};
use crate::secret::{AccessToken, RefreshToken, Secret};
use crate::time::Now;

/// The longest text of a server's that goes into an error.
const LONGEST_DETAIL: usize = 200;

/// The secrets that a request may need.
#[derive(Clone, Copy, Default)]
pub(crate) struct Secrets<'a> {
    pub(crate) access: Option<&'a AccessToken>,
    pub(crate) refresh: Option<&'a RefreshToken>,
    pub(crate) cookies: Option<&'a Secret>,
    pub(crate) credentials: &'a [(String, Secret)],
}

impl Secrets<'_> {
    /// The value of a placeholder.
    fn fill(&self, name: &str) -> Option<Json> {
        let secret = match name {
            "access" => self.access.map(AccessToken::expose),
            "refresh" => self.refresh.map(RefreshToken::expose),
            _ => None,
        };
        let credential = || {
            self.credentials
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.expose())
        };
        secret.or_else(credential).map(Json::from)
    }
}

/// The request for an endpoint.
pub(crate) fn request(options: &SessionOptions, endpoint: &Endpoint, secrets: Secrets<'_>) -> HttpRequest {
    let body = match &endpoint.body {
        Some(template) => Some(template.filled(&|name| secrets.fill(name))),
        // Login without a template: the credentials as they were given.
        None if !secrets.credentials.is_empty() => {
            let members = secrets
                .credentials
                .iter()
                .map(|(name, value)| (name.clone(), value.expose().into()));
            Some(Json::object(members))
        }
        None => None,
    };
    let mut headers = Vec::new();
    if endpoint.bearer {
        headers.extend(secrets.access.map(bearer));
    }
    headers.extend(secrets.cookies.map(|cookies| ("Cookie", cookies.clone())));
    HttpRequest {
        method: endpoint.method,
        url: join_url(&options.base_url, &endpoint.path),
        headers,
        extra_header: None,
        body: body.map(|body| Secret::new(body.to_string())),
        max_answer_bytes: options.max_answer_bytes,
        timeout_ms: options.request_timeout_ms,
    }
}

/// The request for a one-time ticket (W2).
pub(crate) fn ticket_request(
    options: &SessionOptions,
    ticket: &TicketOptions,
    secrets: Secrets<'_>,
) -> HttpRequest {
    let endpoint = Endpoint {
        method: ticket.method,
        path: ticket.url.clone(),
        body: ticket.body.clone(),
        bearer: true,
        ..Endpoint::default()
    };
    request(options, &endpoint, secrets)
}

fn bearer(token: &AccessToken) -> (&'static str, Secret) {
    ("Authorization", Secret::new(format!("Bearer {}", token.expose())))
}

/// What an answer of the token endpoints means.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Tokens.
    Granted(Box<Granted>),
    /// The server said no.
    Refused(Error),
    /// No answer that says anything; second, how long the server wants to be left alone, in milliseconds.
    Unreachable(Error, Option<u64>),
}

/// Tokens as they came, with what is needed to judge their life.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) grant: TokenGrant,
    pub(crate) cookies: Option<Secret>,
    pub(crate) server_unix_ms: Option<u64>,
}

/// Which question an answer belongs to: they differ in what counts as "no".
pub(crate) enum Question<'a> {
    Login,
    /// The statuses that refuse.
    Refresh(&'a [u16]),
}

/// Judges an answer of the login or refresh endpoint (S8: refused is not unreachable).
pub(crate) fn judge(
    question: &Question<'_>,
    options: &SessionOptions,
    endpoint: &Endpoint,
    cookies: Option<&Secret>,
    answer: Result<HttpAnswer, Error>,
    now: Now,
) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Verdict::Unreachable(error, None),
    };
    let status = answer.status;
    if (200..300).contains(&status) {
        return match granted(options, endpoint, cookies, &answer, now) {
            Some(granted) => Verdict::Granted(Box::new(granted)),
            None => Verdict::Unreachable(
                Error::new(
                    ErrorKind::MalformedAnswer,
                    "the answer holds no token where the options look for one",
                )
                .with_status(status),
                None,
            ),
        };
    }
    let body = answer.body.as_ref().and_then(|body| Json::parse(body.expose()));
    let empty = answer.body.as_ref().is_none_or(Secret::is_empty);
    let refused = match question {
        Question::Login => (400..500).contains(&status) && status != 429 && status != 408,
        // A page of HTML is a proxy or captive portal speaking, not the token endpoint: it ends no session.
        Question::Refresh(statuses) => statuses.contains(&status) && (body.is_some() || empty),
    };
    if refused {
        let (kind, message) = match question {
            Question::Login => (ErrorKind::LoginRefused, "the server refused the sign-in"),
            Question::Refresh(_) => (ErrorKind::SignedOut, "the server refused the refresh token"),
        };
        let detail = body.as_ref().and_then(server_words).unwrap_or_default();
        return Verdict::Refused(Error::new(kind, message).with_status(status).with_cause(detail));
    }
    let hint = answer
        .retry_after
        .as_deref()
        .and_then(|text| retry_after_ms(text, answer.date_unix_ms.unwrap_or(now.unix_ms)));
    let error = Error::new(ErrorKind::Unreachable, "the server could not answer").with_status(status);
    Verdict::Unreachable(error, hint)
}

/// The tokens in a 2xx answer; `None` where they are not where the options say.
fn granted(
    options: &SessionOptions,
    endpoint: &Endpoint,
    cookies: Option<&Secret>,
    answer: &HttpAnswer,
    now: Now,
) -> Option<Granted> {
    let body = answer
        .body
        .as_ref()
        .and_then(|body| Json::parse(body.expose()))
        .unwrap_or(Json::Null);
    let text = |pointer: &str| {
        body.at(pointer)
            .and_then(Json::as_str)
            .filter(|text| !text.is_empty())
    };
    let seconds = body
        .at(&endpoint.expires_in)
        .and_then(Json::as_f64)
        .filter(|s| *s > 0.0);
    let mut expires_in_ms = seconds.map(|s| (s * 1000.0) as u64);
    let user = body
        .at(&endpoint.user)
        .filter(|user| **user != Json::Null)
        .cloned();
    let (access, refresh, cookies) = if options.is_cookie() {
        expires_in_ms = expires_in_ms.or_else(|| cookies::lifetime_ms(&answer.set_cookies, now.unix_ms));
        (
            AccessToken::new(""),
            None,
            cookies::merged(cookies, &answer.set_cookies, now.unix_ms),
        )
    } else {
        (
            AccessToken::from(text(&endpoint.access)?),
            text(&endpoint.refresh).map(RefreshToken::from),
            None,
        )
    };
    Some(Granted {
        grant: TokenGrant {
            access,
            refresh,
            expires_in_ms,
            user,
        },
        cookies,
        server_unix_ms: answer.date_unix_ms,
    })
}

/// The ticket in an answer.
pub(crate) fn ticket_of(ticket: &TicketOptions, answer: &HttpAnswer) -> Option<Secret> {
    let body = Json::parse(answer.body.as_ref()?.expose())?;
    body.at(&ticket.pointer)
        .and_then(Json::as_str)
        .filter(|text| !text.is_empty())
        .map(Secret::from)
}

/// What a server says about its refusal, where servers usually say it: short, and without anything that looks like a
/// token.
fn server_words(body: &Json) -> Option<String> {
    let places = [
        "/detail",
        "/message",
        "/error_description",
        "/error/message",
        "/error",
        "/code",
    ];
    let text = places
        .iter()
        .find_map(|place| body.at(place).and_then(Json::as_str))?;
    let cut: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_DETAIL)
        .collect();
    let words = cut
        .split(' ')
        .map(|word| if word.len() > 24 { "…" } else { word });
    Some(words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Mono;

    const NOW: Now = Now {
        mono: Mono(0),
        unix_ms: 1_700_000_000_000,
    };

    fn refresh_verdict(status: u16, body: &str) -> Verdict {
        let options = SessionOptions {
            base_url: "https://h".into(),
            ..SessionOptions::default()
        };
        let endpoint = options.resolved_endpoints().refresh.unwrap();
        let answer = HttpAnswer {
            status,
            body: Some(body.into()),
            ..HttpAnswer::default()
        };
        judge(
            &Question::Refresh(&[400, 401]),
            &options,
            &endpoint,
            None,
            Ok(answer),
            NOW,
        )
    }

    #[test]
    fn s8_refused_is_not_unreachable() {
        assert!(matches!(
            refresh_verdict(401, r#"{"detail":"Token is blacklisted"}"#),
            Verdict::Refused(_)
        ));
        assert!(matches!(refresh_verdict(400, ""), Verdict::Refused(_)));
        assert!(matches!(
            refresh_verdict(401, "<html>Captive portal</html>"),
            Verdict::Unreachable(..)
        ));
        for status in [200, 302, 403, 404, 429, 500, 503] {
            assert!(
                matches!(refresh_verdict(status, "<html>"), Verdict::Unreachable(..)),
                "{status}"
            );
        }
    }

    #[test]
    fn s1_any_2xx_with_a_token_is_success() {
        for status in [200, 201, 202] {
            assert!(matches!(
                refresh_verdict(status, r#"{"access":"a","refresh":"r"}"#),
                Verdict::Granted(_)
            ));
        }
    }

    #[test]
    fn a_servers_words_lose_what_may_be_a_token() {
        let body = Json::object([(
            "detail",
            Json::from("bad token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln today"),
        )]);
        assert_eq!(server_words(&body).as_deref(), Some("bad token … today"));
    }
}
