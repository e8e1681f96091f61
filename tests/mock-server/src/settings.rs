//! Every knob of the server, as one struct that tests change in process and over the control API.

use serde::{Deserialize, Serialize};

use crate::fault::Target;

/// How the server behaves. In JSON the names are camelCase; whatever is left out has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Which login dialect the paths without a final slash speak. Default: decided by the body.
    pub dialect: Dialect,
    /// Lifetime of an access token. JWT times are whole seconds, so it is rounded down to one. Default 300 000.
    pub access_lifetime_ms: u64,
    /// Lifetime of a refresh token. Default one day.
    pub refresh_lifetime_ms: u64,
    /// Lifetime of a WebSocket ticket. Default 10 000.
    pub ticket_lifetime_ms: u64,
    /// Whether a refresh gives a new refresh token and blacklists the old one. Default true.
    pub rotation: bool,
    /// Whether a reused refresh token also revokes everything that came from the same login. Default false.
    pub reuse_revokes_family: bool,
    /// How long a rotated refresh token still gets its first answer again. Default 0.
    pub refresh_grace_ms: u64,
    /// Whether the same `Idempotency-Key` with the same old refresh token gets the same answer again. Default false.
    pub honour_idempotency_key: bool,
    /// Whether tokens are random strings instead of JWTs. Answers then say `expires_in`. Default false.
    pub opaque_tokens: bool,
    /// Whether JWTs leave out `iat`. Default false.
    pub omit_iat: bool,
    /// Whether access tokens leave out `jti`: two issued within one second are then identical. Default false.
    pub omit_jti: bool,
    /// Whether `iat` and `exp` carry fractions of a second. Default false.
    pub fractional_times: bool,
    /// Whether JWTs carry the boot id of the server as `sv`, and die with a restart. Default false.
    pub boot_id: bool,
    /// Whether answers with an access token also say `expires_in` (`expiresIn` in the node dialect). Default false.
    pub expires_in_answer: bool,
    /// How many seconds the server's clock is ahead of the true time; shifts `iat`, `exp` and `Date`. Default 0.
    pub clock_offset_s: i64,
    /// Status of successful answers. With 204 those that carry no token have an empty body. Default 200.
    pub success_status: u16,
    /// Failed authentications within a minute before 429, for each target and user apart; those that name no user the
    /// server knows are counted together. Default 20.
    pub failed_auth_limit: u32,
    /// Where that limit holds: `login`, `refresh`, `verify`, `logout`, `ticket`, `api`, `http` for all of these, `ws`
    /// for upgrades, where refused first messages and renewals count too. Empty: nowhere. Default `login`.
    pub failed_auth_targets: Vec<Target>,
    /// What `Retry-After` says on that 429. Default 60.
    pub failed_auth_retry_after_s: u64,
    /// What happens on the simple-JWT paths with the other kind of ending. Default: redirect to the slash.
    pub slash: SlashPolicy,
    /// Status of those redirects. Default 308.
    pub redirect_status: u16,
    /// Origin put before the path of those redirects, to lead a client astray. Default: none, same origin.
    pub redirect_origin: Option<String>,
    /// Which placements of a credential the WebSocket accepts. Default: all.
    pub accept: Vec<Placement>,
    /// Whether the WebSocket wants the credential at the handshake or as the first message. Default: handshake.
    pub auth_mode: AuthMode,
    /// How long the server waits for that first message. Default 5 000.
    pub first_message_timeout_ms: u64,
    /// Whether connections without any credential are welcome. Default false.
    pub anonymous: bool,
    /// How a bad credential is refused. Default: HTTP 401 at the upgrade.
    pub refusal: Refusal,
    /// Subprotocols of the application that the server prefers over the token's marker. Default: none.
    pub subprotocols: Vec<String>,
    /// Whether a connection is greeted with `{"type":"connected",...}`. Default false.
    pub welcome: bool,
    /// Delay before that greeting. Default 0.
    pub welcome_delay_ms: u64,
    /// Whether a connection is closed when its token expires. Default false: checked at the handshake only.
    pub enforce_expiry: bool,
    /// Close code of that. Default 4401.
    pub expiry_close_code: u16,
    /// Close reason of that. Default empty.
    pub expiry_close_reason: String,
    /// Whether `{"type":"auth","token":...}` on a live connection renews it. Default true.
    pub in_band_renewal: bool,
    /// Close code after a refused renewal. Default: none, the connection stays.
    pub renewal_refusal_close_code: Option<u16>,
    /// Whether messages are echoed. Default true.
    pub echo: bool,
    /// Whether messages are recorded with their text, not only counted. Default false.
    pub record_messages: bool,
    /// Interval of the server's pings; a client silent for one whole interval is dropped. 0 is off, the default.
    pub heartbeat_interval_ms: u64,
    /// Whether a new connection of a user closes the older ones. Default false.
    pub one_connection_per_user: bool,
    /// Close code for the older one. Default 4409.
    pub replaced_close_code: u16,
    /// Close reason for the older one. Default empty.
    pub replaced_close_reason: String,
    /// Connections at once before the upgrade gets 503. Default: no limit.
    pub max_connections: Option<usize>,
    /// What `Retry-After` says on that 503. Default 1.
    pub max_connections_retry_after_s: u64,
    /// Largest message the server reads. Default 64 MiB.
    pub max_message_bytes: usize,
    /// Close code of a graceful shutdown. Default 1012.
    pub shutdown_close_code: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dialect: Dialect::Auto,
            access_lifetime_ms: 300_000,
            refresh_lifetime_ms: 86_400_000,
            ticket_lifetime_ms: 10_000,
            rotation: true,
            reuse_revokes_family: false,
            refresh_grace_ms: 0,
            honour_idempotency_key: false,
            opaque_tokens: false,
            omit_iat: false,
            omit_jti: false,
            fractional_times: false,
            boot_id: false,
            expires_in_answer: false,
            clock_offset_s: 0,
            success_status: 200,
            failed_auth_limit: 20,
            failed_auth_targets: vec![Target::Login],
            failed_auth_retry_after_s: 60,
            slash: SlashPolicy::RedirectToSlash,
            redirect_status: 308,
            redirect_origin: None,
            accept: Placement::ALL.to_vec(),
            auth_mode: AuthMode::Handshake,
            first_message_timeout_ms: 5_000,
            anonymous: false,
            refusal: Refusal::Http { status: 401 },
            subprotocols: Vec::new(),
            welcome: false,
            welcome_delay_ms: 0,
            enforce_expiry: false,
            expiry_close_code: 4401,
            expiry_close_reason: String::new(),
            in_band_renewal: true,
            renewal_refusal_close_code: None,
            echo: true,
            record_messages: false,
            heartbeat_interval_ms: 0,
            one_connection_per_user: false,
            replaced_close_code: 4409,
            replaced_close_reason: String::new(),
            max_connections: None,
            max_connections_retry_after_s: 1,
            max_message_bytes: 64 << 20,
            shutdown_close_code: 1012,
        }
    }
}

