//! HTTP: one request out, one bounded answer in (S1, section 6).

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, NoProxy, Proxy, StatusCode, Url, redirect};
use rustls::ClientConfig;
use zeroize::Zeroize;

use crate::error::{Error, ErrorKind};
use crate::http_date::parse_http_date;
use crate::io::{HttpAnswer, HttpRequest};
use crate::options::Method;
use crate::secret::{Secret, redact_url};

/// How many redirects one request follows.
const MAX_REDIRECTS: usize = 5;

/// The HTTP side of a client.
#[derive(Clone)]
pub(crate) struct Http {
    /// For `perform`. It keeps no connection: the requests are minutes apart, and a refresh that is written to a
    /// connection which died in the meantime (in a sleep, for example) costs the whole time limit, or the rotation.
    single: Client,
    /// For the application's own requests.
    pooled: Client,
}

impl Http {
    pub(crate) fn new(tls: &ClientConfig) -> Result<Self, Error> {
        let proxy = proxy()?;
        let build = |adjust: fn(ClientBuilder) -> ClientBuilder| {
            let mut builder = Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .user_agent(concat!("freshsocket/", env!("CARGO_PKG_VERSION")))
                .no_proxy();
            if let Some(proxy) = proxy.clone() {
                builder = builder.proxy(proxy);
            }
            adjust(builder).build().map_err(|error| {
                Error::new(ErrorKind::Unsupported, "HTTP could not be set up").with_cause(describe(error))
            })
        };
        Ok(Self {
            single: build(|builder| {
                builder
                    .redirect(redirect::Policy::none())
                    .pool_max_idle_per_host(0)
            })?,
            pooled: build(|builder| builder.redirect(same_origin_only()))?,
        })
    }

    /// The client for authenticated requests of the application. It keeps connections, and follows redirects within
    /// an origin only; one that leads elsewhere is handed out as the answer.
    pub(crate) fn client(&self) -> &Client {
        &self.pooled
    }

    /// Makes the request. Any status is an answer; an error means that there was none, or none that can be used.
    pub(crate) async fn perform(&self, request: &HttpRequest) -> Result<HttpAnswer, Error> {
        let limit = Duration::from_millis(request.timeout_ms);
        let result = match tokio::time::timeout(limit, self.follow(request)).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                ErrorKind::Unreachable,
                format!("the server did not answer within {} ms", request.timeout_ms),
            )),
        };
        let (method, url) = (request.method.as_str(), redact_url(&request.url));
        match &result {
            Ok(answer) => tracing::debug!(method, url, status = answer.status, "HTTP request answered"),
            Err(error) => tracing::debug!(method, url, %error, "HTTP request failed"),
        }
        result
    }

    /// Follows redirects by hand, for two reasons: credentials must not leave the origin, and a POST must stay one.
    /// (Django redirects a missing final slash with 301, which HTTP clients answer with a GET.)
    async fn follow(&self, request: &HttpRequest) -> Result<HttpAnswer, Error> {
        let mut url = Url::parse(&request.url)
            .map_err(|_| Error::new(ErrorKind::InvalidOptions, "the request's URL is not a URL"))?;
        let headers = headers(request)?;
        let (mut method, mut body) = (method(request.method), request.body.as_ref());
        let mut set_cookies = Vec::new();
        for _ in 0..=MAX_REDIRECTS {
            let mut outgoing = self
                .single
                .request(method.clone(), url.clone())
                .headers(headers.clone());
            if let Some(body) = body {
                outgoing = outgoing
                    .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
                    .body(shared(body));
            }
            let response = outgoing.send().await.map_err(unreachable)?;
            set_cookies.extend(cookies(response.headers()));
            let Some(target) = redirect_target(&response) else {
                return read(response, set_cookies, request.max_answer_bytes).await;
            };
            url = next_url(&url, target)?;
            if response.status() == StatusCode::SEE_OTHER {
                (method, body) = (reqwest::Method::GET, None);
            }
        }
        Err(malformed("the server redirected too often"))
    }
}

