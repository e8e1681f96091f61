//! The server's memory of tokens: what it issued, rotated, blacklisted and saw used.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::settings::Settings;
use crate::token::{Mint, Minted, TokenKind, short_hash};

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenError {
    Missing,
    Invalid,
    Expired,
    WrongType,
    /// A refresh token that was rotated or revoked.
    Blacklisted,
}

impl TokenError {
    /// The message that WebSocket and ticket endpoints give.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Missing => "Token required",
            Self::Invalid | Self::Expired | Self::Blacklisted => "Invalid or expired token",
            Self::WrongType => "Invalid token type",
        }
    }
}

/// A token that arrived, judged; what is known of it is kept even when it is bad.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) seq: Option<u64>,
    pub(crate) user: Option<String>,
    pub(crate) expires_at_ms: i64,
    /// The user the token stands for, or why it does not.
    pub(crate) verdict: Result<String, TokenError>,
}

impl Seen {
    pub(crate) fn is_expired(&self) -> bool {
        self.verdict == Err(TokenError::Expired)
    }
}

/// What a login or refresh hands out.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) user: String,
    pub(crate) access: Minted,
    pub(crate) access_seq: u64,
    /// None where the refresh token stays as it is.
    pub(crate) refresh: Option<Minted>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Book {
    mint: Mint,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    tickets: HashMap<String, Ticket>,
    /// Every token and ticket ever issued, in plain, for tests that search output for them.
    issued: Vec<String>,
    last_seq: u64,
    /// Access tokens up to this number count as expired.
    expired_up_to: u64,
    last_family: u64,
}

#[derive(Debug)]
struct Access {
    seq: u64,
    user: String,
    expires_at_ms: i64,
}

#[derive(Debug)]
struct Refresh {
    user: String,
    /// The login it descends from.
    family: u64,
    id: String,
    expires_at_ms: i64,
    state: RefreshState,
}

#[derive(Debug)]
enum RefreshState {
    Active,
    Rotated {
        answer: Pair,
        key: Option<String>,
        at: Instant,
    },
    Revoked,
}

