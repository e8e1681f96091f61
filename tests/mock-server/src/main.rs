//! The mock server as a program, for the tests of browsers, Kotlin and Swift.

use std::io::Write as _;
use std::path::Path;

use clap::{Parser, ValueEnum};
use freshsocket_mock_server::{MockServer, Settings};
use tracing_subscriber::EnvFilter;

/// Runs until SIGINT or SIGTERM, or `POST /__control/shutdown`.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Port on 127.0.0.1; 0 lets the system choose.
    #[arg(long, env = "FRESHSOCKET_MOCK_PORT", default_value_t = 0)]
    port: u16,
    /// Settings as JSON (beginning with a brace), or the path of a JSON file. For example
    /// `{"failedAuthLimit": 3, "failedAuthTargets": ["http", "ws"]}`: 429 after three failed authentications.
    #[arg(long)]
    settings: Option<String>,
    /// Log to stderr in this form; `RUST_LOG` filters. Default: no log.
    #[arg(long, value_enum)]
    log: Option<LogForm>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogForm {
    Text,
    Json,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    if let Some(form) = arguments.log {
        start_log(form);
    }
    let settings = match &arguments.settings {
        Some(given) => read_settings(given)?,
        None => Settings::default(),
    };
    let server = MockServer::builder()
        .port(arguments.port)
        .settings(settings)
        .start()
        .await?;
    let asked_to_end = asked_to_end()?;
    announce(&server)?;
    tokio::select! {
        () = asked_to_end => {}
        () = server.stopped() => {}
    }
    server.shutdown().await;
    Ok(())
}

/// The one line on stdout, which the programs that start us wait for.
fn announce(server: &MockServer) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {}", server.http_url())?;
    out.flush()
}

fn read_settings(given: &str) -> Result<Settings, Box<dyn std::error::Error>> {
    if given.trim_start().starts_with('{') {
        return Ok(serde_json::from_str(given)?);
    }
    Ok(serde_json::from_str(&std::fs::read_to_string(Path::new(given))?)?)
}

fn start_log(form: LogForm) {
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // At their lowest levels these write whole frames and headers, and with them tokens.
    for quiet in ["hyper=info", "tungstenite=info", "tokio_tungstenite=info"] {
        if let Ok(quiet) = quiet.parse() {
            filter = filter.add_directive(quiet);
        }
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match form {
        LogForm::Text => log.init(),
        LogForm::Json => log.json().init(),
    }
}

/// The signals that end the program. Taken before the announcement, so that who reads it may signal at once.
#[cfg(unix)]
fn asked_to_end() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn asked_to_end() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}
