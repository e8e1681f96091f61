//! S3, S8, S9, S10, S11: exchanges of refresh tokens, what is stored and published, and who is signed out for what.

use freshsocket::Json;
use freshsocket::io::{CallId, EffectId, HttpRequest, Reply, SessionView};
use freshsocket::store::{StoreVersion, StoredSession, Swapped};
use freshsocket::{AccessToken, Error, RefreshToken, SessionState, SignOutCause};

use super::super::Fleet;
use super::super::auth::{Did, Exchange};
use super::super::event::{Event, Process};

/// No lease ends earlier than this after its intent was written: the longest wait for an answer.
const LEASE_MS: u64 = 15_000;
/// A process asks for no more refreshes than this in a minute.
const MOST_REFRESHES: usize = 40;
/// A process that runs for longer than this has seen its store, and counts leases by its own clock.
const STARTING_MS: u64 = 120_000;
/// A slow store answers within this.
const LONGEST_READ_MS: u64 = 40_000;
/// How long a holder that was signed out although the store had a newer pair may take to notice.
const SECOND_LOOK_MS: u64 = 40_000;

fn refresh_text(request: &HttpRequest) -> Option<String> {
    let body = Json::parse(request.body.as_ref()?.expose())?;
    Some(body.at("/refresh")?.as_str()?.to_owned())
}

impl Fleet {
    /// S3: one refresh at a time. And not many in a row (S6).
    pub(super) fn check_refresh(&mut self, h: usize, effect: EffectId, request: &HttpRequest) {
        let family = refresh_text(request)
            .and_then(|text| self.auth.refresh.get(&text))
            .map(|refresh| refresh.family);
        let now = self.now;
        let watched = &mut self.holders[h].watched;
        watched.family = family.or(watched.family);
        watched.refreshes_out.insert(effect);
        watched.refresh_times.push_back(now);
        while watched.refresh_times.front().is_some_and(|at| at + 60_000 < now) {
            watched.refresh_times.pop_front();
        }
        let (out, times) = (watched.refreshes_out.len(), watched.refresh_times.len());
        if out > 1 {
            self.violated("S3", || format!("h{h}: {out} refreshes are out at once"));
        }
        if times > MOST_REFRESHES {
            self.violated("S6", || format!("h{h}: {times} refreshes in a minute"));
        }
    }

    /// An exchange begins with its intent, where there is a store.
    pub(in super::super) fn exchange_begins(&mut self, h: usize) -> usize {
        let number = self.auth.exchanges.len();
        let process = self.process(h);
        let watched = &mut self.holders[h].watched;
        let begun = if self.plan.durable {
            watched.lease_began
        } else {
            self.now
        };
        let blind = watched.store_failed && watched.store_failed_at >= watched.lease_began;
        watched.open_exchanges.push(number);
        self.auth.exchanges.push(Exchange {
            holder: h,
            life: process.life,
            begun,
            granted: false,
            safe: false,
            // Then others may ask as well, and nobody can know.
            excuse: blind.then_some("its intent could not be written"),
        });
        number
    }

    /// What is out for this holder may be lost through no fault of its own.
    pub(in super::super) fn excuse_exchanges(&mut self, h: usize, why: &'static str) {
        for number in self.holders[h].watched.open_exchanges.clone() {
            self.auth.exchanges[number].excuse.get_or_insert(why);
        }
    }

    pub(in super::super) fn answer_is_lost(&mut self, exchange: Option<usize>) {
        if let Some(exchange) = exchange {
            self.cover.count("refresh: answer lost");
            self.auth.exchanges[exchange]
                .excuse
                .get_or_insert("its answer was lost");
        }
    }

    /// The server has handled a request.
    pub(in super::super) fn server_did(
        &mut self,
        from: Process,
        exchange: Option<usize>,
        request: &HttpRequest,
        did: Did,
    ) {
        let Some(exchange) = exchange else { return };
        let h = from.holder;
        let family = refresh_text(request)
            .and_then(|text| self.auth.refresh.get(&text))
            .map(|refresh| refresh.family);
        let current = self.is_alive(from);
        match did {
            Did::Granted => {
                self.cover.count("refresh: granted");
                self.auth.exchanges[exchange].granted = true;
            }
            Did::Replayed => {
                self.cover.count("refresh: answered again");
                self.rules.replayed.insert((h, from.life));
            }
            Did::Reused { by, answered } => {
                self.cover.count("refresh: token used twice");
                self.reused(h, by, family.filter(|_| !answered));
                self.auth.exchanges[exchange].granted = answered;
                if current && !answered {
                    self.holders[h].watched.refused_family = family;
                }
            }
            Did::Refused => {
                self.cover.count("refresh: refused");
                if current {
                    self.holders[h].watched.refused_family = family;
                }
            }
            Did::Else => {}
        }
    }

