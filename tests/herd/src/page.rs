//! The page `docs/herd.md`: everything on it is counted anew each time it is made.

use std::fmt::Write as _;

use freshsocket::Error;
use freshsocket::options::{ReconnectOptions, RetryOptions};

use crate::machines::{Ending, function, machines};
use crate::policy::{Policy, peers};
use crate::run::Herd;

/// The seed of the table and the picture.
pub const SEED: u64 = 1;

/// How many clients drop together.
pub const CLIENTS: u64 = 10_000;

/// The outage that the bars speak of, in milliseconds.
const OUTAGE_MS: f64 = 30_000.0;

/// The longer one, in which clients that count their attempts run out of them.
const LONG_OUTAGE_MS: f64 = 60_000.0;

/// How many seeds a median is taken over.
const SEEDS: u64 = 9;

/// A row of the table, a panel of the picture.
pub struct Row {
    /// Whose policy.
    pub name: String,
    /// Its constants, in words.
    formula: String,
    /// After 30 seconds of outage.
    pub herd: Herd,
    /// The share that never comes back after 60 seconds.
    pub dead: f64,
}

/// Ours, by real machines, then the peers.
///
/// # Errors
/// What the machine says about its own default options.
pub fn rows() -> Result<Vec<Row>, Error> {
    let options = ReconnectOptions::default();
    let mut rows = Vec::new();
    let endings = [
        ("freshsocket", Ending::Lost, ""),
        (
            "freshsocket, told 1012",
            Ending::Closed(1012),
            ", over twice that after close code 1012 or 1013",
        ),
    ];
    for (name, ending, more) in endings {
        rows.push(Row {
            name: name.to_owned(),
            formula: format!("{}{more}", formula(options.delay)),
            herd: machines(&options, ending, CLIENTS, OUTAGE_MS, SEED)?,
            dead: machines(&options, ending, CLIENTS, LONG_OUTAGE_MS, SEED)?.dead(),
        });
    }
    rows.extend(peers().iter().map(peer));
    Ok(rows)
}

fn peer(policy: &Policy) -> Row {
    Row {
        name: policy.name.clone(),
        formula: policy.formula.to_owned(),
        herd: policy.run(CLIENTS, OUTAGE_MS, SEED),
        dead: policy.run(CLIENTS, LONG_OUTAGE_MS, SEED).dead(),
    }
}

/// The table of all policies.
pub fn table(rows: &[Row]) -> String {
    let mut text = "\
| policy | first retry | busiest window of first retries | of all attempts in the first 10 s | of returns | p50 / p95 back | dead after 60 s |
|---|---|---|---|---|---|---|
"
    .to_owned();
    for Row { name, herd, dead, .. } in rows {
        let (earliest, latest) = herd.first_retry_ms;
        let first = if latest - earliest < 1.0 {
            seconds(earliest)
        } else {
            // The luckiest of many draws from 0 on is not exactly 0.
            let earliest = (earliest / 100.0).round() * 100.0;
            format!("{}–{}", seconds(earliest).trim_end_matches(" s"), seconds(latest))
        };
        let back = [0.5, 0.95].map(|share| herd.back_by_ms(share).map_or("never".into(), tenths));
        let _ = writeln!(
            text,
            "| {name} | {first} | {} | {} | {} | {} / {} | {} |",
            percent(herd.busiest_first()),
            percent(herd.busiest_early()),
            percent(herd.busiest_return()),
            back[0],
            back[1],
            percent(*dead),
        );
    }
    text
}

