//! Ours: real machines, each with a seed of its own, taken through the outage on simulated clocks.

use std::sync::Arc;

use freshsocket::Error;
use freshsocket::backoff;
use freshsocket::io::{ConnEnd, ConnId, ConnectFailure, Input, Output, SocketId};
use freshsocket::machine::Machine;
use freshsocket::options::{Credential, ReconnectOptions, SessionOptions, SocketOptions};
use freshsocket::rng::Rng;
use freshsocket::time::{Mono, Now};

use crate::policy::client_seed;
use crate::run::{HORIZON_MS, Herd, Trace, trace};

/// How long a connection has been up when it drops: healthy by then, and not yet silent for long.
const UPTIME_MS: u64 = 10_000;

const UNIX_MS: u64 = 1_700_000_000_000;

/// How the connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Without a word, as when a server or the network to it fails.
    Lost,
    /// With this close code.
    Closed(u16),
}

/// Runs this many machines through an outage.
///
/// # Errors
/// What the machine says about the options.
pub fn machines(
    reconnect: &ReconnectOptions,
    ending: Ending,
    clients: u64,
    outage_ms: f64,
    seed: u64,
) -> Result<Herd, Error> {
    let options = Arc::new(SocketOptions {
        url: "ws://127.0.0.1/".into(),
        // Reconnecting is what is looked at; a session that also had to refresh would spread by its own dice.
        credential: Credential::None,
        reconnect: reconnect.clone(),
        ..SocketOptions::default()
    });
    let traces: Result<Vec<Trace>, Error> = (0..clients)
        .map(|number| Ok(Device::open(&options, client_seed(seed, number))?.outage(ending, outage_ms)))
        .collect();
    Ok(Herd::count(outage_ms, traces?))
}

/// The same from the policy function alone, for the check that the machine adds nothing of its own.
pub fn function(reconnect: &ReconnectOptions, clients: u64, outage_ms: f64, seed: u64) -> Herd {
    let traces = (0..clients).map(|number| {
        let mut rng = Rng::new(client_seed(seed, number));
        let mut retry = 0;
        trace(outage_ms, || {
            if reconnect.max_attempts.is_some_and(|most| retry >= most) {
                return None;
            }
            let wait = backoff::delay_ms(&reconnect.delay, retry, None, &mut rng);
            retry += 1;
            Some(wait as f64)
        })
    });
    Herd::count(outage_ms, traces)
}

/// One machine, and the network and clock around it.
struct Device {
    machine: Machine,
    now: u64,
    /// The attempt that the machine has begun.
    dialling: Option<ConnId>,
}

impl Device {
    /// A machine with one socket, open for a while.
    fn open(options: &Arc<SocketOptions>, seed: u64) -> Result<Self, Error> {
        let session = SessionOptions {
            base_url: "http://127.0.0.1".into(),
            ..SessionOptions::default()
        };
        let mut device = Self {
            machine: Machine::new(session, false, seed, at(0))?,
            now: 0,
            dialling: None,
        };
        device.give(Input::OpenSocket {
            socket: SocketId(1),
            options: options.clone(),
        });
        Ok(device)
    }

    fn outage(mut self, ending: Ending, outage_ms: f64) -> Trace {
        let mut trace = Trace::default();
        let Some(conn) = self.dialling.take() else {
            return trace;
        };
        self.give(Input::Opened {
            conn,
            subprotocol: None,
        });
        self.run_until(UPTIME_MS);
        self.now = UPTIME_MS;
        self.give(Input::Ended {
            conn,
            end: match ending {
                Ending::Lost => ConnEnd::Lost {
                    detail: "reset by peer".into(),
                    refused: false,
                },
                Ending::Closed(code) => ConnEnd::Closed {
                    code,
                    reason: String::new(),
                    refused: false,
                },
            },
            unsent: Vec::new(),
        });
        let end = UPTIME_MS + (outage_ms + HORIZON_MS) as u64;
        while self.run_until(end) {
            let Some(conn) = self.dialling.take() else { break };
            let since = (self.now - UPTIME_MS) as f64;
            trace.attempts.push(since);
            if since >= outage_ms {
                trace.back = true;
                break;
            }
            self.give(Input::ConnectFailed {
                conn,
                failure: ConnectFailure::Unreachable {
                    detail: "connection refused".into(),
                },
            });
        }
        trace
    }

    /// Lets time pass until the machine dials; whether it does before `end`.
    fn run_until(&mut self, end: u64) -> bool {
        while self.dialling.is_none() {
            match self.machine.next_deadline() {
                Some(Mono(deadline)) if deadline <= end => {
                    self.now = self.now.max(deadline);
                    self.give(Input::Tick);
                }
                _ => return false,
            }
        }
        true
    }

    fn give(&mut self, input: Input) {
        self.machine.handle(at(self.now), input);
        while let Some(output) = self.machine.poll() {
            if let Output::Connect { conn, .. } = output {
                self.dialling = Some(conn);
            }
        }
    }
}

fn at(mono: u64) -> Now {
    Now {
        mono: Mono(mono),
        unix_ms: UNIX_MS + mono,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: u64 = 2_000;
    const OUTAGE_MS: f64 = 30_000.0;

    #[test]
    fn w6_the_machine_waits_exactly_as_the_policy_function_says() {
        let options = ReconnectOptions::default();
        let ours = machines(&options, Ending::Lost, CLIENTS, OUTAGE_MS, 3).unwrap();
        assert_eq!(ours, function(&options, CLIENTS, OUTAGE_MS, 3));
        assert_eq!(ours.dead().to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn w6_a_server_that_says_it_restarts_is_given_a_wider_spread() {
        let options = ReconnectOptions::default();
        let lost = machines(&options, Ending::Lost, CLIENTS, OUTAGE_MS, 3).unwrap();
        let told = machines(&options, Ending::Closed(1012), CLIENTS, OUTAGE_MS, 3).unwrap();
        assert!(told.first_retry_ms.1 > lost.first_retry_ms.1);
        assert!(told.busiest_first() < lost.busiest_first());
    }

    #[test]
    fn w6_attempts_that_are_limited_end_for_good() {
        let options = ReconnectOptions {
            max_attempts: Some(3),
            ..ReconnectOptions::default()
        };
        let ours = machines(&options, Ending::Lost, 100, 600_000.0, 3).unwrap();
        assert_eq!(ours.dead().to_bits(), 1.0_f64.to_bits());
        assert_eq!(ours, function(&options, 100, 600_000.0, 3));
    }
}
