//! The picture: a pure function from the story to a grid, for any size from 80×24 on.

use freshsocket::SessionState;

use crate::grid::{Grid, Ink};
use crate::script::Act;
use crate::story::{Outcome, Sample, Story, Tag};
use crate::words::{self, Health, grouped, seconds};

/// Where values begin.
const VALUES: usize = 11;
/// The rows that do not grow with the height: all but the log.
const FIXED_ROWS: usize = 18;

/// Draws the story.
pub(crate) fn picture(story: &Story, width: usize, height: usize) -> Grid {
    let mut grid = Grid::new(width, height);
    header(&mut grid, story);
    progress(&mut grid, 1, story);
    act(&mut grid, 3, story);
    token(&mut grid, 7, story);
    states(&mut grid, 8, story);
    counters(&mut grid, 11, story);
    history(&mut grid, 14, story);
    log(&mut grid, FIXED_ROWS, story);
    grid
}

fn header(grid: &mut Grid, story: &Story) {
    let at = grid.put_bold(0, 1, "freshsocket", Ink::Accent);
    grid.put(
        0,
        at,
        " · a session that stays fresh, a socket that survives",
        Ink::Dim,
    );
    let time = format!("{:.1} s", seconds(story.now_ms));
    grid.put_right(0, &time, Ink::Text);
}

/// The whole run: one piece for each act, as wide as it is long.
fn progress(grid: &mut Grid, row: usize, story: &Story) {
    let width = grid.width().saturating_sub(2);
    let acts = Act::ALL.len();
    for (place, outcome) in story.acts.iter().enumerate() {
        let (from, to) = (place * width / acts, (place + 1) * width / acts);
        let length = to.saturating_sub(from + 1);
        let (done, ink) = match outcome {
            Outcome::Ahead => (0, Ink::Faint),
            Outcome::On { since_ms } => {
                let usual = usual_ms(story, place).max(1);
                let part = story.now_ms.saturating_sub(*since_ms).min(usual);
                (scaled(length, part, usual), Ink::Accent)
            }
            Outcome::Survived { .. } => (length, Ink::Good),
            Outcome::Failed { .. } => (length, Ink::Bad),
        };
        let at = grid.put(row, 1 + from, &"━".repeat(done), ink);
        grid.put(row, at, &"━".repeat(length - done), Ink::Faint);
    }
}

fn usual_ms(story: &Story, place: usize) -> u64 {
    let pace = &story.pace;
    let usual = match Act::ALL.get(place) {
        Some(Act::Quiet) => pace.quiet.0,
        Some(Act::Finale) => pace.quiet.1,
        _ => pace.act,
    };
    u64::try_from(usual.as_millis()).unwrap_or(u64::MAX)
}

fn act(grid: &mut Grid, row: usize, story: &Story) {
    if story.over {
        return verdict(grid, row, story);
    }
    let act = story.act();
    let ink = if act.is_fault() { Ink::Waiting } else { Ink::Good };
    let number = act
        .fault_number()
        .map_or("·".to_owned(), |number| number.to_string());
    let at = grid.put_bold(row, 1, &format!("{number} {}", act.title()), ink);
    let (mark, ink) = match story.acts.get(story.act) {
        Some(Outcome::Survived { .. }) if act.is_fault() => ("  ✓ survived", Ink::Good),
        Some(Outcome::Failed { .. }) => ("  ✗ not survived", Ink::Bad),
        _ => ("", Ink::Text),
    };
    grid.put(row, at, mark, ink);
    grid.put_cut(row + 1, 3, act.happens(), Ink::Text);
    grid.put_cut(row + 2, 3, act.promise(), Ink::Dim);
}

fn verdict(grid: &mut Grid, row: usize, story: &Story) {
    match story.failures.first() {
        None => {
            let survived = story
                .acts
                .iter()
                .zip(Act::ALL)
                .filter(|(_, act)| act.is_fault())
                .count();
            grid.put_bold(row, 1, &format!("✓ {survived} faults survived"), Ink::Good);
            grid.put_cut(
                row + 1,
                3,
                "Nothing was lost that the contract promises to keep.",
                Ink::Text,
            );
            let wire = story.sums.on_the_wire;
            let text = format!(
                "{} cut off on the wire of dead connections: without acks nobody can know.",
                counted(wire)
            );
            grid.put_cut(row + 2, 3, &text, Ink::Dim);
        }
        Some(why) => {
            grid.put_bold(row, 1, "✗ a promise was broken", Ink::Bad);
            grid.put_cut(row + 1, 3, why, Ink::Text);
        }
    }
}

