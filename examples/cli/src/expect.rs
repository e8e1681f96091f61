//! What a script waits for.

use freshsocket::Message;
use regex::Regex;

use crate::args::ScriptArgs;
use crate::exit::Failure;
use crate::parse::Condition;

/// All that is expected, and how much of it was seen.
#[derive(Debug)]
pub(crate) struct Expectations {
    open: Vec<Expect>,
    count: Option<u64>,
    seen: u64,
    any: bool,
}

#[derive(Debug)]
enum Expect {
    Text(String),
    Regex(Regex),
    Json(Condition),
}

impl Expectations {
    pub(crate) fn from_args(args: &ScriptArgs) -> Result<Self, Failure> {
        let mut open: Vec<Expect> = args.expect.iter().cloned().map(Expect::Text).collect();
        for text in &args.expect_regex {
            let regex =
                Regex::new(text).map_err(|error| Failure::usage(format!("--expect-regex: {error}")))?;
            open.push(Expect::Regex(regex));
        }
        open.extend(args.expect_json.iter().cloned().map(Expect::Json));
        let any = !open.is_empty() || args.count.is_some();
        Ok(Self {
            open,
            count: args.count,
            seen: 0,
            any,
        })
    }

    /// Whether anything is expected at all.
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// Whether everything was seen.
    pub(crate) fn met(&self) -> bool {
        self.any && self.open.is_empty() && self.count.is_none_or(|count| self.seen >= count)
    }

    /// Takes a message into account.
    pub(crate) fn see(&mut self, message: &Message) {
        self.seen += 1;
        if self.open.is_empty() {
            return;
        }
        let text = std::str::from_utf8(message.as_bytes()).ok();
        let json = text.and_then(|text| serde_json::from_str(text).ok());
        self.open.retain(|expect| !match expect {
            Expect::Text(wanted) => text.is_some_and(|text| text.contains(wanted)),
            Expect::Regex(regex) => text.is_some_and(|text| regex.is_match(text)),
            Expect::Json(condition) => json.as_ref().is_some_and(|json| condition.holds(json)),
        });
    }

    /// What is still missing, in words.
    pub(crate) fn missing(&self) -> String {
        let mut missing: Vec<String> = self.open.iter().map(Expect::to_string).collect();
        if let Some(count) = self.count.filter(|count| self.seen < *count) {
            missing.push(format!("{} of {count} messages", count - self.seen));
        }
        missing.join(", ")
    }
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "a message with {text:?}"),
            Self::Regex(regex) => write!(f, "a message like /{regex}/"),
            Self::Json(Condition { pointer, value }) => write!(f, "a message with {value} at {pointer}"),
        }
    }
}
