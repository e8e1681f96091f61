//! What connecting and letting go leaves behind (W14): thousands of cycles in a process of their own, server elsewhere,
//! with every allocation counted. Memory that is flat has a slope of about nothing.
//!
//! A program of its own because counting costs time, which the other benchmarks measure.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a program that prints its results"
)]
#![allow(
    clippy::cast_precision_loss,
    reason = "counts of bytes and cycles are far below 2^52"
)]

use std::alloc::System;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use freshsocket::{Session, SocketState};
use freshsocket_mock_server::MockServer;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::{Builder, Handle, Runtime};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Rows of a table.
const ROWS: usize = 10;

/// How many rows at the beginning the slope leaves out: caches fill, pages are taken for the first time.
const WARM_UP: usize = 3;

/// A slope of the allocated bytes above this is a leak: less than one allocation of any kind a cycle.
const MOST_BYTES_A_CYCLE: f64 = 8.0;

/// Memory, tasks and files after many cycles of connecting and letting go.
#[derive(Parser)]
struct Arguments {
    /// Cycles of a socket; a fifth as many of a whole session.
    #[arg(default_value_t = 10_000)]
    cycles: usize,
    /// A short run that shows only that everything works; its figures mean nothing.
    #[arg(long)]
    smoke: bool,
    /// One table, in a process of its own.
    #[arg(long, hide = true, num_args = 2, value_names = ["KIND", "ADDRESS"])]
    client: Option<Vec<String>>,
}

/// What a cycle makes and drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A socket of a session that stays.
    Sockets,
    /// A session, signed in, with a socket.
    Sessions,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let cycles = if arguments.smoke { 200 } else { arguments.cycles };
    if let Some(client) = &arguments.client {
        let [kind, address] = client.as_slice() else {
            panic!("a kind and an address")
        };
        let kind = Kind::from_str(kind, true).expect("a kind");
        return runtime(2).block_on(table(kind, address, arguments.cycles));
    }
    let runtime = runtime(1);
    let server = runtime.block_on(MockServer::start()).expect("the mock server");
    for (kind, name, cycles) in [
        ("sockets", "a socket", cycles),
        ("sessions", "a session", cycles / 5),
    ] {
        println!("\n## {cycles} cycles of {name}\n");
        let status = Command::new(std::env::current_exe().expect("this program"))
            .args(["--client", kind, &server.addr().to_string(), &cycles.to_string()])
            .stdin(Stdio::null())
            .status()
            .expect("the child ran");
        if !status.success() && !arguments.smoke {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What there is at one moment.
#[derive(Clone, Copy)]
struct Stock {
    cycles: usize,
    resident: usize,
    bytes: usize,
    allocations: usize,
    tasks: usize,
    files: usize,
}

impl Stock {
    fn take(cycles: usize) -> Self {
        let stats = ALLOCATOR.stats();
        Self {
            cycles,
            resident: resident(),
            bytes: stats.bytes_allocated.saturating_sub(stats.bytes_deallocated),
            allocations: stats.allocations.saturating_sub(stats.deallocations),
            tasks: Handle::current().metrics().num_alive_tasks(),
            files: files(),
        }
    }

    /// Once what was dropped is gone: as many tasks and files as before, and no allocation for a while. It gives up after
    /// some seconds; then the figures say so.
    async fn settled(cycles: usize, before: Self) -> Self {
        let mut last = Self::take(cycles);
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(25)).await;
            let now = Self::take(cycles);
            let is_quiet = now.bytes == last.bytes && now.allocations == last.allocations;
            if is_quiet && now.tasks <= before.tasks && now.files <= before.files {
                return now;
            }
            last = now;
        }
        last
    }
}

/// Runs the cycles and prints the table; fails when something is left behind.
async fn table(kind: Kind, address: &str, cycles: usize) -> ExitCode {
    let session = signed_in(address).await;
    // One of each first: what is made once and kept is no leak.
    cycle(kind, &session, address, 0).await;
    cycle(kind, &session, address, 1).await;
    let quiet = Stock {
        tasks: usize::MAX,
        files: usize::MAX,
        ..Stock::take(0)
    };
    let first = Stock::settled(0, quiet).await;
    println!("| cycles | resident, KiB | allocated, bytes | allocations | tasks | open files |");
    println!("|---|---|---|---|---|---|");
    row(&first);
    let mut rows = Vec::new();
    let each = (cycles / ROWS).max(1);
    for number in 1..=ROWS {
        for n in 0..each {
            cycle(kind, &session, address, n).await;
        }
        let stock = Stock::settled(number * each, first).await;
        row(&stock);
        rows.push(stock);
    }
    let later = &rows[WARM_UP..];
    let allocated = slope(later, |stock| stock.bytes);
    println!(
        "\nBytes a cycle, median slope of the last {} rows: allocated {allocated:.2}, resident {:.2}.",
        later.len(),
        slope(later, |stock| stock.resident),
    );
    let last = rows[ROWS - 1];
    let is_clean = last.tasks <= first.tasks && last.files <= first.files;
    println!(
        "Tasks and open files are {} at the end.",
        if is_clean { "as before" } else { "MORE" }
    );
    if is_clean && allocated < MOST_BYTES_A_CYCLE {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Makes one, uses it, and drops it in one of the ways there are.
async fn cycle(kind: Kind, session: &Session, address: &str, n: usize) {
    match kind {
        Kind::Sockets => use_socket(session, address, n.is_multiple_of(2)).await,
        Kind::Sessions => {
            let session = signed_in(address).await;
            use_socket(&session, address, true).await;
            if n.is_multiple_of(2) {
                session.close().await;
            }
        }
    }
}

async fn use_socket(session: &Session, address: &str, talk: bool) {
    let mut socket = session
        .socket(format!("ws://{address}/ws"))
        .connect()
        .expect("a socket");
    socket.wait_for(SocketState::is_open).await;
    if talk {
        socket.send("hello").await.expect("it is taken");
        let echo = socket.next().await.expect("not the end").expect("no error");
        assert_eq!(echo.as_text(), Some("hello"));
    } else {
        socket.disconnect().await;
    }
}

async fn signed_in(address: &str) -> Session {
    let session = Session::builder(format!("http://{address}"))
        .build()
        .await
        .expect("a session");
    let credentials = [("username", "ada"), ("password", "correct")];
    session.login(credentials).await.expect("the user signs in");
    session
}

fn row(stock: &Stock) {
    println!(
        "| {} | {} | {} | {} | {} | {} |",
        stock.cycles,
        stock.resident / 1024,
        stock.bytes,
        stock.allocations,
        stock.tasks,
        stock.files
    );
}

/// How much a figure grows in a cycle: the median slope of all pairs of rows, which one step (a buffer that a thread keeps)
/// does not move, and a leak does.
fn slope(rows: &[Stock], figure: impl Fn(&Stock) -> usize) -> f64 {
    let mut slopes = Vec::new();
    for (at, later) in rows.iter().enumerate() {
        for earlier in &rows[..at] {
            let grown = figure(later) as f64 - figure(earlier) as f64;
            slopes.push(grown / (later.cycles - earlier.cycles) as f64);
        }
    }
    slopes.sort_by(f64::total_cmp);
    slopes[slopes.len() / 2]
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    let kilobytes: usize = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number");
    kilobytes * 1024
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("a runtime")
}
