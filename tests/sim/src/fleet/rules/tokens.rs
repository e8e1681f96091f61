//! W2, W3, W8: what connections and requests carry.

use freshsocket::Json;
use freshsocket::io::{HttpRequest, Input, Output, SocketId};
use freshsocket::store::{StoreSnapshot, Swapped};

use super::super::Fleet;
use super::super::plan::Tokens;

/// JWT times are whole seconds, and so is the Date header.
const ROUNDING_MS: u64 = 2_000;
/// Naps that the machine is free not to notice (`SLEEP_THRESHOLD_MS`).
const NAPS_MS: u64 = 2_000;
/// A socket makes no more attempts than this in a minute, whatever happens to it.
const MOST_DIALS: usize = 45;

/// A token as one process knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// How much longer than in truth it may think that the token lives, for reasons that it cannot see.
    slack_ms: u64,
    /// What its clocks had hidden from it when it learnt of the token.
    blind_ms: u64,
    /// What its wall clock showed too much.
    wall_error: i64,
}

/// A token in the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredToken {
    slack_ms: u64,
    wall_error: i64,
}

impl Fleet {
    /// Called before a machine is told the time: what of it can its clocks not show?
    pub(in super::super) fn saw_clock(&mut self, h: usize) {
        let device = &self.devices[self.holders[h].device];
        let (slept, error) = (device.slept, device.wall_error);
        let watched = &mut self.holders[h].watched;
        if let Some((slept_before, error_before)) = watched.last_clock
            && error < error_before
        {
            // A wall clock that is set back hides as much of a sleep.
            let back = (error_before - error).unsigned_abs();
            watched.blind_ms += (slept - slept_before).min(back) + NAPS_MS;
        }
        watched.last_clock = Some((slept, error));
    }

    /// Called with every input before the machine handles it.
    pub(in super::super) fn before_input(&mut self, h: usize, input: &Input) {
        match input {
            Input::Network { online } => self.holders[h].told_online = *online,
            Input::HttpAnswered {
                effect,
                answer: Ok(answer),
            } => {
                let life = self.holders[h].life;
                let sent = self
                    .rules
                    .answers_sent
                    .remove(&(h, life, *effect))
                    .unwrap_or(self.now);
                self.holders[h].watched.refreshes_out.remove(effect);
                let body = answer.body.as_ref().and_then(|body| Json::parse(body.expose()));
                let access = body
                    .as_ref()
                    .and_then(|body| body.at("/access"))
                    .and_then(Json::as_str);
                if let Some(text) = access {
                    let again = self.rules.replayed.remove(&(h, life));
                    let slack = self.now - sent + if again { self.unknown_age(h) } else { 0 };
                    self.learns(h, text, slack);
                }
            }
            Input::HttpAnswered { effect, .. } => {
                self.holders[h].watched.refreshes_out.remove(effect);
            }
            Input::StoreLoaded {
                loaded: Ok(snapshot), ..
            }
            | Input::StoreSwapped {
                swapped: Ok(Swapped::Conflict(snapshot)),
                ..
            } => self.reads(h, snapshot),
            _ => {}
        }
    }

    /// How much older than a holder can know an answer may be that is given again: where the server does not say, wall
    /// clocks do, and those may have been set back.
    fn unknown_age(&self, h: usize) -> u64 {
        let told = self.plan.with_date && matches!(self.plan.tokens, Tokens::Jwt | Tokens::SameInASecond);
        let error = self.devices[self.holders[h].device].wall_error;
        let highest = self
            .devices
            .iter()
            .map(|device| device.highest_error)
            .max()
            .unwrap_or(error);
        if told {
            0
        } else {
            u64::try_from(highest - error).unwrap_or(0)
        }
    }

    fn learns(&mut self, h: usize, text: &str, slack_ms: u64) {
        let wall_error = self.devices[self.holders[h].device].wall_error;
        let watched = &mut self.holders[h].watched;
        let known = Known {
            slack_ms,
            blind_ms: watched.blind_ms,
            wall_error,
        };
        // Of two ways to know it, the one that is more wrong may be in use.
        let slack = watched
            .known
            .get(text)
            .map_or(0, |before| before.slack_ms)
            .max(slack_ms);
        watched.known.insert(
            text.to_owned(),
            Known {
                slack_ms: slack,
                ..known
            },
        );
    }

