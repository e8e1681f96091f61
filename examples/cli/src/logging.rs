//! Logs on standard error, as verbose as asked for.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// `-v`, `-vv`, `-vvv`. The last one is everything, the layers below the SDK included.
pub(crate) fn start(verbose: u8) {
    let filter = match verbose {
        0 => return,
        1 => "info",
        2 => "info,freshsocket=debug",
        _ => "trace",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
