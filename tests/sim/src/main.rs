//! `freshsocket-sim`: runs worlds, many of them, and shows the first that breaks a rule.
#![allow(clippy::print_stdout, clippy::print_stderr)] // Printing is what a command does.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use freshsocket_sim::fleet::{Cover, Sabotage, Violation, run};

const USAGE: &str = "\
freshsocket-sim [OPTIONS]

  --seeds N      run N worlds (default 1000)
  --minutes M    run worlds for M minutes instead
  --first S      begin with seed S (default 1)
  --seed S       run one world and show the last of what happened in it
  --threads T    on so many threads (default: all that there are)
  --keep-going   do not stop at the first violation; count them by rule
";

/// What is asked for.
struct Asked {
    first: u64,
    seeds: u64,
    until: Option<Instant>,
    only: Option<u64>,
    threads: usize,
    keep_going: bool,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked {
        first: 1,
        seeds: 1_000,
        until: None,
        only: None,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        keep_going: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u64, String> {
            let text = arguments.next().unwrap_or_default();
            text.parse()
                .map_err(|_| format!("{argument} wants a number, not {text:?}\n\n{USAGE}"))
        };
        match argument.as_str() {
            "--seeds" => asked.seeds = number()?,
            "--first" => asked.first = number()?,
            "--seed" => asked.only = Some(number()?),
            "--threads" => asked.threads = usize::try_from(number()?.clamp(1, 256)).unwrap_or(1),
            "--minutes" => {
                asked.until = Some(Instant::now() + Duration::from_secs(number()?.saturating_mul(60)));
                asked.seeds = u64::MAX;
            }
            "--keep-going" => asked.keep_going = true,
            // What `--seed` does anyway.
            "--trace" => {}
            other => return Err(format!("unknown option {other}\n\n{USAGE}")),
        }
    }
    Ok(asked)
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    next: AtomicU64,
    done: AtomicU64,
    simulated_ms: AtomicU64,
    stop: AtomicBool,
    cover: Mutex<Cover>,
    violations: Mutex<Vec<Violation>>,
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(why) => {
            eprint!("{why}");
            return ExitCode::FAILURE;
        }
    };
    // A panic is a violation and is shown as one.
    std::panic::set_hook(Box::new(|_| ()));
    if let Some(seed) = asked.only {
        let outcome = run(seed, Sabotage::None, true);
        if let Some(violation) = outcome.violation {
            println!("{violation}");
            return ExitCode::FAILURE;
        }
        let seconds = outcome.simulated_ms / 1_000;
        println!(
            "{}seed {seed}: {seconds} s of simulated time, no rule broken",
            outcome.cover
        );
        return ExitCode::SUCCESS;
    }
    let shared = Shared::default();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..asked.threads {
            scope.spawn(|| work(&asked, &shared));
        }
        scope.spawn(|| report(&asked, &shared, began));
    });
    finish(&asked, &shared, began)
}

fn work(asked: &Asked, shared: &Shared) {
    let mut cover = Cover::default();
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let late = asked.until.is_some_and(|until| Instant::now() >= until);
        if number >= asked.seeds || late || shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let outcome = run(asked.first.wrapping_add(number), Sabotage::None, false);
        shared.done.fetch_add(1, Ordering::Relaxed);
        shared
            .simulated_ms
            .fetch_add(outcome.simulated_ms, Ordering::Relaxed);
        cover.add(&outcome.cover);
        if let Some(violation) = outcome.violation {
            if asked.keep_going {
                println!("{violation}");
            } else {
                shared.stop.store(true, Ordering::Relaxed);
            }
            if let Ok(mut all) = shared.violations.lock() {
                all.push(violation);
            }
        }
    }
    if let Ok(mut all) = shared.cover.lock() {
        all.add(&cover);
    }
}

/// One line now and then, until the work is done.
fn report(asked: &Asked, shared: &Shared, began: Instant) {
    let mut last = Instant::now();
    while shared.next.load(Ordering::Relaxed) < asked.seeds && !shared.stop.load(Ordering::Relaxed) {
        if asked.until.is_some_and(|until| Instant::now() >= until) {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(200));
        if last.elapsed() >= Duration::from_secs(10) {
            last = Instant::now();
            println!("{}", line(shared, began));
        }
    }
}

fn line(shared: &Shared, began: Instant) -> String {
    let done = shared.done.load(Ordering::Relaxed);
    let hours = shared.simulated_ms.load(Ordering::Relaxed) / 3_600_000;
    let rate = u128::from(done) * 1_000 / began.elapsed().as_millis().max(1);
    format!("{done} seeds, {rate} a second, {hours} simulated hours")
}

fn finish(asked: &Asked, shared: &Shared, began: Instant) -> ExitCode {
    let (Ok(cover), Ok(mut violations)) = (shared.cover.lock(), shared.violations.lock()) else {
        return ExitCode::FAILURE;
    };
    print!("{cover}");
    println!("{}, {} faults", line(shared, began), cover.faults());
    violations.sort_by_key(|violation| violation.seed);
    if let Some(first) = violations.first() {
        if asked.keep_going {
            let mut rules: Vec<&str> = violations.iter().map(|violation| violation.rule).collect();
            rules.sort_unstable();
            println!("{} violations: {}", violations.len(), rules.join(" "));
        }
        // Again, to be read.
        if let Some(violation) = run(first.seed, Sabotage::None, true).violation {
            println!("{violation}");
        }
        println!("again: cargo xtask soak --seed {}", first.seed);
        return ExitCode::FAILURE;
    }
    println!("no rule was broken");
    ExitCode::SUCCESS
}
