//! `freshsocket`: a wscat that signs in and stays connected.
//!
//! How a run flows: `args` and `config` make the SDK's options and a plan; `secrets` takes passwords and tokens from
//! wherever they may stand; `sign_in` gets a session; `run` connects the socket and goes on until the plan is
//! fulfilled or cannot be; `output` prints what happens; `exit` says how it ended.

mod args;
mod config;
mod exit;
mod expect;
mod input;
mod logging;
mod output;
mod parse;
mod plan;
mod run;
mod secrets;
mod sender;
mod sign_in;
mod signals;
mod token_command;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::exit::{Exit, Failure};
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(args.output.json, args.output.quiet);
    let (exit, told) = match prepare_and_run(&args, &output) {
        Ok(exit) => (exit, false),
        Err(failure) => {
            output.failure(&failure);
            (failure.exit, true)
        }
    };
    output.exit(&exit, told);
    exit.process_code()
}

fn prepare_and_run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    if args.print_schema {
        output.document(&schemars::schema_for!(freshsocket::Options));
        return Ok(Exit::silent());
    }
    let config = config::Config::from_args(args)?;
    if args.print_config {
        output.document(&config.options);
        return Ok(Exit::silent());
    }
    logging::start(args.output.verbose);
    let secrets = secrets::Secrets::gather(&args.sign_in)?;
    let plan = plan::Plan::from_args(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::unexpected("the runtime could not be started", &error))?;
    let exit = runtime.block_on(run::run(config, secrets, plan, output));
    // Long enough for an interrupted prompt to give the terminal its echo back; nothing else is waited for.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    exit
}
