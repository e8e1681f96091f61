//! Tokens as strings: HS256 JWTs made by hand, and opaque ones.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value, json};
use sha2::{Digest as _, Sha256};

use crate::settings::Settings;

/// What a token is for; its `type` claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TokenKind {
    #[serde(rename = "access")]
    Access,
    #[serde(rename = "refresh")]
    Refresh,
    #[serde(rename = "ws-connect")]
    WsConnect,
}

/// A new token and what the server remembers of it.
#[derive(Debug, Clone)]
pub(crate) struct Minted {
    pub(crate) token: String,
    /// The `jti`, or a hash of the token where there is none.
    pub(crate) id: String,
    /// By the server's clock, in milliseconds.
    pub(crate) expires_at_ms: i64,
}

/// What a JWT with a good signature says.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Claims {
    pub(crate) user_id: String,
    pub(crate) exp: f64,
    pub(crate) jti: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: TokenKind,
    pub(crate) sv: Option<String>,
}

impl Claims {
    pub(crate) fn expires_at_ms(&self) -> i64 {
        // A float holds every millisecond of this era exactly enough.
        #[expect(clippy::cast_possible_truncation)]
        let ms = (self.exp * 1000.0).round() as i64;
        ms
    }
}

/// The key and the boot id: what makes tokens of one server its own.
#[derive(Debug, Clone)]
pub(crate) struct Mint {
    secret: [u8; 32],
    boot_id: String,
}

impl Mint {
    pub(crate) fn new() -> Self {
        let mut secret = [0; 32];
        if getrandom::fill(&mut secret).is_err() {
            tracing::warn!("no randomness from the system; tokens of this server can be guessed");
        }
        Self {
            secret,
            boot_id: random_id(),
        }
    }

    pub(crate) fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// A new boot id, as after a restart.
    pub(crate) fn reboot(&mut self) {
        self.boot_id = random_id();
    }

    pub(crate) fn mint(
        &self,
        kind: TokenKind,
        user: &str,
        lifetime_ms: u64,
        now_ms: i64,
        settings: &Settings,
    ) -> Minted {
        let lifetime_ms = i64::try_from(lifetime_ms).unwrap_or(i64::MAX / 4);
        if settings.opaque_tokens && kind != TokenKind::WsConnect {
            let token = format!("opq_{}{}", random_id(), random_id());
            return Minted {
                id: short_hash(&token),
                token,
                expires_at_ms: now_ms + lifetime_ms,
            };
        }
        let (iat_ms, expires_at_ms) = if settings.fractional_times {
            (now_ms, now_ms + lifetime_ms)
        } else {
            let iat = now_ms.div_euclid(1000) * 1000;
            (iat, iat + lifetime_ms.div_euclid(1000) * 1000)
        };

        let mut claims = Map::new();
        claims.insert("sub".into(), json!(user));
        claims.insert("user_id".into(), json!(user));
        claims.insert("type".into(), json!(kind));
        claims.insert("exp".into(), seconds(expires_at_ms, settings.fractional_times));
        if !settings.omit_iat {
            claims.insert("iat".into(), seconds(iat_ms, settings.fractional_times));
        }
        // Refresh tokens and tickets are told apart by their id, so only access tokens may go without.
        let jti = (kind != TokenKind::Access || !settings.omit_jti).then(random_id);
        if let Some(jti) = &jti {
            claims.insert("jti".into(), json!(jti));
        }
        if settings.boot_id {
            claims.insert("sv".into(), json!(self.boot_id));
        }
        let token = self.sign(&Value::Object(claims));
        Minted {
            id: jti.unwrap_or_else(|| short_hash(&token)),
            token,
            expires_at_ms,
        }
    }

    /// The claims of a JWT whose signature is ours, expired or not.
    pub(crate) fn read(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = BASE64.decode(signature).ok()?;
        self.mac(signed)?.verify_slice(&signature).ok()?;
        let (_, claims) = signed.split_once('.')?;
        serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", BASE64.encode(claims.to_string()));
        let signature = self
            .mac(&signed)
            .map(|mac| mac.finalize().into_bytes())
            .unwrap_or_default();
        format!("{signed}.{}", BASE64.encode(signature))
    }

    fn mac(&self, signed: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        mac.update(signed.as_bytes());
        Some(mac)
    }
}

/// The start of a token's SHA-256: tells tokens apart without showing them.
pub(crate) fn short_hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes())[..8])
}

/// Sixteen random bytes in hex.
pub(crate) fn random_id() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        tracing::warn!("no randomness from the system; ids repeat");
    }
    hex(&bytes)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn seconds(ms: i64, fractional: bool) -> Value {
    #[expect(clippy::cast_precision_loss)]
    let fraction = || Number::from_f64(ms as f64 / 1000.0);
    match fractional.then(fraction).flatten() {
        Some(number) => Value::Number(number),
        None => json!(ms.div_euclid(1000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_token_reads_back() {
        let mint = Mint::new();
        let minted = mint.mint(
            TokenKind::Access,
            "ann",
            60_500,
            1_700_000_000_999,
            &Settings::default(),
        );
        let claims = mint.read(&minted.token).expect("our own signature");
        assert_eq!((claims.user_id.as_str(), claims.kind), ("ann", TokenKind::Access));
        assert_eq!(
            claims.expires_at_ms(),
            1_700_000_060_000,
            "whole seconds, rounded down"
        );
        assert_eq!(claims.jti, Some(minted.id));
    }

    #[test]
    fn a_foreign_signature_is_not_read() {
        let minted = Mint::new().mint(
            TokenKind::Access,
            "ann",
            60_000,
            1_700_000_000_000,
            &Settings::default(),
        );
        assert!(Mint::new().read(&minted.token).is_none());
    }

    #[test]
    fn tokens_of_one_second_are_identical_without_jti() {
        let (mint, settings) = (
            Mint::new(),
            Settings {
                omit_jti: true,
                ..Settings::default()
            },
        );
        let at = |now_ms| {
            mint.mint(TokenKind::Access, "ann", 60_000, now_ms, &settings)
                .token
        };
        assert_eq!(at(1_700_000_000_100), at(1_700_000_000_900));
        assert_ne!(at(1_700_000_000_100), at(1_700_000_001_100));
    }
}
