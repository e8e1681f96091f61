//! W10: the outbox against a model that says for every message what becomes of it, and in which order.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use freshsocket::io::{CallId, ConnEnd, ConnId, Input, Output, SendId, SocketId, TokenGrant};
use freshsocket::machine::Machine;
use freshsocket::options::{SessionOptions, SocketOptions, WhenFull};
use freshsocket::time::{Mono, Now};
use freshsocket::{AccessToken, ErrorKind, Message};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

const MOST_MESSAGES: usize = 4;
const MOST_BYTES: usize = 40;
const OLDEST_MS: u64 = 10_000;
const SOCKET: SocketId = SocketId(1);

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Pass(u64),
    /// The network is there and the connection opens.
    Up,
    /// The connection is lost, and so many messages that it was given last had not been handed out.
    Down(usize),
    /// Another user signs in.
    Switch,
}

/// A message that waits, or that a connection has been given.
#[derive(Clone, Debug, PartialEq)]
struct Waiting {
    send: u64,
    size: usize,
    since: u64,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Sent,
    Failed(ErrorKind),
}

/// The model: as short as the contract.
#[derive(Clone, Debug)]
struct Model {
    when_full: WhenFull,
    now: u64,
    open: bool,
    next_send: u64,
    waiting: Vec<Waiting>,
    /// Given to the open connection, in order.
    given: Vec<Waiting>,
    /// In the order in which it was decided.
    fates: Vec<(u64, Fate)>,
    /// Everything that connections were given, in order; one that came back stands here again.
    transmitted: Vec<u64>,
}

impl Model {
    fn fail(&mut self, lost: Vec<Waiting>, kind: ErrorKind) {
        self.fates
            .extend(lost.into_iter().map(|waiting| (waiting.send, Fate::Failed(kind))));
    }

    fn bytes(&self) -> usize {
        self.waiting.iter().map(|waiting| waiting.size).sum()
    }

    fn give(&mut self) {
        if self.open {
            let given = std::mem::take(&mut self.waiting);
            self.transmitted.extend(given.iter().map(|waiting| waiting.send));
            self.given.extend(given);
        }
    }

    fn push(&mut self, new: Waiting) {
        if new.size > MOST_BYTES {
            return self.fail(vec![new], ErrorKind::OutboxFull);
        }
        while self.waiting.len() >= MOST_MESSAGES || self.bytes() + new.size > MOST_BYTES {
            if self.when_full == WhenFull::RejectNew {
                return self.fail(vec![new], ErrorKind::OutboxFull);
            }
            let oldest = self.waiting.remove(0);
            self.fail(vec![oldest], ErrorKind::OutboxFull);
        }
        self.waiting.push(new);
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        any::<bool>()
            .prop_map(|drops| Self {
                when_full: if drops {
                    WhenFull::DropOldest
                } else {
                    WhenFull::RejectNew
                },
                now: 0,
                open: false,
                next_send: 1,
                waiting: Vec::new(),
                given: Vec::new(),
                fates: Vec::new(),
                transmitted: Vec::new(),
            })
            .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        prop_oneof![
            6 => (0..=MOST_BYTES + 1).prop_map(Step::Send),
            3 => (0..=OLDEST_MS + 1).prop_map(Step::Pass),
            2 => Just(Step::Up),
            2 => (0..6usize).prop_map(Step::Down),
            1 => Just(Step::Switch),
        ]
        .boxed()
    }

    fn apply(mut model: Self, step: &Step) -> Self {
        match *step {
            Step::Send(size) => {
                let new = Waiting {
                    send: model.next_send,
                    size,
                    since: model.now,
                };
                model.next_send += 1;
                if model.open {
                    model.transmitted.push(new.send);
                    model.given.push(new);
                } else {
                    model.push(new);
                }
            }
            Step::Pass(ms) => {
                // Each expires in its own moment; those of the same moment in their order.
                model.now += ms;
                let is_old = |waiting: &Waiting| model.now - waiting.since >= OLDEST_MS;
                let (mut old, young): (Vec<_>, Vec<_>) = model.waiting.drain(..).partition(is_old);
                old.sort_by_key(|waiting| waiting.since);
                model.waiting = young;
                model.fail(old, ErrorKind::MessageExpired);
            }
            Step::Up => {
                model.open = true;
                model.give();
            }
            Step::Down(unsent) if model.open => {
                model.open = false;
                let mut given = std::mem::take(&mut model.given);
                let back = given.split_off(given.len().saturating_sub(unsent));
                model
                    .fates
                    .extend(given.into_iter().map(|sent| (sent.send, Fate::Sent)));
                let back = back.into_iter().map(|waiting| Waiting {
                    since: model.now,
                    ..waiting
                });
                model.waiting.splice(0..0, back);
            }
            Step::Down(_) => {}
            Step::Switch => {
                model.open = false;
                let lost = std::mem::take(&mut model.waiting);
                model.fail(lost, ErrorKind::IdentityChanged);
                let lost = std::mem::take(&mut model.given);
                model.fail(lost, ErrorKind::IdentityChanged);
            }
        }
        model
    }

    fn preconditions(_: &Self, _: &Step) -> bool {
        true
    }
}

