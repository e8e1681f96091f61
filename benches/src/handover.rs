//! Handover under load (section 7): 1,000 messages a second each way over twenty rotations at 50 ms round trip.

use std::time::Duration;

use freshsocket_native_tests::rotation::{self, Delivery, Plan};

/// Prints what was lost, duplicated and out of order; exits 1 if anything was.
pub(crate) fn run(smoke: bool, rotations: u64) {
    let plan = Plan {
        rotations: if smoke { 2 } else { rotations },
        per_second: 1_000,
        round_trip: Duration::from_millis(50),
        lifetime: Duration::from_secs(2),
    };
    println!(
        "{} rotations, {} messages a second each way, {} ms round trip, tokens of {} s",
        plan.rotations,
        plan.per_second,
        plan.round_trip.as_millis(),
        plan.lifetime.as_secs()
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let report = runtime.block_on(rotation::run(plan));
    println!("| direction | sent | lost | duplicated | out of order |");
    println!("|---|---|---|---|---|");
    row("server to application", &report.down);
    row("application to server", &report.up);
    println!(
        "{} handovers in {:.1} s; interruptions told to the application: {}; longest time without a message: {} ms",
        report.handovers,
        report.took.as_secs_f64(),
        report.interruptions,
        report.longest_silence.as_millis()
    );
    let spoilt = |way: &Delivery| way.lost + way.duplicated + way.reordered;
    if spoilt(&report.down) + spoilt(&report.up) + report.interruptions > 0 {
        std::process::exit(1);
    }
}

fn row(name: &str, way: &Delivery) {
    println!(
        "| {name} | {} | {} | {} | {} |",
        way.sent, way.lost, way.duplicated, way.reordered
    );
}