fn counted(number: u64) -> String {
    match number {
        0 => "No message was".into(),
        1 => "1 message was".into(),
        more => format!("{} messages were", grouped(more)),
    }
}

/// The token's life: drains from left to right; the part before the mark is the margin, in which it is renewed.
fn token(grid: &mut Grid, row: usize, story: &Story) {
    grid.put(row, 1, "token", Ink::Dim);
    let Some(token) = story.token else {
        grid.put(row, VALUES, "none yet", Ink::Dim);
        return;
    };
    let at = grid.put(row, VALUES, &format!("#{:<4}", token.number), Ink::Text);
    let length = grid.width().saturating_sub(at + 33);
    let life = token.expires_ms.saturating_sub(token.received_ms).max(1);
    let left = token.expires_ms.saturating_sub(story.now_ms).min(life);
    let margin = u64::try_from(story.pace.margin().as_millis())
        .unwrap_or(u64::MAX)
        .min(life);
    let ink = match story.session {
        SessionState::Unreachable { .. } => Ink::Waiting,
        _ if left <= margin => Ink::Busy,
        _ => Ink::Good,
    };
    let eighths = scaled(length * 8, left, life);
    let mark = scaled(length, margin, life);
    for column in 0..length {
        let (symbol, ink) = match eighths.saturating_sub(column * 8) {
            8.. => ('█', ink),
            0 if column == mark => ('╎', Ink::Dim),
            0 => ('·', Ink::Faint),
            part => (['▏', '▎', '▍', '▌', '▋', '▊', '▉'][part - 1], ink),
        };
        grid.put(row, at + column, symbol.encode_utf8(&mut [0; 4]), ink);
    }
    let renewal = left.saturating_sub(margin);
    let next = if renewal > 0 {
        format!("renewal in {:.1} s", seconds(renewal))
    } else {
        "renewal due".into()
    };
    grid.put(
        row,
        at + length + 2,
        &format!("{:.1} s left", seconds(left)),
        Ink::Text,
    );
    grid.put(row, at + length + 13, &format!("· {next}"), Ink::Dim);
}

fn states(grid: &mut Grid, row: usize, story: &Story) {
    let now = story.now_unix_ms();
    let lines = [
        (
            "session",
            words::session_health(&story.session),
            words::session(&story.session, now),
        ),
        (
            "socket",
            words::socket_health(&story.socket),
            words::socket(&story.socket, now),
        ),
    ];
    for (row, (label, health, (name, detail))) in (row..).zip(lines) {
        grid.put(row, 1, label, Ink::Dim);
        let at = grid.put(row, VALUES, "● ", ink_of(health));
        grid.put_bold(row, at, name, Ink::Text);
        grid.put_cut(row, at + 15, &detail, Ink::Dim);
    }
}

fn counters(grid: &mut Grid, row: usize, story: &Story) {
    let sums = &story.sums;
    let alarm = |number: u64| if number > 0 { Ink::Bad } else { Ink::Good };
    // What is under way is no loss yet.
    let lost = if story.over {
        sums.lost()
    } else {
        sums.lost_so_far()
    };
    let wire = if sums.on_the_wire > 0 {
        Ink::Waiting
    } else {
        Ink::Text
    };
    let waiting = if sums.waiting > 0 { Ink::Waiting } else { Ink::Text };
    let twice = sums.duplicated + sums.strange;
    let seen = &story.seen;
    let rows = [
        (
            "messages",
            [
                ("sent", sums.sent, Ink::Text),
                ("received", sums.received, Ink::Text),
                ("waiting", sums.waiting, waiting),
                ("cut off", sums.on_the_wire, wire),
                ("lost", lost, alarm(lost)),
            ],
        ),
        (
            "events",
            [
                ("refreshes", seen.refreshes, Ink::Text),
                ("handovers", seen.handovers, Ink::Text),
                ("reconnects", seen.reconnects, Ink::Text),
                ("duplicated", twice, alarm(twice)),
                ("reordered", sums.reordered, alarm(sums.reordered)),
            ],
        ),
    ];
    for (row, (label, numbers)) in (row..).zip(rows) {
        grid.put(row, 1, label, Ink::Dim);
        for ((name, number, ink), column) in numbers.into_iter().zip([0, 14, 29, 43, 57]) {
            let at = grid.put_bold(row, VALUES + column, &grouped(number), ink);
            grid.put(row, at + 1, name, Ink::Dim);
        }
    }
}