    /// S10: a refresh token is exchanged once, unless what the first exchange bought is lost, or its lease is over.
    /// `family`: the one that may end for it.
    fn reused(&mut self, h: usize, by: Option<usize>, family: Option<usize>) {
        let first = by.map(|by| &self.auth.exchanges[by]);
        // That of the first, or that of the second, which others were free to take over.
        let own = self.holders[h].watched.lease_began;
        let lease_over = first.is_some_and(|first| {
            let taken_over = first.begun > own && self.now >= own + self.shortest_lease(first.holder);
            taken_over || self.now >= first.begun + self.shortest_lease(h)
        });
        // A holder that cannot reach the store cannot know what others did.
        let blind = self.holders[h].watched.store_failed_at >= self.holders[h].watched.lease_began;
        let blind = blind && self.holders[h].watched.store_failed;
        let excuse = first.and_then(|first| {
            let excuse = first.excuse.or(lease_over.then_some("its lease was over"));
            excuse.or(blind.then_some("another holder could not reach the store"))
        });
        let Some(excuse) = excuse else {
            let whose = first.map(|first| (first.holder, first.life, first.granted, first.safe));
            return self.violated("S10", || {
                format!("h{h} sends a refresh token that was exchanged before, without a reason: {whose:?}")
            });
        };
        let Some(family) = family else { return };
        self.auth.families[family].lost.get_or_insert(excuse);
        if self.plan.detects_reuse {
            self.cover.count("server: revokes a family for reuse");
            self.auth.revoke(family, excuse);
        }
    }

    /// A holder that starts in the middle of another's lease counts what is left of it by wall clocks.
    fn shortest_lease(&self, h: usize) -> u64 {
        if self.now > self.holders[h].started_at + STARTING_MS {
            return LEASE_MS;
        }
        let least = self
            .devices
            .iter()
            .map(|device| device.lowest_error)
            .min()
            .unwrap_or(0);
        let most = self
            .devices
            .iter()
            .map(|device| device.highest_error)
            .max()
            .unwrap_or(0);
        LEASE_MS.saturating_sub(most.abs_diff(least))
    }

    /// The answer to an exchange is handed to the machine.
    pub(in super::super) fn answer_arrives(&mut self, h: usize, exchange: usize, status: u16) {
        if !self.plan.durable || status != 200 {
            self.settled(h, exchange);
        }
    }

    fn settled(&mut self, h: usize, exchange: usize) {
        self.auth.exchanges[exchange].safe = true;
        self.holders[h]
            .watched
            .open_exchanges
            .retain(|open| *open != exchange);
    }

    // ---- the store ----

    /// A holder is about to write.
    pub(in super::super) fn swap_begins(&mut self, h: usize, next: Option<&StoredSession>) {
        if next.is_some_and(|next| next.intent.is_some()) {
            self.holders[h].watched.lease_began = self.now;
        }
    }

    pub(in super::super) fn swap(
        &mut self,
        h: usize,
        expected: StoreVersion,
        next: Option<Box<StoredSession>>,
        delay: u64,
    ) -> Swapped {
        let refresh = next.as_ref().and_then(|next| next.refresh.clone());
        let text = next.as_ref().map(|next| next.access.expose().to_owned());
        let before = self.store.held.session.as_ref().map(|stored| stored.rotation);
        let rotation = next.as_ref().map(|next| next.rotation);
        let swapped = self.store.swap(self.now, expected, next);
        if matches!(swapped, Swapped::Done(_)) {
            self.announce_write(h);
        }
        if let (Swapped::Done(_), Some(text)) = (&swapped, text) {
            // While a sign-in is being stored, what the store holds is about to be replaced anyway.
            if rotation < before && self.holders[h].watched.login.is_none() {
                self.violated("S8", || {
                    format!("h{h} replaced rotation {before:?} by {rotation:?} in the store")
                });
            }
            self.writes(h, &text, delay);
            self.check_stored(h, &text, refresh.as_ref());
        }
        swapped
    }

    /// S8: no stored pair is older than one that was published.
    fn check_stored(&mut self, h: usize, text: &str, refresh: Option<&RefreshToken>) {
        let Some(access) = self.auth.access.get(text) else {
            return;
        };
        let (mut family, mut serial, mut exchange) = (access.family, access.serial, access.exchange);
        // Two sign-ins of one user in one second may bring the same access token (`Tokens::SameInASecond`), known here
        // as the later one's: then the refresh token says whose pair it is.
        let own = refresh.and_then(|refresh| self.auth.refresh.get(refresh.expose()));
        if let Some(own) = own.filter(|own| own.family != family) {
            if !self.plan.rotates {
                // It came with the sign-in and says nothing of the age.
                return;
            }
            (family, serial, exchange) = (own.family, own.serial, own.exchange);
        }
        let newest = self.rules.published.get(&family).copied().unwrap_or(0);
        // Without its store a holder went on alone, and what it has is another pair of the same age.
        if serial < newest && !self.rules.split.contains(&family) {
            self.violated("S8", || {
                format!("h{h} stores pair {serial} of family {family}, of which {newest} is in use")
            });
        }
        if let Some(exchange) = exchange {
            self.settled(h, exchange);
        }
    }

