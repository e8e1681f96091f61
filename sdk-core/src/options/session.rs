//! Options of the session: where tokens come from and when they are renewed (S1, S6, S8).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::RetryOptions;
use crate::json::Json;
use crate::secret::redact_url;

/// How to sign in and stay signed in.
///
/// ```
/// use freshsocket::{Options, options::{Preset, SessionOptions}};
///
/// let json = r#"{"session": {"baseUrl": "https://api.example.com", "preset": "nodeJwt"}}"#;
/// let same = SessionOptions {
///     base_url: "https://api.example.com".into(),
///     preset: Preset::NodeJwt,
///     ..SessionOptions::default()
/// };
/// assert_eq!(Options::from_json(json).unwrap().session, same);
/// assert_eq!(same.request_timeout_ms, 15_000);
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SessionOptions {
    /// Origin (and path prefix, if any) of the auth server, e.g. `https://api.example.com`. Required by every
    /// preset but `callback`.
    pub base_url: String,
    /// Which kind of server this is; sets every endpoint that `endpoints` does not.
    pub preset: Preset,
    /// Endpoints that differ from the preset's; a given endpoint replaces the preset's whole.
    pub endpoints: Endpoints,
    /// When and how to refresh.
    pub refresh: RefreshOptions,
    /// How long any one request or token callback may take, in milliseconds; a longer one counts as unreachable.
    pub request_timeout_ms: u64,
    /// The largest HTTP answer that is read, in bytes; a larger one is refused unread.
    pub max_answer_bytes: u64,
    /// Allows `http://` to hosts other than loopback. Tokens then travel in clear text.
    pub allow_insecure: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            preset: Preset::default(),
            endpoints: Endpoints::default(),
            refresh: RefreshOptions::default(),
            request_timeout_ms: 15_000,
            max_answer_bytes: 1024 * 1024,
            allow_insecure: false,
        }
    }
}

impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionOptions")
            .field("base_url", &redact_url(&self.base_url))
            .field("preset", &self.preset)
            .field("endpoints", &self.endpoints)
            .field("refresh", &self.refresh)
            .field("request_timeout_ms", &self.request_timeout_ms)
            .field("max_answer_bytes", &self.max_answer_bytes)
            .field("allow_insecure", &self.allow_insecure)
            .finish()
    }
}

/// The kinds of auth server that work without further configuration.
///
/// ```
/// use freshsocket::{Options, options::Preset};
///
/// assert_eq!(Preset::default(), Preset::SimpleJwt);
/// let options = Options::from_json(r#"{"session": {"preset": "callback"}}"#).unwrap().session;
/// assert_eq!(options.preset, Preset::Callback);
/// assert!(options.validate().is_ok()); // the one preset without a `baseUrl`
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Preset {
    /// Django simple-JWT: `POST /api/auth/login/ {username,password} -> {access,refresh,user}`, with
    /// `/api/auth/token/refresh/`, `/api/auth/token/verify/` and `/api/auth/logout/`.
    #[default]
    SimpleJwt,
    /// The usual Node backend: `POST /api/auth/login {email,password} -> {token, refreshToken}`, refresh at
    /// `/api/auth/refresh`.
    NodeJwt,
    /// `POST /api/auth/login {email,password} -> {token}` and no refresh route: when the token expires the user signs
    /// in again; `ExpiringSoon` says so early enough to act.
    TokenOnly,
    /// `HttpOnly` cookies: `POST /api/auth/login/`, `/api/auth/token/refresh/`, `/api/auth/logout/`; the token is never
    /// seen by the application.
    Cookie,
    /// The application supplies tokens by a callback (Clerk, Auth0, Firebase, a host app's own login).
    Callback,
    /// Nothing preset: `endpoints` says it all.
    Custom,
}

/// The HTTP endpoints of a managed session.
///
/// ```
/// use freshsocket::{Options, options::{Endpoint, Endpoints}};
///
/// // Only the logout differs from the preset's.
/// let json = r#"{"session": {"endpoints": {"logout": {"path": "/signout", "bearer": true}}}}"#;
/// let logout = Endpoint { path: "/signout".into(), bearer: true, ..Endpoint::default() };
/// let endpoints = Endpoints { logout: Some(logout), ..Endpoints::default() };
/// assert_eq!(Options::from_json(json).unwrap().session.endpoints, endpoints);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Endpoints {
    /// Signs in. Placeholders in the body: the names given to `login`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<Endpoint>,
    /// Buys a new token. Placeholder in the body: `{refresh}`. Absent: the server has no refresh route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Endpoint>,
    /// Says whether a token is good. Placeholder in the body: `{access}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Endpoint>,
    /// Revokes. Placeholders in the body: `{refresh}`, `{access}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logout: Option<Endpoint>,
}

