//! Answers: what handlers return, and their way into HTTP.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use serde_json::{Value, json};

use crate::fault::RetryAfter;
use crate::state::Shared;

/// The body type of every response.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A response in the making.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: AnswerBody,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    Empty,
    Json(Value),
    Raw {
        content_type: String,
        bytes: Bytes,
    },
    /// A JSON string of this many bytes, streamed.
    Padding(u64),
}

impl Answer {
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: AnswerBody::Empty,
        }
    }

    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: AnswerBody::Json(body),
        }
    }

    pub(crate) fn raw(status: u16, content_type: &str, bytes: impl Into<Bytes>) -> Self {
        let body = AnswerBody::Raw {
            content_type: content_type.to_owned(),
            bytes: bytes.into(),
        };
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    /// A refusal in simple-JWT words.
    pub(crate) fn token_not_valid(detail: &str) -> Self {
        Self::json(401, json!({ "detail": detail, "code": "token_not_valid" }))
            .with(header::WWW_AUTHENTICATE, "Bearer realm=\"api\"")
    }

    pub(crate) fn redirect(status: u16, to: &str) -> Self {
        Self::empty(status).with(header::LOCATION, to)
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn with_retry_after(self, retry_after: Option<RetryAfter>, shared: &Shared) -> Self {
        match retry_after {
            None => self,
            Some(RetryAfter::Seconds(seconds)) => self.with(header::RETRY_AFTER, seconds.to_string()),
            Some(RetryAfter::DateIn(seconds)) => self.with(header::RETRY_AFTER, shared.http_date(seconds)),
        }
    }

    /// Takes the refresh token out of the answer, wherever the dialect puts it.
    pub(crate) fn without_refresh_token(mut self) -> Self {
        if let AnswerBody::Json(Value::Object(fields)) = &mut self.body {
            fields.remove("refresh");
            fields.remove("refreshToken");
        }
        self.headers
            .retain(|(name, value)| *name != header::SET_COOKIE || !value.starts_with("refresh="));
        self
    }

    /// The response, with the server's date and open to every origin, since browsers run the tests too.
    pub(crate) fn into_response(self, shared: &Shared, request: &HeaderMap) -> Response<Body> {
        let (content_type, body) = match self.body {
            AnswerBody::Empty => (None, full(Bytes::new())),
            AnswerBody::Json(value) => (
                Some("application/json".to_owned()),
                full(value.to_string().into()),
            ),
            AnswerBody::Raw { content_type, bytes } => (Some(content_type), full(bytes)),
            AnswerBody::Padding(left) => (
                Some("application/json".to_owned()),
                Padding {
                    left,
                    state: PaddingState::Open,
                }
                .boxed_unsync(),
            ),
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        put(headers, header::DATE, &shared.http_date(0));
        if let Some(content_type) = content_type {
            put(headers, header::CONTENT_TYPE, &content_type);
        }
        for (name, value) in self.headers {
            put(headers, name, &value);
        }
        allow_every_origin(headers, request);
        response
    }
}

fn allow_every_origin(headers: &mut HeaderMap, request: &HeaderMap) {
    let origin = request
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok());
    put(
        headers,
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        origin.unwrap_or("*"),
    );
    if origin.is_some() {
        put(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        put(headers, header::VARY, "Origin");
    }
    put(
        headers,
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        "Date, Retry-After, Location, WWW-Authenticate",
    );
    put(headers, header::CACHE_CONTROL, "no-store");
}

/// The answer to a CORS preflight: yes to whatever it asks.
pub(crate) fn preflight(request: &HeaderMap) -> Answer {
    let asked = request
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .and_then(|value| value.to_str().ok());
    Answer::empty(204)
        .with(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, POST, PUT, PATCH, DELETE, OPTIONS",
        )
        .with(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or("*"))
        .with(header::ACCESS_CONTROL_MAX_AGE, "600")
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

/// A JSON string as long as asked, made as it is read.
struct Padding {
    left: u64,
    state: PaddingState,
}

enum PaddingState {
    Open,
    Fill,
    Done,
}

impl hyper::body::Body for Padding {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static CHUNK: [u8; 64 << 10] = [b'a'; 64 << 10];
        let chunk = match self.state {
            PaddingState::Open => {
                self.state = PaddingState::Fill;
                Bytes::from_static(b"{\"padding\":\"")
            }
            PaddingState::Fill if self.left == 0 => {
                self.state = PaddingState::Done;
                Bytes::from_static(b"\"}")
            }
            PaddingState::Fill => {
                let size = usize::try_from(self.left).unwrap_or(CHUNK.len()).min(CHUNK.len());
                self.left -= size as u64;
                Bytes::from_static(&CHUNK[..size])
            }
            PaddingState::Done => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}