#[derive(Debug)]
struct Ticket {
    used: bool,
    parent_seq: Option<u64>,
    parent_expires_at_ms: i64,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self {
            mint: Mint::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            tickets: HashMap::new(),
            issued: Vec::new(),
            last_seq: 0,
            expired_up_to: 0,
            last_family: 0,
        }
    }

    /// Starts a session.
    pub(crate) fn login(&mut self, user: &str, now_ms: i64, settings: &Settings) -> Pair {
        self.last_family += 1;
        let (access, access_seq) = self.issue_access(user, settings.access_lifetime_ms, now_ms, settings);
        let refresh = Some(self.issue_refresh(user, self.last_family, now_ms, settings));
        Pair {
            user: user.to_owned(),
            access,
            access_seq,
            refresh,
        }
    }

    /// Issues an access token outside any session.
    pub(crate) fn issue_access(
        &mut self,
        user: &str,
        lifetime_ms: u64,
        now_ms: i64,
        settings: &Settings,
    ) -> (Minted, u64) {
        let minted = self
            .mint
            .mint(TokenKind::Access, user, lifetime_ms, now_ms, settings);
        self.last_seq += 1;
        let expires_at_ms = minted.expires_at_ms;
        let access = Access {
            seq: self.last_seq,
            user: user.to_owned(),
            expires_at_ms,
        };
        self.access.insert(minted.token.clone(), access);
        self.issued.push(minted.token.clone());
        (minted, self.last_seq)
    }

    /// Issues a ticket on the strength of an access token already judged good.
    pub(crate) fn issue_ticket(
        &mut self,
        user: &str,
        parent: &Seen,
        now_ms: i64,
        settings: &Settings,
    ) -> Minted {
        let lifetime_ms = settings.ticket_lifetime_ms;
        let minted = self
            .mint
            .mint(TokenKind::WsConnect, user, lifetime_ms, now_ms, settings);
        let ticket = Ticket {
            used: false,
            parent_seq: parent.seq,
            parent_expires_at_ms: parent.expires_at_ms,
        };
        self.tickets.insert(minted.id.clone(), ticket);
        self.issued.push(minted.token.clone());
        minted
    }

    /// Judges an access token.
    pub(crate) fn see_access(&self, token: &str, now_ms: i64, settings: &Settings) -> Seen {
        let claims = self.mint.read(token);
        let known = self.access.get(token);
        let id = claims
            .as_ref()
            .and_then(|c| c.jti.clone())
            .unwrap_or_else(|| short_hash(token));
        let user = claims
            .as_ref()
            .map(|c| c.user_id.clone())
            .or_else(|| known.map(|k| k.user.clone()));
        let seq = known.map(|k| k.seq);
        let expires_at_ms = claims
            .as_ref()
            .map(crate::token::Claims::expires_at_ms)
            .or(known.map(|k| k.expires_at_ms));

        let other_kind = claims.as_ref().is_some_and(|c| c.kind != TokenKind::Access);
        let other_boot = settings.boot_id
            && claims
                .as_ref()
                .is_some_and(|c| c.sv.as_deref() != Some(self.mint.boot_id()));
        let verdict = match (&user, expires_at_ms) {
            _ if token.is_empty() => Err(TokenError::Missing),
            _ if other_kind || self.refresh.contains_key(token) => Err(TokenError::WrongType),
            _ if other_boot => Err(TokenError::Invalid),
            (Some(_), Some(at)) if now_ms >= at => Err(TokenError::Expired),
            _ if seq.is_some_and(|seq| self.is_expired(seq)) => Err(TokenError::Expired),
            (Some(user), Some(_)) => Ok(user.clone()),
            _ => Err(TokenError::Invalid),
        };
        Seen {
            id,
            seq,
            user,
            expires_at_ms: expires_at_ms.unwrap_or(now_ms),
            verdict,
        }
    }

    /// Judges a ticket and uses it up. `seq` and expiry are those of the access token it was bought with.
    pub(crate) fn use_ticket(&mut self, token: &str, now_ms: i64) -> Seen {
        let Some(claims) = self.mint.read(token) else {
            let error = if token.is_empty() {
                TokenError::Missing
            } else {
                TokenError::Invalid
            };
            let id = short_hash(token);
            return Seen {
                id,
                seq: None,
                user: None,
                expires_at_ms: now_ms,
                verdict: Err(error),
            };
        };
        let id = claims.jti.clone().unwrap_or_else(|| short_hash(token));
        let ticket = self.tickets.get_mut(&id);
        let (seq, expires_at_ms) = ticket
            .as_ref()
            .map_or((None, now_ms), |t| (t.parent_seq, t.parent_expires_at_ms));
        let verdict = if claims.kind != TokenKind::WsConnect {
            Err(TokenError::WrongType)
        } else if now_ms >= claims.expires_at_ms() {
            Err(TokenError::Expired)
        } else if ticket.is_some_and(|ticket| !std::mem::replace(&mut ticket.used, true)) {
            Ok(claims.user_id.clone())
        } else {
            Err(TokenError::Invalid)
        };
        Seen {
            id,
            seq,
            user: Some(claims.user_id),
            expires_at_ms,
            verdict,
        }
    }

    /// Exchanges a refresh token. The first part says whose it is and its id, as far as known.
    pub(crate) fn rotate(
        &mut self,
        token: &str,
        key: Option<&str>,
        now_ms: i64,
        settings: &Settings,
    ) -> (Option<(String, String)>, Result<Pair, TokenError>) {
        let Some(entry) = self.refresh.get(token) else {
            let error = match self.mint.read(token) {
                _ if token.is_empty() => TokenError::Missing,
                Some(claims) if claims.kind != TokenKind::Refresh => TokenError::WrongType,
                _ if self.access.contains_key(token) => TokenError::WrongType,
                _ => TokenError::Invalid,
            };
            return (None, Err(error));
        };
        let (user, family) = (entry.user.clone(), entry.family);
        let whose = Some((user.clone(), entry.id.clone()));
        match &entry.state {
            RefreshState::Revoked => return (whose, Err(TokenError::Blacklisted)),
            RefreshState::Rotated {
                answer,
                key: first,
                at,
            } => {
                let same_key = settings.honour_idempotency_key && key.is_some() && key == first.as_deref();
                let in_grace = at.elapsed() < Duration::from_millis(settings.refresh_grace_ms);
                if same_key || in_grace {
                    return (whose, Ok(answer.clone()));
                }
                if settings.reuse_revokes_family {
                    self.revoke(|refresh| refresh.family == family);
                }
                return (whose, Err(TokenError::Blacklisted));
            }
            RefreshState::Active if now_ms >= entry.expires_at_ms => {
                return (whose, Err(TokenError::Expired));
            }
            RefreshState::Active => {}
        }

        let (access, access_seq) = self.issue_access(&user, settings.access_lifetime_ms, now_ms, settings);
        let refresh = settings
            .rotation
            .then(|| self.issue_refresh(&user, family, now_ms, settings));
        let pair = Pair {
            user,
            access,
            access_seq,
            refresh,
        };
        if let (true, Some(entry)) = (settings.rotation, self.refresh.get_mut(token)) {
            let (answer, key) = (pair.clone(), key.map(str::to_owned));
            entry.state = RefreshState::Rotated {
                answer,
                key,
                at: Instant::now(),
            };
        }
        (whose, Ok(pair))
    }

    /// Whose refresh token this is or was.
    pub(crate) fn refresh_user(&self, token: &str) -> Option<String> {
        self.refresh.get(token).map(|entry| entry.user.clone())
    }

    /// Whether the server would still accept this refresh token.
    pub(crate) fn is_good_refresh(&self, token: &str, now_ms: i64) -> bool {
        let entry = self.refresh.get(token);
        entry.is_some_and(|e| matches!(e.state, RefreshState::Active) && now_ms < e.expires_at_ms)
    }

    /// Blacklists one refresh token.
    pub(crate) fn blacklist(&mut self, token: &str) {
        if let Some(entry) = self.refresh.get_mut(token) {
            entry.state = RefreshState::Revoked;
        }
    }

    /// Blacklists every refresh token of a user.
    pub(crate) fn revoke_user(&mut self, user: &str) {
        self.revoke(|refresh| refresh.user == user);
    }

    /// Makes every access token issued until now count as expired.
    pub(crate) fn expire_access_tokens(&mut self) {
        self.expired_up_to = self.last_seq;
    }

    /// Whether `expire_access_tokens` covers an access token.
    pub(crate) fn is_expired(&self, seq: u64) -> bool {
        seq <= self.expired_up_to
    }

    /// Forgets the boot id, as a restart does.
    pub(crate) fn reboot(&mut self) {
        self.mint.reboot();
    }

    pub(crate) fn issued(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        self.issued
            .iter()
            .filter(|token| seen.insert(token.as_str()))
            .cloned()
            .collect()
    }

    /// Whether the server issued this very string as an access token.
    pub(crate) fn knows_access(&self, token: &str) -> bool {
        self.access.contains_key(token)
    }

    fn issue_refresh(&mut self, user: &str, family: u64, now_ms: i64, settings: &Settings) -> Minted {
        let minted = self.mint.mint(
            TokenKind::Refresh,
            user,
            settings.refresh_lifetime_ms,
            now_ms,
            settings,
        );
        let entry = Refresh {
            user: user.to_owned(),
            family,
            id: minted.id.clone(),
            expires_at_ms: minted.expires_at_ms,
            state: RefreshState::Active,
        };
        self.refresh.insert(minted.token.clone(), entry);
        self.issued.push(minted.token.clone());
        minted
    }

    fn revoke(&mut self, which: impl Fn(&Refresh) -> bool) {
        for refresh in self.refresh.values_mut().filter(|refresh| which(refresh)) {
            refresh.state = RefreshState::Revoked;
        }
    }
}