/// One HTTP endpoint: how to ask and where the answer's fields stand.
///
/// ```
/// use freshsocket::Options;
///
/// let json = r#"{"session": {"baseUrl": "https://api.example.com", "preset": "custom", "endpoints": {"login": {
///     "path": "/v2/signin",
///     "body": {"mail": "{email}", "secret": "{password}"},
///     "access": "/data/jwt",
///     "refresh": "data/renewal"
/// }}}}"#;
/// let wrong = Options::from_json(json).unwrap().session.validate().unwrap_err();
/// assert_eq!(wrong.field(), Some("session.endpoints.login.refresh")); // a pointer begins with a slash
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Endpoint {
    /// The HTTP method.
    pub method: Method,
    /// Path below `baseUrl`, or a whole URL of the same origin.
    pub path: String,
    /// JSON body with placeholders such as `{refresh}`; absent: no body (for login: the credentials as given).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Json>,
    /// Send `Authorization: Bearer <access token>`.
    pub bearer: bool,
    /// JSON pointer to the access token in the answer.
    pub access: String,
    /// JSON pointer to the refresh token in the answer; where nothing stands the old one is kept.
    pub refresh: String,
    /// JSON pointer to the lifetime in seconds.
    pub expires_in: String,
    /// JSON pointer to the user record.
    pub user: String,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            method: Method::Post,
            path: String::new(),
            body: None,
            bearer: false,
            access: "/access".into(),
            refresh: "/refresh".into(),
            expires_in: "/expires_in".into(),
            user: "/user".into(),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("method", &self.method)
            .field("path", &redact_url(&self.path))
            .field("body", &self.body)
            .field("bearer", &self.bearer)
            .field("access", &self.access)
            .field("refresh", &self.refresh)
            .field("expires_in", &self.expires_in)
            .field("user", &self.user)
            .finish()
    }
}

/// An HTTP method.
///
/// ```
/// use freshsocket::{Options, options::Method};
///
/// let json = r#"{"session": {"endpoints": {"verify": {"method": "GET", "path": "/api/auth/me/"}}}}"#;
/// let verify = Options::from_json(json).unwrap().session.endpoints.verify.unwrap();
/// assert_eq!(verify.method, Method::Get);
/// assert_eq!(Method::default(), Method::Post);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET
    Get,
    /// POST
    #[default]
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
}

impl Method {
    /// The method's name on the wire.
    ///
    /// ```
    /// assert_eq!(freshsocket::options::Method::Post.as_str(), "POST");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// When and how to refresh (S6, S8).
///
/// ```
/// use freshsocket::Options;
///
/// let json = r#"{"session": {"preset": "callback", "refresh": {"marginMs": 60000, "refusedStatuses": [401, 503]}}}"#;
/// let options = Options::from_json(json).unwrap().session;
/// assert_eq!((options.refresh.margin_ms, options.refresh.proactive), (60_000, true));
/// // A server that is down has refused nobody.
/// assert_eq!(options.validate().unwrap_err().field(), Some("session.refresh.refusedStatuses (503)"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RefreshOptions {
    /// Refresh this long before expiry at most, in milliseconds.
    pub margin_ms: u64,
    /// Refresh this part of the lifetime before expiry at most; the smaller of the two is the margin.
    pub margin_fraction: f64,
    /// Refresh on a timer, without being asked. When off, only a call or a refusal refreshes.
    pub proactive: bool,
    /// The delay after an attempt that did not reach the server; by default 2,000 ms, doubled each time, up to 30,000.
    #[serde(deserialize_with = "refresh_retry")]
    pub retry: RetryOptions,
    /// Header that carries one key per rotation, so that a server which honours it can answer again when its answer
    /// was lost. Absent: not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_header: Option<String>,
    /// HTTP statuses by which the refresh endpoint refuses; every other failure means unreachable.
    pub refused_statuses: Vec<u16>,
}

impl Default for RefreshOptions {
    fn default() -> Self {
        Self {
            margin_ms: 300_000,
            margin_fraction: 0.2,
            proactive: true,
            retry: REFRESH_RETRY,
            idempotency_header: None,
            refused_statuses: vec![400, 401],
        }
    }
}

/// Quicker at first than a socket's delay: what fails here is one request of one client, not a herd's connections.
const REFRESH_RETRY: RetryOptions = RetryOptions {
    base_ms: 2_000,
    factor: 2.0,
    cap_ms: 30_000,
};

