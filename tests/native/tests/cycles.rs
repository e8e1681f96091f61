//! W14: connecting and letting go leaves nothing behind. One test in a process of its own, because it counts everything
//! that is in it. `cargo xtask bench cycles` does the same for thousands of cycles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::alloc::System;

use freshsocket::Session;
use freshsocket_mock_server::MockServer;
use freshsocket_native_tests::{builder, echo, eventually, opened, seen, server, sign_in, signed_in};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Handle;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Cycles of each round.
const SOCKETS: usize = 200;
const SESSIONS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w14_cycles_leave_no_task_no_file_and_no_memory_behind() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    // What is made once and kept is no leak.
    sockets(&server, &session, 50).await;
    sessions(&server, 4).await;
    let (tasks, files) = quiet(&server).await;
    let mut allocations = Vec::new();
    for _ in 0..3 {
        sockets(&server, &session, SOCKETS).await;
        eventually("no more tasks than before", || alive() <= tasks).await;
        eventually("no more files than before", || open_files() <= files).await;
        server.reset();
        let stats = ALLOCATOR.stats();
        allocations.push(stats.allocations.saturating_sub(stats.deallocations));
    }
    // The fewest of two rounds: caches grow in one or the other, a leak in all.
    let kept = allocations
        .windows(2)
        .map(|two| two[1].saturating_sub(two[0]))
        .min()
        .unwrap();
    assert!(kept < SOCKETS / 4, "{kept} allocations kept of {SOCKETS} sockets");

    sessions(&server, SESSIONS).await;
    eventually("no more tasks than before", || alive() <= tasks).await;
    eventually("no more files than before", || open_files() <= files).await;
}

/// Sockets of one session, dropped in all the ways there are.
async fn sockets(server: &MockServer, session: &Session, count: usize) {
    for n in 0..count {
        let mut socket = session.socket(server.ws_url()).connect().unwrap();
        match n % 5 {
            // Before it is open, when it is open, after use, with something unread, and closed first.
            0 => {}
            1 => opened(&socket).await,
            2 => echo(&mut socket, "hello").await,
            3 => {
                opened(&socket).await;
                let sending = socket.send("comes back, and is not read").await.unwrap();
                sending.sent().await.unwrap();
            }
            _ => {
                opened(&socket).await;
                socket.disconnect().await;
            }
        }
    }
    seen("all closed", server, |s| s.counters.ws_open_now == 0).await;
}

async fn sessions(server: &MockServer, count: usize) {
    for n in 0..count {
        let session = builder(server).build().await.unwrap();
        if n % 2 == 0 {
            sign_in(&session, "ada").await;
            let mut socket = session.socket(server.ws_url()).connect().unwrap();
            echo(&mut socket, "hello").await;
        }
        if n % 3 == 0 {
            session.close().await;
        }
    }
    seen("all closed", server, |s| s.counters.ws_open_now == 0).await;
}

/// The fewest tasks and files seen over some looks: the server's tasks live here as well, and end after its connections.
async fn quiet(server: &MockServer) -> (usize, usize) {
    let (mut tasks, mut files, mut looks) = (usize::MAX, usize::MAX, 0);
    eventually("a quiet moment", || {
        (tasks, files) = (tasks.min(alive()), files.min(open_files()));
        looks += 1;
        looks > 100
    })
    .await;
    server.reset();
    (tasks, files)
}

fn alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}
