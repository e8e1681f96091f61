//! `cargo xtask`: every chore of the workspace, the same on a laptop and in CI.
#![allow(clippy::print_stdout, clippy::print_stderr)] // Printing is what a command does.

mod bench;
mod command;
mod demo;
mod deny;
mod examples;
mod fuzz;
#[cfg(test)]
mod guarantees;
mod herd;
mod lint;
mod schema;
mod soak;
mod test;
mod tools;
mod wasm;
mod web;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <command>

  demo [ARGS]             build the demo and run it; ARGS go to it (--fast, --plain, --help)
  test [NAME]...          every check, as in CI; with NAMEs only the steps whose names contain one of them

  lint                    formatting, clippy, documentation
  deny                    licences, banned crates, sources of dependencies
  advisories              known vulnerabilities of dependencies (fetches the RustSec database: needs a network)
  schema [--check]        write docs/options.schema.json, docs/options.md, docs/errors.md and the README's errors
  svg                     write docs/demo.svg, the README's picture
  herd                    write docs/herd.md and docs/herd.svg: 10,000 clients that drop together
  fuzz [--seconds N] [TARGET]...
                          run the fuzz targets, N seconds each (default 60)
  soak [ARGS]             simulated worlds with every fault there is; --minutes M, --seeds N, --first S; --seed S shows
                          what happened in one of them
  bench [--smoke] [ARGS]  run the benchmarks; --smoke: each once, to see that they run
  wasm                    check that the pure core compiles for wasm32-unknown-unknown
  web                     build the npm package, run its tests in Node and Chromium, show its size
";

/// What a chore says when it went wrong; nothing, if it has said so itself.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["demo", rest @ ..] => demo::run(rest),
        ["svg"] => demo::svg(),
        ["test", names @ ..] => test::run(names),
        ["lint"] => lint::run(),
        ["deny"] => deny::dependencies(),
        ["advisories"] => deny::advisories(),
        ["schema"] => schema::write(),
        ["schema", "--check"] => schema::check(),
        ["soak", rest @ ..] => soak::soak(rest),
        ["herd"] => herd::write(),
        ["fuzz", rest @ ..] => fuzz::run_targets(rest),
        ["bench", rest @ ..] => bench::run_all(rest),
        ["wasm"] => wasm::check(),
        ["web"] => web::run_all().1,
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown command: {}\n\n{USAGE}", arguments.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            if !why.is_empty() {
                eprintln!("xtask: {why}");
            }
            ExitCode::FAILURE
        }
    }
}