/// Members that are left out are those of the refresh delay, not of the socket's.
fn refresh_retry<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<RetryOptions, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Given {
        base_ms: Option<u64>,
        factor: Option<f64>,
        cap_ms: Option<u64>,
    }
    let given = Given::deserialize(deserializer)?;
    Ok(RetryOptions {
        base_ms: given.base_ms.unwrap_or(REFRESH_RETRY.base_ms),
        factor: given.factor.unwrap_or(REFRESH_RETRY.factor),
        cap_ms: given.cap_ms.unwrap_or(REFRESH_RETRY.cap_ms),
    })
}

/// The endpoints in force: the preset's, with the given ones in their place.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedEndpoints {
    pub(crate) login: Option<Endpoint>,
    pub(crate) refresh: Option<Endpoint>,
    pub(crate) verify: Option<Endpoint>,
    pub(crate) logout: Option<Endpoint>,
}

impl SessionOptions {
    pub(crate) fn resolved_endpoints(&self) -> ResolvedEndpoints {
        let preset = self.preset.endpoints();
        ResolvedEndpoints {
            login: self.endpoints.login.clone().or(preset.login),
            refresh: self.endpoints.refresh.clone().or(preset.refresh),
            verify: self.endpoints.verify.clone().or(preset.verify),
            logout: self.endpoints.logout.clone().or(preset.logout),
        }
    }

    /// Whether the token lives in cookies and is never handed out.
    pub(crate) fn is_cookie(&self) -> bool {
        self.preset == Preset::Cookie
    }

    /// Whether the application supplies the tokens.
    pub(crate) fn is_callback(&self) -> bool {
        self.preset == Preset::Callback
    }
}

impl Preset {
    /// The endpoints that this preset stands for; to change one member of one of them.
    ///
    /// ```
    /// use freshsocket::options::{Endpoints, Preset};
    ///
    /// let mut login = Preset::SimpleJwt.endpoints().login.unwrap();
    /// login.path = "/accounts/login/".into();
    /// let endpoints = Endpoints { login: Some(login), ..Endpoints::default() }; // the others stay the preset's
    /// # assert!(endpoints.refresh.is_none());
    /// ```
    pub fn endpoints(self) -> Endpoints {
        let endpoint = |path: &str, body: Option<Json>| Endpoint {
            path: path.into(),
            body,
            ..Endpoint::default()
        };
        let refresh_body = |name: &str| Some(Json::object([(name, Json::from("{refresh}"))]));
        match self {
            Self::SimpleJwt => Endpoints {
                login: Some(endpoint("/api/auth/login/", None)),
                refresh: Some(endpoint("/api/auth/token/refresh/", refresh_body("refresh"))),
                verify: Some(endpoint(
                    "/api/auth/token/verify/",
                    Some(Json::object([("token", Json::from("{access}"))])),
                )),
                logout: Some(Endpoint {
                    bearer: true,
                    ..endpoint("/api/auth/logout/", refresh_body("refresh"))
                }),
            },
            Self::NodeJwt => {
                let node = |path: &str, body: Option<Json>| Endpoint {
                    access: "/token".into(),
                    refresh: "/refreshToken".into(),
                    expires_in: "/expiresIn".into(),
                    ..endpoint(path, body)
                };
                Endpoints {
                    login: Some(node("/api/auth/login", None)),
                    refresh: Some(node("/api/auth/refresh", refresh_body("refreshToken"))),
                    verify: None,
                    logout: Some(Endpoint {
                        bearer: true,
                        ..node("/api/auth/logout", refresh_body("refreshToken"))
                    }),
                }
            }
            Self::TokenOnly => Endpoints {
                login: Some(Endpoint {
                    access: "/token".into(),
                    expires_in: "/expiresIn".into(),
                    ..endpoint("/api/auth/login", None)
                }),
                ..Endpoints::default()
            },
            Self::Cookie => Endpoints {
                login: Some(endpoint("/api/auth/login/", None)),
                refresh: Some(endpoint("/api/auth/token/refresh/", None)),
                verify: Some(Endpoint {
                    method: Method::Get,
                    ..endpoint("/api/auth/me/", None)
                }),
                logout: Some(endpoint("/api/auth/logout/", None)),
            },
            Self::Callback | Self::Custom => Endpoints::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_given_in_part_keeps_the_rest_of_its_own_defaults() {
        let json = r#"{"baseUrl": "https://h", "refresh": {"retry": {"capMs": 5000}}}"#;
        let options: SessionOptions = serde_json::from_str(json).unwrap();
        let expected = RetryOptions {
            cap_ms: 5_000,
            ..REFRESH_RETRY
        };
        assert_eq!(options.refresh.retry, expected);
        assert_eq!(RefreshOptions::default().retry, REFRESH_RETRY);
    }
}
