//! What goes wrong, when, and for how long: all of it drawn from the seed.

use freshsocket::io::Input;

use super::Fleet;
use super::auth::AuthFault;
use super::event::{Event, Process};
use super::holder::{Link, Running};
use super::plan::{one_in, pick};
use super::sabotage::Sabotage;
use super::sockets::WsFault;
use super::store::StoreFault;
use super::wire::Frame;

/// What is mended, and when it is about a process, which.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mending {
    Link(usize),
    Auth,
    Ws,
    Store,
    Thaw(Process),
    Wake(usize),
    Restart(Process),
    Stalls,
}

/// How many kinds of faults there are.
const KINDS: u64 = 24;

impl Fleet {
    /// Draws one fault, does it, and plans the next.
    pub(super) fn fault(&mut self) {
        if self.healed {
            return;
        }
        let wait = self.rng.up_to(2 * self.plan.fault_every_ms);
        self.after(wait, Event::Fault);
        let kind = self.rng.up_to(KINDS - 1);
        if self.plan.faults >> kind & 1 == 0 {
            return;
        }
        let h = usize::try_from(self.rng.up_to(self.plan.holders as u64 - 1)).unwrap_or(0);
        let length = pick(&mut self.rng, &[100, 1_000, 5_000, 20_000, 60_000]);
        let length = length / 2 + self.rng.up_to(length);
        let name = self.break_something(kind, h, length);
        self.cover.count(name);
        self.note(|| format!("*** {name}, h{h}, {length} ms"));
    }

