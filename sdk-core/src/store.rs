//! What a token store keeps, and the one primitive it offers: compare-and-swap (S8, S10).
//!
//! The types here are pure; the native trait and the stores themselves are in `native::store`.
//!
//! ```
//! use freshsocket::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
//!
//! // All that a store does.
//! fn swap(held: &mut StoreSnapshot, expected: StoreVersion, next: Option<Box<StoredSession>>) -> Swapped {
//!     if held.version != expected {
//!         return Swapped::Conflict(held.clone());
//!     }
//!     *held = StoreSnapshot { version: StoreVersion(expected.0 + 1), session: next };
//!     Swapped::Done(held.version)
//! }
//! let mut held = StoreSnapshot::default();
//! assert_eq!(swap(&mut held, StoreVersion(0), None), Swapped::Done(StoreVersion(1)));
//! assert!(matches!(swap(&mut held, StoreVersion(0), None), Swapped::Conflict(_)));
//! ```

use serde::{Deserialize, Serialize};

use crate::json::Json;
use crate::secret::{AccessToken, RefreshToken, Secret};

/// The version of what a store holds; every write makes a new one. Zero: never written.
///
/// ```
/// use freshsocket::store::{StoreSnapshot, StoreVersion};
///
/// assert_eq!(StoreSnapshot::default().version, StoreVersion(0)); // never written
/// assert_eq!(serde_json::to_string(&StoreVersion(3)).unwrap(), "3");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreVersion(pub u64);

/// What a store holds at one moment.
///
/// ```
/// use freshsocket::store::StoreSnapshot;
///
/// fn who(snapshot: &StoreSnapshot) -> Option<&str> {
///     snapshot.session.as_ref()?.user.as_ref()?.at("/username")?.as_str()
/// }
/// assert_eq!(who(&StoreSnapshot::default()), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreSnapshot {
    /// Its version.
    pub version: StoreVersion,
    /// The session, or `None` where nobody is signed in.
    pub session: Option<Box<StoredSession>>,
}

/// Whether a compare-and-swap was made.
///
/// ```
/// use freshsocket::store::{StoreSnapshot, StoreVersion, Swapped};
///
/// // What a writer goes on with: its own version, or what another holder wrote in between.
/// fn version(swapped: Swapped) -> StoreVersion {
///     match swapped {
///         Swapped::Done(version) => version,
///         Swapped::Conflict(StoreSnapshot { version, .. }) => version,
///     }
/// }
/// assert_eq!(version(Swapped::Done(StoreVersion(4))), StoreVersion(4));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Swapped {
    /// It was; this is the new version.
    Done(StoreVersion),
    /// It was not: the store has moved on to this.
    Conflict(StoreSnapshot),
}

/// One signed-in session as it is stored.
///
/// `Debug` shows no token. The JSON form does: it is what the store exists to keep, and stores are to protect it
/// (the file store uses mode 0600).
///
/// ```
/// use freshsocket::store::StoredSession;
///
/// // What a store of your own writes is this JSON.
/// let json = r#"{"access":"eyJ…","refresh":"r1","receivedUnixMs":1700000000000,"lifetimeMs":300000,"rotation":1}"#;
/// let session: StoredSession = serde_json::from_str(json).unwrap();
/// assert_eq!(serde_json::to_string(&session).unwrap(), json);
/// assert!(!format!("{session:?}").contains("eyJ"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredSession {
    /// The access token; empty for a cookie session.
    #[serde(with = "access_text")]
    pub access: AccessToken,
    /// The refresh token.
    #[serde(default, with = "refresh_text", skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshToken>,
    /// The cookies of a cookie session, as a `Cookie` header.
    #[serde(default, with = "secret_text", skip_serializing_if = "Option::is_none")]
    pub cookies: Option<Secret>,
    /// When the access token was received, by the wall clock, in milliseconds since 1970.
    pub received_unix_ms: u64,
    /// The access token's lifetime from then on, in milliseconds; absent: without expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_ms: Option<u64>,
    /// The user record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Json>,
    /// Grows with every rotation: of two pairs the one with the higher number is the newer.
    pub rotation: u64,
    /// Written before the refresh token is sent, cleared by the write of the pair it bought: a process that dies in
    /// between leaves it here, and the next one asks again with the same key (S8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<RefreshIntent>,
}

/// "I am about to exchange this session's refresh token."
///
/// ```
/// use freshsocket::store::RefreshIntent;
///
/// let json = r#"{"key":"5f2b9c","atUnixMs":1700000000000}"#;
/// let intent: RefreshIntent = serde_json::from_str(json).unwrap();
/// assert_eq!(intent.key, "5f2b9c"); // the next process asks with the same key
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshIntent {
    /// The idempotency key of the exchange.
    pub key: String,
    /// When it was first sent, by the wall clock, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// When it was last sent, by the wall clock; zero where an older version wrote this, which did not say.
    #[serde(default)]
    pub asked_unix_ms: u64,
    /// Drawn for every asking, so that holders can tell their own from those of others.
    #[serde(default)]
    pub lease: u64,
}

macro_rules! as_text {
    ($name:ident, $type:ty, $from:expr, $expose:expr, $repr:ty) => {
        mod $name {
            use super::*;

            pub(super) fn serialize<S: serde::Serializer>(
                value: &$type,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let expose: fn(&$type) -> Option<&str> = $expose;
                expose(value).serialize(serializer)
            }

            pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$type, D::Error> {
                <$repr>::deserialize(deserializer).map($from)
            }
        }
    };
}

as_text!(
    access_text,
    AccessToken,
    AccessToken::from,
    |t| Some(t.expose()),
    String
);
as_text!(
    refresh_text,
    Option<RefreshToken>,
    |t| t.map(RefreshToken::from),
    |t| t.as_ref().map(RefreshToken::expose),
    Option<String>
);
as_text!(
    secret_text,
    Option<Secret>,
    |t| t.map(Secret::from),
    |t| t.as_ref().map(Secret::expose),
    Option<String>
);