/// The whole page.
pub fn page(rows: &[Row]) -> String {
    let table = table(rows);
    let bars = bars(rows);
    let settings = settings();
    let mut formulas = String::new();
    for row in rows {
        let _ = writeln!(formulas, "| {} | {} |", row.name, row.formula);
    }
    format!(
        "\
# When 10,000 clients come back

Made by `cargo xtask herd`; a test compares this page with what the code gives today. Do not edit it: its text stands in
`tests/herd/src/page.rs`.

10,000 clients are connected and drop in the same moment. The server is away for 30 seconds. How crowded are the
windows of 100 ms, while it is away and when it is back, and how long does a client wait? Shares are of all clients.

![Attempts and returns over time, one panel a policy](herd.svg)

{table}
\"Back\" counts from the server's return. A client is dead that never tries again by itself. The first four
of the others have no jitter; what Socket.IO has is lost at its cap, from the fourth retry on.

## The bars

{bars}
**Two of them cannot be met together, by any policy.** If no window of 100 ms may hold more than 1 % of the clients, then
at most 40 % are back after 4 s, and half of them not before 5 s. A median of 4 s needs at least one window of 1.25 %.
With 10,000 clients chance adds to that: the busiest of forty windows that hold 125 clients on average holds about 150,
and a policy that should stay below 1 % in fact must aim at 0.8 %, which puts the median above 6 s. What is left is a
choice: quick, or thin.

## Other settings

The same policy with other options (`socket.reconnect.delay`), after the same 30 seconds; the median of {SEEDS} seeds. A
smaller factor keeps the delays of a short outage short and still reaches the cap in a long one.

{settings}
## How it is made

The rows of freshsocket are 10,000 real machines (`freshsocket::machine::Machine`) with default options and seeds of their
own, on simulated clocks: open for ten seconds, dropped, refused at once at each attempt until the server is back. A
test shows that `backoff::delay_ms` alone gives the same times to the millisecond. \"Told 1012\": the server closed with that
code (service restart), as it should before a planned one.

The other rows are formulas with the constants below, read from the sources of these clients in August 2026, not their
code. What else they do is left out, where it makes them better (a server's hint, another host or transport) and where it
makes them worse: graphql-ws ends at the first refused connection unless told otherwise.

Failed attempts cost no time, and there is no network that would delay one client more than another. The generator is
`SplitMix64`; the seed of the table is {SEED}.

| policy | delay before a retry |
|---|---|
{formulas}
n counts retries from 0; U is a uniform draw from 0 to 1, another one each time.
"
    )
}

/// The bars of the contract's section 7, and how the default options stand.
fn bars(rows: &[Row]) -> String {
    let mut text = "\
| what | bar | this run | median of runs with other seeds | |
|---|---|---|---|---|
"
    .to_owned();
    let Some(ours) = rows.first() else { return text };
    let others = Medians::of(&ReconnectOptions::default());
    let mut bar = |what: &str, bar: &str, this: String, median: String, met: bool| {
        let verdict = if met { "met" } else { "missed" };
        let _ = writeln!(text, "| {what} | {bar} | {this} | {median} | {verdict} |");
    };
    let herd = &ours.herd;
    bar(
        "busiest window of first retries",
        "≤ 2 %",
        percent(herd.busiest_first()),
        percent(others.first),
        others.first <= 0.02 && herd.busiest_first() <= 0.02,
    );
    bar(
        "busiest window of returns",
        "≤ 1 %",
        percent(herd.busiest_return()),
        percent(others.returns),
        others.returns <= 0.01 && herd.busiest_return() <= 0.01,
    );
    for (share, name, most, median) in [
        (0.5, "p50", 4_000.0, others.p50),
        (0.95, "p95", 12_000.0, others.p95),
    ] {
        let this = herd.back_by_ms(share).unwrap_or(f64::INFINITY);
        bar(
            &format!("{name} back"),
            &format!("≤ {} s", most / 1_000.0),
            tenths(this),
            tenths(median),
            this <= most && median <= most,
        );
    }
    let none_dead = ours.dead.to_bits() == 0;
    bar("dead", "nobody", percent(ours.dead), String::new(), none_dead);
    text
}

/// Settings to choose from, and what each gives.
fn settings() -> String {
    let mut text = "\
| `baseMs` | `factor` | `capMs` | busiest window of first retries | of returns | p50 / p95 back |
|---|---|---|---|---|---|
"
    .to_owned();
    let default = ReconnectOptions::default().delay;
    let mut candidates = vec![
        default,
        setting(6_500, 1.5, 13_000),
        setting(6_000, 1.5, 30_000),
        setting(7_000, 1.1, 30_000),
        setting(7_500, 1.1, 30_000),
        setting(8_000, 1.1, 30_000),
        setting(8_000, 1.15, 30_000),
        setting(7_000, 1.2, 30_000),
        setting(1_000, 2.0, 30_000),
    ];
    let mut seen = Vec::new();
    candidates.retain(|setting| {
        let is_new = !seen.contains(setting);
        seen.push(*setting);
        is_new
    });
    for delay in candidates {
        let is_default = if delay == default { " (default)" } else { "" };
        let medians = Medians::of(&ReconnectOptions {
            delay,
            ..ReconnectOptions::default()
        });
        let _ = writeln!(
            text,
            "| {}{is_default} | {} | {} | {} | {} | {} / {} |",
            delay.base_ms,
            delay.factor,
            delay.cap_ms,
            percent(medians.first),
            percent(medians.returns),
            tenths(medians.p50),
            tenths(medians.p95),
        );
    }
    text
}

fn setting(base_ms: u64, factor: f64, cap_ms: u64) -> RetryOptions {
    RetryOptions {
        base_ms,
        factor,
        cap_ms,
    }
}

/// Medians over several seeds: the busiest window of one run is partly luck.
struct Medians {
    first: f64,
    returns: f64,
    p50: f64,
    p95: f64,
}

impl Medians {
    fn of(options: &ReconnectOptions) -> Self {
        let herds: Vec<Herd> = (0..SEEDS)
            .map(|n| function(options, CLIENTS, OUTAGE_MS, SEED + 1 + n))
            .collect();
        let median = |figure: &dyn Fn(&Herd) -> f64| {
            let mut figures: Vec<f64> = herds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        let back = |share| move |herd: &Herd| herd.back_by_ms(share).unwrap_or(f64::INFINITY);
        Self {
            first: median(&Herd::busiest_first),
            returns: median(&Herd::busiest_return),
            p50: median(&back(0.5)),
            p95: median(&back(0.95)),
        }
    }
}

fn formula(delay: RetryOptions) -> String {
    format!(
        "U · min({}, {} · {}ⁿ)",
        seconds(delay.cap_ms as f64),
        seconds(delay.base_ms as f64),
        delay.factor
    )
}

pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 99.5 || percent == 0.0 {
        format!("{percent:.0} %")
    } else if percent >= 10.0 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.2} %")
    }
}

/// A measured time.
pub(crate) fn tenths(ms: f64) -> String {
    format!("{:.1} s", ms / 1_000.0)
}

/// A constant.
fn seconds(ms: f64) -> String {
    if ms > 0.0 && ms < 100.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{} s", (ms / 100.0).round() / 10.0)
    }
}
