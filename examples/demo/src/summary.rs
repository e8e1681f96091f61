//! The last words: what was lost and why, in one line, and whether every promise was kept.

use crate::ledger::Ledger;
use crate::script::Act;
use crate::story::{Outcome, Story};
use crate::words::{grouped, seconds};

/// The summary's lines; the last one says how it went.
pub(crate) fn lines(story: &Story, ledger: &Ledger, interrupted: bool) -> Vec<String> {
    let sums = ledger.sums();
    let seen = &story.seen;
    let survived = story
        .acts
        .iter()
        .zip(Act::ALL)
        .filter(|(outcome, act)| act.is_fault() && matches!(outcome, Outcome::Survived { .. }));
    let faults = format!(
        "{} of {} faults survived in {:.0} s: {} refreshes, {} handovers, {} reconnects, {} sign-outs",
        survived.count(),
        Act::ALL.iter().filter(|act| act.is_fault()).count(),
        seconds(story.now_ms),
        seen.refreshes,
        seen.handovers,
        seen.reconnects,
        u64::from(seen.signed_out),
    );
    if interrupted {
        return vec![faults, "summary: interrupted, so nothing is proved".into()];
    }
    let messages = format!("{} sent, {} received", grouped(sums.sent), grouped(sums.received));
    let verdict = if story.failures.is_empty() {
        format!(
            "summary: ok · {messages} · {} · nothing else lost, 0 duplicated, 0 out of order",
            cut_off(ledger)
        )
    } else {
        format!(
            "summary: FAILED · {messages} · {} lost, {} duplicated, {} out of order · {}",
            sums.lost(),
            sums.duplicated + sums.strange,
            sums.reordered,
            story.failures.join("; ")
        )
    };
    vec![faults, verdict]
}

/// Whether the run proves what it is there to prove.
pub(crate) fn is_ok(story: &Story, interrupted: bool) -> bool {
    let all = story
        .acts
        .iter()
        .all(|outcome| matches!(outcome, Outcome::Survived { .. }));
    all && !interrupted && story.failures.is_empty()
}

/// What died on the wire, and under which faults.
fn cut_off(ledger: &Ledger) -> String {
    let by_act = ledger.on_the_wire_by_act();
    let total: u64 = by_act.values().sum();
    if total == 0 {
        return "0 cut off on the wire".into();
    }
    let causes: Vec<String> = by_act
        .iter()
        .map(|(place, count)| {
            let title = Act::ALL.get(*place).map_or("?", |act| act.title()).to_lowercase();
            format!("{title}: {count}")
        })
        .collect();
    format!(
        "{} cut off on the wire of connections that died ({})",
        grouped(total),
        causes.join(", ")
    )
}
