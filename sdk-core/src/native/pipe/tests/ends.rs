use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tungstenite::protocol::CloseFrame;

use super::*;
use crate::options::LimitOptions;

/// What the connection ends with when the server writes these bytes and, if so, hangs up; and the server's view of it.
async fn after(bytes: &[u8], hang_up: bool, limits: LimitOptions) -> (ConnEnd, Vec<u8>) {
    let (mut rig, server) = connected(&SocketOptions {
        limits,
        ..SocketOptions::default()
    })
    .await;
    let mut stream = server.into_inner();
    stream.write_all(bytes).await.unwrap();
    if hang_up {
        stream.shutdown().await.unwrap();
    }
    let end = rig.ended().await.0;
    let mut said = Vec::new();
    let _ = within(stream.read_to_end(&mut said)).await;
    (end, said)
}

/// The code in a masked close frame.
fn close_code(frame: &[u8]) -> u16 {
    assert_eq!(frame[0], 0x88, "{frame:?}");
    u16::from_be_bytes([frame[6] ^ frame[2], frame[7] ^ frame[3]])
}

#[tokio::test]
async fn w7_closes_with_and_without_a_code() {
    let (end, said) = after(&[0x88, 0], true, LimitOptions::default()).await;
    assert_eq!(
        end,
        ConnEnd::Closed {
            code: 1005,
            reason: String::new(),
            refused: false
        }
    );
    assert_eq!((said[0], said[1]), (0x88, 0x80));
    let (end, said) = after(
        &[0x88, 7, 0x11, 0x31, b'l', b'a', b't', b'e', b'r'],
        false,
        LimitOptions::default(),
    )
    .await;
    assert_eq!(
        end,
        ConnEnd::Closed {
            code: 4401,
            reason: "later".into(),
            refused: false
        }
    );
    assert_eq!(close_code(&said), 4401);
}

#[tokio::test]
async fn w7_an_end_without_a_close_is_a_loss() {
    let (end, _) = after(&[], true, LimitOptions::default()).await;
    assert!(matches!(end, ConnEnd::Lost { refused: false, .. }), "{end:?}");
    let refusal = br#"{"error":"Unauthorized"}"#;
    let frame = [&[0x81, refusal.len() as u8][..], refusal].concat();
    let (end, _) = after(&frame, true, LimitOptions::default()).await;
    assert!(matches!(end, ConnEnd::Lost { refused: true, .. }), "{end:?}");
}

#[tokio::test]
async fn w11_a_message_beyond_the_limit_is_a_violation_before_it_takes_memory() {
    // The header alone announces 1 TiB, then 101 bytes; then two fragments together.
    let huge = [&[0x82, 127][..], &(1_u64 << 40).to_be_bytes()].concat();
    let large = [0x82, 101];
    let fragments = [&[0x02, 60][..], &[0; 60], &[0x80, 60], &[0; 60]].concat();
    for bytes in [&huge[..], &large, &fragments] {
        let limits = LimitOptions {
            max_message_bytes: 100,
            ..LimitOptions::default()
        };
        let (end, said) = after(bytes, false, limits).await;
        assert!(matches!(end, ConnEnd::Violation { code: 1009, .. }), "{end:?}");
        assert_eq!(close_code(&said), 1009);
    }
}

#[tokio::test]
async fn p1_broken_text_and_broken_frames_are_violations() {
    let utf8 = [0x81, 4, b's', b'3', 0xff, 0xfe];
    let (end, said) = after(&utf8, false, LimitOptions::default()).await;
    assert!(matches!(end, ConnEnd::Violation { code: 1007, .. }), "{end:?}");
    assert_eq!(close_code(&said), 1007);
    for bytes in [&[0xF1, 0][..], &[0x82, 0x80, 1, 2, 3, 4], &[0x83, 0], &[0x80, 0]] {
        let (end, said) = after(bytes, false, LimitOptions::default()).await;
        assert!(
            matches!(end, ConnEnd::Violation { code: 1002, .. }),
            "{bytes:?}: {end:?}"
        );
        assert_eq!(close_code(&said), 1002);
    }
}

