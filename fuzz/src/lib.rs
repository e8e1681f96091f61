//! What the fuzz targets share: a clock, a maker of JWTs, and `Run`, a driver that performs nothing and checks what
//! must be true of a machine after every input.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use freshsocket::io::{
    CallId, CallbackAnswer, ConnEnd, ConnId, ConnectFailure, EffectId, HttpAnswer, Input, Notice, Output,
    SendId, SocketId, TokenGrant,
};
use freshsocket::machine::Machine;
use freshsocket::options::Options;
use freshsocket::store::{RefreshIntent, StoreSnapshot, StoreVersion, StoredSession, Swapped};
use freshsocket::time::{Mono, Now};
use freshsocket::{Error, ErrorKind, Message};
use libfuzzer_sys::arbitrary::Unstructured;

/// Stands in every secret that a run hands to the machine, and must stand in nothing printable.
pub const PLANTED: &str = "hunter2planted";

/// Both clocks of an imaginary device.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    mono: u64,
    unix_ms: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            mono: 1_000_000,
            unix_ms: 1_700_000_000_000,
        }
    }
}

impl Clock {
    /// What both say.
    pub fn now(&self) -> Now {
        Now {
            mono: Mono(self.mono),
            unix_ms: self.unix_ms,
        }
    }

    /// Time passes until `deadline`, or one millisecond if that is over.
    pub fn to(&mut self, deadline: Mono) {
        self.pass(deadline.0.saturating_sub(self.mono).clamp(1, 1_000 * 86_400_000));
    }

    fn pass(&mut self, ms: u64) {
        self.mono = self.mono.saturating_add(ms);
        self.unix_ms = self.unix_ms.saturating_add(ms);
    }
}

/// A JWT with this payload and no signature.
pub fn jwt(payload: &[u8]) -> String {
    format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(payload))
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            out.push(char::from(DIGITS[(group >> (18 - 6 * place) & 63) as usize]));
        }
    }
    out
}

/// Kinds of session, as `Options` JSON.
const SESSIONS: [&str; 7] = [
    r#"{"baseUrl":"https://h"}"#,
    r#"{"baseUrl":"https://h","preset":"nodeJwt"}"#,
    r#"{"baseUrl":"https://h","preset":"tokenOnly"}"#,
    r#"{"baseUrl":"https://h","preset":"cookie"}"#,
    r#"{"preset":"callback"}"#,
    r#"{"baseUrl":"https://h","refresh":{"idempotencyHeader":"Idempotency-Key","proactive":false}}"#,
    r#"{"baseUrl":"https://h","preset":"custom","endpoints":{"login":{"path":"/l","access":"","body":{"a":"{u}"}}}}"#,
];

/// Kinds of socket, as `Options` JSON.
const SOCKETS: [&str; 9] = [
    r#"{"url":"wss://h/ws"}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"query"},"renewal":{"mode":"reconnect"}}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"header"},"renewal":{"mode":"inBand"}}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"cookie","name":"t"},"renewal":{"mode":"keep"}}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"firstMessage"},"ready":{"/type":"connected"}}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"ticket","url":"/t"},"reconnect":{"maxAttempts":2}}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"none"},"outbox":{"mode":"reject"}}"#,
    r#"{"url":"wss://h/ws","outbox":{"maxMessages":2,"whenFull":"dropOldest","maxAgeMs":50}}"#,
    r#"{"url":"wss://h/ws","autoConnect":false,"heartbeat":{"intervalMs":10,"timeoutMs":10,"message":{"type":"ping"}}}"#,
];

type Data<'a, 'b> = &'a mut Unstructured<'b>;

