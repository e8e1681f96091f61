//! The auth server: issues, rotates, blacklists, revokes; and every way in which it may not.

use std::collections::{BTreeMap, BTreeSet};

use freshsocket::io::{HttpAnswer, HttpRequest};
use freshsocket::{Error, ErrorKind, Json, Secret};

use super::EPOCH;
use super::token::jwt;

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// No connection, at once.
    Unreachable,
    /// Nothing ever comes back.
    Hangs,
    /// It is done, and the answer is lost on the way.
    LosesAnswer,
    /// It is not done, and answered like this.
    Answers {
        status: u16,
        body: &'static str,
        retry_after: Option<&'static str>,
    },
}

/// One request, as the server saw it.
#[derive(Clone, Debug)]
pub struct Request {
    pub at: u64,
    pub path: String,
    pub body: String,
    pub bearer: Option<String>,
    pub cookie: Option<String>,
    pub key: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Issued {
    pub user: String,
    pub number: u64,
    /// True time.
    pub expires: u64,
    pub revoked: bool,
}

pub struct Auth {
    pub lifetime: u64,
    pub latency: u64,
    /// How wrong the server's clock is.
    pub clock_error: i64,
    pub rotates: bool,
    /// A used refresh token is refused.
    pub blacklists: bool,
    pub honours_key: bool,
    pub with_iat: bool,
    pub with_expires_in: bool,
    pub with_date: bool,
    /// Tokens that say nothing about themselves.
    pub opaque: bool,
    /// Two tokens of the same second are the same text.
    pub same_in_a_second: bool,
    /// Tokens where this preset's answers have them.
    pub node: bool,
    pub cookies: bool,
    pub offline: bool,
    /// Everything goes wrong in this way, so many times.
    pub fault: Option<(Fault, u32)>,
    /// Refreshes only.
    pub refresh_fault: Option<(Fault, u32)>,
    pub requests: Vec<Request>,
    pub issued: BTreeMap<String, Issued>,
    count: u64,
    refresh_users: BTreeMap<String, String>,
    spent: BTreeSet<String>,
    answers_by_key: BTreeMap<String, HttpAnswer>,
    pub tickets: BTreeMap<String, String>,
    pub used_tickets: BTreeSet<String>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            lifetime: 3_600_000,
            latency: 20,
            clock_error: 0,
            rotates: true,
            blacklists: true,
            honours_key: false,
            with_iat: true,
            with_expires_in: false,
            with_date: false,
            opaque: false,
            same_in_a_second: false,
            node: false,
            cookies: false,
            offline: false,
            fault: None,
            refresh_fault: None,
            requests: Vec::new(),
            issued: BTreeMap::new(),
            count: 0,
            refresh_users: BTreeMap::new(),
            spent: BTreeSet::new(),
            answers_by_key: BTreeMap::new(),
            tickets: BTreeMap::new(),
            used_tickets: BTreeSet::new(),
        }
    }
}

impl Auth {
    pub fn fails_to_refresh(&mut self, fault: Fault, times: u32) {
        self.refresh_fault = Some((fault, times));
    }

    pub fn refuses_to_refresh(&mut self) {
        let body = r#"{"detail":"Token is blacklisted","code":"token_not_valid"}"#;
        self.fails_to_refresh(
            Fault::Answers {
                status: 401,
                body,
                retry_after: None,
            },
            u32::MAX,
        );
    }

    /// Whether a refresh would succeed now.
    pub fn can_refresh(&self) -> bool {
        let struck = |fault: &Option<(Fault, u32)>| fault.as_ref().is_some_and(|(_, left)| *left > 0);
        !self.offline && !struck(&self.fault) && !struck(&self.refresh_fault)
    }

    pub fn to(&self, path: &str) -> Vec<&Request> {
        self.requests
            .iter()
            .filter(|request| request.path.contains(path))
            .collect()
    }

    /// When refreshes were asked for, in true time.
    pub fn refresh_times(&self) -> Vec<u64> {
        self.to("refresh").iter().map(|request| request.at).collect()
    }

    /// How many refreshes were asked for.
    pub fn refreshes(&self) -> usize {
        self.to("refresh").len()
    }

