//! Holders: processes with a machine each, on devices with clocks of their own. They start, are killed, freeze, sleep.

use std::collections::{BTreeMap, VecDeque};

use freshsocket::io::{ConnId, EffectId, Input, SendId, SessionView, SocketId};
use freshsocket::machine::Machine;
use freshsocket::rng::Rng;
use freshsocket::time::{Mono, Now};
use freshsocket::{SessionState, SocketState};

use super::Fleet;
use super::event::Process;
use super::plan::Plan;
use super::rules::Watched;
use super::sabotage::Sabotage;
use crate::EPOCH;

/// A device's clocks.
#[derive(Debug, Default)]
pub(super) struct Device {
    /// What the wall clock shows more than true time.
    pub(super) wall_error: i64,
    /// The most that it ever showed too much.
    pub(super) highest_error: i64,
    /// The least.
    pub(super) lowest_error: i64,
    /// Since when it sleeps.
    pub(super) asleep_since: Option<u64>,
    /// Time slept that its monotonic clock does not show.
    pub(super) slept: u64,
}

impl Device {
    pub(super) fn drawn(plan: &Plan, rng: &mut Rng) -> Vec<Self> {
        let skew = |rng: &mut Rng| rng.up_to(2 * plan.skew_ms).cast_signed() - plan.skew_ms.cast_signed();
        let count = if plan.one_device { 1 } else { plan.holders };
        (0..count)
            .map(|_| skew(rng))
            .map(|wall_error| Self {
                wall_error,
                highest_error: wall_error,
                lowest_error: wall_error,
                ..Self::default()
            })
            .collect()
    }
}

/// The network between a holder and the servers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub(super) down: bool,
    pub(super) slow_ms: u64,
    pub(super) loss_per_mille: u64,
}

/// What an effect that is out is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// An exchange of the refresh token, by its number.
    Refresh(usize),
    Http,
    Store,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Running {
    Yes,
    Frozen,
    Dead,
}

pub(super) struct Holder {
    pub(super) device: usize,
    pub(super) running: Running,
    pub(super) life: u64,
    pub(super) started_at: u64,
    pub(super) machine: Option<Machine>,
    /// The device's monotonic time when the process began.
    origin: u64,
    late: u64,
    /// Inputs that nobody has handled yet: the process was frozen or its device slept.
    pub(super) inbox: VecDeque<Input>,
    pub(super) link: Link,
    pub(super) effects: BTreeMap<EffectId, Effect>,
    /// When the store's task of this process is done with what it was given.
    pub(super) store_free_at: u64,
    pub(super) direct: BTreeMap<SocketId, ConnId>,
    pub(super) states: BTreeMap<SocketId, SocketState>,
    pub(super) next_socket: u64,
    pub(super) next_call: u64,
    pub(super) next_send: u64,
    pub(super) view: Option<SessionView>,
    /// What the application was told of the network last.
    pub(super) told_online: bool,
    /// The application signed out, and wants to stay so for now.
    pub(super) wants_out: bool,
    pub(super) watched: Watched,
    pub(super) sends: BTreeMap<SendId, usize>,
}

impl Holder {
    pub(super) fn new(device: usize, plan: &Plan, rng: &mut Rng) -> Self {
        Self {
            device,
            running: Running::Dead,
            life: 0,
            started_at: 0,
            machine: None,
            origin: 0,
            late: rng.up_to(plan.late_ms),
            inbox: VecDeque::new(),
            link: Link::default(),
            effects: BTreeMap::new(),
            store_free_at: 0,
            direct: BTreeMap::new(),
            states: BTreeMap::new(),
            next_socket: 0,
            next_call: 0,
            next_send: 0,
            view: None,
            told_online: true,
            wants_out: false,
            watched: Watched::default(),
            sends: BTreeMap::new(),
        }
    }

    pub(super) fn late(&self) -> u64 {
        self.late + 1
    }

    pub(super) fn state(&self) -> Option<&SessionState> {
        self.view.as_ref().map(|view| &view.state)
    }

    pub(super) fn is_signed_in(&self) -> bool {
        self.state().is_some_and(SessionState::is_signed_in)
    }
}

impl Fleet {
    pub(super) fn is_alive(&self, process: Process) -> bool {
        let holder = &self.holders[process.holder];
        holder.life == process.life && holder.machine.is_some()
    }

    pub(super) fn process(&self, h: usize) -> Process {
        Process {
            holder: h,
            life: self.holders[h].life,
        }
    }