/// The machine, with what the test keeps for it: the connection's pipe, and what came out.
struct Driven {
    machine: Machine,
    now: u64,
    conn: Option<ConnId>,
    /// Dialled, and not open yet.
    candidate: Option<ConnId>,
    given: Vec<(SendId, Message)>,
    fates: Vec<(u64, Fate)>,
    transmitted: Vec<u64>,
    next_send: u64,
    users: u64,
}

impl Driven {
    fn clock(&self) -> Now {
        Now {
            mono: Mono(self.now),
            unix_ms: 1_700_000_000_000 + self.now,
        }
    }

    fn handle(&mut self, input: Input) {
        self.machine.handle(self.clock(), input);
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Connect { conn, .. } => self.candidate = Some(conn),
                Output::Transmit { conn, messages } => {
                    assert_eq!(
                        Some(conn),
                        self.conn,
                        "only the open connection is given messages"
                    );
                    self.transmitted.extend(messages.iter().map(|(send, _)| send.0));
                    self.given.extend(messages);
                }
                Output::SendFailed { send, error, .. } => {
                    self.fates.push((send.0, Fate::Failed(error.kind())));
                }
                Output::Abort { conn } if self.candidate == Some(conn) => self.candidate = None,
                _ => {}
            }
        }
    }

    fn sign_in(&mut self) {
        self.users += 1;
        let tokens = TokenGrant {
            access: AccessToken::new(format!("token of user {}", self.users)),
            refresh: None,
            expires_in_ms: None,
            user: None,
        };
        let call = CallId(self.users);
        self.handle(Input::Adopt { call, tokens });
    }

    /// The connection is over; what it had not handed out comes back.
    fn lose(&mut self, unsent: usize) {
        let Some(conn) = self.conn.take() else { return };
        let mut given = std::mem::take(&mut self.given);
        let back = given.split_off(given.len().saturating_sub(unsent));
        self.fates
            .extend(given.into_iter().map(|(send, _)| (send.0, Fate::Sent)));
        let end = ConnEnd::Lost {
            detail: "cut".into(),
            refused: false,
        };
        self.handle(Input::Ended {
            conn,
            end,
            unsent: back,
        });
    }
}

impl StateMachineTest for Driven {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(model: &Model) -> Self {
        let session = SessionOptions {
            base_url: "https://auth.test".into(),
            ..SessionOptions::default()
        };
        let mut driven = Self {
            machine: Machine::new(
                session,
                false,
                7,
                Now {
                    mono: Mono(0),
                    unix_ms: 1_700_000_000_000,
                },
            )
            .unwrap(),
            now: 0,
            conn: None,
            candidate: None,
            given: Vec::new(),
            fates: Vec::new(),
            transmitted: Vec::new(),
            next_send: 1,
            users: 0,
        };
        let mut options = SocketOptions {
            url: "wss://ws.test/ws".into(),
            ..SocketOptions::default()
        };
        options.outbox.max_messages = MOST_MESSAGES;
        options.outbox.max_bytes = MOST_BYTES;
        options.outbox.max_age_ms = OLDEST_MS;
        options.outbox.when_full = model.when_full;
        options.heartbeat.interval_ms = 0;
        driven.handle(Input::Network { online: false });
        driven.sign_in();
        driven.handle(Input::OpenSocket {
            socket: SOCKET,
            options: options.into(),
        });
        driven
    }

    fn apply(mut driven: Self, _: &Model, step: Step) -> Self {
        match step {
            Step::Send(size) => {
                let send = SendId(driven.next_send);
                driven.next_send += 1;
                driven.handle(Input::Send {
                    socket: SOCKET,
                    send,
                    identity: None,
                    message: Message::text("x".repeat(size)),
                });
            }
            Step::Pass(ms) => {
                let end = driven.now + ms;
                while let Some(at) = driven.machine.next_deadline().filter(|at| at.0 <= end) {
                    driven.now = at.0;
                    driven.handle(Input::Tick);
                }
                driven.now = end;
                driven.handle(Input::Tick);
            }
            Step::Up => {
                driven.handle(Input::Network { online: true });
                if let Some(conn) = driven.candidate.take() {
                    driven.conn = Some(conn);
                    driven.handle(Input::Opened {
                        conn,
                        subprotocol: None,
                    });
                }
            }
            Step::Down(unsent) => {
                driven.handle(Input::Network { online: false });
                driven.lose(unsent);
            }
            Step::Switch => {
                // Without network nothing is dialled meanwhile.
                driven.handle(Input::Network { online: false });
                driven.sign_in();
                driven.lose(usize::MAX);
            }
        }
        driven
    }

    fn check_invariants(driven: &Self, model: &Model) {
        assert_eq!(
            driven.transmitted, model.transmitted,
            "what connections were given, in order"
        );
        assert_eq!(driven.fates, model.fates, "what became of each message");
        let given: Vec<u64> = driven.given.iter().map(|(send, _)| send.0).collect();
        let expected: Vec<u64> = model.given.iter().map(|waiting| waiting.send).collect();
        assert_eq!(given, expected, "what the open connection holds");
        let mut ends: BTreeMap<u64, usize> = BTreeMap::new();
        for (send, _) in &driven.fates {
            *ends.entry(*send).or_default() += 1;
        }
        assert!(
            ends.values().all(|count| *count == 1),
            "one outcome each: {ends:?}"
        );
    }
}

prop_state_machine! {
    #[test]
    fn w10_the_outbox_does_what_the_model_says(sequential 1..60 => Driven);
}