    fn break_something(&mut self, kind: u64, h: usize, length: u64) -> &'static str {
        match kind {
            0 => {
                self.link_down(h, length);
                "fault: one holder is cut off"
            }
            1 => {
                for h in 0..self.holders.len() {
                    self.link_down(h, length);
                }
                "fault: everybody is cut off"
            }
            2 => {
                self.holders[h].link.slow_ms = pick(&mut self.rng, &[300, 2_000, 9_000]);
                self.after(length, Event::Mend(Mending::Link(h)));
                "fault: slow network"
            }
            3 => {
                self.holders[h].link.loss_per_mille = pick(&mut self.rng, &[50, 300]);
                self.after(length, Event::Mend(Mending::Link(h)));
                "fault: requests and answers are lost"
            }
            4 => {
                self.each_conn(h, |fleet, key| {
                    if let Some(conn) = fleet.sockets.conns.get_mut(&key) {
                        conn.blackhole = true;
                    }
                });
                "fault: half-open connections"
            }
            5 => {
                self.each_conn(h, |fleet, key| {
                    fleet.send_down(key, Frame::Reset);
                    fleet.server_gone(key);
                });
                "fault: connections are reset"
            }
            6 => {
                let code = pick(
                    &mut self.rng,
                    &[1000, 1001, 1005, 1011, 1012, 1013, 4401, 1008, 4000],
                );
                self.each_conn(h, |fleet, key| fleet.server_closes(key, code));
                "fault: the server closes connections"
            }
            7 | 8 => {
                let fault = self.auth_fault();
                self.auth.fault = Some(fault);
                self.after(length, Event::Mend(Mending::Auth));
                match fault {
                    AuthFault::LosesAnswers => "fault: token server loses its answers",
                    AuthFault::ActsAndFails => "fault: token server acts and answers 500",
                    AuthFault::Hangs => "fault: token server hangs",
                    AuthFault::Answers(..) => "fault: token server answers something else",
                }
            }
            9 | 10 => {
                let fault = self.ws_fault();
                self.sockets.fault = Some(fault);
                self.after(length, Event::Mend(Mending::Ws));
                match fault {
                    WsFault::RefusesAll => "fault: every credential is refused",
                    WsFault::AcceptsThenCloses(_) => "fault: accept, then close",
                    _ => "fault: no handshakes",
                }
            }
            11 => {
                self.auth
                    .access
                    .values_mut()
                    .for_each(|access| access.revoked = true);
                "fault: access tokens are revoked"
            }
            12 if one_in(&mut self.rng, 4) => {
                for family in 0..self.auth.families.len() {
                    self.auth.revoke(family, "ended by the administrator");
                }
                "fault: sessions are ended at the server"
            }
            13 => {
                let fault = pick(
                    &mut self.rng,
                    &[StoreFault::Fails, StoreFault::Hangs, StoreFault::DoneButFails],
                );
                self.store.fault = Some(fault);
                self.after(length, Event::Mend(Mending::Store));
                "fault: the store fails"
            }
            14 => {
                self.store.slow_ms = pick(&mut self.rng, &[100, 2_000, 8_000]);
                self.after(length, Event::Mend(Mending::Store));
                "fault: the store is slow"
            }
            15 | 16 => {
                self.killed(h, length);
                "fault: a process is killed"
            }
            17 => {
                self.freeze(h, length);
                "fault: a process is frozen"
            }
            18 | 19 => {
                self.sleep(h, length);
                "fault: a device sleeps"
            }
            20 => {
                // The clocks of several machines are far apart only where the plan says so.
                let steps: &[u64] = if self.plan.one_device || self.plan.skew_ms > 5_000 {
                    &[1_500, 30_000, 3_600_000, 200_000_000]
                } else {
                    &[1_500]
                };
                let step = pick(&mut self.rng, steps);
                let step = self.rng.up_to(2 * step).cast_signed() - step.cast_signed();
                let device = self.holders[h].device;
                let device = &mut self.devices[device];
                device.wall_error += step;
                device.highest_error = device.highest_error.max(device.wall_error);
                device.lowest_error = device.lowest_error.min(device.wall_error);
                "fault: a wall clock is set"
            }
            21 => {
                let online = self.chance(500);
                self.signal(h, online, 0);
                "fault: a lie about the network"
            }
            22 => {
                self.each_conn(h, |fleet, key| {
                    if let Some(conn) = fleet.sockets.conns.get_mut(&key) {
                        conn.stalled = true;
                    }
                });
                self.after(length, Event::Mend(Mending::Stalls));
                "fault: nothing goes out"
            }
            _ => {
                self.broadcast();
                "event: broadcast"
            }
        }
    }

    fn auth_fault(&mut self) -> AuthFault {
        pick(
            &mut self.rng,
            &[
                AuthFault::LosesAnswers,
                AuthFault::ActsAndFails,
                AuthFault::Hangs,
                AuthFault::Answers(503, "{}", Some("20")),
                AuthFault::Answers(429, "{}", Some("7")),
                AuthFault::Answers(429, "", None),
                AuthFault::Answers(500, "oops", None),
                AuthFault::Answers(401, "<html>Captive portal</html>", None),
                AuthFault::Answers(200, "<html>Captive portal</html>", None),
                AuthFault::Answers(200, "{}", None),
            ],
        )
    }

    fn ws_fault(&mut self) -> WsFault {
        pick(
            &mut self.rng,
            &[
                WsFault::Unreachable,
                WsFault::Hangs,
                WsFault::Http(503, Some("5")),
                WsFault::Http(429, Some("9")),
                WsFault::Http(502, None),
                WsFault::RefusesAll,
                WsFault::AcceptsThenCloses(1011),
                WsFault::AcceptsThenCloses(1000),
            ],
        )
    }

    fn link_down(&mut self, h: usize, length: u64) {
        self.holders[h].link.down = true;
        self.after(length, Event::Mend(Mending::Link(h)));
        if self.chance(600) {
            let delay = self.rng.up_to(2_000);
            self.signal(h, false, delay);
        }
    }

    fn signal(&mut self, h: usize, online: bool, delay: u64) {
        if self.holders[h].machine.is_some() {
            let to = self.process(h);
            self.after(delay, Event::Signal { to, online });
        }
    }

    fn killed(&mut self, h: usize, length: u64) {
        if self.holders[h].running != Running::Dead {
            self.kill(h);
            let of = self.process(h);
            self.after(length, Event::Mend(Mending::Restart(of)));
        }
    }

    fn freeze(&mut self, h: usize, length: u64) {
        if self.holders[h].running == Running::Yes {
            self.excuse_exchanges(h, "its process was frozen");
            self.holders[h].running = Running::Frozen;
            self.holders[h].watched.frozen_since = self.now;
            let of = self.process(h);
            self.after(length, Event::Mend(Mending::Thaw(of)));
        }
    }

    fn sleep(&mut self, h: usize, length: u64) {
        let device = self.holders[h].device;
        if self.devices[device].asleep_since.is_some() {
            return;
        }
        for h in 0..self.holders.len() {
            if self.holders[h].device == device {
                self.excuse_exchanges(h, "its device slept");
            }
        }
        self.devices[device].asleep_since = Some(self.now);
        let length = if self.chance(300) { length * 60 } else { length };
        self.after(length, Event::Mend(Mending::Wake(device)));
    }

    pub(super) fn mend(&mut self, mending: Mending) {
        match mending {
            Mending::Link(h) => {
                let was_down = self.holders[h].link.down;
                self.holders[h].link = Link::default();
                if was_down {
                    self.note(|| format!("*** the network of h{h} is back"));
                    self.release_held(h);
                }
                if !self.holders[h].told_online && self.sabotage != Sabotage::ForgetsNetwork {
                    let delay = self.rng.up_to(3_000);
                    self.signal(h, true, delay);
                }
            }
            Mending::Auth => self.auth.fault = None,
            Mending::Ws => self.sockets.fault = None,
            Mending::Store => {
                self.store.fault = None;
                self.store.slow_ms = 0;
            }
            Mending::Thaw(of) => {
                if self.is_alive(of) && self.holders[of.holder].running == Running::Frozen {
                    self.thaw(of.holder);
                }
            }
            Mending::Wake(device) => self.wake(device),
            Mending::Restart(of) => {
                if self.holders[of.holder].running == Running::Dead && self.holders[of.holder].life == of.life
                {
                    self.start(of.holder);
                }
            }
            Mending::Stalls => {
                let keys: Vec<u64> = self.sockets.conns.keys().copied().collect();
                for key in keys {
                    if let Some(conn) = self.sockets.conns.get_mut(&key) {
                        conn.stalled = false;
                    }
                    self.flush(key);
                }
            }
        }
    }

    fn thaw(&mut self, h: usize) {
        self.note(|| format!("*** h{h} thaws"));
        let pause = self.now - self.holders[h].watched.frozen_since;
        self.holders[h].running = Running::Yes;
        self.holders[h].watched.paused(pause);
        self.run_inbox(h);
    }

    fn wake(&mut self, device: usize) {
        let Some(since) = self.devices[device].asleep_since.take() else {
            return;
        };
        let slept = self.now - since;
        self.note(|| format!("*** device {device} wakes after {slept} ms"));
        if !self.plan.counts_sleep {
            self.devices[device].slept += slept;
        }
        for h in 0..self.holders.len() {
            if self.holders[h].device == device {
                self.holders[h].watched.slept(slept, self.plan.counts_sleep);
                // Some systems say that the device woke, in some way, at some time.
                if self.chance(500) {
                    self.feed(h, Input::Woke);
                }
                self.run_inbox(h);
            }
        }
    }

    pub(super) fn each_conn(&mut self, h: usize, act: impl Fn(&mut Self, u64)) {
        let all = self.chance(300);
        let keys: Vec<u64> = self
            .sockets
            .conns
            .iter()
            .filter(|(_, conn)| conn.server && (all || conn.process.holder == h))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            act(self, key);
        }
    }

    fn broadcast(&mut self) {
        let keys: Vec<u64> = self
            .sockets
            .conns
            .iter()
            .filter(|(_, c)| c.server)
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            self.send_down(key, Frame::Text(r#"{"type":"news"}"#.into()));
        }
    }

    /// No more faults; everything that is broken is mended, and whoever is told of the network is told the truth.
    pub(super) fn heal(&mut self) {
        self.note(|| "*** everything is mended".into());
        self.healed = true;
        for device in 0..self.devices.len() {
            self.wake(device);
        }
        for h in 0..self.holders.len() {
            if self.holders[h].running == Running::Frozen {
                self.thaw(h);
            }
            self.mend(Mending::Link(h));
            let of = self.process(h);
            self.mend(Mending::Restart(of));
            if self.sabotage != Sabotage::ForgetsNetwork {
                self.signal(h, true, 3_100);
            }
        }
        for mending in [Mending::Auth, Mending::Ws, Mending::Store, Mending::Stalls] {
            self.mend(mending);
        }
    }
}
