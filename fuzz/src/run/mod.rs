//! A machine in a world made of the fuzzer's bytes.

mod check;
mod step;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use freshsocket::io::{CallId, CallbackAnswer, ConnId, EffectId, Input, SendId, SocketId};
use freshsocket::machine::Machine;
use freshsocket::options::Options;
use freshsocket::store::{StoreVersion, Swapped};
use freshsocket::{Error, ErrorKind};

use crate::PLANTED;
use crate::clock::Clock;
use crate::data::{Data, byte, http_answer, number, or_error, snapshot, token};
use crate::kinds::{SESSIONS, SOCKETS};

/// A machine, and everything that a driver would know about it.
pub struct Run {
    machine: Machine,
    clock: Clock,
    /// The furthest that the monotonic clock ever was: the machine ignores steps back.
    furthest: u64,
    effects: VecDeque<(EffectId, Wanted)>,
    http_effects: BTreeSet<EffectId>,
    conns: Vec<ConnId>,
    last_effect: u64,
    last_conn: u64,
    open_calls: BTreeSet<CallId>,
    answered: BTreeSet<CallId>,
    calls: u64,
    sockets: u64,
    sends: u64,
    queued: BTreeMap<(SocketId, SendId), u32>,
    /// Print everything: to read what a crash was about, run its input with `FUZZ_TRACE=1`.
    trace: bool,
}

/// What an effect waits for.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Http,
    Load,
    Swap,
    Callback,
}

impl Run {
    /// A machine with options of some kind.
    pub fn new(data: Data<'_, '_>) -> Self {
        let which = usize::from(byte(data));
        let session = format!(r#"{{"session":{}}}"#, SESSIONS[which % SESSIONS.len()]);
        let options = Options::from_json(&session).expect("the options of this file are valid");
        let clock = Clock::default();
        let durable = which & 0x80 != 0;
        let seed = u64::from(byte(data));
        let machine =
            Machine::new(options.session, durable, seed, clock.now()).expect("and so is the session");
        let mut run = Self {
            machine,
            clock,
            furthest: 0,
            effects: VecDeque::new(),
            http_effects: BTreeSet::new(),
            conns: Vec::new(),
            last_effect: 0,
            last_conn: 0,
            open_calls: BTreeSet::new(),
            answered: BTreeSet::new(),
            calls: 0,
            sockets: 0,
            sends: 0,
            queued: BTreeMap::new(),
            trace: std::env::var_os("FUZZ_TRACE").is_some(),
        };
        run.drain();
        run
    }

    /// Somebody signs in.
    pub fn login(&mut self) {
        let call = self.call();
        let credentials = vec![
            ("username".to_owned(), "ada".into()),
            ("password".to_owned(), PLANTED.into()),
        ];
        self.handle(Input::Login { call, credentials });
    }

    /// Whether the machine waits for no answer.
    pub fn is_idle(&self) -> bool {
        self.effects.is_empty()
    }

    /// Another socket, with options of some kind.
    pub fn open_socket(&mut self, data: Data<'_, '_>) {
        if self.sockets >= 8 {
            return;
        }
        let socket = format!(
            r#"{{"socket":{}}}"#,
            SOCKETS[usize::from(byte(data)) % SOCKETS.len()]
        );
        let options = Options::from_json(&socket)
            .expect("the options of this file are valid")
            .socket;
        options.validate().expect("as a whole too");
        self.sockets += 1;
        self.handle(Input::OpenSocket {
            socket: SocketId(self.sockets),
            options: options.into(),
        });
    }

    /// The effect that waits longest gets some answer.
    pub fn answer_oldest(&mut self, data: Data<'_, '_>) {
        let Some((effect, wanted)) = self.effects.pop_front() else {
            return;
        };
        let input = match wanted {
            Wanted::Http => Input::HttpAnswered {
                effect,
                answer: http_answer(data),
            },
            Wanted::Load => Input::StoreLoaded {
                effect,
                loaded: or_error(data, snapshot),
            },
            Wanted::Swap => Input::StoreSwapped {
                effect,
                swapped: or_error(data, |data| match byte(data) & 3 {
                    0 => Swapped::Conflict(snapshot(data)),
                    _ => Swapped::Done(StoreVersion(number(data))),
                }),
            },
            Wanted::Callback => Input::CallbackAnswered {
                effect,
                answer: match byte(data) & 3 {
                    0 => CallbackAnswer::SignedOut,
                    1 => CallbackAnswer::Unreachable(Error::new(ErrorKind::CallbackFailed, "made up")),
                    _ => CallbackAnswer::Token {
                        access: token(data).into(),
                        expires_in_ms: Some(number(data)),
                    },
                },
            },
        };
        self.handle(input);
    }

    /// Time passes until the machine's next deadline.
    pub fn to_deadline(&mut self) {
        if let Some(deadline) = self.machine.next_deadline() {
            self.clock.to(deadline);
            self.handle(Input::Tick);
        }
    }

    /// Nobody answers anything any more: every call is answered all the same.
    pub fn finish(mut self) {
        self.clock.mono = self.clock.mono.max(self.furthest);
        for _ in 0..400 {
            if self.open_calls.is_empty() {
                return;
            }
            assert!(
                self.machine.next_deadline().is_some(),
                "calls wait for ever: {:?}",
                self.open_calls
            );
            self.to_deadline();
        }
        panic!(
            "calls wait too long: {:?}, next {:?}",
            self.open_calls,
            self.machine.next_timer()
        );
    }

    fn handle(&mut self, input: Input) {
        self.furthest = self.furthest.max(self.clock.mono);
        if self.trace {
            println!("{:?}\n  -> {input:?}", self.clock.now());
        }
        self.machine.handle(self.clock.now(), input);
        self.drain();
    }

    fn call(&mut self) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        self.open_calls.insert(call);
        call
    }
}
