//! The outage: everybody drops at 0, the server is back at a known time, and an attempt before that costs no time.

/// The width of the windows in which attempts are counted, in milliseconds.
pub const WINDOW_MS: f64 = 100.0;

/// Attempts later than this after the drop are not followed: who is not back by then counts as never back.
pub const HORIZON_MS: f64 = 600_000.0;

/// What one client did after it dropped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// When it tried, in milliseconds after the drop; the last one succeeded if the client is back.
    pub attempts: Vec<f64>,
    /// Whether it is back.
    pub back: bool,
}

/// The trace of a client that waits for what `delay` says before each attempt; `None`: it gives up.
pub fn trace(outage_ms: f64, mut delay: impl FnMut() -> Option<f64>) -> Trace {
    let mut trace = Trace::default();
    let mut now = 0.0;
    while let Some(wait) = delay() {
        now += wait;
        if now > outage_ms + HORIZON_MS {
            break;
        }
        trace.attempts.push(now);
        if now >= outage_ms {
            trace.back = true;
            break;
        }
    }
    trace
}

/// What all clients did together.
#[derive(Clone, Debug, PartialEq)]
pub struct Herd {
    clients: usize,
    /// How long the server was away, in milliseconds.
    pub outage_ms: f64,
    /// The earliest first retry and the latest.
    pub first_retry_ms: (f64, f64),
    /// First retries in each window after the drop.
    pub firsts: Vec<u32>,
    /// Attempts in each window after the drop.
    pub attempts: Vec<u32>,
    /// Clients that came back in each window after the server's return.
    pub returns: Vec<u32>,
    /// When each client that is back came back, in milliseconds after the server's return, sorted.
    back_ms: Vec<f64>,
}

impl Herd {
    /// Counts the traces of one outage.
    pub fn count(outage_ms: f64, traces: impl IntoIterator<Item = Trace>) -> Self {
        let mut herd = Self {
            clients: 0,
            outage_ms,
            first_retry_ms: (f64::INFINITY, 0.0),
            firsts: Vec::new(),
            attempts: Vec::new(),
            returns: Vec::new(),
            back_ms: Vec::new(),
        };
        for trace in traces {
            herd.clients += 1;
            if let Some(first) = trace.attempts.first() {
                add(&mut herd.firsts, *first);
                let (earliest, latest) = herd.first_retry_ms;
                herd.first_retry_ms = (earliest.min(*first), latest.max(*first));
            }
            for at in &trace.attempts {
                add(&mut herd.attempts, *at);
            }
            if let (true, Some(last)) = (trace.back, trace.attempts.last()) {
                add(&mut herd.returns, last - outage_ms);
                herd.back_ms.push(last - outage_ms);
            }
        }
        herd.back_ms.sort_by(f64::total_cmp);
        herd
    }

    /// The busiest window of first retries, as a share of all clients.
    pub fn busiest_first(&self) -> f64 {
        self.share(self.firsts.iter().copied().max())
    }

    /// The busiest window of any attempts in the first ten seconds. More than 1 where a client tries twice in a window.
    pub fn busiest_early(&self) -> f64 {
        self.share(self.attempts.iter().take(100).copied().max())
    }

    /// The busiest window of clients that come back.
    pub fn busiest_return(&self) -> f64 {
        self.share(self.returns.iter().copied().max())
    }

    /// The time after the server's return by which this share of all clients is back; `None`: never.
    pub fn back_by_ms(&self, share: f64) -> Option<f64> {
        let rank = (share * self.clients as f64).ceil() as usize;
        self.back_ms.get(rank.saturating_sub(1)).copied()
    }

    /// The share of all clients that never came back.
    pub fn dead(&self) -> f64 {
        1.0 - self.back_ms.len() as f64 / self.clients.max(1) as f64
    }

    /// A count as a share of all clients.
    pub fn share(&self, count: Option<u32>) -> f64 {
        f64::from(count.unwrap_or(0)) / self.clients.max(1) as f64
    }
}

fn add(windows: &mut Vec<u32>, at_ms: f64) {
    let window = (at_ms / WINDOW_MS) as usize;
    if windows.len() <= window {
        windows.resize(window + 1, 0);
    }
    windows[window] += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_when_the_server_is_back_succeeds_and_one_before_does_not() {
        let mut waits = [100.0, 899.0, 1.0, 5.0].into_iter();
        let seen = trace(1_000.0, || waits.next());
        assert_eq!((seen.attempts, seen.back), (vec![100.0, 999.0, 1_000.0], true));
        let mut waits = [100.0, 200.0].into_iter();
        assert!(!trace(1_000.0, || waits.next()).back, "it gave up");
    }

    #[test]
    fn shares_are_of_all_clients_and_the_dead_are_never_back() {
        let at = |times: &[f64], back| Trace {
            attempts: times.to_vec(),
            back,
        };
        let herd = Herd::count(
            500.0,
            [
                at(&[0.0, 50.0, 510.0], true),
                at(&[20.0, 590.0], true),
                at(&[120.0, 700.0], true),
                at(&[130.0], false),
            ],
        );
        assert_eq!(herd.busiest_first().to_bits(), 0.5_f64.to_bits());
        assert_eq!(herd.busiest_early().to_bits(), 0.75_f64.to_bits());
        assert_eq!(herd.busiest_return().to_bits(), 0.5_f64.to_bits());
        assert_eq!(
            (herd.back_by_ms(0.5), herd.back_by_ms(0.75), herd.back_by_ms(0.95)),
            (Some(90.0), Some(200.0), None)
        );
        assert_eq!(herd.dead().to_bits(), 0.25_f64.to_bits());
    }
}
