//! P1, W1: every kind and size of message; the socket as a stream and a sink.

use freshsocket::options::{Credential, OutboxMode};
use freshsocket::{ErrorKind, Message, Session};
use freshsocket_native_tests::{echo, open_socket, opened, server, signed_in, within};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message as Raw};

#[tokio::test]
async fn p1_texts_and_bytes_of_every_size_come_back_as_they_were() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = open_socket(&server, &session).await;
    let bytes = |len: usize| {
        (0..len)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect::<Vec<_>>()
    };
    let mut messages = vec![
        Message::text(""),
        Message::text("ä€😀\u{0}\n"),
        Message::binary(Vec::new()),
    ];
    for len in [1, 125, 126, 127, 65_535, 65_536, 1 << 20, (4 << 20) - 1, 4 << 20] {
        messages.push(Message::binary(bytes(len)));
        messages.push(Message::text("t".repeat(len)));
    }
    for message in messages {
        within("sent", socket.send(message.clone())).await.unwrap();
        let back = within("echo", socket.next()).await.unwrap().unwrap();
        assert!(back == message, "{} bytes", message.len());
    }
    within("sent", socket.send_json(&serde_json::json!({ "n": 1 })))
        .await
        .unwrap();
    assert_eq!(
        within("echo", socket.next()).await.unwrap().unwrap().as_text(),
        Some(r#"{"n":1}"#)
    );
    let unwritable = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert_eq!(
        socket.send_json(&unwritable).await.unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[tokio::test]
async fn p1_fragments_with_control_frames_between_them_are_one_message() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = tokio_tungstenite::accept_async(stream).await.unwrap();
        let fragment = |bytes: &'static [u8], opcode, last| {
            Raw::Frame(Frame::message(
                Bytes::from_static(bytes),
                OpCode::Data(opcode),
                last,
            ))
        };
        let text = "fünf".as_bytes();
        for message in [
            // Cut in the middle of a letter.
            fragment(&text[..2], Data::Text, false),
            Raw::Ping(Bytes::from_static(b"here?")),
            fragment(&text[2..3], Data::Continue, false),
            Raw::Pong(Bytes::new()),
            fragment(b"", Data::Continue, false),
            fragment(&text[3..], Data::Continue, true),
            fragment(&[1, 2], Data::Binary, false),
            fragment(&[3], Data::Continue, true),
        ] {
            peer.send(message).await.unwrap();
        }
        let mut got = Vec::new();
        while let Some(Ok(message)) = peer.next().await {
            got.push(message);
        }
        got
    });
    let session = Session::builder("http://127.0.0.1:9").build().await.unwrap();
    let mut socket = session
        .socket(url)
        .credential(Credential::None)
        .connect()
        .unwrap();
    assert_eq!(
        within("text", socket.next()).await.unwrap().unwrap(),
        Message::text("fünf")
    );
    assert_eq!(
        within("bytes", socket.next()).await.unwrap().unwrap(),
        Message::binary(vec![1, 2, 3])
    );
    within("disconnect", socket.disconnect()).await;
    let got = within("the peer", serving).await.unwrap();
    assert!(got.contains(&Raw::Pong(Bytes::from_static(b"here?"))), "{got:?}");
    assert!(
        matches!(got.last(), Some(Raw::Close(Some(frame))) if u16::from(frame.code) == 1000),
        "{got:?}"
    );
}

#[tokio::test]
async fn w1_a_socket_is_a_stream_and_a_sink() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let socket = open_socket(&server, &session).await;
    let (mut sink, stream) = socket.split();
    let all = (1..=500).map(|n| Ok(Message::text(n.to_string())));
    within("all sent", sink.send_all(&mut futures_util::stream::iter(all)))
        .await
        .unwrap();
    let texts = stream
        .take(500)
        .map(|message| message.unwrap().as_text().unwrap().to_owned());
    let texts: Vec<_> = within("all received", texts.collect()).await;
    assert_eq!(texts, (1..=500).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn w1_closing_the_sink_closes_the_socket() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = open_socket(&server, &session).await;
    within("fed", socket.feed(Message::text("last"))).await.unwrap();
    within("closed", SinkExt::close(&mut socket)).await.unwrap();
    within("closed", socket.wait_for(freshsocket::SocketState::is_final))
        .await
        .unwrap();
    freshsocket_native_tests::seen("closed", &server, |s| s.counters.ws_closed == 1).await;
    assert_eq!(server.counters().messages_in, 1, "fed before, sent before");
}

#[tokio::test]
async fn w10_the_sink_queues_while_there_is_no_connection() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = session
        .socket(server.ws_url())
        .options(|o| o.auto_connect = false)
        .connect()
        .unwrap();
    socket.connect();
    for text in ["one", "two", "three"] {
        within("fed", SinkExt::feed(&mut socket, Message::text(text)))
            .await
            .unwrap();
    }
    within("flushed", SinkExt::flush(&mut socket)).await.unwrap();
    for text in ["one", "two", "three"] {
        assert_eq!(
            within("echo", StreamExt::next(&mut socket))
                .await
                .unwrap()
                .unwrap()
                .as_text(),
            Some(text)
        );
    }
    let mut rejecting = session
        .socket(server.ws_url())
        .options(|o| o.outbox.mode = OutboxMode::Reject)
        .connect()
        .unwrap();
    opened(&rejecting).await;
    echo(&mut rejecting, "hello").await;
}