    pub fn expires(&self, text: &str) -> u64 {
        self.issued.get(text).map_or(0, |issued| issued.expires)
    }

    /// Whether the server takes this token.
    pub fn accepts(&self, text: &str, now: u64) -> bool {
        self.issued
            .get(text)
            .is_some_and(|issued| now < issued.expires && !issued.revoked)
    }

    /// Every access token so far is worth nothing from now on.
    pub fn revoke_access(&mut self) {
        self.issued.values_mut().for_each(|issued| issued.revoked = true);
    }

    /// Another holder exchanges this refresh token.
    pub fn spend(&mut self, now: u64, refresh: &str) -> (String, String) {
        let user = self.refresh_users.get(refresh).cloned().unwrap();
        self.spent.insert(refresh.to_owned());
        (self.issue(now, &user), self.issue_refresh(&user))
    }

    pub fn issue(&mut self, now: u64, user: &str) -> String {
        self.count += 1;
        let iat = (EPOCH + now).saturating_add_signed(self.clock_error) / 1000;
        let exp = iat as f64 + self.lifetime as f64 / 1000.0;
        let iat = if self.with_iat {
            format!(r#","iat":{iat}"#)
        } else {
            String::new()
        };
        let jti = if self.same_in_a_second { 0 } else { self.count };
        let text = if self.opaque {
            format!("opaque-{}", self.count)
        } else {
            jwt(&format!(r#"{{"sub":"{user}","exp":{exp}{iat},"jti":"{jti}"}}"#))
        };
        let issued = Issued {
            user: user.into(),
            number: self.count,
            expires: now + self.lifetime,
            revoked: false,
        };
        self.issued.insert(text.clone(), issued);
        text
    }

    fn issue_refresh(&mut self, user: &str) -> String {
        self.count += 1;
        let text = format!("refresh-{}", self.count);
        self.refresh_users.insert(text.clone(), user.to_owned());
        text
    }

    /// What comes back for a request; `None`: nothing.
    pub fn answer(&mut self, now: u64, request: &HttpRequest) -> Option<Result<HttpAnswer, Error>> {
        if self.offline {
            return Some(Err(unreachable()));
        }
        let request = seen(now, request);
        self.requests.push(request.clone());
        let is_refresh = request.path.contains("refresh");
        let fault = strike(&mut self.fault).or_else(|| {
            if is_refresh {
                strike(&mut self.refresh_fault)
            } else {
                None
            }
        });
        match fault {
            Some(Fault::Unreachable) => return Some(Err(unreachable())),
            Some(Fault::Hangs) => return None,
            Some(Fault::Answers {
                status,
                body,
                retry_after,
            }) => {
                let mut answer = self.plain(now, status, body);
                answer.retry_after = retry_after.map(str::to_owned);
                return Some(Ok(answer));
            }
            Some(Fault::LosesAnswer) | None => {}
        }
        let answer = self.act(now, &request);
        match fault {
            Some(Fault::LosesAnswer) => Some(Err(unreachable())),
            _ => Some(Ok(answer)),
        }
    }

    fn act(&mut self, now: u64, request: &Request) -> HttpAnswer {
        let body = Json::parse(&request.body).unwrap_or(Json::Null);
        let text = |pointer: &str| body.at(pointer).and_then(Json::as_str).map(str::to_owned);
        let bearer = request.bearer.clone().unwrap_or_default();
        match request.path.as_str() {
            path if path.contains("login") => {
                let user = text("/username").unwrap_or_default();
                if user == "nobody" {
                    return self.plain(now, 401, r#"{"detail":"No active account found"}"#);
                }
                let refresh = self.issue_refresh(&user);
                self.granted(now, &user, Some(refresh))
            }
            path if path.contains("refresh") => {
                let in_cookie = request.cookie.as_deref().and_then(|c| cookie(c, "refresh"));
                let refresh = text("/refresh")
                    .or_else(|| text("/refreshToken"))
                    .or(in_cookie)
                    .unwrap_or_default();
                self.refresh(now, &refresh, request.key.as_deref())
            }
            path if path.contains("verify") || path.contains("me/") => {
                let access = text("/token").unwrap_or(bearer);
                let status = if self.accepts(&access, now) { 200 } else { 401 };
                self.plain(now, status, "{}")
            }
            path if path.contains("ticket") => {
                if !self.accepts(&bearer, now) {
                    return self.plain(now, 401, "{}");
                }
                let ticket = format!("ticket-{}", self.tickets.len() + 1);
                self.tickets.insert(ticket.clone(), bearer);
                let body = format!(r#"{{"ticket":"{ticket}"}}"#);
                self.plain(now, 200, &body)
            }
            _ => {
                self.spent.extend(text("/refresh"));
                self.plain(now, 204, "")
            }
        }
    }

    fn refresh(&mut self, now: u64, refresh: &str, key: Option<&str>) -> HttpAnswer {
        let known = key
            .filter(|_| self.honours_key)
            .and_then(|key| self.answers_by_key.get(key));
        if let Some(answer) = known.cloned() {
            return HttpAnswer {
                date_unix_ms: self.plain(now, 200, "").date_unix_ms,
                ..answer
            };
        }
        let user = self.refresh_users.get(refresh).cloned();
        let Some(user) = user.filter(|_| !self.spent.contains(refresh)) else {
            return self.plain(
                now,
                401,
                r#"{"detail":"Token is blacklisted","code":"token_not_valid"}"#,
            );
        };
        if self.rotates && self.blacklists {
            self.spent.insert(refresh.to_owned());
        }
        let next = self.rotates.then(|| self.issue_refresh(&user));
        let answer = self.granted(now, &user, next);
        if let Some(key) = key {
            self.answers_by_key.insert(key.to_owned(), answer.clone());
        }
        answer
    }

    fn granted(&mut self, now: u64, user: &str, refresh: Option<String>) -> HttpAnswer {
        let access = self.issue(now, user);
        if self.cookies {
            let mut answer = self.plain(now, 204, "");
            answer
                .set_cookies
                .push(Secret::new(format!("access={access}; HttpOnly; Path=/")));
            answer
                .set_cookies
                .extend(refresh.map(|r| Secret::new(format!("refresh={r}; HttpOnly"))));
            return answer;
        }
        let (access_name, refresh_name) = if self.node {
            ("token", "refreshToken")
        } else {
            ("access", "refresh")
        };
        let mut body = vec![(access_name, Json::from(access.as_str()))];
        body.extend(refresh.map(|r| (refresh_name, Json::from(r.as_str()))));
        body.push(("user", Json::object([("name", Json::from(user))])));
        if self.with_expires_in {
            body.push(("expires_in", Json::Float(self.lifetime as f64 / 1000.0)));
        }
        let body = Json::object(body).to_string();
        self.plain(now, 200, &body)
    }

    fn plain(&self, now: u64, status: u16, body: &str) -> HttpAnswer {
        let date = (EPOCH + now).saturating_add_signed(self.clock_error) / 1000 * 1000;
        HttpAnswer {
            status,
            date_unix_ms: self.with_date.then_some(date),
            body: Some(Secret::from(body)),
            ..HttpAnswer::default()
        }
    }
}

fn unreachable() -> Error {
    Error::new(ErrorKind::Unreachable, "no route to host")
}

fn strike(fault: &mut Option<(Fault, u32)>) -> Option<Fault> {
    let (kind, left) = fault.as_mut().filter(|(_, left)| *left > 0)?;
    *left = left.saturating_sub(1);
    Some(kind.clone())
}

fn cookie(header: &str, name: &str) -> Option<String> {
    header
        .split("; ")
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .map(str::to_owned)
}

fn seen(now: u64, request: &HttpRequest) -> Request {
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.expose().to_owned())
    };
    Request {
        at: now,
        path: request
            .url
            .strip_prefix("https://auth.test")
            .unwrap_or(&request.url)
            .to_owned(),
        body: request
            .body
            .as_ref()
            .map_or(String::new(), |body| body.expose().to_owned()),
        bearer: header("Authorization").and_then(|h| h.strip_prefix("Bearer ").map(str::to_owned)),
        cookie: header("Cookie"),
        key: request
            .extra_header
            .as_ref()
            .map(|(_, key)| key.expose().to_owned()),
    }
}
