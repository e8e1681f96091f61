//! The full world: several holders of one session, each a process with its own machine and clocks, one store, a token
//! server, a WebSocket server, a network between them; and a seed that says what goes wrong and when.
//!
//! It is a discrete-event simulation: one queue of events in true time, and the machines' own deadlines. After every
//! step the rules (`rules`) are checked. In the end everything is healed, and then all must be well again.

mod app;
mod auth;
mod cover;
mod driver;
mod event;
mod faults;
mod holder;
mod http;
mod plan;
mod rules;
mod sabotage;
mod sockets;
mod store;
mod trace;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use freshsocket::rng::Rng;

use auth::Auth;
use event::Event;
use holder::{Device, Holder};
use plan::Plan;
use rules::Rules;
use sockets::Sockets;
use store::Store;
use trace::Trace;

pub use cover::Cover;
pub use sabotage::Sabotage;

/// What a run showed.
#[derive(Debug)]
pub struct Outcome {
    /// How much time passed in it.
    pub simulated_ms: u64,
    /// What happened, and how often.
    pub cover: Cover,
    /// What should not have happened.
    pub violation: Option<Violation>,
}

/// A rule that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed that shows it.
    pub seed: u64,
    /// The rule's name: a clause of the contract, or a word for what all of it stands on.
    pub rule: &'static str,
    /// When, in milliseconds of simulated time.
    pub at: u64,
    /// What happened.
    pub what: String,
    /// What happened before it, when the run was traced.
    pub trace: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        write!(
            f,
            "seed {}, after {} ms: {}: {}",
            self.seed, self.at, self.rule, self.what
        )
    }
}

/// Runs the world of this seed; `traced`: with a trace of what came before a violation, which makes it slower.
pub fn run(seed: u64, sabotage: Sabotage, traced: bool) -> Outcome {
    let mut fleet = Fleet::new(seed, sabotage, traced);
    let panicked = catch_unwind(AssertUnwindSafe(|| fleet.play())).err();
    if let Some(panic) = panicked {
        let said = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        fleet.violated("panic", || said);
    }
    let mut violation = fleet.violation;
    if let Some(violation) = &mut violation {
        violation.trace = fleet.trace.into_lines();
    }
    Outcome {
        simulated_ms: fleet.now,
        cover: fleet.cover,
        violation,
    }
}

/// The world.
struct Fleet {
    seed: u64,
    plan: Plan,
    sabotage: Sabotage,
    rng: Rng,
    /// True time since the beginning, in milliseconds.
    now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    devices: Vec<Device>,
    holders: Vec<Holder>,
    auth: Auth,
    store: Store,
    sockets: Sockets,
    rules: Rules,
    /// Faults no longer happen, and everything that was broken is mended.
    healed: bool,
    trace: Trace,
    cover: Cover,
    violation: Option<Violation>,
}

impl Fleet {
    fn new(seed: u64, sabotage: Sabotage, traced: bool) -> Self {
        let mut rng = Rng::new(seed);
        // One number apart, seeds would share most of their draws.
        let mut rng = Rng::new(rng.next_u64());
        let plan = Plan::drawn(&mut rng);
        let devices = Device::drawn(&plan, &mut rng);
        let holders = (0..plan.holders)
            .map(|number| Holder::new(if plan.one_device { 0 } else { number }, &plan, &mut rng))
            .collect();
        let mut fleet = Self {
            seed,
            sabotage,
            rng,
            now: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            devices,
            holders,
            auth: Auth::default(),
            store: Store::default(),
            sockets: Sockets::default(),
            rules: Rules::default(),
            healed: false,
            trace: Trace::new(traced),
            cover: Cover::default(),
            violation: None,
            plan,
        };
        fleet.store.swaps_blindly = sabotage == Sabotage::BlindSwaps;
        fleet
    }

    /// Everything from the first start to the last check.
    fn play(&mut self) {
        let plan = self.plan.clone();
        self.trace.note(0, || format!("{plan:?}"));
        self.begin();
        self.run_until(self.plan.chaos_ms);
        self.unless_violated(Self::heal);
        self.run_until(self.now + 60_000);
        self.unless_violated(Self::ask_again);
        // Long enough for the longest delay that a server of this world asks for, and for one more refresh.
        self.run_until(self.now + 180_000 + self.plan.lifetime_ms.min(400_000));
        self.unless_violated(Self::check_that_all_is_well);
    }

    fn unless_violated(&mut self, act: impl FnOnce(&mut Self)) {
        if self.violation.is_none() {
            act(self);
        }
    }

    fn run_until(&mut self, end: u64) {
        while self.violation.is_none() && self.step_before(end) {
            self.check_after_step();
        }
        if self.violation.is_none() {
            self.now = self.now.max(end);
        }
    }

    /// The next event or deadline, if there is one up to `end`.
    fn step_before(&mut self, end: u64) -> bool {
        let event = self.queue.first_key_value().map(|(key, _)| key.0);
        let due = (0..self.holders.len())
            .filter_map(|h| self.due(h).map(|at| (at, h)))
            .min();
        match (event, due) {
            (Some(at), due) if at <= end && due.is_none_or(|(due, _)| at <= due) => {
                self.now = self.now.max(at);
                if let Some((_, event)) = self.queue.pop_first() {
                    self.happen(event);
                }
                true
            }
            (_, Some((at, h))) if at <= end => {
                self.now = self.now.max(at);
                self.tick(h);
                true
            }
            _ => false,
        }
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.rng.up_to(999) < per_mille
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        self.trace.note(self.now, line);
    }

    fn violated(&mut self, rule: &'static str, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(Violation {
                seed: self.seed,
                rule,
                at: self.now,
                what: what(),
                trace: Vec::new(),
            });
        }
    }
}
