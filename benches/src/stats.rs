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

/// One run: messages per second, and nanoseconds of processor time of the whole process for each.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) rate: f64,
    pub(crate) processor_ns: f64,
}

/// Runs `ours` and `theirs` in turn and prints a row: both medians, and the ratios ours/theirs.
pub(crate) fn compare(name: &str, bar: f64, pairs: usize, ours: impl Fn() -> Run, theirs: impl Fn() -> Run) {
    // One of each first, for caches, page faults and the processor's clock.
    let _ = (theirs(), ours());
    let runs: Vec<(Run, Run)> = (0..pairs)
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
    let of = |figure: &dyn Fn(&(Run, Run)) -> f64| spread(runs.iter().map(figure).collect());
    let ratio = of(&|(ours, theirs)| ours.rate / theirs.rate);
    let processor = of(&|(ours, theirs)| ours.processor_ns / theirs.processor_ns);
    let (ours, theirs) = (
        of(&|(ours, _)| ours.rate).median,
        of(&|(_, theirs)| theirs.rate).median,
    );
    let verdict = if ratio.median >= bar { "met" } else { "MISSED" };
    println!(
        "| {name} | {ours:.0} | {theirs:.0} | {:.3} ({:.3}–{:.3}) | ≥ {bar} | {verdict} | {:.3} ({:.3}–{:.3}) |",
        ratio.median, ratio.lowest, ratio.highest, processor.median, processor.lowest, processor.highest
    );
}
