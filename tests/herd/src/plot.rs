//! The picture `docs/herd.svg`: one small panel a policy, all with the same axes.

use std::fmt::Write as _;

use crate::page::{Row, percent, tenths};

/// Panels side by side.
const COLUMNS: usize = 3;
/// The plot in a panel, in pixels.
const WIDTH: usize = 260;
const HEIGHT: usize = 76;
/// From one panel to the next.
const STEP: (usize, usize) = (296, 150);
/// The first panel's plot.
const ORIGIN: (usize, usize) = (40, 124);
/// Windows of 100 ms that share one pixel; the fullest is drawn.
const WINDOWS: usize = 2;
/// The share at the top of a panel; what is higher is cut, and its height is written beside it.
const TOP: f64 = 0.05;

/// Follows the reader's light or dark background; without that, light.
const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#24292f}\
.title{font-size:17px;font-weight:600}.name{font-weight:600}.small{font-size:10.5px;fill:#57606a}\
.away{fill:#8c959f;fill-opacity:.16}.axis{stroke:#8c959f;stroke-width:1;fill:none}\
.bar{stroke:#8c959f;stroke-dasharray:2 3;fill:none}\
.tries{stroke:#8250df;fill:none}.returns{stroke:#1a7f37;fill:none}\
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}\
.tries{stroke:#b392f0}.returns{stroke:#3fb950}}";

/// The whole picture.
pub fn picture(rows: &[Row]) -> String {
    let lines = rows.len().div_ceil(COLUMNS);
    let width = ORIGIN.0 + COLUMNS * STEP.0;
    let height = ORIGIN.1 + lines * STEP.1 - 30;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"title desc\">\n\
         <title id=\"title\">10,000 clients after an outage of 30 seconds</title>\n\
         <desc id=\"desc\">One panel a policy: the share of clients that try, and that come back, in each 100 ms. \
         The same figures stand in the table of docs/herd.md.</desc>\n\
         <style>{STYLE}</style>\n\
         <text class=\"title\" x=\"{}\" y=\"26\">10,000 clients drop together; the server is away for 30 s</text>\n\
         <path class=\"tries\" d=\"M{0} 43h14\" stroke-width=\"4\"/><text x=\"{}\" y=\"47\">attempts that fail</text>\n\
         <path class=\"returns\" d=\"M{} 43h14\" stroke-width=\"4\"/><text x=\"{}\" y=\"47\">clients that are back</text>\n\
         <text class=\"small\" x=\"{}\" y=\"47\">share of all clients in 100 ms; bars above 5 % are cut; dashes: 1 %</text>\n\
         <text class=\"small\" x=\"{}\" y=\"66\">busiest: the fullest 100 ms of attempts while the server is away / \
         of returns; p50, p95: time after its return until half, and 95 %, are back</text>\n",
        ORIGIN.0,
        ORIGIN.0 + 20,
        ORIGIN.0 + 142,
        ORIGIN.0 + 162,
        ORIGIN.0 + 300,
        ORIGIN.0,
    );
    for (number, row) in rows.iter().enumerate() {
        let x = ORIGIN.0 + number % COLUMNS * STEP.0;
        let y = ORIGIN.1 + number / COLUMNS * STEP.1;
        panel(&mut svg, row, x, y, number % COLUMNS == 0);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, row: &Row, x: usize, y: usize, is_first_of_line: bool) {
    let herd = &row.herd;
    let pixel = |window: usize| x + window / WINDOWS;
    let returned = (herd.outage_ms / crate::run::WINDOW_MS) as usize;
    let bottom = y + HEIGHT;
    let end = x + WIDTH;
    let failed = &herd.attempts[..herd.attempts.len().min(returned)];
    let away = pixel(returned) - x;
    let one = bottom - height(0.01);
    let back = herd.back_by_ms(0.5).zip(herd.back_by_ms(0.95));
    let back = back.map_or("some never come back".into(), |(half, most)| {
        format!("p50 {}, p95 {}", tenths(half), tenths(most))
    });
    let dead = if row.dead > 0.0 {
        format!("{} dead after 60 s", percent(row.dead))
    } else {
        String::new()
    };
    let _ = writeln!(
        svg,
        "<g><text class=\"name\" x=\"{x}\" y=\"{}\">{}</text>\
         <text class=\"small\" x=\"{end}\" y=\"{}\" text-anchor=\"end\">{dead}</text>\
         <text class=\"small\" x=\"{x}\" y=\"{}\">busiest {} / {}; {back}</text>\
         <rect class=\"away\" x=\"{x}\" y=\"{y}\" width=\"{away}\" height=\"{HEIGHT}\"/>\
         <path class=\"bar\" d=\"M{x} {one}H{end}\"/>\
         <path class=\"axis\" d=\"M{x} {bottom}H{end}\"/>",
        y - 20,
        row.name,
        y - 20,
        y - 6,
        percent(herd.share(failed.iter().copied().max())),
        percent(herd.busiest_return()),
    );
    for (class, first, windows) in [
        ("tries", 0, failed),
        ("returns", returned, herd.returns.as_slice()),
    ] {
        let mut path = String::new();
        for (number, some) in windows.chunks(WINDOWS).enumerate() {
            let share = herd.share(some.iter().copied().max());
            let at = pixel(first) + number;
            if share > 0.0 && at < end {
                let _ = write!(path, "M{at}.5 {bottom}v-{}", height(share).max(1));
            }
        }
        let _ = writeln!(svg, "<path class=\"{class}\" d=\"{path}\"/>");
    }
    for (label, at) in [("0", x), ("30 s", pixel(returned)), ("50 s", pixel(500))] {
        let _ = write!(
            svg,
            "<text class=\"small\" x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            bottom + 13
        );
    }
    if is_first_of_line {
        for (label, at) in [("5 %", y + 4), ("1 %", one + 4)] {
            let _ = write!(
                svg,
                "<text class=\"small\" x=\"{}\" y=\"{at}\" text-anchor=\"end\">{label}</text>",
                x - 5
            );
        }
    }
    svg.push_str("</g>\n");
}

/// A share in pixels.
fn height(share: f64) -> usize {
    ((share / TOP).min(1.0) * HEIGHT as f64).round() as usize
}
