//! What happened last, in words: kept only when a run is replayed to be read.

use std::collections::VecDeque;

/// How many lines are kept.
const LINES: usize = 600;

#[derive(Debug, Default)]
pub(super) struct Trace {
    on: bool,
    lines: VecDeque<String>,
}

impl Trace {
    pub(super) fn new(on: bool) -> Self {
        Self {
            on,
            lines: VecDeque::new(),
        }
    }

    pub(super) fn note(&mut self, now: u64, line: impl FnOnce() -> String) {
        if !self.on {
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        let line = line();
        if line.is_empty() {
            return;
        }
        let (minutes, seconds, ms) = (now / 60_000, now / 1_000 % 60, now % 1_000);
        self.lines
            .push_back(format!("{minutes:4}:{seconds:02}.{ms:03} {line}"));
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
