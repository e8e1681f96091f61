//! What must be true of a machine after every input.

use freshsocket::io::{EffectId, Output};

use super::{Run, Wanted};
use crate::PLANTED;

impl Run {
    /// Takes every output and checks what must be true.
    pub(super) fn drain(&mut self) {
        let mut count = 0;
        while let Some(output) = self.machine.poll() {
            count += 1;
            // An input may end, begin or tell something to each socket, a bounded number of times; each queued message
            // may fail once, and each waiting call may be answered.
            let bound = 100 + 40 * self.sockets + self.sends + 4 * self.calls;
            assert!(
                count <= bound,
                "{count} outputs for one input, the last {output:?}"
            );
            let shown = format!("{output:?}");
            assert!(!shown.contains(PLANTED), "a secret is printable: {shown}");
            if self.trace {
                println!("  {shown}");
            }
            self.note(output);
        }
        if let Some(deadline) = self.machine.next_deadline() {
            assert!(
                deadline.0 > self.furthest,
                "a deadline that is over: {:?}",
                self.machine.next_timer()
            );
        }
    }

    fn note(&mut self, output: Output) {
        match output {
            Output::Http { effect, .. } => {
                self.http_effects.insert(effect);
                self.effect(effect, Wanted::Http);
            }
            Output::LoadStore { effect } => self.effect(effect, Wanted::Load),
            Output::SwapStore { effect, .. } => self.effect(effect, Wanted::Swap),
            Output::AskCallback { effect, .. } => self.effect(effect, Wanted::Callback),
            Output::Connect { conn, .. } => {
                assert!(
                    conn.0 > self.last_conn,
                    "a connection's number comes twice: {conn:?}"
                );
                self.last_conn = conn.0;
                self.conns.push(conn);
            }
            Output::Reply { call, .. } => {
                assert!(self.answered.insert(call), "a call is answered twice: {call:?}");
                self.open_calls.remove(&call);
            }
            Output::Transmit { messages, .. } => assert!(!messages.is_empty(), "nothing to transmit"),
            Output::SendFailed { socket, send, .. } => {
                let failed = self.queued.entry((socket, send)).or_default();
                *failed += 1;
                assert_eq!(*failed, 1, "a message fails twice: {socket:?} {send:?}");
            }
            // `Cancel` leaves the effect where it is: its answer may be on the way, and must lose.
            _ => {}
        }
    }

    fn effect(&mut self, effect: EffectId, wanted: Wanted) {
        assert!(
            effect.0 > self.last_effect,
            "an effect's number comes twice: {effect:?}"
        );
        self.last_effect = effect.0;
        self.effects.push_back((effect, wanted));
    }
}
