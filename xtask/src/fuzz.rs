//! The fuzz targets, on stable Rust and without cargo-fuzz: libFuzzer with coverage, no sanitizer. The layout is that
//! of cargo-fuzz, so `cargo +nightly fuzz run <target>` works as well, with the address sanitizer.

use std::fs;
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::command::{Count, cargo, root, run, target};
use crate::tools;

/// The targets, as `fuzz/Cargo.toml` names them.
const TARGETS: [&str; 5] = ["claims", "config", "http_answer", "machine", "messages"];

/// What cargo-fuzz gives to the compiler when it is told to use no sanitizer.
const FLAGS: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
];

/// `[--seconds N] [TARGET]...`
pub(crate) fn run_targets(arguments: &[&str]) -> Outcome {
    let (seconds, names) = match arguments {
        ["--seconds", seconds, names @ ..] => {
            (seconds.parse().map_err(|_| "--seconds wants a number")?, names)
        }
        names => (60, names),
    };
    if let Some(unknown) = names.iter().find(|name| !TARGETS.contains(name)) {
        return Err(format!(
            "no fuzz target is called {unknown}; there are {}",
            TARGETS.join(", ")
        ));
    }
    let names = if names.is_empty() { &TARGETS } else { names };
    fuzz(seconds, names).map(drop)
}

/// Every target for a few seconds.
pub(crate) fn every(seconds: u64) -> Result<Count, String> {
    fuzz(seconds, &TARGETS)
}

fn fuzz(seconds: u64, names: &[&str]) -> Result<Count, String> {
    // libFuzzer itself is C++.
    tools::ensure("c++", "g++")?;
    let host = tools::host()?;
    let directory = target().join("fuzz");
    let mut build = cargo([
        "build",
        "--release",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--bins",
        "--target",
        &host,
    ]);
    build
        .env("RUSTFLAGS", FLAGS.join(" "))
        .env("CARGO_TARGET_DIR", &directory);
    run(&mut build)?;
    let mut count = Count::default();
    for name in names {
        let corpus = root().join("fuzz/corpus").join(name);
        let artifacts = root().join("fuzz/artifacts").join(name);
        for made in [&corpus, &artifacts] {
            fs::create_dir_all(made).map_err(|error| format!("{}: {error}", made.display()))?;
        }
        let program = directory.join(&host).join("release").join(name);
        let mut command = Command::new(program);
        command
            .arg(format!("-max_total_time={seconds}"))
            .args([
                "-max_len=4096",
                "-timeout=10",
                "-rss_limit_mb=2048",
                "-verbosity=0",
                "-print_final_stats=1",
            ])
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(&corpus)
            .arg(root().join("fuzz/seeds").join(name));
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{name}: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let runs = said
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
        let runs: u64 = runs.and_then(|runs| runs.trim().parse().ok()).unwrap_or(0);
        println!("{name}: {runs} runs");
        if !output.status.success() {
            println!("{said}");
            return Err(format!(
                "fuzz target {name} failed; the input is in fuzz/artifacts/{name}"
            ));
        }
        if runs == 0 {
            return Err(format!("fuzz target {name} ran nothing"));
        }
        count.passed += 1;
    }
    Ok(count)
}
