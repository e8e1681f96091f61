//! Receive and echo through the SDK beside bare tokio-tungstenite: the same loop over both.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use freshsocket::options::Credential;
use freshsocket::{Session, Socket};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::{server, stats};

/// Messages on the way at once in the pipelined echo.
const WINDOW: usize = 64;

pub(crate) fn run(smoke: bool) {
    let pairs = if smoke { 1 } else { 9 };
    let scale = if smoke { 100 } else { 1 };
    for (runtime_name, runtime) in [("current thread", current_thread()), ("2 workers", two_workers())] {
        println!("\n## Messages per second, runtime: {runtime_name}\n");
        println!("| what | freshsocket | bare tokio-tungstenite | ratio (lowest–highest) | bar | |");
        println!("|---|---|---|---|---|---|");
        for (size, name, count, bar) in [(64, "64 B", 2_000_000, 0.97), (65_536, "64 KiB", 40_000, 0.99)] {
            let count = count / scale;
            let address = server::flood(count, size);
            stats::compare(
                &format!("receive {name}"),
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
            stats::compare(
                &format!("echo {name}, {WINDOW} on the way"),
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
            stats::compare(
                &format!("echo {name}, one at a time"),
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

/// Messages per second of `work`, which handles `count` of them and gives the time that took.
fn measure(runtime: &Runtime, count: usize, work: impl Future<Output = f64> + Send + 'static) -> f64 {
    count as f64 / runtime.block_on(async { tokio::spawn(work).await.expect("the benchmark's task") })
}

async fn receive<S, M, E>(mut socket: S, count: usize) -> f64
where
    S: Stream<Item = Result<M, E>> + Unpin,
{
    // The first message outside the time: the connection exists then.
    socket.next().await;
    let begun = Instant::now();
    for _ in 1..count {
        assert!(matches!(socket.next().await, Some(Ok(_))), "a message");
    }
    begun.elapsed().as_secs_f64()
}

async fn echo<S, M, E>(mut socket: S, message: M, count: usize) -> f64
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Clone,
{
    let begun = Instant::now();
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
    begun.elapsed().as_secs_f64()
}

async fn ping_pong_ours(mut socket: Socket, size: usize, count: usize) -> f64 {
    let message = our_message(size);
    let begun = Instant::now();
    for _ in 0..count {
        assert!(socket.handle().send(message.clone()).await.is_ok(), "sent");
        assert!(matches!(socket.next().await, Some(Ok(_))), "an echo");
    }
    begun.elapsed().as_secs_f64()
}

async fn ping_pong_theirs(mut socket: WebSocketStream<TcpStream>, size: usize, count: usize) -> f64 {
    let message = their_message(size);
    let begun = Instant::now();
    for _ in 0..count {
        assert!(socket.send(message.clone()).await.is_ok(), "sent");
        assert!(matches!(socket.next().await, Some(Ok(_))), "an echo");
    }
    begun.elapsed().as_secs_f64()
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