/// The proxy that `HTTPS_PROXY` names, except for the hosts of `NO_PROXY`. Requests in clear text go to no proxy: they
/// are allowed because they stay on this machine, and through a proxy they would not.
fn proxy() -> Result<Option<Proxy>, Error> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(url) = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find_map(variable)
    else {
        return Ok(None);
    };
    // The cause is not shown: proxy URLs carry passwords.
    let proxy = Proxy::https(url).map_err(|_| {
        Error::new(
            ErrorKind::InvalidOptions,
            "the environment's HTTPS_PROXY is not a proxy URL",
        )
    })?;
    Ok(Some(proxy.no_proxy(NoProxy::from_env())))
}

fn same_origin_only() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let same = attempt
            .previous()
            .last()
            .is_some_and(|from| from.origin() == attempt.url().origin());
        if same && attempt.previous().len() <= MAX_REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Delete => reqwest::Method::DELETE,
    }
}

fn headers(request: &HttpRequest) -> Result<HeaderMap, Error> {
    let invalid = || {
        Error::new(
            ErrorKind::InvalidOptions,
            "a request header has characters that HTTP does not allow",
        )
    };
    let fixed = request.headers.iter().map(|(name, value)| (*name, value));
    let extra = request
        .extra_header
        .iter()
        .map(|(name, value)| (name.as_str(), value));
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    for (name, value) in fixed.chain(extra) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let mut value = HeaderValue::from_maybe_shared(shared(value)).map_err(|_| invalid())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The secret's own memory, so that no copy is made that nobody wipes. (What hyper and rustls write from are copies
/// out of our reach.)
fn shared(secret: &Secret) -> Bytes {
    struct Owner(Secret);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.expose().as_bytes()
        }
    }

    Bytes::from_owner(Owner(secret.clone()))
}

fn redirect_target(response: &reqwest::Response) -> Option<&HeaderValue> {
    match response.status().as_u16() {
        301 | 302 | 303 | 307 | 308 => response.headers().get(header::LOCATION),
        _ => None,
    }
}

fn next_url(from: &Url, target: &HeaderValue) -> Result<Url, Error> {
    let target = target.to_str().ok().and_then(|target| from.join(target).ok());
    let mut target =
        target.ok_or_else(|| malformed("the server redirected to something that is not a URL"))?;
    if target.origin() != from.origin() {
        return Err(malformed(
            "the server redirected to another origin; credentials are not sent there",
        ));
    }
    // A name in the URL would become an Authorization header of the server's choosing.
    if target
        .set_username("")
        .and_then(|()| target.set_password(None))
        .is_err()
    {
        return Err(malformed("the server redirected to something that is not a URL"));
    }
    Ok(target)
}

async fn read(response: reqwest::Response, set_cookies: Vec<Secret>, max: u64) -> Result<HttpAnswer, Error> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let answer = HttpAnswer {
        status: response.status().as_u16(),
        retry_after: text(header::RETRY_AFTER).map(str::to_owned),
        date_unix_ms: text(header::DATE).and_then(parse_http_date),
        set_cookies,
        body: None,
    };
    Ok(HttpAnswer {
        body: read_body(response, max).await?,
        ..answer
    })
}

/// The body, if there is one and it is text. Not a byte more than `max` is kept.
async fn read_body(mut response: reqwest::Response, max: u64) -> Result<Option<Secret>, Error> {
    let too_large = || {
        Error::new(
            ErrorKind::AnswerTooLarge,
            format!("the answer is larger than {max} bytes"),
        )
    };
    if response.content_length().is_some_and(|length| length > max) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if (body.len() + chunk.len()) as u64 > max {
            body.zeroize();
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    match String::from_utf8(body) {
        Ok(text) => Ok((!text.is_empty()).then(|| Secret::new(text))),
        Err(error) => {
            error.into_bytes().zeroize();
            Ok(None)
        }
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = Secret> {
    headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(Secret::new)
}

fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::MalformedAnswer, message)
}

fn unreachable(error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Unreachable, "the server could not be reached").with_cause(describe(error))
}

/// The chain of causes, without the URL and without reqwest's own first link, which says only "error sending request".
pub(super) fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause = std::error::Error::source(&error);
    let mut links = Vec::new();
    while let Some(link) = cause {
        links.push(link.to_string());
        cause = link.source();
    }
    if links.is_empty() {
        error.to_string()
    } else {
        links.join(": ")
    }
}

#[cfg(test)]
mod tests;
