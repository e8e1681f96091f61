//! The run as one animated SVG: no scripts, only CSS, so that it moves on pages which show it as an image.
//!
//! What stays the same in its place is written once, and is visible for that stretch of the animation. Where nothing
//! animates, only the last frame is visible.

use std::fmt::Write as _;

use crate::grid::{Grid, Ink, Run};
use crate::story::Story;
use crate::view::picture;
use crate::words::seconds;

/// The picture's size in characters.
const SIZE: (usize, usize) = (92, 27);
/// A character's size in pixels.
const CELL: (f64, f64) = (8.4, 18.0);
const MARGIN: f64 = 16.0;
/// From a row's top to the line that its letters stand on.
const BASELINE: f64 = 13.5;
/// Between two frames of the recording.
const FRAME_MS: u64 = 400;
/// Beyond this, every other frame is left out.
const MOST_BYTES: usize = 140 * 1024;
/// The last frame stands longer.
const LAST_FRAME_SECONDS: f64 = 6.0;

/// Keeps pictures of the run.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    frames: Vec<Frame>,
}

#[derive(Clone, Debug)]
struct Frame {
    at_ms: u64,
    grid: Grid,
}

impl Recorder {
    /// Takes a picture if it is time for one.
    pub(crate) fn look(&mut self, story: &Story) {
        if !story.over
            && self
                .frames
                .last()
                .is_none_or(|last| story.now_ms >= last.at_ms + FRAME_MS)
        {
            self.frames.push(Frame {
                at_ms: story.now_ms,
                grid: picture(story, SIZE.0, SIZE.1),
            });
        }
    }

    /// The recording, ending with the story's last picture.
    pub(crate) fn finish(mut self, story: &Story) -> String {
        let last = Frame {
            at_ms: story.now_ms,
            grid: picture(story, SIZE.0, SIZE.1),
        };
        loop {
            let mut frames = self.frames.clone();
            frames.push(last.clone());
            let svg = write(&frames);
            if svg.len() <= MOST_BYTES || self.frames.len() < 4 {
                return svg;
            }
            self.frames = self.frames.into_iter().step_by(2).collect();
        }
    }
}

/// From which frame on, and until before which, something is visible.
type Stretch = (usize, usize);

fn write(frames: &[Frame]) -> String {
    let mut stretches = Vec::new();
    let (mut still, mut moving) = (String::new(), String::new());
    for number in 0..SIZE.1 {
        for (run, stretch) in lives(frames, number) {
            if stretch == (0, frames.len()) {
                write_run(&mut still, &run, number, "");
                continue;
            }
            let known = stretches.iter().position(|known| *known == stretch);
            let class = known.unwrap_or_else(|| {
                stretches.push(stretch);
                stretches.len() - 1
            });
            write_run(&mut moving, &run, number, &format!(" s{class}"));
        }
    }
    let (width, height) = size();
    let style = style(frames, &stretches);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"A terminal with the freshsocket demo: eight faults, one after another\">\n\
         <style>\n{style}</style>\n<rect width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"#0d1117\"/>\n\
         {still}<g class=\"m\">\n{moving}</g>\n</svg>\n"
    )
}

/// What is seen in a row, each with the frames in which it is.
fn lives(frames: &[Frame], number: usize) -> Vec<(Run, Stretch)> {
    let mut over = Vec::new();
    let mut alive: Vec<(Run, usize)> = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        let mut runs = frame
            .grid
            .rows()
            .get(number)
            .map(|row| Grid::runs(row))
            .unwrap_or_default();
        let (stay, go): (Vec<_>, Vec<_>) = alive.into_iter().partition(|(run, _)| runs.contains(run));
        over.extend(go.into_iter().map(|(run, from)| (run, (from, at))));
        runs.retain(|run| !stay.iter().any(|(known, _)| known == run));
        alive = stay;
        alive.extend(runs.into_iter().map(|run| (run, at)));
    }
    over.extend(alive.into_iter().map(|(run, from)| (run, (from, frames.len()))));
    over
}

fn size() -> (f64, f64) {
    let whole = |count, each| (along(count, each) + 2.0 * MARGIN).ceil();
    (whole(SIZE.0, CELL.0), whole(SIZE.1, CELL.1))
}

fn style(frames: &[Frame], stretches: &[Stretch]) -> String {
    let mut css = String::from(
        "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono','DejaVu Sans Mono',monospace;\
         white-space:pre}\npath{shape-rendering:crispEdges}\n.b{font-weight:600}\n",
    );
    for ink in [
        Ink::Text,
        Ink::Dim,
        Ink::Faint,
        Ink::Good,
        Ink::Busy,
        Ink::Waiting,
        Ink::Bad,
        Ink::Accent,
    ] {
        let _ = writeln!(css, ".{}{{fill:{}}}", class(ink), colour(ink));
    }
    let began = frames.first().map_or(0, |frame| frame.at_ms);
    let ran = frames.last().map_or(0, |frame| frame.at_ms) - began;
    let total = seconds(ran) + LAST_FRAME_SECONDS;
    let percent = |frame: usize| {
        frames
            .get(frame)
            .map_or(100.0, |frame| seconds(frame.at_ms - began) / total * 100.0)
    };
    let _ = writeln!(css, ".m *{{animation:{total:.1}s step-end infinite}}");
    for (class, (from, to)) in stretches.iter().enumerate() {
        // Where nothing animates, only the last frame is to be seen.
        let still = if *to < frames.len() {
            "visibility:hidden;"
        } else {
            ""
        };
        let _ = write!(
            css,
            ".s{class}{{{still}animation-name:k{class}}}@keyframes k{class}{{"
        );
        if *from > 0 {
            css.push_str("0%{visibility:hidden}");
        }
        let _ = write!(css, "{:.1}%{{visibility:visible}}", percent(*from));
        if *to < frames.len() {
            let _ = write!(css, "{:.1}%{{visibility:hidden}}", percent(*to));
        }
        css.push_str("}\n");
    }
    css.push_str("@media (prefers-reduced-motion:reduce){.m *{animation:none!important}}\n");
    css
}