/// How session and socket were over the whole run, and when each fault came.
fn history(grid: &mut Grid, row: usize, story: &Story) {
    let length = grid.width().saturating_sub(VALUES + 1);
    let estimate = u64::try_from(story.pace.estimate().as_millis()).unwrap_or(u64::MAX);
    let span = if story.over {
        story.now_ms
    } else {
        estimate.max(story.now_ms)
    }
    .max(1);
    let column_of = |at_ms: u64| scaled(length, at_ms, span).min(length.saturating_sub(1));
    for (row, label) in (row..).zip(["fault", "session", "socket"]) {
        grid.put(row, 1, label, Ink::Dim);
    }
    for (outcome, act) in story.acts.iter().zip(Act::ALL) {
        if let (Some(since_ms), Some(number)) = (outcome.since_ms(), act.fault_number()) {
            let ink = if matches!(outcome, Outcome::Failed { .. }) {
                Ink::Bad
            } else {
                Ink::Waiting
            };
            grid.put(row, VALUES + column_of(since_ms), &number.to_string(), ink);
        }
    }
    let lanes: [fn(&Sample) -> Health; 2] = [|sample| sample.session, |sample| sample.socket];
    for (row, health) in (row + 1..).zip(lanes) {
        grid.put(row, VALUES, &"▁".repeat(length), Ink::Faint);
        let mut shown = vec![None::<Health>; length];
        let mut last = None;
        for sample in &story.history {
            if let Some(place) = shown.get_mut(column_of(sample.at_ms)) {
                // The worst of the moments that share a column; how it was at its beginning counts too.
                *place = (*place).max(last).max(Some(health(sample)));
            }
            last = Some(health(sample));
        }
        for (column, health) in shown.into_iter().enumerate() {
            if let Some(health) = health {
                grid.put(row, VALUES + column, "▄", ink_of(health));
            }
        }
    }
}

fn log(grid: &mut Grid, row: usize, story: &Story) {
    let room = grid.rows().len().saturating_sub(row);
    // At the end the whole run in short.
    let lines: Vec<_> = story
        .log
        .iter()
        .filter(|line| !story.over || line.tag.is_headline())
        .collect();
    let first = lines.len().saturating_sub(room);
    for (row, line) in (row..).zip(&lines[first..]) {
        grid.put(row, 1, &format!("{:>6.2}", seconds(line.at_ms)), Ink::Dim);
        let (mark, tag_ink, ink) = match line.tag {
            Tag::Fault => ("▶", Ink::Waiting, Ink::Waiting),
            Tag::Survived => ("✓", Ink::Good, Ink::Good),
            Tag::Failed => ("✗", Ink::Bad, Ink::Bad),
            Tag::Token => ("·", Ink::Busy, Ink::Text),
            Tag::Session | Tag::Socket => ("·", Ink::Dim, Ink::Text),
            Tag::Run => ("·", Ink::Accent, Ink::Text),
        };
        grid.put(row, 9, mark, tag_ink);
        let label = match line.tag {
            Tag::Token | Tag::Session | Tag::Socket => line.tag.name(),
            _ => "",
        };
        let at = grid.put(row, VALUES, label, Ink::Dim);
        grid.put_cut(
            row,
            if label.is_empty() { at } else { VALUES + 8 },
            &line.text,
            ink,
        );
    }
}

fn ink_of(health: Health) -> Ink {
    match health {
        Health::Good => Ink::Good,
        Health::Busy => Ink::Busy,
        Health::Waiting => Ink::Waiting,
        Health::Bad => Ink::Bad,
    }
}

/// `length · part / whole`, in whole columns.
fn scaled(length: usize, part: u64, whole: u64) -> usize {
    usize::try_from(length as u64 * part / whole.max(1)).unwrap_or(length)
}

#[cfg(test)]
mod tests;