    /// Whether its process runs and its device is awake.
    pub(super) fn is_running(&self, h: usize) -> bool {
        let holder = &self.holders[h];
        holder.running == Running::Yes && self.devices[holder.device].asleep_since.is_none()
    }

    fn device_mono(&self, device: &Device) -> u64 {
        let asleep = device.asleep_since.map_or(0, |since| self.now - since);
        let hidden = if self.plan.counts_sleep { 0 } else { asleep };
        self.now + 1_000 - device.slept - hidden
    }

    /// What a holder's clocks say.
    pub(super) fn clock(&self, h: usize) -> Now {
        let holder = &self.holders[h];
        let device = &self.devices[holder.device];
        let stands = self.sabotage == Sabotage::ClockStands && self.now > 60_000;
        let wall = if stands { 60_000 } else { self.now };
        let mono = self.device_mono(device) - holder.origin;
        Now {
            // Slow, rather: with a clock that stands no deadline would ever come.
            mono: Mono(if stands { mono / 2 } else { mono }),
            unix_ms: (EPOCH + wall).saturating_add_signed(device.wall_error),
        }
    }

    /// When the driver's timer fires, in true time.
    pub(super) fn due(&self, h: usize) -> Option<u64> {
        if !self.is_running(h) {
            return None;
        }
        let deadline = self.holders[h].machine.as_ref()?.next_deadline()?;
        let slow = self.sabotage == Sabotage::ClockStands && self.now > 60_000;
        let wait = deadline.since(self.clock(h).mono) << u32::from(slow);
        Some(
            self.now
                .saturating_add(wait)
                .saturating_add(if wait > 0 { self.holders[h].late } else { 0 }),
        )
    }

    pub(super) fn tick(&mut self, h: usize) {
        let before = self.holders[h].machine.as_ref().and_then(Machine::next_deadline);
        self.feed(h, Input::Tick);
        let after = self.holders[h].machine.as_ref().and_then(Machine::next_deadline);
        self.check_tick(h, before == after);
    }

    /// A new process on the store.
    pub(super) fn start(&mut self, h: usize) {
        let device = &self.devices[self.holders[h].device];
        let origin = self.device_mono(device);
        let seed = self.rng.next_u64();
        let started_at = self.now;
        let holder = &mut self.holders[h];
        holder.life += 1;
        holder.started_at = started_at;
        holder.origin = origin - 5.min(origin);
        holder.running = Running::Yes;
        holder.told_online = true;
        let life = holder.life;
        self.note(|| format!("h{h} starts, life {life}"));
        let clock = self.clock(h);
        match Machine::new(self.plan.session.clone(), self.plan.durable, seed, clock) {
            Ok(machine) => self.holders[h].machine = Some(machine),
            Err(error) => return self.violated("options", || error.to_string()),
        }
        self.saw_clock(h);
        self.perform_outputs(h);
        for _ in 0..self.plan.sockets {
            self.open_socket(h);
        }
    }

    /// The process ends without a word.
    pub(super) fn kill(&mut self, h: usize) {
        self.note(|| format!("h{h} is killed"));
        self.excuse_exchanges(h, "its process was killed");
        self.sends_die(h);
        let holder = &mut self.holders[h];
        holder.machine = None;
        holder.running = Running::Dead;
        holder.inbox.clear();
        holder.effects.clear();
        holder.store_free_at = 0;
        holder.direct.clear();
        holder.states.clear();
        holder.view = None;
        holder.watched = Watched::default();
        self.conns_of_dead(h);
    }

    /// Gives an input to a holder's machine, or keeps it until somebody runs there again.
    pub(super) fn feed(&mut self, h: usize, input: Input) {
        if self.holders[h].machine.is_none() {
            return;
        }
        self.holders[h].inbox.push_back(input);
        self.run_inbox(h);
    }

    pub(super) fn run_inbox(&mut self, h: usize) {
        while self.is_running(h) && self.violation.is_none() {
            let Some(input) = self.holders[h].inbox.pop_front() else {
                return;
            };
            self.before_input(h, &input);
            if !matches!(input, Input::Tick) {
                self.note(|| format!("h{h} <- {}", super::driver::shown_input(&input)));
            }
            self.saw_clock(h);
            let clock = self.clock(h);
            if let Some(machine) = &mut self.holders[h].machine {
                machine.handle(clock, input);
            }
            self.perform_outputs(h);
        }
    }
}
