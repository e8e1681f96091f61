//! What the parts of the machine share while one input is handled: the time, the way out, the timers, the dice.

use std::collections::{BTreeMap, VecDeque};

use crate::io::{ConnId, EffectId, Output, SocketId};
use crate::rng::Rng;
use crate::time::{Mono, Now, Timeline};
use crate::timer::TimerTable;

/// Passed down to whatever handles an input.
#[derive(Debug)]
pub(crate) struct Ctx {
    /// The machine's time of the input being handled.
    pub(crate) now: Now,
    pub(crate) timeline: Timeline,
    pub(crate) timers: TimerTable,
    pub(crate) rng: Rng,
    /// Whose connection is whose; what is not in here is over, and what is still said of it is late.
    pub(crate) conns: BTreeMap<ConnId, SocketId>,
    /// Whose ticket request is whose.
    pub(crate) tickets: BTreeMap<EffectId, SocketId>,
    out: VecDeque<Output>,
    effects: u64,
    next_conn: u64,
}

impl Ctx {
    pub(crate) fn new(now: Now, seed: u64) -> Self {
        let mut timeline = Timeline::starting(now);
        Self {
            now: timeline.observe(now).0,
            timeline,
            timers: TimerTable::default(),
            rng: Rng::new(seed),
            conns: BTreeMap::new(),
            tickets: BTreeMap::new(),
            out: VecDeque::new(),
            effects: 0,
            next_conn: 0,
        }
    }

    pub(crate) fn emit(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(crate) fn take_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// A number for a new effect.
    pub(crate) fn effect(&mut self) -> EffectId {
        self.effects += 1;
        EffectId(self.effects)
    }

    /// A number for a new connection of this socket.
    pub(crate) fn conn(&mut self, socket: SocketId) -> ConnId {
        self.next_conn += 1;
        let conn = ConnId(self.next_conn);
        self.conns.insert(conn, socket);
        conn
    }

    /// A machine time as the driver's clock will show it.
    pub(crate) fn to_driver(&self, at: Mono) -> Mono {
        self.timeline.to_driver(at)
    }
}
