//! Nothing is stuck, nothing is busy, nothing grows; and when everything is healed, all is well again.

use freshsocket::io::Output;
use freshsocket::{SessionState, SocketState};

use super::super::Fleet;
use super::super::holder::Running;

/// Outputs of one process in one second.
const MOST_OUTPUTS: usize = 500;
/// From wanting a token to having it or not: a lease of another holder, the intent, the exchange, the store; with a
/// store that answers nothing.
const LONGEST_REFRESH_MS: u64 = 300_000;
/// A step of a socket that waits for nothing but its own time limits.
const LONGEST_CONNECT_MS: u64 = 40_000;
/// The longest delay in these worlds: the backoff's cap, widened, or `Retry-After`.
const LONGEST_BACKOFF_MS: u64 = 150_000;
/// A call of the application waits for its request, and for the store.
const LONGEST_CALL_MS: u64 = 400_000;
/// What a machine with a few sockets and an empty outbox may look like, in characters.
const LARGEST_MACHINE: usize = 60_000;

impl Fleet {
    pub(super) fn check_busy(&mut self, h: usize, output: &Output) {
        if matches!(output, Output::SendFailed { .. } | Output::SocketEvent { .. }) {
            return;
        }
        let second = self.now / 1_000;
        let outputs = &mut self.holders[h].watched.outputs;
        *outputs = if outputs.0 == second {
            (second, outputs.1 + 1)
        } else {
            (second, 1)
        };
        let count = outputs.1;
        if count > MOST_OUTPUTS {
            self.violated("busy", || format!("h{h}: {count} outputs within second {second}"));
        }
    }

    pub(in super::super) fn check_tick(&mut self, h: usize, without_progress: bool) {
        let now = self.now;
        let (at, count) = self.holders[h].watched.idle_ticks;
        let ticks = if without_progress && at == now {
            count + 1
        } else {
            0
        };
        self.holders[h].watched.idle_ticks = (now, ticks);
        if ticks > 3 {
            self.violated("busy", || {
                format!("h{h}: a tick at the deadline makes no progress")
            });
        }
    }

    /// No state from which nothing will ever happen.
    pub(in super::super) fn check_after_step(&mut self) {
        for h in 0..self.holders.len() {
            if self.is_running(h)
                && let Some(what) = self.stuck(h)
            {
                return self.violated("stuck", || format!("h{h}: {what}"));
            }
        }
    }

    fn stuck(&self, h: usize) -> Option<String> {
        let holder = &self.holders[h];
        let machine = holder.machine.as_ref()?;
        let mono = self.clock(h).mono;
        let session = holder.state()?;
        let waits = machine.next_deadline().is_some() || !holder.inbox.is_empty();
        let waited = mono.since(holder.watched.session_since);
        let longest = match session {
            SessionState::Refreshing { .. } | SessionState::Restoring => Some(LONGEST_REFRESH_MS),
            SessionState::Unreachable { .. } => Some(LONGEST_BACKOFF_MS),
            _ => None,
        };
        if longest.is_some_and(|longest| !waits || waited > longest + holder.late()) {
            return Some(format!("the session is {} for {waited} ms", session.name()));
        }
        for (socket, state) in &holder.states {
            let since = holder
                .watched
                .sockets
                .get(socket)
                .map_or(mono, |watched| watched.since);
            let waited = mono.since(since);
            let longest = match state {
                SocketState::Authenticating => LONGEST_REFRESH_MS,
                SocketState::Connecting { .. } => LONGEST_CONNECT_MS,
                SocketState::Backoff { .. } => LONGEST_BACKOFF_MS,
                SocketState::WaitingForSession if session.is_signed_in() => 1_000,
                SocketState::Offline if holder.told_online && holder.inbox.is_empty() => 0,
                _ => continue,
            };
            let offline = matches!(state, SocketState::Offline);
            if offline || !waits || waited > longest + holder.late() {
                return Some(format!("{socket:?} is {} for {waited} ms", state.name()));
            }
        }
        let unanswered = holder
            .watched
            .calls
            .iter()
            .find(|(_, at)| self.now > **at + LONGEST_CALL_MS + holder.watched.pauses_ms);
        unanswered.map(|(call, at)| format!("{call:?} has no answer after {} ms", self.now - at))
    }

    /// What is not as it should be now that nothing has gone wrong for a while.
    fn unwell(&self) -> Vec<String> {
        let mut unwell = self.without_end();
        for (h, holder) in self.holders.iter().enumerate() {
            if holder.running != Running::Yes {
                unwell.push(format!("h{h} is {:?}", holder.running));
            }
            if !matches!(holder.state(), Some(SessionState::Active { .. })) {
                unwell.push(format!("h{h}'s session is {:?}", holder.state()));
            }
            if holder.states.len() as u64 != self.plan.sockets {
                unwell.push(format!("h{h} has {} sockets", holder.states.len()));
            }
            for (socket, state) in &holder.states {
                if !state.is_open() {
                    unwell.push(format!("h{h}'s {socket:?} is {state:?}"));
                }
            }
            for call in holder.watched.calls.keys() {
                unwell.push(format!("h{h}'s {call:?} has no answer"));
            }
        }
        unwell
    }

    /// In the end: everybody is signed in, everything is open, every message has its end, and nothing was left behind.
    pub(in super::super) fn check_that_all_is_well(&mut self) {
        self.rules.quiet = true;
        // Somebody may have been signed out, justly, since the applications asked last. A refresh or a reconnect may be under
        // way at any moment.
        self.ask_again();
        for _ in 0..240 {
            if self.violation.is_some() || self.unwell().is_empty() {
                break;
            }
            self.run_until(self.now + 500);
        }
        let unwell = self.unwell();
        if !unwell.is_empty() {
            self.violated("liveness", || unwell.join("; "));
        }
        for h in 0..self.holders.len() {
            let size = self.holders[h]
                .machine
                .as_ref()
                .map_or(0, |machine| format!("{machine:?}").len());
            if size > LARGEST_MACHINE {
                self.violated("memory", || format!("h{h}'s machine is {size} characters large"));
            }
            let out = self.holders[h].effects.len();
            if out > 8 {
                self.violated("memory", || format!("h{h} has {out} effects out"));
            }
        }
        self.cover.count("world: ran to its end");
    }
}
