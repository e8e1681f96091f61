//! What catches everything that is said, and looks for secrets in it.

use std::fmt::{Debug, Display};
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use freshsocket::{Error, Session, Socket};
use freshsocket_mock_server::{MockServer, Settings};
use futures_util::StreamExt as _;
use tokio::runtime::{Builder, Runtime};

/// A password that stands nowhere but in these tests.
pub(crate) const PASSWORD: &str = "correct-horse-battery-staple-9731";

/// Everything that was said.
pub(crate) static SAID: LazyLock<Said> = LazyLock::new(Said::default);

#[derive(Clone, Default)]
pub(crate) struct Said(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Notes a value's `Debug` form, plain and pretty.
pub(crate) fn note(value: &impl Debug) {
    writeln!(SAID.clone(), "{value:?}\n{value:#?}").unwrap();
}

pub(crate) fn note_error<E: Debug + Display>(error: &E) {
    writeln!(SAID.clone(), "{error} {error:#}").unwrap();
    note(error);
}

pub(crate) fn note_result<T: Debug>(result: &Result<T, Error>) {
    note(result);
    if let Err(error) = result {
        note_error(error);
        writeln!(SAID.clone(), "{}", serde_json::to_string(error).unwrap()).unwrap();
    }
}

/// Follows a session and a socket from here to their end.
pub(crate) fn follow(session: &Session, socket: Option<&Socket>) {
    let (states, events) = (session.states(), session.events());
    note(&(
        session,
        &states,
        &events,
        session.state(),
        session.user(),
        session.http(),
    ));
    tokio::spawn(states.for_each(async |state| {
        note(&state);
        writeln!(SAID.clone(), "{}", serde_json::to_string(&state).unwrap()).unwrap();
    }));
    tokio::spawn(events.for_each(async |event| {
        note(&event);
        writeln!(SAID.clone(), "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }));
    if let Some(socket) = socket {
        note(&(socket, socket.handle()));
        tokio::spawn(socket.states().for_each(async |state| {
            note(&state);
            writeln!(SAID.clone(), "{}", serde_json::to_string(&state).unwrap()).unwrap();
        }));
        tokio::spawn(socket.events().for_each(async |event| {
            note(&event);
            writeln!(SAID.clone(), "{}", serde_json::to_string(&event).unwrap()).unwrap();
        }));
    }
}

pub(crate) fn listen_to_everything() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(|| SAID.clone())
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .init();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        writeln!(SAID.clone(), "{panic}\n{panic:?}").unwrap();
        usual(panic);
    }));
}

/// A mock server whose own logs are not heard: what it receives is its own to print.
pub(crate) async fn server(change: impl FnOnce(&mut Settings)) -> MockServer {
    static SERVERS: LazyLock<Runtime> = LazyLock::new(|| {
        let silent = || {
            std::mem::forget(tracing::subscriber::set_default(
                tracing::subscriber::NoSubscriber::new(),
            ));
        };
        Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .on_thread_start(silent)
            .build()
            .unwrap()
    });
    let server = SERVERS.spawn(MockServer::start()).await.unwrap().unwrap();
    server.set(change);
    server
}

/// The forms in which a secret might appear.
pub(crate) fn forms(secret: &str) -> Vec<(&'static str, String)> {
    let hex: String = secret
        .bytes()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|n| char::from_digit(n.into(), 16))
        .collect();
    let percent = |encode: fn(u8) -> bool| -> String {
        secret
            .bytes()
            .map(|b| {
                if encode(b) {
                    format!("%{b:02X}")
                } else {
                    char::from(b).to_string()
                }
            })
            .collect()
    };
    let bytes = format!("{:?}", secret.as_bytes());
    let mut forms = vec![
        ("plain", secret.to_owned()),
        (
            "percent",
            percent(|b| !(b.is_ascii_alphanumeric() || b"-._~".contains(&b))),
        ),
        ("percent with dots", percent(|b| !b.is_ascii_alphanumeric())),
        ("hex", hex.clone()),
        ("HEX", hex.to_uppercase()),
        ("bytes", bytes[1..bytes.len() - 1].to_owned()),
        ("reversed", secret.chars().rev().collect()),
    ];
    for (name, engine) in [
        ("base64", &STANDARD),
        ("base64", &STANDARD_NO_PAD),
        ("base64url", &URL_SAFE),
        ("base64url", &URL_SAFE_NO_PAD),
    ] {
        forms.push((name, engine.encode(secret)));
    }
    // The part of a JWT that makes it one: without it the rest is public knowledge.
    if let Some(signature) = secret
        .rsplit('.')
        .next()
        .filter(|part| secret.contains('.') && part.len() > 20)
    {
        forms.push(("signature", signature.to_owned()));
        forms.push(("half a signature", signature[..20].to_owned()));
    }
    forms
}

/// The secrets that stand in what was said.
pub(crate) fn found(said: &str, secrets: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for secret in secrets {
        for (form, text) in forms(secret) {
            if let Some(at) = said.find(&text) {
                let start = said[..at]
                    .rfind('\n')
                    .map_or(0, |n| n + 1)
                    .max(at.saturating_sub(300));
                let start = (start..=at).find(|n| said.is_char_boundary(*n)).unwrap_or(at);
                found.push(format!("{form}, after: {:?}", &said[start..at]));
            }
        }
    }
    found
}
