use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn request(subprotocols: &[&str]) -> ConnectRequest {
    ConnectRequest {
        url: "ws://example.com:81/live?token=t0ken".into(),
        subprotocols: subprotocols.iter().map(|name| Secret::from(*name)).collect(),
        headers: Vec::new(),
        first_message: None,
        timeout_ms: 5_000,
    }
}

/// The upgrade against a server that answers with `answer`, in which `ACCEPT` stands for the right key. Also what the
/// server was asked.
async fn against(request: ConnectRequest, answer: String) -> (Result<Upgraded, ConnectFailure>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut asked).await.unwrap() > 0);
        }
        let asked = String::from_utf8(asked).unwrap();
        let key = asked
            .split("Sec-WebSocket-Key: ")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap()
            .to_owned();
        let answer = answer.replace("ACCEPT", &derive_accept_key(key.as_bytes()));
        // The client may hang up in the middle.
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        asked
    });
    let transport = Transport::Plain(TcpStream::connect(address).await.unwrap());
    let mut result = upgrade(transport, &request).await;
    if let Ok(Upgraded { transport, .. }) = &mut result {
        // So that the server's last read ends.
        transport.shutdown().await.unwrap();
    }
    (result, server.await.unwrap())
}

fn switching(more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
         sec-websocket-accept: ACCEPT\r\n{more}\r\n"
    )
}

async fn detail(answer: &str) -> String {
    match against(request(&[]), answer.to_owned()).await.0 {
        Err(ConnectFailure::Unreachable { detail }) => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn w2_the_request_carries_what_it_was_given() {
    let mut request = request(&["access_token", "ey.J"]);
    request.headers = vec![("Authorization".into(), "Bearer x".into())];
    let (result, asked) = against(request, switching("") + "rest").await;
    let upgraded = result.unwrap();
    assert_eq!(
        (upgraded.leftover.as_slice(), upgraded.subprotocol),
        (&b"rest"[..], None)
    );
    assert!(
        asked.starts_with("GET /live?token=t0ken HTTP/1.1\r\nHost: example.com:81\r\n"),
        "{asked}"
    );
    for line in [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: access_token, ey.J",
        "Authorization: Bearer x",
    ] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "{line} in {asked}");
    }
}

#[tokio::test]
async fn w8_other_statuses_are_told_with_retry_after() {
    for (status, field, retry_after) in [
        (401, "", None),
        (403, "", None),
        (404, "", None),
        (503, "Retry-After: 120\r\n", Some("120".to_owned())),
    ] {
        let answer = format!("HTTP/1.1 {status} No\r\n{field}Content-Length: 2\r\n\r\nno");
        let (result, _) = against(request(&[]), answer).await;
        assert_eq!(result.unwrap_err(), ConnectFailure::Http { status, retry_after });
    }
}

#[tokio::test]
async fn s6_answers_that_are_none_are_refused_within_bounds() {
    assert!(detail("SSH-2.0-OpenSSH_9\r\n").await.contains("not HTTP"));
    assert!(detail("").await.contains("without an answer"));
    assert!(
        detail("HTTP/1.1 101 Switching")
            .await
            .contains("without an answer")
    );
    let endless = format!("HTTP/1.1 200 OK\r\nX-Long: {}", "x".repeat(4 * LONGEST_HEAD));
    assert!(detail(&endless).await.contains("too long"));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MOST_FIELDS + 1));
    assert!(detail(&many).await.contains("not HTTP"));
}

#[tokio::test]
async fn p1_a_wrong_upgrade_is_none() {
    assert!(
        detail(&switching("").replace("upgrade: WebSocket\r\n", ""))
            .await
            .contains("no upgrade")
    );
    assert!(
        detail(&switching("").replace("Connection: keep-alive, Upgrade\r\n", ""))
            .await
            .contains("no upgrade")
    );
    assert!(
        detail(&switching("").replace("ACCEPT", "bm8="))
            .await
            .contains("another request")
    );
    let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    assert!(detail(&switching(extension)).await.contains("extension"));
    assert!(
        detail(&switching("Sec-WebSocket-Protocol: other\r\n"))
            .await
            .contains("not offered")
    );
}

#[tokio::test]
async fn w2_subprotocols_offered_and_selected() {
    let offer = || request(&["chat", "access_token", "ey.J"]);
    let selected = |line: &str| switching(&format!("Sec-WebSocket-Protocol: {line}\r\n"));
    let (result, _) = against(offer(), selected("access_token")).await;
    assert_eq!(result.unwrap().subprotocol.as_deref(), Some("access_token"));
    let (result, _) = against(offer(), switching("")).await;
    assert_eq!(result.unwrap().subprotocol, None);
    for wrong in ["other", "chat, access_token", "Access_Token"] {
        let (result, _) = against(offer(), selected(wrong)).await;
        assert!(
            matches!(result, Err(ConnectFailure::Unreachable { .. })),
            "{wrong}"
        );
    }
}

#[test]
fn s6_nothing_can_be_smuggled_into_the_request() {
    let with = |change: &dyn Fn(&mut ConnectRequest)| {
        let mut request = request(&[]);
        change(&mut request);
        match request_head(&request, "key") {
            Err(ConnectFailure::Unreachable { detail }) => detail,
            other => panic!(
                "{:?}",
                other.map(|head| String::from_utf8_lossy(&head).into_owned())
            ),
        }
    };
    let header = |name: &str, value: &str| (name.to_owned(), Secret::from(value));
    let shown = with(&|r| r.headers.push(header("Authorization", "s3cret\r\nX: y")));
    assert!(
        shown.contains("Authorization") && !shown.contains("s3cret"),
        "{shown}"
    );
    with(&|r| r.headers.push(header("Authorization", "s3cret\0")));
    with(&|r| r.headers.push(header("A b", "c")));
    let shown = with(&|r| r.subprotocols.push("s3cret, other".into()));
    assert!(!shown.contains("s3cret"), "{shown}");
    let shown = with(&|r| r.url = "ws://h/s3cret\r\nX: y".into());
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn p1_every_url_makes_a_path() {
    for (url, path) in [
        ("ws://h", "/"),
        ("ws://h/", "/"),
        ("ws://h?a=b", "/?a=b"),
        ("ws://h/p#f", "/p"),
        ("ws://h#f", "/"),
    ] {
        let head = request_head(
            &ConnectRequest {
                url: url.into(),
                ..request(&[])
            },
            "key",
        )
        .unwrap();
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{head}");
    }
}
