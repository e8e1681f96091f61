//! `cargo xtask test`: all checks, one after the other, stopping at the first that fails.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::command::{Count, cargo, run_tests};
use crate::{Outcome, demo, deny, fuzz, lint, soak, tools, wasm, web};

/// How long each fuzz target runs here; `cargo xtask fuzz` runs them for longer.
const FUZZ_SECONDS: u64 = 10;

/// A check: the tests it ran, if it is made of tests, and whether it is satisfied.
type Check = Box<dyn Fn() -> (Count, Outcome)>;

/// Runs the steps whose names contain one of `names`; all of them if there is none.
pub(crate) fn run(names: &[&str]) -> Outcome {
    let steps: Vec<_> = steps()
        .into_iter()
        .filter(|(step, _)| names.is_empty() || names.iter().any(|name| step.contains(name)))
        .collect();
    if steps.is_empty() {
        return Err(format!("no step has a name with {} in it", names.join(" or ")));
    }
    let started = Instant::now();
    let mut total = Count::default();
    let mut failure = None;
    for (number, (name, check)) in (1..).zip(&steps) {
        say(&format!(
            "\n[{number}/{}] {name} ({} so far)",
            steps.len(),
            shown(started.elapsed())
        ));
        let began = Instant::now();
        let (count, outcome) = check();
        total += count;
        let tests = if count.passed > 0 {
            format!(", {} passed", count.passed)
        } else {
            String::new()
        };
        match outcome {
            Ok(()) => say(&format!(
                "[{number}/{}] {name}: ok in {}{tests}",
                steps.len(),
                shown(began.elapsed())
            )),
            Err(why) => {
                total.failed = total.failed.max(1);
                say(&format!(
                    "[{number}/{}] {name}: FAILED in {}: {why}",
                    steps.len(),
                    shown(began.elapsed())
                ));
                failure = Some(format!("step {number}, {name}, failed: {why}"));
                break;
            }
        }
    }
    say(&format!(
        "\n{} steps in {}",
        steps.len(),
        shown(started.elapsed())
    ));
    if let Some(why) = &failure {
        say(why);
    }
    say(&format!("{} passed, {} failed", total.passed, total.failed));
    // Everything is said, and the last line is the count.
    failure.map_or(Ok(()), |_| Err(String::new()))
}

fn steps() -> Vec<(&'static str, Check)> {
    let mut steps: Vec<(&'static str, Check)> = Vec::new();
    for (name, check) in lint::checks() {
        steps.push((name, plain(check)));
    }
    // With every feature: the schema and the pages made from it are among the tests, and so is the README's code.
    steps.push((
        "tests",
        Box::new(|| match tools::ensure("redis-server", "redis-server") {
            Ok(()) => run_tests(&mut cargo(["test", "--workspace", "--all-features"])),
            Err(why) => (Count::default(), Err(why)),
        }),
    ));
    let pure = || run_tests(&mut cargo(["test", "-p", "freshsocket", "--no-default-features"]));
    steps.push(("tests of the pure core", Box::new(pure)));
    steps.push(("simulation", plain(soak::few)));
    steps.push(("pure core on wasm32", plain(wasm::check)));
    steps.push(("web client", Box::new(web::run_all)));
    steps.push(("licences and sources of dependencies", plain(deny::dependencies)));
    steps.push(("fuzz targets", Box::new(|| counted(fuzz::every(FUZZ_SECONDS)))));
    steps.push(("demo", plain(demo::check)));
    steps.push(("picture of the demo", plain(demo::check_svg)));
    steps
}

fn plain(check: fn() -> Outcome) -> Check {
    Box::new(move || (Count::default(), check()))
}

fn counted(result: Result<Count, String>) -> (Count, Outcome) {
    match result {
        Ok(count) => (count, Ok(())),
        Err(why) => (Count::default(), Err(why)),
    }
}

fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}

fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}
