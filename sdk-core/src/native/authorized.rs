//! Authenticated HTTP (S12): a valid token on every request, one retry after a 401.

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, COOKIE, HeaderValue};
use reqwest::{Request, RequestBuilder, Response, StatusCode};

use super::http::Http;
use super::session::SessionGuard;
use crate::error::{Error, ErrorKind};
use crate::options::Url;
use crate::secret::{AccessToken, Secret, redact_url};

/// Sends `reqwest` requests with a valid token.
///
/// The token goes to the origin of the session's `baseUrl` only, and to those given to
/// [`allow_origin`](Self::allow_origin); redirects never carry it elsewhere.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = freshsocket_mock_server::MockServer::start().await?;
/// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
/// # session.login([("username", "ada"), ("password", "secret")]).await?;
/// let http = session.http();
/// let elsewhere = http.client().get("https://other.example.com/");
/// let refused = http.send(elsewhere).await.unwrap_err(); // before anything is sent
/// assert_eq!(refused.kind(), freshsocket::ErrorKind::InsecureUrl);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AuthorizedHttp {
    session: Arc<SessionGuard>,
    http: Http,
    origins: Vec<String>,
}

impl AuthorizedHttp {
    pub(super) fn new(session: Arc<SessionGuard>, http: Http, base_url: String) -> Self {
        let origins = if base_url.is_empty() {
            Vec::new()
        } else {
            vec![base_url]
        };
        Self {
            session,
            http,
            origins,
        }
    }

    /// Lets the token go to this origin (`https://files.example.com`) as well.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # let other = freshsocket_mock_server::MockServer::start().await?;
    /// # let files = other.http_url();
    /// let http = session.http().allow_origin(&files);
    /// let response = http.send(http.client().get(format!("{files}/api/me"))).await?;
    /// assert_eq!(response.status(), 401); // the token went there, and this server knows nothing of it
    /// # Ok(()) }
    /// ```
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// The client to build requests with; it shares the SDK's TLS settings.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let http = session.http();
    /// let request = http.client().post(format!("{}/api/notes", server.http_url())).body("a note");
    /// http.send(request).await?;
    /// # Ok(()) }
    /// ```
    pub fn client(&self) -> &reqwest::Client {
        self.http.client()
    }

    /// Sends a request with `Authorization: Bearer <token>` (of a cookie session: its cookies). On 401, asks whether the refused token was still the one
    /// in use, refreshes if so, and sends the request once more (when its body can be sent twice).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// # server.expire_tokens();
    /// // The server takes the token no longer: one refresh, one repetition.
    /// let http = session.http();
    /// let response = http.send(http.client().get(format!("{}/api/me", server.http_url()))).await?;
    /// assert_eq!(response.status(), 200);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SignedOut`](ErrorKind::SignedOut) or [`Unreachable`](ErrorKind::Unreachable) when there is no valid token or no
    /// answer; [`InsecureUrl`](ErrorKind::InsecureUrl) when the URL is not of an allowed origin. Any answer of the
    /// server, 401 included, is an `Ok`.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let request = request.build().map_err(unreachable)?;
        self.check_origin(&request)?;
        let again = request.try_clone();
        let (token, number) = self.session.shared.numbered_token().await?;
        let response = self.once(request, &token).await?;
        let Some(again) = again.filter(|_| response.status() == StatusCode::UNAUTHORIZED) else {
            return Ok(response);
        };
        match self.session.shared.token_after(number).await {
            Ok(token) => self.once(again, &token).await,
            // There is no other token to try with: the refusal is the answer.
            Err(_) => Ok(response),
        }
    }

    async fn once(&self, mut request: Request, token: &AccessToken) -> Result<Response, Error> {
        let cookies = self.session.shared.view().cookies.clone();
        // A cookie session's token is not ours to see; its cookies say who it is.
        let (name, text) = match cookies.filter(|_| token.is_empty()) {
            Some(cookies) => (COOKIE, cookies),
            None => (AUTHORIZATION, Secret::new(format!("Bearer {}", token.expose()))),
        };
        let mut value = HeaderValue::from_str(text.expose())
            .map_err(|_| Error::new(ErrorKind::Unsupported, "the token cannot stand in a header"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
        self.http.client().execute(request).await.map_err(unreachable)
    }

    fn check_origin(&self, request: &Request) -> Result<(), Error> {
        let target = request.url().as_str();
        let target = Url::parse(target);
        let allowed = target.is_some_and(|target| {
            self.origins
                .iter()
                .filter_map(|origin| Url::parse(origin))
                .any(|origin| origin.same_origin(&target))
        });
        if allowed {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InsecureUrl,
            "the token is not sent to this origin; allow it with allow_origin",
        ))
    }
}

impl std::fmt::Debug for AuthorizedHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let origins: Vec<_> = self.origins.iter().map(|origin| redact_url(origin)).collect();
        f.debug_struct("AuthorizedHttp")
            .field("origins", &origins)
            .finish_non_exhaustive()
    }
}

fn unreachable(error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Unreachable, "the request got no answer").with_cause(super::http::describe(error))
}