    // ---- what is published ----

    pub(in super::super) fn check_published(&mut self, h: usize, view: &SessionView) {
        let mono = self.clock(h).mono;
        let before = self.holders[h].view.take();
        self.holders[h].watched.session_since = mono;
        if let Some(token) = &view.token {
            self.check_published_token(h, &token.token);
        }
        let was_in = before.is_some_and(|view| view.state.is_signed_in());
        if view.state.is_signed_in() && !was_in {
            self.holders[h].watched.adopted_at = self.now;
        }
        if let SessionState::SignedOut { cause } = view.state
            && was_in
        {
            self.check_sign_out(h, cause);
        }
    }

    fn check_published_token(&mut self, h: usize, token: &AccessToken) {
        let text = token.expose();
        let Some(access) = self.auth.access.get(text) else {
            return self.violated("world", || format!("h{h} published a token that nobody issued"));
        };
        let (family, serial) = (access.family, access.serial);
        let watched = &mut self.holders[h].watched;
        watched.family = Some(family);
        let failed = watched.store_failed;
        let stored = self.rules.stored.contains_key(text);
        if failed && !stored {
            self.rules.split.insert(family);
        }
        if !self.plan.durable || failed {
            return;
        }
        if !stored {
            return self.violated("S8", || format!("h{h} published a token before it was stored"));
        }
        let newest = self.rules.published.entry(family).or_default();
        *newest = serial.max(*newest);
    }

    /// Nobody is signed out but by the user, or by a server that definitely refused.
    fn check_sign_out(&mut self, h: usize, cause: SignOutCause) {
        self.cover.count(match cause {
            SignOutCause::LoggedOut => "sign-out: by the application",
            SignOutCause::RefreshRefused => "sign-out: refresh refused",
            SignOutCause::RefreshInterrupted => "sign-out: refresh interrupted",
            SignOutCause::SignedOutElsewhere => "sign-out: elsewhere",
            _ => "sign-out: for another reason",
        });
        let watched = &self.holders[h].watched;
        let family = watched.family;
        let fair = match cause {
            SignOutCause::LoggedOut => watched.logged_out,
            SignOutCause::SignedOutElsewhere => {
                // What it adopted may have been read before it was cleared.
                let longest = LONGEST_READ_MS + watched.pauses_ms;
                let cleared = self
                    .store
                    .cleared_at
                    .is_some_and(|at| at + longest >= watched.adopted_at);
                cleared || watched.store_failed
            }
            SignOutCause::RefreshRefused | SignOutCause::RefreshInterrupted => {
                let lost = family.and_then(|family| self.auth.families[family].lost);
                watched.refused_family.is_some() && watched.refused_family == family && lost.is_some()
            }
            _ => false,
        };
        if !fair {
            let lost = family.map(|family| (family, self.auth.families[family].lost));
            let refused = watched.refused_family;
            self.violated("S8", || {
                format!("h{h} is signed out, {cause:?}, without a reason: {lost:?}, refused {refused:?}")
            });
        }
        if cause != SignOutCause::LoggedOut && self.store_is_live(family) {
            let of = self.process(h);
            self.after(SECOND_LOOK_MS, Event::WasItJust { of });
        }
    }

    /// Whether the store holds a pair with which the server would give another.
    fn store_is_live(&self, family: Option<usize>) -> bool {
        let refresh = self
            .store
            .held
            .session
            .as_ref()
            .and_then(|stored| stored.refresh.as_ref());
        refresh
            .and_then(|text| self.auth.refresh.get(text.expose()))
            .is_some_and(|refresh| {
                refresh.spent.is_none()
                    && Some(refresh.family) == family
                    && !self.auth.families[refresh.family].revoked
            })
    }

    pub(in super::super) fn check_sign_out_again(&mut self, of: Process) {
        let h = of.holder;
        if !self.is_alive(of)
            || self.holders[h].is_signed_in()
            || !self.store_is_live(self.holders[h].watched.family)
        {
            return;
        }
        if !self.is_running(h) || self.store.fault.is_some() || self.holders[h].watched.store_failed {
            return;
        }
        self.violated("S10", || {
            format!("h{h} stays signed out although the store holds a live pair of its session")
        });
    }

    /// Every call has one answer.
    pub(in super::super) fn check_reply(&mut self, h: usize, call: CallId, result: &Result<Reply, Error>) {
        let watched = &mut self.holders[h].watched;
        if watched.login == Some(call) {
            watched.login = None;
        }
        let open = watched.calls.remove(&call).is_some();
        if matches!(result, Ok(Reply::SignedIn { .. })) {
            watched.generation_ends();
        }
        if !open {
            self.violated("W1", || format!("h{h}: call {} is answered twice", call.0));
        }
    }
}