    fn reads(&mut self, h: usize, snapshot: &StoreSnapshot) {
        let Some(session) = &snapshot.session else { return };
        let text = session.access.expose();
        let Some(stored) = self.rules.stored.get(text).copied() else {
            return;
        };
        let error = self.devices[self.holders[h].device].wall_error;
        // A clock that is behind the writer's makes the token look younger than it is.
        let younger = u64::try_from(stored.wall_error - error).unwrap_or(0);
        self.learns(h, text, stored.slack_ms + younger);
    }

    /// A holder writes a token with what it knows of it.
    pub(super) fn writes(&mut self, h: usize, text: &str, delay: u64) {
        let wall_error = self.devices[self.holders[h].device].wall_error;
        let known = self.holders[h].watched.known.get(text);
        let stored = StoredToken {
            // What is written late looks as young as the write, to a holder whose clock cannot be right.
            slack_ms: known.map_or(0, |known| known.slack_ms) + delay,
            wall_error: known.map_or(wall_error, |known| known.wall_error),
        };
        let before = self.rules.stored.get(text).copied().unwrap_or(stored);
        let worst = StoredToken {
            slack_ms: stored.slack_ms.max(before.slack_ms),
            wall_error: stored.wall_error.max(before.wall_error),
        };
        self.rules.stored.insert(text.to_owned(), worst);
    }

    /// W3: no token goes on the wire that its holder can know to be expired.
    pub(in super::super) fn check_used(&mut self, h: usize, text: &str) {
        if self.plan.tokens == Tokens::OpaqueUntilRefused {
            return;
        }
        let Some(access) = self.auth.access.get(text) else {
            return;
        };
        let watched = &self.holders[h].watched;
        let (slack, hidden) = watched.known.get(text).map_or((0, 0), |known| {
            (known.slack_ms, watched.blind_ms - known.blind_ms)
        });
        let end = access.expires + slack + hidden + ROUNDING_MS + NAPS_MS;
        if self.now > end {
            let late = self.now - access.expires;
            self.violated("W3", || {
                format!("h{h} uses a token {late} ms after its end; it can be wrong by {slack} + {hidden} ms")
            });
        }
    }

    pub(in super::super) fn check_secret(&mut self, h: usize, text: &str) {
        if let Some(token) =
            Json::parse(text).and_then(|json| json.at("/token").and_then(Json::as_str).map(str::to_owned))
        {
            self.check_used(h, &token);
        }
    }

    /// W2, W3, W6, W8: before every connection attempt.
    pub(in super::super) fn check_dial(&mut self, h: usize, socket: SocketId, token: &str) {
        if !self.auth.access.contains_key(token) {
            return self.violated("W2", || {
                format!("h{h} opens a connection with no token, or a ticket used before")
            });
        }
        // A ticket was bought when the token was valid.
        if self.auth.tickets.is_empty() {
            self.check_used(h, token);
        }
        let now = self.now;
        let watched = self.holders[h].watched.sockets.entry(socket).or_default();
        let (attempt, refused) = (watched.attempt, watched.refused.take());
        watched.dials.push_back(now);
        while watched.dials.front().is_some_and(|at| at + 60_000 < now) {
            watched.dials.pop_front();
        }
        let dials = watched.dials.len();
        if dials > MOST_DIALS {
            self.violated("W6", || {
                format!("h{h}: {dials} attempts of {socket:?} in a minute")
            });
        }
        if refused == Some(attempt) {
            self.violated("W8", || {
                format!("h{h}: {socket:?} shows token {attempt} again, which was refused")
            });
        }
    }

    pub(super) fn check_request(&mut self, h: usize, request: &HttpRequest) {
        let bearer = request.headers.iter().find_map(|(name, value)| {
            value
                .expose()
                .strip_prefix("Bearer ")
                .filter(|_| *name == "Authorization")
        });
        // A sign-out tells the server whose session it is, whatever is left of it.
        if let Some(text) = bearer
            .map(str::to_owned)
            .filter(|_| !request.url.contains("logout"))
        {
            self.check_used(h, &text);
        }
    }

    pub(in super::super) fn check_output(&mut self, h: usize, output: &Output) {
        self.check_busy(h, output);
        match output {
            Output::Http { effect, request } => {
                self.check_request(h, request);
                if request.url.contains("refresh") {
                    self.check_refresh(h, *effect, request);
                }
            }
            Output::PublishSession(view) => {
                let watched = &mut self.holders[h].watched;
                if std::mem::replace(&mut watched.identity, view.identity) != view.identity {
                    watched.another_user();
                }
            }
            Output::Cancel { effect } => {
                self.holders[h].watched.refreshes_out.remove(effect);
            }
            _ => {}
        }
    }
}
