//! The published policies of other clients as their documented constants say, read from their sources in August 2026.
//! No code of theirs is here, and none of the rest of what they do.

use freshsocket::rng::Rng;

use crate::run::{Herd, trace};

/// One client of a policy.
#[derive(Debug)]
pub struct Client {
    /// How many attempts it has made since it dropped.
    pub retry: i32,
    /// The delay before the last of them, in milliseconds.
    pub last_ms: f64,
    /// A number in [0, 1) drawn once in its life.
    pub birth: f64,
    rng: Rng,
}

impl Client {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let birth = unit(&mut rng);
        Self {
            retry: 0,
            last_ms: 0.0,
            birth,
            rng,
        }
    }

    /// A uniform draw from `low` to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + unit(&mut self.rng) * (high - low)
    }
}

/// The delay before a client's next attempt, in milliseconds; `None`: it gives up.
type Delay = Box<dyn Fn(&mut Client) -> Option<f64>>;

/// How a client waits.
pub struct Policy {
    /// Whose policy it is.
    pub name: String,
    /// The constants, in words. n counts retries from 0; U is uniform in [0, 1).
    pub formula: &'static str,
    delay: Delay,
}

impl Policy {
    /// A policy with this delay.
    pub fn new(
        name: impl Into<String>,
        formula: &'static str,
        delay: impl Fn(&mut Client) -> Option<f64> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            formula,
            delay: Box::new(delay),
        }
    }

    /// Runs this many clients through an outage.
    pub fn run(&self, clients: u64, outage_ms: f64, seed: u64) -> Herd {
        let traces = (0..clients).map(|number| {
            let mut client = Client::new(client_seed(seed, number));
            trace(outage_ms, || {
                let wait = (self.delay)(&mut client)?;
                client.retry += 1;
                client.last_ms = wait;
                Some(wait)
            })
        });
        Herd::count(outage_ms, traces)
    }
}

/// The seed of one client among many.
pub fn client_seed(seed: u64, number: u64) -> u64 {
    Rng::new(seed ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03)).next_u64()
}

fn unit(rng: &mut Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// An entry of a table of delays; past its end, the last.
fn step(table: &[f64], retry: i32) -> f64 {
    let at = usize::try_from(retry).unwrap_or(0).min(table.len() - 1);
    table[at]
}

/// A power by multiplication: `powi` may differ in its last bit from one machine to another.
fn power(base: f64, exponent: i32) -> f64 {
    (0..exponent).fold(1.0, |product, _| product * base)
}

/// The peers, from those with no jitter to those with most.
pub fn peers() -> Vec<Policy> {
    vec![
        Policy::new("SignalR", "0, 2, 10, 30 s, then closed", |client| {
            [0.0, 2_000.0, 10_000.0, 30_000.0]
                .get(client.retry as usize)
                .copied()
        }),
        Policy::new(
            "Phoenix",
            "10, 50, 100, 150, 200, 250, 500 ms, 1, 2 s, then 5 s",
            |client| {
                let table = [
                    10.0, 50.0, 100.0, 150.0, 200.0, 250.0, 500.0, 1_000.0, 2_000.0, 5_000.0,
                ];
                Some(step(&table, client.retry))
            },
        ),
        Policy::new("Supabase", "1, 2, 5 s, then 10 s", |client| {
            Some(step(&[1_000.0, 2_000.0, 5_000.0, 10_000.0], client.retry))
        }),
        Policy::new("partysocket", "3 s · 1.3ⁿ, cap 10 s", |client| {
            Some((3_000.0 * power(1.3, client.retry)).min(10_000.0))
        }),
        Policy::new(
            "Ably (one host)",
            "0 s, then 15 s · min((n + 3) / 3, 2) · (1 − 0.2 U)",
            |client| match client.retry {
                0 => Some(0.0),
                // The drop and the immediate attempt are both counted by then.
                n => {
                    let factor = (f64::from(n + 3) / 3.0).min(2.0);
                    Some(15_000.0 * factor * client.between(0.8, 1.0))
                }
            },
        ),
        Policy::new(
            "LiveKit",
            "0, 0.3, 1.2, 2.7, 4.8 s, then 7 s; + U s from the third; 10 attempts",
            |client| {
                let table = [0.0, 300.0, 1_200.0, 2_700.0, 4_800.0, 7_000.0];
                let jitter = client.between(0.0, 1_000.0);
                match client.retry {
                    10.. => None,
                    n @ 2.. => Some(step(&table, n) + jitter),
                    n => Some(step(&table, n)),
                }
            },
        ),
        Policy::new("graphql-ws", "2ⁿ s + 0.3…3 s, 5 attempts", |client| {
            let jitter = client.between(300.0, 3_000.0);
            (client.retry < 5).then(|| 1_000.0 * power(2.0, client.retry) + jitter)
        }),
        Policy::new("Socket.IO", "min(5 s, 1 s · 2ⁿ · (0.5…1.5))", |client| {
            Some((1_000.0 * power(2.0, client.retry) * client.between(0.5, 1.5)).min(5_000.0))
        }),
        Policy::new(
            "Centrifugo",
            "min(20 s, 0.5 s + U · min(20 s, 0.5 s · 2ⁿ))",
            |client| {
                let ceiling = (500.0 * power(2.0, client.retry)).min(20_000.0);
                Some((500.0 + client.between(0.0, ceiling)).min(20_000.0))
            },
        ),
        Policy::new("Convex", "min(16 s, 1 s · 2ⁿ) · (0.5…1.5)", |client| {
            Some((1_000.0 * power(2.0, client.retry)).min(16_000.0) * client.between(0.5, 1.5))
        }),
        Policy::new("Teams (socket mode)", "U · min(15 s, 1 s · 2ⁿ)", |client| {
            Some((1_000.0 * power(2.0, client.retry)).min(15_000.0) * client.between(0.0, 1.0))
        }),
        Policy::new(
            "reconnecting-websocket",
            "(1 s + 4 s · U, drawn once) · 1.3ⁿ, cap 10 s",
            |client| Some(((1_000.0 + 4_000.0 * client.birth) * power(1.3, client.retry)).min(10_000.0)),
        ),
    ]
}
