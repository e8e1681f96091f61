//! The token server: it issues, rotates, notices reuse, revokes families; and it remembers what it did, because that
//! decides whether a holder's sign-out was just.

use std::collections::BTreeMap;

use freshsocket::io::{HttpAnswer, HttpRequest};
use freshsocket::{Json, Secret};

use super::plan::{Plan, Tokens};
use crate::{EPOCH, jwt};

/// What goes wrong with requests, while it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthFault {
    /// It is done, and the answer never leaves.
    LosesAnswers,
    /// It is done, and answered with a 500.
    ActsAndFails,
    /// It is not done, and answered with this.
    Answers(u16, &'static str, Option<&'static str>),
    Hangs,
}

#[derive(Debug)]
pub(super) struct Access {
    pub(super) user: String,
    pub(super) family: usize,
    /// Of two pairs of one family the higher is the newer.
    pub(super) serial: u64,
    /// True time; the first moment at which the server refuses it.
    pub(super) expires: u64,
    pub(super) revoked: bool,
    /// The exchange that brought it.
    pub(super) exchange: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Refresh {
    pub(super) family: usize,
    /// Those of the pair that it came with, as in `Access`.
    pub(super) serial: u64,
    pub(super) exchange: Option<usize>,
    pub(super) spent: Option<u64>,
    /// The exchange that spent it.
    pub(super) by: Option<usize>,
}

/// Everything that came of one sign-in.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) user: String,
    pub(super) revoked: bool,
    /// Why it is no fault of the client's when this family is lost.
    pub(super) lost: Option<&'static str>,
}

/// One exchange of a refresh token, as the world saw it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) holder: usize,
    pub(super) life: u64,
    /// Before anything was written or sent for it.
    pub(super) begun: u64,
    pub(super) granted: bool,
    /// The pair is where the client keeps it.
    pub(super) safe: bool,
    /// Why the client may not have it, through no fault of its own.
    pub(super) excuse: Option<&'static str>,
}

#[derive(Default)]
pub(super) struct Auth {
    pub(super) fault: Option<AuthFault>,
    pub(super) access: BTreeMap<String, Access>,
    pub(super) refresh: BTreeMap<String, Refresh>,
    pub(super) families: Vec<Family>,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) tickets: BTreeMap<String, Option<String>>,
    by_key: BTreeMap<String, (HttpAnswer, usize)>,
    count: u64,
}

/// What the server did with a refresh token, for the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    Else,
    Granted,
    Replayed,
    /// Spent before, by this exchange; and whether it bought another pair all the same.
    Reused {
        by: Option<usize>,
        answered: bool,
    },
    Refused,
}

impl Auth {
    /// Until when this text is good, in true time; `None`: it was never issued.
    pub(super) fn accepts(&self, text: &str, now: u64) -> Option<&Access> {
        self.access
            .get(text)
            .filter(|access| now < access.expires && !access.revoked)
    }

