//! Against bare tokio-tungstenite with the same server and read buffer. Run with
//! `cargo test --release -p freshsocket --lib speed -- --ignored --nocapture`.
#![allow(clippy::print_stderr)]

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::WebSocketConfig;

use super::*;

#[derive(Clone, Copy)]
enum Load {
    Flood,
    /// One at a time.
    PingPong,
    /// So many at a time, each sent by itself.
    Pipelined(usize),
    /// So many at a time, fed and flushed.
    Fed(usize),
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let rounds = std::env::var("ROUNDS").map_or(14, |text| text.parse().unwrap());
    let only = std::env::var("ONLY").unwrap_or_default();
    for threads in [0, 2] {
        let mut builder = if threads == 0 {
            tokio::runtime::Builder::new_current_thread()
        } else {
            tokio::runtime::Builder::new_multi_thread()
        };
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        for (name, load, count, size) in [
            ("flood 64 B", Load::Flood, 3_000_000, 64),
            ("flood 64 KiB", Load::Flood, 40_000, 65_536),
            ("ping-pong 64 B", Load::PingPong, 40_000, 64),
            ("ping-pong 64 KiB", Load::PingPong, 8_000, 65_536),
            ("pipelined 64 B", Load::Pipelined(32), 200_000, 64),
            ("fed 64 B", Load::Fed(32), 1_000_000, 64),
            ("fed 64 KiB", Load::Fed(16), 20_000, 65_536),
        ] {
            if !name.contains(&only) {
                continue;
            }
            let buffer = std::env::var("BUFFER").map_or(65_536, |text| text.parse().unwrap());
            let one = |ours: bool| {
                let address = server(matches!(load, Load::Flood).then_some((count, size)));
                let work = async move {
                    if ours {
                        pipe(address, load, count, size).await
                    } else {
                        bare(address, load, count, size, buffer).await
                    }
                };
                runtime.block_on(async { tokio::spawn(work).await.unwrap() })
            };
            let mut times: [Vec<f64>; 2] = Default::default();
            for round in 0..rounds {
                let ours = round % 2 == 0;
                times[usize::from(ours)].push(count as f64 / one(ours).as_secs_f64());
            }
            // The median, and the best: a machine that does other things as well spoils the median first.
            let [bare, ours] = times.map(|mut times| {
                times.sort_by(f64::total_cmp);
                (times[times.len() / 2], times[times.len() - 1])
            });
            let ratios = (ours.0 / bare.0, ours.1 / bare.1);
            eprintln!(
                "threads={threads} {name}: bare {:.0}/s, ours {:.0}/s, ratio {:.3}, of the best {:.3}",
                bare.1, ours.1, ratios.0, ratios.1
            );
        }
    }
}

/// Memory of connections that have received one message each and are idle since. Run each in a process of its own:
/// `OURS=1 cargo test … idle_memory -- --ignored --nocapture`, and without.
#[test]
#[ignore = "a measurement"]
fn idle_memory() {
    let total = std::env::var("COUNT").map_or(2_000, |text| text.parse().unwrap());
    let ours = std::env::var("OURS").is_ok();
    let resident = || -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap()
            .to_owned();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut rigs, mut sockets) = (Vec::new(), Vec::new());
        // As in a client with many sockets, these are there once.
        let tls = tls();
        let (tell, mut told) = mpsc::unbounded_channel();
        let sent = Arc::new(Sent::default());
        let clock: Clock = Arc::new(|| Mono(0));
        let mut before = 0;
        for number in 0..=total {
            if number == 1 {
                before = resident();
            }
            let address = server(Some((1, 64)));
            if ours {
                let request = request(format!("ws://{address}/"));
                let options = SocketOptions::default();
                let (pipe, task) = Pipe::new(
                    ConnId(1),
                    request,
                    &options,
                    tls.clone(),
                    clock.clone(),
                    tell.clone(),
                    sent.clone(),
                );
                tokio::spawn(task);
                while !matches!(told.recv().await, Some(Input::Opened { .. })) {}
                let mut got = VecDeque::new();
                poll_fn(|cx| pipe.poll_recv(cx, &mut got)).await;
                rigs.push(pipe);
            } else {
                let stream = TcpStream::connect(address).await.unwrap();
                let url = format!("ws://{address}/");
                let buffer = std::env::var("BUFFER").map_or(65_536, |text| text.parse().unwrap());
                let config = WebSocketConfig::default().read_buffer_size(buffer);
                let (mut socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(config))
                    .await
                    .unwrap();
                assert_eq!(socket.next().await.unwrap().unwrap().len(), 64);
                sockets.push(socket);
            }
        }
        for pipe in &rigs {
            while !pipe
                .shared
                .with(|state| matches!(&state.phase, state::Phase::Open(wire) if wire.is_resting()))
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        eprintln!("ours={ours}: {} bytes each", (resident() - before) * 1024 / total);
    });
}

