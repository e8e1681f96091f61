//! `ensure_valid_token` with a good token: nanoseconds a call, from several threads at once.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};

use freshsocket::{Session, TokenGrant};

use crate::stats::spread;

pub(crate) fn run(smoke: bool) {
    let calls = if smoke { 10_000 } else { 5_000_000 };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let session = runtime.block_on(async {
        let session = Session::builder("http://127.0.0.1")
            .build()
            .await
            .expect("a session");
        let tokens = TokenGrant {
            // The length of a usual JWT.
            access: "x".repeat(300).into(),
            refresh: Some("r".into()),
            expires_in_ms: Some(3_600_000),
            user: None,
        };
        session.adopt(tokens).await.expect("adopted");
        session
    });
    println!("\n## ensure_valid_token, token good, median of 5 runs\n");
    println!("| threads | ns a call (lowest–highest) | bar |");
    println!("|---|---|---|");
    for threads in [1, 2, 8] {
        let runs = if smoke { 1 } else { 5 };
        let time = spread((0..runs).map(|_| nanoseconds(&session, threads, calls)).collect());
        println!(
            "| {threads} | {:.1} ({:.1}–{:.1}) | ≤ 25 |",
            time.median, time.lowest, time.highest
        );
    }
    println!(
        "\n(Processor time of the calling threads, so that a machine with fewer cores than threads counts right.)"
    );
}

/// Nanoseconds of processor time that one call takes when this many threads call at once.
fn nanoseconds(session: &Session, threads: usize, calls: u32) -> f64 {
    let start = Arc::new(Barrier::new(threads));
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (session, start) = (session.clone(), start.clone());
            std::thread::spawn(move || {
                let mut context = Context::from_waker(Waker::noop());
                start.wait();
                let begun = processor_time();
                for _ in 0..calls {
                    let mut call = std::pin::pin!(session.ensure_valid_token());
                    match call.as_mut().poll(&mut context) {
                        Poll::Ready(token) => drop(black_box(token)),
                        Poll::Pending => panic!("the token is good: there is nothing to wait for"),
                    }
                }
                processor_time() - begun
            })
        })
        .collect();
    let total: f64 = workers
        .into_iter()
        .map(|worker| worker.join().expect("a worker"))
        .sum();
    total / f64::from(calls) / threads as f64
}

/// Nanoseconds that this thread has run.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
