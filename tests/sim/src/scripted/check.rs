//! What must hold after every step, whatever the test is about.

use std::collections::{BTreeMap, BTreeSet};

use freshsocket::io::{Output, SendId, SocketId};
use freshsocket::time::Mono;
use freshsocket::{SessionEvent, SocketState};

use super::World;

/// No busy loop: outputs per simulated second and process.
const MOST_OUTPUTS_A_SECOND: usize = 400;
/// Longer than every time limit on the way to a token or a connection, one after the other.
const LONGEST_STEP_MS: u64 = 70_000;
/// JWT times are whole seconds.
const GRACE_MS: u64 = 1_000;

/// The memory of the checks.
pub struct Checks {
    /// Whether the device can know when its tokens expire.
    pub expiry: bool,
    pub most_outputs_a_second: usize,
    /// The token's number in the `Attempt` event that came last.
    pub attempt_token: u64,
    refreshes_out: BTreeSet<u64>,
    second: (u64, usize),
    idle_ticks: (u64, u32),
    since: BTreeMap<SocketId, Mono>,
    last_handed: BTreeMap<SocketId, SendId>,
    store_failed: bool,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            expiry: true,
            most_outputs_a_second: MOST_OUTPUTS_A_SECOND,
            attempt_token: 0,
            refreshes_out: BTreeSet::new(),
            second: (0, 0),
            idle_ticks: (0, 0),
            since: BTreeMap::new(),
            last_handed: BTreeMap::new(),
            store_failed: false,
        }
    }
}

impl Checks {
    pub fn forget_process(&mut self) {
        self.refreshes_out.clear();
        self.since.clear();
        self.store_failed = false;
    }

    /// What was out for the user before may still be on its way.
    pub fn forget_generation(&mut self) {
        self.refreshes_out.clear();
    }

    pub fn socket_changed(&mut self, socket: SocketId, mono: Mono) {
        self.since.insert(socket, mono);
    }

    /// W10: in the order of the application's calls, and none twice.
    pub fn handed_out(&mut self, socket: SocketId, send: SendId) {
        let last = self.last_handed.insert(socket, send);
        assert!(last < Some(send), "W10: {send:?} went out after {last:?}");
    }

    pub fn tick(&mut self, now: u64, without_progress: bool) {
        let (at, count) = self.idle_ticks;
        self.idle_ticks = if without_progress && at == now {
            (now, count + 1)
        } else {
            (now, 0)
        };
        assert!(self.idle_ticks.1 < 3, "a tick at the deadline makes no progress");
    }
}

impl World {
    pub fn check_output(&mut self, output: &Output) {
        let second = self.now / 1_000;
        let count = if self.checks.second.0 == second {
            self.checks.second.1 + 1
        } else {
            1
        };
        self.checks.second = (second, count);
        assert!(
            count <= self.checks.most_outputs_a_second,
            "busy: {count} outputs in second {second}: {output:?}"
        );
        match output {
            Output::Http { effect, request } if request.url.contains("refresh") => {
                let effects = &self.effects;
                self.checks
                    .refreshes_out
                    .retain(|effect| effects.contains_key(effect));
                self.checks.refreshes_out.insert(effect.0);
                assert_eq!(self.checks.refreshes_out.len(), 1, "S3: two refreshes at once");
            }
            Output::Connect { request, .. } if self.checks.expiry => {
                let subprotocols = request.subprotocols.iter().map(freshsocket::Secret::expose);
                for text in subprotocols.chain([request.url.expose()]) {
                    let expires = self
                        .server
                        .issued
                        .get(text)
                        .map_or(u64::MAX, |issued| issued.expires);
                    assert!(
                        self.now < expires.saturating_add(GRACE_MS),
                        "W3: a connect with an expired token, {} ms after its end",
                        self.now - expires
                    );
                }
            }
            Output::SessionEvent(SessionEvent::StoreFailed { .. }) => self.checks.store_failed = true,
            Output::PublishSession(view) => {
                let text = view.token.as_ref().map(|view| view.token.expose());
                let durable = text.is_none_or(|text| text.is_empty() || self.store.ever.contains(text));
                let excused = !self.setup.durable || self.checks.store_failed;
                assert!(
                    durable || excused,
                    "S8: a token was published before it was stored"
                );
            }
            _ => {}
        }
    }

    /// No state from which nothing will ever happen.
    pub fn check_sockets(&self) {
        let Some(machine) = &self.machine else { return };
        let clock = self.clock();
        for (socket, states) in &self.socket_states {
            let Some((_, state)) = states.last() else { continue };
            let waited = clock
                .mono
                .since(self.checks.since.get(socket).copied().unwrap_or(clock.mono));
            let longest = match state {
                SocketState::Authenticating | SocketState::Connecting { .. } => LONGEST_STEP_MS,
                // At most an hour of Retry-After, and a tenth.
                SocketState::Backoff { .. } => 4_000_000,
                _ => continue,
            };
            assert!(
                machine.next_deadline().is_some(),
                "{socket:?} waits for nothing in {state:?}"
            );
            assert!(
                waited <= longest + self.late_by,
                "{socket:?} is stuck in {state:?}"
            );
        }
    }
}