async fn bare(address: SocketAddr, load: Load, count: usize, size: usize, buffer: usize) -> Duration {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let config = WebSocketConfig::default().read_buffer_size(buffer);
    let url = format!("ws://{address}/");
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(config))
        .await
        .unwrap();
    let message = WireMessage::binary(vec![1; size]);
    let start = Instant::now();
    let mut done = 0;
    while done < count {
        let window = match load {
            Load::Flood => 0,
            Load::PingPong => 1,
            Load::Pipelined(window) | Load::Fed(window) => window,
        };
        for _ in 0..window {
            if matches!(load, Load::Fed(_)) {
                socket.feed(message.clone()).await.unwrap();
            } else {
                socket.send(message.clone()).await.unwrap();
            }
        }
        if matches!(load, Load::Fed(_)) {
            socket.flush().await.unwrap();
        }
        for _ in 0..window.max(1) {
            assert_eq!(socket.next().await.unwrap().unwrap().len(), size);
            done += 1;
        }
    }
    start.elapsed()
}

async fn pipe(address: SocketAddr, load: Load, count: usize, size: usize) -> Duration {
    let mut rig = Rig::start(
        request(format!("ws://{address}/")),
        &SocketOptions::default(),
        tls(),
    );
    rig.opened().await;
    let message = Message::binary(vec![1; size]);
    let mut local = VecDeque::new();
    let start = Instant::now();
    let mut done = 0;
    let mut number = 0;
    while done < count {
        let window = match load {
            Load::Flood => 0,
            Load::PingPong => 1,
            Load::Pipelined(window) | Load::Fed(window) => window,
        };
        for _ in 0..window {
            number += 1;
            let mut slot = Some(message.clone());
            if matches!(load, Load::Fed(_)) {
                poll_fn(|cx| rig.pipe.poll_feed(cx, SendId(number), &mut slot))
                    .await
                    .unwrap();
            } else {
                poll_fn(|cx| rig.pipe.poll_send(cx, SendId(number), &mut slot))
                    .await
                    .unwrap();
            }
        }
        if matches!(load, Load::Fed(_)) {
            poll_fn(|cx| rig.pipe.poll_flush(cx)).await.unwrap();
        }
        for _ in 0..window.max(1) {
            while local.is_empty() {
                assert_eq!(poll_fn(|cx| rig.pipe.poll_recv(cx, &mut local)).await, Recv::Got);
            }
            assert_eq!(local.pop_front().unwrap().len(), size);
            done += 1;
        }
    }
    start.elapsed()
}

/// A thread that serves one connection: floods it, or sends everything back.
fn server(flood: Option<(usize, usize)>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let mut head = Vec::new();
        let mut chunk = vec![0; 256 * 1024];
        while !head.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut chunk).unwrap();
            head.extend_from_slice(&chunk[..count]);
        }
        let head = String::from_utf8(head).unwrap();
        let key = head
            .split("Sec-WebSocket-Key: ")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(key.as_bytes())
        );
        stream.write_all(answer.as_bytes()).unwrap();
        match flood {
            Some((count, size)) => pour(&mut stream, count, size),
            None => reflect(&mut stream, &mut chunk),
        }
        drop(chunk);
        let _ = stream.read(&mut [0; 16]);
    });
    address
}

fn head_of(size: usize, out: &mut Vec<u8>) {
    out.push(0x82);
    match size {
        0..126 => out.push(size as u8),
        126..0x1_0000 => {
            out.push(126);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
}

fn pour(stream: &mut std::net::TcpStream, count: usize, size: usize) {
    let mut frame = Vec::new();
    head_of(size, &mut frame);
    frame.resize(frame.len() + size, 7);
    let per = (128 * 1024 / frame.len()).max(1);
    let chunk = frame.repeat(per);
    let mut left = count;
    while left > 0 {
        let now = left.min(per);
        if stream.write_all(&chunk[..now * frame.len()]).is_err() {
            return;
        }
        left -= now;
    }
}

/// Sends frames back without looking at what is in them (the mask is left on the payload).
fn reflect(stream: &mut std::net::TcpStream, chunk: &mut [u8]) {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    loop {
        match stream.read(chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => input.extend_from_slice(&chunk[..count]),
        }
        let mut at = 0;
        while input.len() >= at + 6 {
            let (head, size) = match input[at + 1] & 0x7F {
                126 => (8, usize::from(u16::from_be_bytes([input[at + 2], input[at + 3]]))),
                127 if input.len() < at + 14 => break,
                127 => (
                    14,
                    u64::from_be_bytes(input[at + 2..at + 10].try_into().unwrap()) as usize,
                ),
                size => (6, usize::from(size)),
            };
            if input.len() < at + head + size {
                break;
            }
            head_of(size, &mut output);
            output.extend_from_slice(&input[at + head..at + head + size]);
            at += head + size;
        }
        input.drain(..at);
        if stream.write_all(&output).is_err() {
            return;
        }
        output.clear();
    }
}
