//! Memory of idle sockets: resident pages of a process that holds them, server elsewhere.

use std::process::{Command, Stdio};

use freshsocket::Session;
use freshsocket::options::Credential;
use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::stats::spread;

/// What "bare tokio-tungstenite" is given to read with: its default of 128 KiB would flatter us.
const BARE_READ_BUFFER: usize = 4 * 1024;

pub(crate) fn run(sockets: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = runtime
        .block_on(freshsocket_mock_server::MockServer::builder().start())
        .expect("the mock server");
    let address = server.addr().to_string();
    println!("\n## Memory of {sockets} idle sockets, bytes each (median of 3 processes)\n");
    println!("| what | bytes a socket | bar |");
    println!("|---|---|---|");
    let figure = |kind: &str| spread((0..3).map(|_| child(kind, &address, sockets)).collect()).median;
    let bare = figure("bare");
    println!("| bare tokio-tungstenite, {BARE_READ_BUFFER} B read buffer, one task each | {bare:.0} | |");
    let ours = figure("ours");
    println!("| freshsocket | {ours:.0} | |");
    println!("| ratio | {:.3} | ≤ 1.15 |", ours / bare);
}

/// Bytes a socket, as measured by a process of its own.
fn child(kind: &str, address: &str, sockets: usize) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args(["idle-client", kind, address, &sockets.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("the child ran");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("the child printed {text:?}"))
}

/// Opens the sockets, waits until all are idle, and prints what each added to this process.
pub(crate) fn client(kind: &str, address: &str, sockets: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let bytes = runtime.block_on(async {
        if kind == "bare" {
            bare(address, sockets).await
        } else {
            ours(address, sockets).await
        }
    });
    println!("{}", bytes as f64 / sockets as f64);
    // Without closing them: a thousand closing handshakes are not what is measured.
    std::process::exit(0);
}

async fn bare(address: &str, sockets: usize) -> usize {
    let before = resident();
    let mut tasks = Vec::new();
    for _ in 0..sockets {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let config = WebSocketConfig::default().read_buffer_size(BARE_READ_BUFFER);
        let url = format!("ws://{address}/ws-bare");
        let (mut socket, _) = client_async_with_config(url, stream, Some(config))
            .await
            .expect("a handshake");
        tasks.push(tokio::spawn(
            async move { while socket.next().await.is_some() {} },
        ));
    }
    let after = settled().await;
    // Alive until it was measured.
    std::mem::forget(tasks);
    after.saturating_sub(before)
}

async fn ours(address: &str, sockets: usize) -> usize {
    let session = Session::builder(format!("http://{address}"))
        .build()
        .await
        .expect("a session");
    let before = resident();
    let mut tasks = Vec::new();
    for _ in 0..sockets {
        let url = format!("ws://{address}/ws-bare");
        let mut socket = session
            .socket(url)
            .credential(Credential::None)
            .connect()
            .expect("a socket");
        socket.wait_for(freshsocket::SocketState::is_open).await;
        tasks.push(tokio::spawn(
            async move { while socket.next().await.is_some() {} },
        ));
    }
    let after = settled().await;
    // Alive until it was measured.
    std::mem::forget((tasks, session));
    after.saturating_sub(before)
}

/// Resident bytes once they no longer change: what a handshake needed is given back a little later.
async fn settled() -> usize {
    let mut last = 0;
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let now = resident();
        if now == last {
            return now;
        }
        last = now;
    }
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    let kilobytes: usize = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number");
    kilobytes * 1024
}