    pub(super) fn act(
        &mut self,
        plan: &Plan,
        now: u64,
        request: &HttpRequest,
        exchange: Option<usize>,
    ) -> (HttpAnswer, Did) {
        let header = |name: &str| {
            request
                .headers
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| v.expose())
        };
        let body = request
            .body
            .as_ref()
            .and_then(|body| Json::parse(body.expose()))
            .unwrap_or(Json::Null);
        let text = |pointer: &str| body.at(pointer).and_then(Json::as_str).unwrap_or_default();
        let bearer = header("Authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        let url = request.url.as_str();
        if url.contains("login") {
            self.families.push(Family {
                user: text("/username").to_owned(),
                revoked: false,
                lost: None,
            });
            return (
                self.granted(plan, now, self.families.len() - 1, true, None),
                Did::Granted,
            );
        }
        if url.contains("refresh") {
            let key = request.extra_header.as_ref().map(|(_, key)| key.expose());
            return self.exchange(plan, now, text("/refresh"), key, exchange);
        }
        let status = if url.contains("logout") {
            let family = self.refresh.get(text("/refresh")).map(|refresh| refresh.family);
            if let Some(family) = family {
                self.revoke(family, "signed out by the user");
            }
            204
        } else if url.contains("ticket") {
            if self.accepts(bearer, now).is_some() {
                let ticket = format!("ticket-{}", self.tickets.len());
                self.tickets.insert(ticket.clone(), Some(bearer.to_owned()));
                let body = format!(r#"{{"ticket":"{ticket}"}}"#);
                return (plain(plan, now, 200, &body), Did::Else);
            }
            401
        } else if self.accepts(text("/token"), now).is_some() {
            200
        } else {
            401
        };
        (plain(plan, now, status, "{}"), Did::Else)
    }

    /// Ends a family; what was issued in it is refused from now on.
    pub(super) fn revoke(&mut self, family: usize, why: &'static str) {
        self.families[family].revoked = true;
        self.families[family].lost.get_or_insert(why);
        for access in self.access.values_mut().filter(|access| access.family == family) {
            access.revoked = true;
        }
    }

    fn exchange(
        &mut self,
        plan: &Plan,
        now: u64,
        text: &str,
        key: Option<&str>,
        exchange: Option<usize>,
    ) -> (HttpAnswer, Did) {
        let refused = plain(
            plan,
            now,
            401,
            r#"{"detail":"Token is blacklisted","code":"token_not_valid"}"#,
        );
        let known = key
            .filter(|_| plan.honours_key)
            .and_then(|key| self.by_key.get(key));
        let Some(refresh) = self.refresh.get(text) else {
            return (refused, Did::Refused);
        };
        let (family, spent, by) = (refresh.family, refresh.spent, refresh.by);
        if self.families[family].revoked {
            return (refused, Did::Refused);
        }
        if let Some((answer, _)) = known {
            let date_unix_ms = plain(plan, now, 200, "").date_unix_ms;
            return (
                HttpAnswer {
                    date_unix_ms,
                    ..answer.clone()
                },
                Did::Replayed,
            );
        }
        let in_grace = spent.is_some_and(|at| now < at + plan.grace_ms);
        if spent.is_some() && !in_grace {
            return (refused, Did::Reused { by, answered: false });
        }
        if plan.rotates {
            let refresh = self.refresh.get_mut(text);
            if let Some(refresh) = refresh.filter(|refresh| refresh.spent.is_none()) {
                (refresh.spent, refresh.by) = (Some(now), exchange);
            }
        }
        let answer = self.granted(plan, now, family, plan.rotates, exchange);
        if let (Some(key), Some(exchange)) = (key, exchange) {
            self.by_key.insert(key.to_owned(), (answer.clone(), exchange));
        }
        let did = if in_grace {
            Did::Reused { by, answered: true }
        } else {
            Did::Granted
        };
        (answer, did)
    }

    fn granted(
        &mut self,
        plan: &Plan,
        now: u64,
        family: usize,
        with_refresh: bool,
        exchange: Option<usize>,
    ) -> HttpAnswer {
        self.count += 1;
        let serial = self.count;
        let user = self.families[family].user.clone();
        let seconds = server_ms(plan, now) / 1_000;
        let until = seconds + plan.lifetime_ms / 1_000;
        let text = match plan.tokens {
            Tokens::Jwt => jwt(&format!(
                r#"{{"sub":"{user}","exp":{until},"iat":{seconds},"jti":{serial}}}"#
            )),
            Tokens::SameInASecond => jwt(&format!(r#"{{"sub":"{user}","exp":{until},"iat":{seconds}}}"#)),
            Tokens::WithoutIat => jwt(&format!(r#"{{"sub":"{user}","exp":{until},"jti":{serial}}}"#)),
            Tokens::Opaque | Tokens::OpaqueUntilRefused => format!("opaque-{serial}-{family}"),
        };
        let expires = match plan.tokens {
            Tokens::Opaque | Tokens::OpaqueUntilRefused => now + plan.lifetime_ms,
            // Checked as servers do: in whole seconds of their own clock.
            _ => now + (until * 1_000).saturating_sub(server_ms(plan, now)),
        };
        // The same text again is the same token: as old as the first.
        let same = self.access.get(&text).filter(|same| same.family == family);
        let serial = same.map_or(serial, |same| same.serial);
        self.access.insert(
            text.clone(),
            Access {
                user: user.clone(),
                family,
                serial,
                expires,
                revoked: false,
                exchange,
            },
        );
        let mut body = vec![
            ("access", Json::from(text.as_str())),
            ("user", Json::object([("name", Json::from(user.as_str()))])),
        ];
        if with_refresh {
            let text = format!("refresh-{}", self.count);
            body.push(("refresh", Json::from(text.as_str())));
            let refresh = Refresh {
                family,
                serial,
                exchange,
                spent: None,
                by: None,
            };
            self.refresh.insert(text, refresh);
        }
        if plan.tokens == Tokens::Opaque {
            body.push(("expires_in", Json::Int((plan.lifetime_ms / 1_000).cast_signed())));
        }
        plain(plan, now, 200, &Json::object(body).to_string())
    }
}

fn server_ms(plan: &Plan, now: u64) -> u64 {
    (EPOCH + now).saturating_add_signed(plan.server_clock_ms)
}

pub(super) fn plain(plan: &Plan, now: u64, status: u16, body: &str) -> HttpAnswer {
    HttpAnswer {
        status,
        date_unix_ms: plan.with_date.then_some(server_ms(plan, now) / 1_000 * 1_000),
        body: Some(Secret::from(body)),
        ..HttpAnswer::default()
    }
}
