//! How a run ends: the exit codes that scripts can use. The README documents them; they are stable.

use std::fmt::Display;
use std::process::ExitCode;

use freshsocket::{Error, ErrorKind};

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// As asked.
    Ok = 0,
    /// Something that nobody foresaw.
    Unexpected = 1,
    /// Wrong usage or options; also clap's own.
    Usage = 2,
    /// The server refused the sign-in, or there is nobody to sign in.
    SignInRefused = 3,
    /// Signed out, refused, or ended for good by the server.
    Ended = 4,
    /// Not connected within the time or the number of attempts allowed.
    Unreachable = 5,
    /// An expectation was not met in time.
    Unmet = 6,
    /// Something that was to be sent was not.
    NotSent = 7,
    /// Ctrl-C.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// A code and why.
#[derive(Clone, Debug)]
pub(crate) struct Exit {
    pub(crate) code: Code,
    pub(crate) reason: String,
    /// A document was printed and nothing was run: there is nothing to tell.
    pub(crate) silent: bool,
}

impl Exit {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            silent: false,
        }
    }

    pub(crate) fn silent() -> Self {
        Self {
            silent: true,
            ..Self::new(Code::Ok, "")
        }
    }

    pub(crate) fn process_code(&self) -> ExitCode {
        ExitCode::from(self.code as u8)
    }
}

/// An end by an error.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What was being done, as in the JSON lines.
    pub(crate) during: &'static str,
    pub(crate) error: Error,
}

impl Failure {
    pub(crate) fn new(code: Code, during: &'static str, error: Error) -> Self {
        Self {
            exit: Exit::new(code, error.to_string()),
            during,
            error,
        }
    }

    /// A mistake in flags or configuration.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(
            Code::Usage,
            "options",
            Error::new(ErrorKind::InvalidOptions, message.into()),
        )
    }

    /// A mistake in flags or configuration that the SDK or the system found.
    pub(crate) fn options(error: Error) -> Self {
        Self::new(Code::Usage, "options", error)
    }

    pub(crate) fn unexpected(what: &'static str, cause: &dyn Display) -> Self {
        let error = Error::new(ErrorKind::Unsupported, what).with_cause(cause.to_string());
        Self::new(Code::Unexpected, "start", error)
    }
}