impl Settings {
    /// These settings with the fields of a JSON object put over them; what it does not name stays.
    pub fn merged(&self, changes: &serde_json::Value) -> Result<Self, serde_json::Error> {
        let mut all = serde_json::to_value(self)?;
        if let (Some(all), Some(changes)) = (all.as_object_mut(), changes.as_object()) {
            for (name, value) in changes {
                all.insert(name.clone(), value.clone());
            }
        }
        serde_json::from_value(all)
    }
}

/// Which login dialect `/api/auth/login` and `/api/auth/refresh` speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dialect {
    /// Node when the body names an `email` or `refreshToken`, else simple-JWT.
    Auto,
    /// `{username, password} -> {access, refresh, user}`, paths with a final slash.
    SimpleJwt,
    /// `{email, password} -> {token, refreshToken}`, paths without.
    Node,
}

/// What the simple-JWT endpoints do about the final slash of their paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SlashPolicy {
    /// Paths without a slash redirect to the path with one.
    RedirectToSlash,
    /// Paths with a slash redirect to the path without one.
    RedirectFromSlash,
    /// Both are served.
    Both,
}

/// Where a WebSocket client put its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// The offered subprotocols `[marker, token]`.
    Subprotocol,
    /// `?token=` or `?access_token=`.
    Query,
    /// `Authorization: Bearer`.
    Header,
    /// The cookie `access`.
    Cookie,
    /// `?ticket=`.
    Ticket,
    /// `{"type":"auth","token":...}` as the first message.
    FirstMessage,
}

impl Placement {
    /// Every placement, in the order in which the server looks at them.
    pub const ALL: [Self; 6] = [
        Self::Ticket,
        Self::Subprotocol,
        Self::Query,
        Self::Header,
        Self::Cookie,
        Self::FirstMessage,
    ];
}

/// When the WebSocket asks for the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthMode {
    /// It must come with the upgrade request.
    Handshake,
    /// A request without one is accepted and must authenticate by its first message.
    FirstMessage,
}

/// How the WebSocket refuses a missing or bad credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "style",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Refusal {
    /// The upgrade is answered with this HTTP status: 401, 403, 404.
    Http {
        /// The status.
        status: u16,
    },
    /// The upgrade succeeds, then the connection is closed.
    Close {
        /// The close code: 4401, 1008; none closes without a code (1005).
        code: Option<u16>,
        /// The close reason.
        #[serde(default)]
        reason: String,
    },
    /// The upgrade succeeds, `{"type":"error","message":...}` is sent, then the connection is closed.
    Message {
        /// The close code.
        code: Option<u16>,
        /// The close reason.
        #[serde(default)]
        reason: String,
    },
}
