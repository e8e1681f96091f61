//! W11: both directions are bounded; whoever is slow slows the other, and memory stays where it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use freshsocket::{Ended, Message, SocketEvent};
use freshsocket_mock_server::{Fault, Flood, Kind, Target, Times, Who};
use freshsocket_native_tests::{
    echo, events, eventually, memory_kb, next_text, next_where, open_socket, opened, records, seen, server,
    signed_in, within,
};

/// Waits until a number has stood still for a while, and gives it.
async fn settled(what: &str, mut number: impl FnMut() -> u64) -> u64 {
    let (mut last, mut since) = (number(), Instant::now());
    let still = || {
        let now = number();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        now > 0 && since.elapsed() > Duration::from_millis(300)
    };
    eventually(what, still).await;
    last
}

#[tokio::test]
async fn w11_a_slow_consumer_slows_the_server_and_bounds_the_memory() {
    const MESSAGES: u64 = 3_000;
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = session
        .socket(server.ws_url())
        .options(|o| (o.limits.receive_messages, o.limits.receive_bytes) = (16, 64 << 10))
        .connect()
        .unwrap();
    opened(&socket).await;
    server.flood(Flood {
        count: MESSAGES,
        size: 16 << 10,
        per_second: 0,
        ..Flood::default()
    });
    let out = settled("the server is stopped", || server.counters().messages_out).await;
    assert!(
        out < MESSAGES * 3 / 4,
        "{out} of {MESSAGES} went out to somebody who does not read"
    );
    let before = memory_kb("VmRSS");
    for n in 1..=MESSAGES {
        let text = next_text(&mut socket).await;
        assert!(
            text.starts_with(&format!(r#"{{"type":"tick","n":{n},"#)),
            "{}",
            &text[..40]
        );
    }
    let grown = memory_kb("VmRSS").saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} kB more while 48 MB went through");
    assert_eq!(server.counters().ws_opened, 1);
    echo(&mut socket, "still the same connection").await;
}

#[tokio::test]
async fn w11_send_waits_while_the_server_does_not_read() {
    const MESSAGES: u64 = 1_500;
    let server = server(|s| s.echo = false).await;
    let session = signed_in(&server).await;
    let socket = open_socket(&server, &session).await;
    assert_eq!(server.pause_reads(&Who::All), 1);
    let sent = Arc::new(AtomicU64::new(0));
    let sending = tokio::spawn({
        let (handle, sent) = (socket.handle(), sent.clone());
        async move {
            for _ in 0..MESSAGES {
                handle
                    .send("x".repeat(32 << 10))
                    .await
                    .unwrap()
                    .sent()
                    .await
                    .unwrap();
                sent.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let done = settled("the sender is stopped", || sent.load(Ordering::SeqCst)).await;
    assert!(
        done < MESSAGES * 3 / 4,
        "{done} of {MESSAGES} messages went to somebody who does not read"
    );
    server.resume(&Who::All);
    within("all sent", sending).await.unwrap();
    seen("all received", &server, |s| s.counters.messages_in == MESSAGES).await;
    assert!(socket.is_connected());
}

#[tokio::test]
async fn w11_a_sender_that_gives_up_while_waiting_breaks_nothing() {
    let server = server(|s| s.record_messages = true).await;
    let session = signed_in(&server).await;
    let mut socket = open_socket(&server, &session).await;
    server.pause_reads(&Who::All);
    let mut waiting = 0;
    while waiting < 3 {
        let send = socket.send("y".repeat(256 << 10));
        waiting += u32::from(
            tokio::time::timeout(Duration::from_millis(50), send)
                .await
                .is_err(),
        );
    }
    server.resume(&Who::All);
    within("sent", socket.send("end")).await.unwrap();
    loop {
        let text = next_text(&mut socket).await;
        if text == "end" {
            break;
        }
        assert!(
            text.len() == 256 << 10 && text.bytes().all(|b| b == b'y'),
            "whole messages only"
        );
    }
}

#[tokio::test]
async fn w11_a_message_above_the_limit_ends_the_connection_with_1009() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.fault(
        Target::Ws,
        Fault::OversizedMessage { bytes: 1 << 20 },
        Times::Next(1),
    );
    let mut socket = session
        .socket(server.ws_url())
        .options(|o| {
            o.limits.max_message_bytes = 64 << 10;
            o.auto_connect = false;
        })
        .connect()
        .unwrap();
    let mut events = events(&socket);
    socket.connect();
    let event = next_where("ended", &mut events, |e| matches!(e, SocketEvent::Ended { .. })).await;
    assert!(
        matches!(
            event,
            SocketEvent::Ended {
                ended: Ended::Closed { code: 1009, .. },
                will_retry: true
            }
        ),
        "{event:?}"
    );
    seen("told the server", &server, |s| s.counters.ws_closed == 1).await;
    assert_eq!(records(&server, Kind::WsClosed)[0].close_code, Some(1009));
    opened(&socket).await;
    let largest = Message::binary(vec![7; 64 << 10]);
    within("sent", socket.send(largest.clone())).await.unwrap();
    assert_eq!(within("echo", socket.next()).await.unwrap().unwrap(), largest);
}
