use super::*;
use crate::io::Notice;
use crate::options::{LimitOptions, Matcher};

#[tokio::test]
async fn p1_echo_of_text_and_binary() {
    let (mut rig, server) = connected(&SocketOptions::default()).await;
    echo(server);
    for (number, length) in [0, 1, 125, 126, 65_535, 65_536, 3_000_000]
        .into_iter()
        .enumerate()
    {
        let message = if number % 2 == 0 {
            Message::binary(vec![1; length])
        } else {
            Message::text("x".repeat(length))
        };
        rig.send(number as u64, message.clone()).await.unwrap();
        assert!(rig.receive(1).await == [message], "{length}");
    }
    assert!(matches!(
        rig.told().await,
        Input::Noticed {
            notice: Notice::FirstMessage,
            ..
        }
    ));
    assert!(rig.told.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_pipelined_echo_keeps_order() {
    let (rig, server) = connected(&SocketOptions::default()).await;
    echo(server);
    let rig = Arc::new(rig);
    let sender = Arc::clone(&rig);
    let sending = tokio::spawn(async move {
        for number in 0..20_000 {
            sender.send(number, numbered(number, 64)).await.unwrap();
        }
    });
    let got = rig.receive(20_000).await;
    for (number, message) in got.iter().enumerate() {
        assert!(*message == numbered(number as u64, 64), "{number}");
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn w9_an_application_that_never_reads_answers_pings_and_sees_the_close() {
    let (mut rig, mut server) = connected(&SocketOptions::default()).await;
    pinged(&mut server).await;
    server.send("unread".into()).await.unwrap();
    server.close(None).await.unwrap();
    assert!(matches!(
        rig.ended().await.0,
        ConnEnd::Closed {
            code: 1005,
            refused: false,
            ..
        }
    ));
    // What it had not read is still there.
    assert!(rig.receive(2).await == [Message::text("unread")]);
    assert!(drain(server).await.iter().all(WireMessage::is_close));
}

#[tokio::test]
async fn w9_the_task_takes_over_from_an_application_that_stops_reading() {
    let (rig, mut server) = connected(&SocketOptions::default()).await;
    for round in 0..3 {
        server.send("one".into()).await.unwrap();
        assert!(rig.receive(1).await == [Message::text("one")]);
        // It asks once more, goes away, and is woken in vain.
        let mut got = VecDeque::new();
        poll_fn(|cx| {
            assert!(rig.pipe.poll_recv(cx, &mut got).is_pending());
            Poll::Ready(())
        })
        .await;
        let asked = Instant::now();
        pinged(&mut server).await;
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "round {round}: {:?}",
            asked.elapsed()
        );
    }
}

#[tokio::test]
async fn w9_the_task_takes_over_in_the_middle_of_a_flood() {
    let (rig, mut server) = connected(&SocketOptions::default()).await;
    for number in 0..200 {
        server.feed(WireMessage::binary(vec![number; 8])).await.unwrap();
    }
    server.flush().await.unwrap();
    // A read that ended because it had enough registers no waker.
    let mut got = rig.receive(1).await;
    pinged(&mut server).await;
    got.extend(rig.receive(200 - got.len()).await);
    assert!(got.iter().enumerate().all(|(i, m)| m.as_bytes() == [i as u8; 8]) && got.len() == 200);
}

#[tokio::test]
async fn w9_a_read_before_the_connection_is_open_is_not_forgotten() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let mut rig = Rig::start(request(url), &SocketOptions::default(), tls());
    let mut got = VecDeque::new();
    poll_fn(|cx| {
        assert!(rig.pipe.poll_recv(cx, &mut got).is_pending());
        Poll::Ready(())
    })
    .await;
    let (stream, _) = listener.accept().await.unwrap();
    let mut server = tokio_tungstenite::accept_async(stream).await.unwrap();
    rig.opened().await;
    // The application does not come back: the task reads.
    pinged(&mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w11_a_full_inbox_stops_the_reading_and_a_reader_starts_it_again() {
    const COUNT: u64 = 2_000;
    for limits in [
        LimitOptions {
            receive_messages: 8,
            ..LimitOptions::default()
        },
        LimitOptions {
            receive_bytes: 200_000,
            ..LimitOptions::default()
        },
    ] {
        let (rig, mut server) = connected(&SocketOptions {
            limits,
            ..SocketOptions::default()
        })
        .await;
        let written = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = Arc::clone(&written);
        let writing = tokio::spawn(async move {
            for number in 0..COUNT {
                server
                    .send(WireMessage::binary(numbered(number, 32_768).as_bytes().to_vec()))
                    .await
                    .unwrap();
                count.store(number, std::sync::atomic::Ordering::SeqCst);
            }
            server
        });
        // 64 MB do not fit into any socket's buffers: the server is stuck once it stops getting on.
        let mut before = (0, Instant::now());
        within(async {
            loop {
                let now = written.load(std::sync::atomic::Ordering::SeqCst);
                if now != before.0 {
                    before = (now, Instant::now());
                } else if now > 0 && before.1.elapsed() > Duration::from_millis(300) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(before.0 < COUNT - 1);
        let waiting = rig.pipe.shared.with(|state| state.inbox.len());
        assert!((1..=8).contains(&waiting), "{waiting}");
        // Silence that is our own choice is not the peer's.
        assert!(rig.pipe.last_received() > Mono(200));
        let got = rig.receive(COUNT as usize).await;
        assert_eq!(got.len(), COUNT as usize);
        assert!(
            got.iter()
                .enumerate()
                .all(|(i, m)| m.as_bytes()[..8] == (i as u64).to_be_bytes())
        );
        drop(writing.await.unwrap());
    }
}

#[tokio::test]
async fn p3_notices_and_swallowed_heartbeats() {
    let mut options = SocketOptions {
        ready: Some(Matcher::new([("/type", "connected".into())])),
        auth_error: Some(vec![Matcher::new([("/type", "error".into())])]),
        ..SocketOptions::default()
    };
    options.heartbeat.reply = Some(Matcher::new([("/type", "pong".into())]));
    let (mut rig, mut server) = connected(&options).await;
    for text in [
        r#"{"type":"connected"}"#,
        r#"{"type":"pong"}"#,
        "hello",
        r#"{"type":"error"}"#,
    ] {
        server.send(text.into()).await.unwrap();
    }
    assert_eq!(rig.receive(3).await.len(), 3);
    for expected in [Notice::Ready, Notice::FirstMessage, Notice::AuthError] {
        assert!(matches!(rig.told().await, Input::Noticed { notice, .. } if notice == expected));
    }
    server.close(None).await.unwrap();
    assert!(matches!(
        rig.ended().await.0,
        ConnEnd::Closed { refused: true, .. }
    ));
}

#[tokio::test]
async fn w9_pings_go_out_and_pongs_count_as_life() {
    let (rig, mut server) = connected(&SocketOptions::default()).await;
    let before = rig.pipe.last_received();
    tokio::time::sleep(Duration::from_millis(20)).await;
    rig.pipe.ping();
    assert!(within(server.next()).await.unwrap().unwrap().is_ping());
    server.flush().await.unwrap();
    rig.until("the pong", |state| state.last_received() > before)
        .await;
}

#[tokio::test]
async fn w14_a_connection_rests_when_it_is_quiet_and_wakes_up() {
    let (rig, mut server) = connected(&SocketOptions::default()).await;
    for round in 0..3 {
        server.send("hello".into()).await.unwrap();
        server.send(WireMessage::binary(vec![1; 70_000])).await.unwrap();
        assert_eq!(rig.receive(2).await.len(), 2, "round {round}");
        rig.send(round, "x").await.unwrap();
        assert!(within(server.next()).await.unwrap().unwrap().is_text());
        rig.until("rest", |state| {
            matches!(&state.phase, state::Phase::Open(wire) if wire.is_resting())
                && !state.signals.is_watched()
        })
        .await;
    }
}

/// Sends a ping, and waits for its pong.
async fn pinged(server: &mut Server) {
    server.send(WireMessage::Ping(vec![1].into())).await.unwrap();
    let pong = within(async {
        loop {
            let message = server.next().await.unwrap().unwrap();
            if message.is_pong() {
                break message;
            }
        }
    });
    assert_eq!(pong.await.into_data(), vec![1]);
}
