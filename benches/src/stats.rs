//! Medians, and ratios taken pair by pair.

/// The lowest, middle and highest of some figures.
pub(crate) struct Spread {
    pub(crate) lowest: f64,
    pub(crate) median: f64,
    pub(crate) highest: f64,
}

/// The spread of these figures; there is at least one.
pub(crate) fn spread(mut figures: Vec<f64>) -> Spread {
    figures.sort_by(f64::total_cmp);
    Spread {
        lowest: figures[0],
        median: figures[figures.len() / 2],
        highest: figures[figures.len() - 1],
    }
}

/// Runs `ours` and `theirs` in turn and prints a row: both medians, and the ratio ours/theirs.
pub(crate) fn compare(name: &str, bar: f64, pairs: usize, ours: impl Fn() -> f64, theirs: impl Fn() -> f64) {
    // One of each first, for caches, page faults and the processor's clock.
    let _ = (theirs(), ours());
    let runs: Vec<(f64, f64)> = (0..pairs)
        .map(|n| {
            if n % 2 == 0 {
                let ours = ours();
                (ours, theirs())
            } else {
                let theirs = theirs();
                (ours(), theirs)
            }
        })
        .collect();
    let ratio = spread(runs.iter().map(|(ours, theirs)| ours / theirs).collect());
    let ours = spread(runs.iter().map(|(ours, _)| *ours).collect()).median;
    let theirs = spread(runs.iter().map(|(_, theirs)| *theirs).collect()).median;
    let verdict = if ratio.median >= bar { "met" } else { "MISSED" };
    println!(
        "| {name} | {ours:.0} | {theirs:.0} | {:.3} ({:.3}–{:.3}) | ≥ {bar} | {verdict} |",
        ratio.median, ratio.lowest, ratio.highest
    );
}
