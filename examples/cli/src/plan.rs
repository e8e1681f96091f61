//! What a run is to do, and when it ends.

use std::time::Duration;

use crate::args::Args;
use crate::exit::{Code, Failure};
use crate::expect::Expectations;
use crate::input::Format;
use crate::sender::Outgoing;

/// An expectation without a deadline gets this one: a script must not hang.
const EXPECT_WITHIN: Duration = Duration::from_secs(30);

/// What to do and when to end.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) first: Vec<Outgoing>,
    pub(crate) format: Format,
    pub(crate) reads_stdin: bool,
    pub(crate) expect: Expectations,
    pub(crate) open_within: Option<Duration>,
    pub(crate) duration: Option<Duration>,
    /// The end of what is to be sent is the end of the run.
    pub(crate) ends_with_input: bool,
}

impl Plan {
    pub(crate) fn from_args(args: &Args) -> Result<Self, Failure> {
        let script = &args.script;
        let format = match (script.json_lines, script.binary_base64) {
            (true, _) => Format::Json,
            (_, true) => Format::Base64,
            _ => Format::Text,
        };
        let first: Vec<Outgoing> = script
            .send
            .iter()
            .map(|text| format.message(text.clone().into_bytes()))
            .collect();
        if let Some(Err(error)) = first.iter().find(|outgoing| outgoing.is_err()) {
            return Err(Failure::new(Code::Usage, "options", error.clone()));
        }
        let expect = Expectations::from_args(script)?;
        let duration = script.duration.or_else(|| expect.any().then_some(EXPECT_WITHIN));
        let has_input = !script.no_stdin || !first.is_empty();
        Ok(Self {
            ends_with_input: has_input && !script.keep_open && duration.is_none(),
            first,
            format,
            reads_stdin: !script.no_stdin,
            expect,
            open_within: Some(script.open_within).filter(|limit| !limit.is_zero()),
            duration,
        })
    }

    /// How long the sign-in may take.
    pub(crate) fn sign_in_limit(&self) -> Option<Duration> {
        self.open_within.into_iter().chain(self.duration).min()
    }
}