/// What an effect waits for.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Http,
    Load,
    Swap,
    Callback,
}

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

    /// One input of any kind, at any time.
    pub fn step(&mut self, data: Data<'_, '_>) {
        match byte(data) % 20 {
            0 => self.login(),
            1 => {
                let call = self.call();
                let tokens = TokenGrant {
                    access: token(data).into(),
                    refresh: Some(PLANTED.into()),
                    expires_in_ms: Some(number(data)),
                    user: None,
                };
                self.handle(Input::Adopt { call, tokens });
            }
            2 => {
                let call = self.call();
                self.handle(Input::Logout { call });
            }
            3 => {
                let call = self.call();
                self.handle(Input::Verify { call });
            }
            4 => self.handle(Input::TokenNeeded),
            5 => self.handle(Input::TokenRejected {
                token: number(data) % 8,
            }),
            6 => self.handle(Input::Network {
                online: byte(data) & 1 == 0,
            }),
            7 => self.open_socket(data),
            8 => {
                let socket = self.socket(data);
                self.handle(Input::Connect { socket });
            }
            9 => {
                let socket = self.socket(data);
                self.handle(Input::Disconnect {
                    socket,
                    code: number(data) as u16,
                    reason: text(data),
                });
            }
            10 => {
                let socket = self.socket(data);
                self.handle(Input::DropSocket { socket });
            }
            11 | 12 => {
                let socket = self.socket(data);
                self.sends += 1;
                let send = SendId(self.sends);
                self.queued.insert((socket, send), 0);
                self.handle(Input::Send {
                    identity: None,
                    socket,
                    send,
                    message: Message::text(text(data)),
                });
            }
            13 | 14 => self.connection(data),
            15 | 16 => self.answer_oldest(data),
            17 => self.clock_does(data),
            18 => self.to_deadline(),
            // An answer that comes early, late, twice, or to nothing. Answers of the wrong kind (HTTP to a question to
            // the store) are the one thing that no driver does, and that is left out here.
            _ => {
                let effect = EffectId(number(data) % 64);
                if effect.0 <= self.last_effect && !self.http_effects.contains(&effect) {
                    return;
                }
                self.handle(Input::HttpAnswered {
                    effect,
                    answer: http_answer(data),
                });
            }
        }
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

    /// A connection does something.
    fn connection(&mut self, data: Data<'_, '_>) {
        // Mostly one that exists; sometimes one that does not, or no longer.
        let index = usize::from(byte(data));
        let conn = match self.conns.get(index % (self.conns.len() + 1)) {
            Some(conn) => *conn,
            None => ConnId(number(data) % 64),
        };
        let detail = || "made up".to_owned();
        let refused = index & 0x80 != 0;
        let input = match byte(data) % 10 {
            0 | 1 => Input::Opened {
                conn,
                subprotocol: None,
            },
            2 => {
                let failure = match byte(data) & 1 {
                    0 => ConnectFailure::Http {
                        status: number(data) as u16,
                        retry_after: Some(text(data)),
                    },
                    _ => ConnectFailure::Unreachable { detail: detail() },
                };
                Input::ConnectFailed { conn, failure }
            }
            3 => Input::Noticed {
                conn,
                notice: Notice::FirstMessage,
            },
            4 => Input::Noticed {
                conn,
                notice: Notice::Ready,
            },
            5 => Input::Noticed {
                conn,
                notice: Notice::AuthError,
            },
            9 => Input::Flushed { conn },
            6 => Input::Activity {
                conn,
                last_received: Mono(number(data)),
            },
            _ => {
                let end = match byte(data) % 3 {
                    0 => ConnEnd::Closed {
                        code: number(data) as u16,
                        reason: text(data),
                        refused,
                    },
                    1 => ConnEnd::Lost {
                        detail: detail(),
                        refused,
                    },
                    _ => ConnEnd::Violation {
                        code: 1007,
                        detail: detail(),
                    },
                };
                self.conns.retain(|known| *known != conn);
                Input::Ended {
                    conn,
                    end,
                    unsent: Vec::new(),
                }
            }
        };
        self.handle(input);
    }

    /// The clocks do something that clocks do.
    fn clock_does(&mut self, data: Data<'_, '_>) {
        let ms = number(data);
        match byte(data) & 3 {
            0 => self.clock.pass(ms % 100_000),
            // A sleep, or a wall clock set forward.
            1 => self.clock.unix_ms = self.clock.unix_ms.saturating_add(ms),
            2 => self.clock.unix_ms = ms,
            _ => self.clock.mono = self.clock.mono.saturating_sub(ms % 100_000),
        }
        self.handle(Input::Tick);
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

    /// Takes every output and checks what must be true.
    fn drain(&mut self) {
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

    fn call(&mut self) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        self.open_calls.insert(call);
        call
    }

    fn socket(&self, data: Data<'_, '_>) -> SocketId {
        SocketId(u64::from(byte(data)) % (self.sockets + 1) + 1)
    }
}

fn byte(data: Data<'_, '_>) -> u8 {
    data.arbitrary().unwrap_or_default()
}

/// A number of any size, the small ones as likely as the large ones.
fn number(data: Data<'_, '_>) -> u64 {
    let bits = u32::from(byte(data)) % 65;
    let number: u64 = data.arbitrary().unwrap_or_default();
    number.checked_shr(64 - bits).unwrap_or(0)
}

fn text(data: Data<'_, '_>) -> String {
    data.arbitrary::<&str>().unwrap_or_default().to_owned()
}

/// A JWT whose dates are anything, or an opaque token; planted in both cases.
fn token(data: Data<'_, '_>) -> String {
    match byte(data) & 3 {
        0 => PLANTED.to_owned(),
        1 => format!("{PLANTED}{}", text(data)),
        _ => {
            let (iat, exp) = (number(data), number(data));
            let payload = format!(r#"{{"iat":{iat},"exp":{exp},"jti":"{}"}}"#, byte(data));
            // What is planted stands in the signature, which nobody reads.
            format!("{}{PLANTED}", jwt(payload.as_bytes()))
        }
    }
}

fn or_error<T>(data: Data<'_, '_>, make: impl FnOnce(Data<'_, '_>) -> T) -> Result<T, Error> {
    if byte(data) % 5 == 0 {
        Err(Error::new(ErrorKind::StoreFailed, "made up"))
    } else {
        Ok(make(data))
    }
}

fn http_answer(data: Data<'_, '_>) -> Result<HttpAnswer, Error> {
    let kind = byte(data);
    if kind % 8 == 0 {
        return Err(Error::new(ErrorKind::Unreachable, "made up"));
    }
    // Statuses that mean something come more often than others.
    let status = match kind >> 4 {
        0..=5 => 200,
        6 => 201,
        7 => 204,
        8 => 400,
        9 => 401,
        10 => 403,
        11 => 429,
        12 => 503,
        _ => number(data) as u16,
    };
    let body = match byte(data) & 3 {
        0 => None,
        1 => Some(text(data)),
        _ => {
            let (access, refresh) = (token(data), token(data));
            let expires_in = number(data);
            Some(format!(
                r#"{{"access":"{access}","refresh":"{refresh}","token":"{access}","refreshToken":"{refresh}","ticket":"{access}","expires_in":{expires_in},"expiresIn":"{expires_in}"}}"#
            ))
        }
    };
    Ok(HttpAnswer {
        status,
        retry_after: (kind & 1 == 0).then(|| text(data)),
        date_unix_ms: (kind & 2 == 0).then(|| number(data)),
        set_cookies: if kind & 4 == 0 {
            vec![format!("t={PLANTED}; {}", text(data)).into()]
        } else {
            Vec::new()
        },
        body: body.map(Into::into),
    })
}

fn snapshot(data: Data<'_, '_>) -> StoreSnapshot {
    let version = StoreVersion(number(data));
    let session = (byte(data) & 1 == 0).then(|| {
        Box::new(StoredSession {
            access: token(data).into(),
            refresh: (byte(data) & 1 == 0).then(|| PLANTED.into()),
            cookies: None,
            received_unix_ms: number(data),
            lifetime_ms: (byte(data) & 1 == 0).then(|| number(data)),
            user: None,
            rotation: number(data),
            intent: (byte(data) & 3 == 0).then(|| RefreshIntent {
                key: "key".to_owned(),
                at_unix_ms: number(data),
            }),
        })
    });
    StoreSnapshot { version, session }
}