/// Text as text; block characters as shapes, since fonts leave gaps between theirs.
fn write_run(svg: &mut String, run: &Run, row: usize, stretch: &str) {
    let top = MARGIN + along(row, CELL.1);
    let mut shape = String::new();
    let symbols: Vec<char> = run.text.chars().collect();
    let mut at = 0;
    while at < symbols.len() {
        let left = MARGIN + along(run.column + at, CELL.0);
        let block = block(symbols[at]);
        let alike = |symbol: &char| match block {
            // Only what fills its cell from side to side can be drawn in one.
            Some((8, ..)) => *symbol == symbols[at],
            Some(_) => false,
            None => self::block(*symbol).is_none(),
        };
        let length = symbols[at..]
            .iter()
            .take_while(|symbol| alike(symbol))
            .count()
            .max(1);
        if let Some((eighths, from, to)) = block {
            let width = along(length - 1, CELL.0) + CELL.0 * f64::from(eighths) / 8.0;
            let (y, height) = (top + from * CELL.1, (to - from) * CELL.1);
            let _ = write!(shape, "M{left:.1} {y:.1}h{width:.1}v{height:.1}h-{width:.1}z");
        } else {
            write_text(svg, run, &symbols[at..at + length], (left, top), stretch);
        }
        at += length;
    }
    if !shape.is_empty() {
        let _ = writeln!(svg, "<path class=\"{}{stretch}\" d=\"{shape}\"/>", class(run.ink));
    }
}

fn write_text(svg: &mut String, run: &Run, symbols: &[char], (left, top): (f64, f64), stretch: &str) {
    let blanks = symbols.iter().take_while(|symbol| **symbol == ' ').count();
    let text: String = symbols[blanks..].iter().collect();
    let text = text.trim_end();
    if text.is_empty() {
        return;
    }
    let (x, y) = (left + along(blanks, CELL.0), top + BASELINE);
    let bold = if run.bold { " b" } else { "" };
    let length = text.chars().count();
    // The length holds the columns together in fonts of another width.
    let held = if length > 1 {
        format!(" textLength=\"{:.1}\"", along(length, CELL.0))
    } else {
        String::new()
    };
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\"{held} class=\"{}{bold}{stretch}\">{text}</text>",
        class(run.ink)
    );
}

/// The rectangle of a block character: its width in eighths, and from where to where it goes, as parts of the cell.
fn block(symbol: char) -> Option<(u8, f64, f64)> {
    let bar = |eighths| Some((eighths, 0.15, 0.85));
    match symbol {
        '█' => bar(8),
        '▉' => bar(7),
        '▊' => bar(6),
        '▋' => bar(5),
        '▌' => bar(4),
        '▍' => bar(3),
        '▎' => bar(2),
        '▏' => bar(1),
        '▄' => Some((8, 0.25, 0.8)),
        '▁' => Some((8, 0.7, 0.8)),
        '━' => Some((8, 0.44, 0.56)),
        _ => None,
    }
}

fn class(ink: Ink) -> &'static str {
    match ink {
        Ink::Text => "t",
        Ink::Dim => "d",
        Ink::Faint => "f",
        Ink::Good => "g",
        Ink::Busy => "c",
        Ink::Waiting => "w",
        Ink::Bad => "r",
        Ink::Accent => "a",
    }
}

fn colour(ink: Ink) -> &'static str {
    match ink {
        Ink::Text => "#d1d7e0",
        Ink::Dim => "#8b949e",
        Ink::Faint => "#30363d",
        Ink::Good => "#57ab5a",
        Ink::Busy => "#39c5cf",
        Ink::Waiting => "#d29922",
        Ink::Bad => "#f47067",
        Ink::Accent => "#6cb6ff",
    }
}

#[allow(clippy::cast_precision_loss)] // Columns and rows.
fn along(count: usize, each: f64) -> f64 {
    count as f64 * each
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(at_ms: u64, text: &str) -> Frame {
        let mut grid = Grid::new(SIZE.0, SIZE.1);
        grid.put(0, 0, "always", Ink::Dim);
        grid.put(0, 10, text, Ink::Good);
        grid.put(1, 0, "██▌ <&>", Ink::Bad);
        Frame { at_ms, grid }
    }

    #[test]
    fn what_stays_is_written_once_and_what_changes_has_its_stretch() {
        let svg = write(&[frame(0, "one"), frame(1_000, "two"), frame(2_000, "two")]);
        assert_eq!(
            (svg.matches("always").count(), svg.matches(">two<").count()),
            (1, 1)
        );
        // Eight seconds in all: one until 12.5 %, two from then on and where nothing moves.
        assert!(svg.contains(".s0{visibility:hidden;animation-name:k0}@keyframes k0{0.0%{visibility:visible}12.5%{visibility:hidden}}"));
        assert!(
            svg.contains(
                ".s1{animation-name:k1}@keyframes k1{0%{visibility:hidden}12.5%{visibility:visible}}"
            )
        );
    }

    #[test]
    fn blocks_are_shapes_and_text_is_escaped() {
        let svg = write(&[frame(0, "x")]);
        assert!(
            svg.contains("M16.0 36.7h16.8v12.6h-16.8zM32.8 36.7h4.2v12.6h-4.2z"),
            "{svg}"
        );
        assert!(svg.contains(">&lt;&amp;&gt;</text>") && !svg.contains('█') && !svg.contains("<script"));
    }
}
