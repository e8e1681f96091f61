//! All that is printed: here is the only place that writes to standard output and standard error.
//!
//! Two forms of the same [`Line`]s: for people (messages on standard output, the rest on standard error) and JSON
//! (everything on standard output, the stable format of the README).

mod human;
mod line;

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::exit::{Exit, Failure};
use human::Human;
pub(crate) use line::{Line, Sent};

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Output {
    form: Form,
    /// Nobody reads standard output any more (`… | head -3`).
    closed: AtomicBool,
}

#[derive(Debug)]
enum Form {
    Json,
    Human(Human),
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let form = if json {
            Form::Json
        } else {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            Form::Human(Human {
                quiet,
                colour,
                terminal: std::io::stdout().is_terminal(),
            })
        };
        Self {
            form,
            closed: AtomicBool::new(false),
        }
    }

    /// Prints one line about what happens now.
    pub(crate) fn line(&self, line: &Line<'_>) {
        self.line_of(unix_ms(), line);
    }

    /// Prints one line about what happened at this time.
    pub(crate) fn line_of(&self, at_unix_ms: u64, line: &Line<'_>) {
        match &self.form {
            Form::Json => self.document_line(&Stamped { ts: at_unix_ms, line }),
            Form::Human(human) => {
                if let Line::Message { message } = line {
                    self.write(human.message(message).as_bytes());
                } else if let Some(text) = human.status(line, at_unix_ms) {
                    note(&text);
                }
            }
        }
    }

    /// Says why nothing could be run.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.line(&Line::Error {
            during: failure.during,
            error: &failure.error,
        });
    }

    /// The last line.
    pub(crate) fn exit(&self, exit: &Exit, told: bool) {
        // People need not read the same twice.
        let superfluous = told && matches!(self.form, Form::Human(_));
        if !exit.silent && !superfluous {
            self.line(&Line::Exit {
                code: exit.code as u8,
                reason: &exit.reason,
            });
        }
    }

    /// A whole JSON document, for people to read and programs to parse.
    pub(crate) fn document(&self, document: &impl Serialize) {
        if let Ok(mut text) = serde_json::to_string_pretty(document) {
            text.push('\n');
            self.write(text.as_bytes());
        }
    }

    /// Whether there is no use in printing more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn document_line(&self, document: &impl Serialize) {
        if let Ok(mut text) = serde_json::to_string(document) {
            text.push('\n');
            self.write(text.as_bytes());
        }
    }

    fn write(&self, bytes: &[u8]) {
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
            self.closed.store(true, Ordering::Relaxed);
        }
    }
}

/// A line of JSON with its time.
#[derive(Serialize)]
struct Stamped<'a> {
    ts: u64,
    #[serde(flatten)]
    line: &'a Line<'a>,
}

/// One line on standard error. Where nobody reads it, nothing is lost.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The time now.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
