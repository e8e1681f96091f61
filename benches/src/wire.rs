//! Receive and echo through the SDK beside bare tokio-tungstenite: the same loop over both.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use freshsocket::options::Credential;
use freshsocket::{Session, Socket};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::{server, stats};

/// Messages on the way at once in the pipelined echo.
const WINDOW: usize = 64;

/// All rows, or those with `only` in their names.
pub(crate) fn run(smoke: bool, only: Option<&str>) {
    let wanted = |row: &str| only.is_none_or(|only| row.contains(only));
    let pairs = if smoke { 1 } else { 9 };
    let scale = if smoke { 100 } else { 1 };
    for (runtime_name, runtime) in [("current thread", current_thread()), ("2 workers", two_workers())] {
        println!("\n## Messages per second, runtime: {runtime_name}\n");
        println!(
            "| what | freshsocket | bare tokio-tungstenite | ratio (lowest–highest) | bar | | processor time, ratio |"
        );
        println!("|---|---|---|---|---|---|---|");
        for (size, name, count, bar) in [(64, "64 B", 2_000_000, 0.97), (65_536, "64 KiB", 40_000, 0.99)] {
            let count = count / scale;
            let address = server::flood(count, size);
            let row = format!("receive {name}");
            compare_if(
                wanted(&row),
                &row,
                bar,
                pairs,
                || {
                    measure(&runtime, count, async move {
                        receive(ours(address).await, count).await
                    })
                },
                || {
                    measure(&runtime, count, async move {
                        receive(theirs(address).await, count).await
                    })
                },
            );
            let address = server::echo(size);
            let count = count / 10;
            let row = format!("echo {name}, {WINDOW} on the way");
            compare_if(
                wanted(&row),
                &row,
                bar,
                pairs,
                || {
                    measure(&runtime, count, async move {
                        echo(ours(address).await, our_message(size), count).await
                    })
                },
                || {
                    measure(&runtime, count, async move {
                        echo(theirs(address).await, their_message(size), count).await
                    })
                },
            );
            let count = (count / 4).max(10);
            let row = format!("echo {name}, one at a time");
            compare_if(
                wanted(&row),
                &row,
                bar,
                pairs,
                || {
                    measure(&runtime, count, async move {
                        ping_pong_ours(ours(address).await, size, count).await
                    })
                },
                || {
                    measure(&runtime, count, async move {
                        ping_pong_theirs(theirs(address).await, size, count).await
                    })
                },
            );
        }
    }
}

/// The same loop as in the rows, once, on one side.
pub(crate) fn one(side: &str, count: usize) {
    let (runtime, size) = (current_thread(), 64);
    let address = server::echo(size);
    let run = match side {
        "ours" => measure(&runtime, count, async move {
            echo(ours(address).await, our_message(size), count).await
        }),
        _ => measure(&runtime, count, async move {
            echo(theirs(address).await, their_message(size), count).await
        }),
    };
    println!("{:.0} ns of processor time a message", run.processor_ns);
}

fn compare_if(
    wanted: bool,
    row: &str,
    bar: f64,
    pairs: usize,
    ours: impl Fn() -> stats::Run,
    theirs: impl Fn() -> stats::Run,
) {
    if wanted {
        stats::compare(row, bar, pairs, ours, theirs);
    }
}

/// Runs `work`, which handles `count` messages and gives what that took.
fn measure(
    runtime: &Runtime,
    count: usize,
    work: impl Future<Output = Taken> + Send + 'static,
) -> stats::Run {
    let taken = runtime.block_on(async { tokio::spawn(work).await.expect("the benchmark's task") });
    stats::Run {
        rate: count as f64 / taken.seconds,
        processor_ns: taken.processor_ns / count as f64,
    }
}

/// What a loop took, without the connecting. The processor time is that of both ends; the server's part is the same
/// whoever its client is.
struct Taken {
    seconds: f64,
    processor_ns: f64,
}

struct Watch {
    at: Instant,
    processor_ns: f64,
}

impl Watch {
    fn begin() -> Self {
        Self {
            processor_ns: processor_ns(),
            at: Instant::now(),
        }
    }

    fn end(self) -> Taken {
        Taken {
            seconds: self.at.elapsed().as_secs_f64(),
            processor_ns: processor_ns() - self.processor_ns,
        }
    }
}

/// Processor time of this process so far.
fn processor_ns() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

async fn receive<S, M, E>(mut socket: S, count: usize) -> Taken
where
    S: Stream<Item = Result<M, E>> + Unpin,
{
    // The first message outside the time: the connection exists then.
    socket.next().await;
    let begun = Watch::begin();
    for _ in 1..count {
        assert!(matches!(socket.next().await, Some(Ok(_))), "a message");
    }
    begun.end()
}

async fn echo<S, M, E>(mut socket: S, message: M, count: usize) -> Taken
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Clone,
{
    let begun = Watch::begin();
    let (mut sent, mut received) = (0, 0);
    while received < count {
        while sent < count && sent - received < WINDOW {
            assert!(socket.feed(message.clone()).await.is_ok(), "fed");
            sent += 1;
        }
        assert!(socket.flush().await.is_ok(), "flushed");
        // Half a window before the next writes, so that both directions are busy.
        let until = (received + WINDOW / 2).min(sent);
        while received < until {
            assert!(matches!(socket.next().await, Some(Ok(_))), "an echo");
            received += 1;
        }
    }
    begun.end()
}

async fn ping_pong_ours(mut socket: Socket, size: usize, count: usize) -> Taken {
    let message = our_message(size);
    let begun = Watch::begin();
    for _ in 0..count {
        assert!(socket.handle().send(message.clone()).await.is_ok(), "sent");
        assert!(matches!(socket.next().await, Some(Ok(_))), "an echo");
    }
    begun.end()
}

async fn ping_pong_theirs(mut socket: WebSocketStream<TcpStream>, size: usize, count: usize) -> Taken {
    let message = their_message(size);
    let begun = Watch::begin();
    for _ in 0..count {
        assert!(socket.send(message.clone()).await.is_ok(), "sent");
        assert!(matches!(socket.next().await, Some(Ok(_))), "an echo");
    }
    begun.end()
}

fn our_message(size: usize) -> freshsocket::Message {
    freshsocket::Message::binary(Bytes::from(vec![7; size]))
}

fn their_message(size: usize) -> tokio_tungstenite::tungstenite::Message {
    tokio_tungstenite::tungstenite::Message::Binary(Bytes::from(vec![7; size]))
}

/// A socket of the SDK, without a credential: what is measured begins after the sign-in.
async fn ours(address: SocketAddr) -> Socket {
    let session = Session::builder("http://127.0.0.1")
        .build()
        .await
        .expect("a session");
    let socket = session
        .socket(format!("ws://{address}/"))
        .credential(Credential::None)
        .connect()
        .expect("a socket");
    socket.wait_for(freshsocket::SocketState::is_open).await;
    socket
}

/// The same without the SDK, with tokio-tungstenite's own defaults.
async fn theirs(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let config = Some(WebSocketConfig::default());
    client_async_with_config(format!("ws://{address}/"), stream, config)
        .await
        .expect("a handshake")
        .0
}

fn current_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn two_workers() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}