#[tokio::test]
async fn w1_our_close_flushes_first_and_reads_to_the_end() {
    let (mut rig, mut server) = connected(&SocketOptions::default()).await;
    rig.transmit(
        (0..100)
            .map(|number| (SendId(number), numbered(number, 64)))
            .collect(),
    );
    rig.pipe.close(4000, "é".repeat(100));
    rig.until("the close frame", |state| state.closing == Closing::Sent)
        .await;
    assert!(rig.send(200, "too late").await.is_err());
    server.send("last words".into()).await.unwrap();
    let got = drain(server).await;
    assert_eq!(got.iter().filter(|message| message.is_binary()).count(), 100);
    match got.last() {
        Some(WireMessage::Close(Some(CloseFrame { code, reason }))) => {
            assert_eq!(
                (u16::from(*code), reason.as_str()),
                (4000, "é".repeat(61).as_str())
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(rig.receive(2).await == [Message::text("last words")]);
    let (end, unsent) = rig.ended().await;
    assert!(matches!(end, ConnEnd::Closed { code: 4000, .. }), "{end:?}");
    assert!(unsent.is_empty());
}

#[tokio::test]
async fn w1_a_close_that_is_not_answered_ends_all_the_same() {
    let (mut rig, _server) = connected(&SocketOptions::default()).await;
    let asked = Instant::now();
    rig.pipe.close(1000, String::new());
    let (end, _) = rig.ended().await;
    assert!(matches!(end, ConnEnd::Lost { .. }), "{end:?}");
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn w8_last_words_are_heard_although_writing_failed() {
    let (mut rig, server) = connected(&SocketOptions::default()).await;
    // Held back from reading, so that the writing is the first to fail.
    rig.pipe.shared.with(|state| {
        state
            .signals
            .task_reads
            .store(false, std::sync::atomic::Ordering::SeqCst);
        state
            .signals
            .unserved
            .store(false, std::sync::atomic::Ordering::SeqCst);
    });
    let mut stream = server.into_inner();
    // Unread bytes turn the server's close into a reset.
    rig.send(1, "unread").await.unwrap();
    stream.readable().await.unwrap();
    stream.write_all(&[0x88, 2, 0x11, 0x31]).await.unwrap();
    drop(stream);
    let mut number = 2;
    while rig.send(number, "more").await.is_ok() && !rig.pipe.shared.with(|state| state.is_over()) {
        number += 1;
    }
    let (end, _) = rig.ended().await;
    assert!(matches!(end, ConnEnd::Closed { code: 4401, .. }), "{end:?}");
}

#[tokio::test]
async fn w14_dropping_the_handle_ends_the_task() {
    let (mut rig, server) = connected(&SocketOptions::default()).await;
    drop(std::mem::replace(
        &mut rig.pipe,
        Rig::start(
            request("ws://127.0.0.1:1".into()),
            &SocketOptions::default(),
            tls(),
        )
        .pipe,
    ));
    assert!(matches!(rig.ended().await.0, ConnEnd::Lost { .. }));
    drain(server).await;
    // Its sender is gone: nothing is left of it.
    assert!(within(rig.told.recv()).await.is_none());
}

#[tokio::test]
async fn w1_giving_up_while_connecting() {
    // Accepts, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    for close in [true, false] {
        let mut rig = Rig::start(request(url.clone()), &SocketOptions::default(), tls());
        let _stream = within(listener.accept()).await.unwrap();
        if close {
            rig.pipe.close(1000, String::new());
        } else {
            rig.pipe.abort();
        }
        assert!(matches!(rig.ended().await.0, ConnEnd::Lost { .. }));
        assert!(rig.receive(1).await.is_empty());
    }
    let mut rig = Rig::start(
        ConnectRequest {
            timeout_ms: 50,
            ..request(url)
        },
        &SocketOptions::default(),
        tls(),
    );
    match rig.told().await {
        Input::ConnectFailed {
            failure: ConnectFailure::Unreachable { detail },
            ..
        } => {
            assert!(detail.contains("50 ms"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    assert!(rig.send(1, "x").await.is_err());
}
