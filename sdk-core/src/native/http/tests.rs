use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::native::tls;

const TOKEN: &str = "hunter2";

enum Answer {
    /// These bytes, then the end of the connection.
    Bytes(String),
    /// These bytes, then chunks for as long as anybody reads.
    Endless(String),
    Silence,
}

struct Server {
    origin: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers one request per connection; `answer` is given the request's path.
    async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (record, answer) = (Arc::clone(&seen), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (record, answer) = (Arc::clone(&record), Arc::clone(&answer));
                tokio::spawn(async move {
                    let Some(request) = read_request(&mut stream).await else {
                        return;
                    };
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    record.lock().unwrap().push(request);
                    write_answer(&mut stream, answer(&path)).await;
                });
            }
        });
        Self { origin, seen }
    }

    async fn answering(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::start(move |_| Answer::Bytes(text.clone())).await
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        if stream.read_buf(&mut text).await.ok()? == 0 {
            return None;
        }
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .to_ascii_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(so_far);
        }
    }
}

async fn write_answer(stream: &mut TcpStream, answer: Answer) {
    match answer {
        Answer::Bytes(text) => _ = stream.write_all(text.as_bytes()).await,
        Answer::Endless(head) => {
            _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(b"10\r\nxxxxxxxxxxxxxxxx\r\n").await.is_ok() {}
        }
        Answer::Silence => std::future::pending().await,
    }
}

fn http() -> Http {
    Http::new(&tls::client_config(&[]).unwrap()).unwrap()
}

fn post(url: String) -> HttpRequest {
    HttpRequest {
        method: Method::Post,
        url,
        headers: vec![("authorization", format!("Bearer {TOKEN}").into())],
        extra_header: Some(("Idempotency-Key".into(), "key-1".into())),
        body: Some(format!(r#"{{"refresh":"{TOKEN}"}}"#).into()),
        max_answer_bytes: 1000,
        timeout_ms: 10_000,
    }
}

async fn fails(request: HttpRequest) -> Error {
    let error = http().perform(&request).await.unwrap_err();
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(!shown.contains(TOKEN), "{shown}");
    }
    error
}

fn redirect(status: u16, location: &str) -> Answer {
    Answer::Bytes(format!(
        "HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ))
}

#[tokio::test]
async fn a_request_and_its_answer_are_complete() {
    let server = Server::answering(
        "HTTP/1.1 201 Created\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: 120\r\nSet-Cookie: a=hunter2; HttpOnly\r\n\
         Set-Cookie: b=2\r\nContent-Length: 13\r\n\r\n{\"access\":\"\"}",
    )
    .await;
    let answer = http()
        .perform(&post(format!("{}/login/?x=1", server.origin)))
        .await
        .unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(answer.date_unix_ms, Some(784_111_777_000));
    assert_eq!(answer.retry_after.as_deref(), Some("120"));
    assert_eq!(
        answer.set_cookies,
        ["a=hunter2; HttpOnly", "b=2"].map(Secret::from)
    );
    assert_eq!(answer.body, Some(r#"{"access":""}"#.into()));
    assert!(!format!("{answer:?}").contains(TOKEN));

    let [request] = server.seen().try_into().unwrap();
    assert!(request.starts_with("POST /login/?x=1 HTTP/1.1\r\n"), "{request}");
    for line in [
        "accept: application/json",
        "content-type: application/json",
        "authorization: Bearer hunter2",
        "idempotency-key: key-1",
        "content-length: 21",
    ] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{request}");
    }
    assert!(
        request.ends_with("\r\n\r\n{\"refresh\":\"hunter2\"}"),
        "{request}"
    );
}

#[tokio::test]
async fn an_answer_without_a_body_has_none() {
    let server = Server::answering("HTTP/1.1 204 No Content\r\nDate: yesterday\r\n\r\n").await;
    let answer = http().perform(&post(server.origin.clone())).await.unwrap();
    assert_eq!(
        (answer.status, answer.body, answer.date_unix_ms),
        (204, None, None)
    );
}

#[tokio::test]
async fn any_status_and_any_text_is_an_answer() {
    let page = "<html>Bad gateway</html>";
    let server = Server::answering(format!(
        "HTTP/1.1 502 Bad\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    ))
    .await;
    let answer = http().perform(&post(server.origin.clone())).await.unwrap();
    assert_eq!((answer.status, answer.body), (502, Some(page.into())));
}

#[tokio::test]
async fn a_body_that_is_not_text_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe")
            .await
            .unwrap();
    });
    let answer = http().perform(&post(url)).await.unwrap();
    assert_eq!((answer.status, answer.body), (200, None));
}

#[tokio::test]
async fn a_large_answer_is_refused_by_its_announced_length() {
    // Nothing follows the head: whoever waited for the body would wait for the time limit.
    let server =
        Server::start(|_| Answer::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n".into())).await;
    assert_eq!(
        fails(post(server.origin.clone())).await.kind(),
        ErrorKind::AnswerTooLarge
    );
}

#[tokio::test]
async fn an_endless_answer_is_refused_at_the_bound() {
    let server =
        Server::start(|_| Answer::Endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into()))
            .await;
    assert_eq!(
        fails(post(server.origin.clone())).await.kind(),
        ErrorKind::AnswerTooLarge
    );
}

#[tokio::test]
async fn an_answer_of_exactly_the_bound_is_read() {
    let body = "x".repeat(1000);
    let server = Server::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{body}")).await;
    assert_eq!(
        http().perform(&post(server.origin.clone())).await.unwrap().body,
        Some(body.into())
    );
}

#[tokio::test]
async fn the_time_limit_covers_the_head_and_the_body() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/?t={TOKEN}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            write_answer(&mut stream, Answer::Silence).await;
        });
        let begun = Instant::now();
        let error = fails(HttpRequest {
            timeout_ms: 200,
            ..post(url)
        })
        .await;
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(error.message(), "the server did not answer within 200 ms");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn what_is_no_http_answer_is_unreachable_and_said_without_the_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = format!("http://u:{TOKEN}@{}/?t={TOKEN}", listener.local_addr().unwrap());
    drop(listener);
    let error = fails(post(refusing)).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(
        error.cause().unwrap().to_lowercase().contains("refused"),
        "{error}"
    );

    for answer in [
        "",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut off",
    ] {
        let server = Server::answering(answer).await;
        let error = fails(post(format!("{}/?t={TOKEN}", server.origin))).await;
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.cause().is_some(), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_named_without_its_value() {
    assert_eq!(
        fails(post(format!("not a url {TOKEN}"))).await.kind(),
        ErrorKind::InvalidOptions
    );
    let request = HttpRequest {
        headers: vec![("authorization", format!("Bearer {TOKEN}\r\nx: y").into())],
        ..post("http://127.0.0.1:1".into())
    };
    assert_eq!(fails(request).await.kind(), ErrorKind::InvalidOptions);
}

#[tokio::test]
async fn a_redirect_within_the_origin_keeps_method_and_body() {
    for status in [301, 302, 307, 308] {
        let server = Server::start(move |path| match path {
            "/login" => redirect(status, "/login/"),
            _ => Answer::Bytes("HTTP/1.1 200 OK\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n".into()),
        })
        .await;
        let answer = http()
            .perform(&post(format!("{}/login", server.origin)))
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
        let [first, second] = server.seen().try_into().unwrap();
        assert_eq!(first.replace("/login ", "/login/ "), second, "status {status}");
    }
}

#[tokio::test]
async fn see_other_becomes_a_get() {
    let server = Server::start(|path| match path {
        "/a" => Answer::Bytes(
            "HTTP/1.1 303 See\r\nLocation: b\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n".into(),
        ),
        _ => Answer::Bytes("HTTP/1.1 200 OK\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n".into()),
    })
    .await;
    let answer = http()
        .perform(&post(format!("{}/a", server.origin)))
        .await
        .unwrap();
    assert_eq!(answer.set_cookies, ["a=1", "b=2"].map(Secret::from));
    let last = server.seen().pop().unwrap();
    assert!(
        last.starts_with("GET /b ") && last.ends_with("\r\n\r\n") && !last.contains("content-type"),
        "{last}"
    );
    assert!(last.contains("authorization: Bearer hunter2"), "{last}");
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_origin() {
    let other = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let port = other.origin.rsplit_once(':').unwrap().1.to_owned();
    for location in [
        format!("{}/steal", other.origin),
        format!("//127.0.0.1:{port}/steal"),
        format!("http://localhost:{port}/"),
        "https://127.0.0.1/".into(),
        "file:///etc/passwd".into(),
        "data:text/plain,x".into(),
    ] {
        let server = Server::start(move |_| redirect(307, &location)).await;
        let error = fails(post(format!("{}/login", server.origin))).await;
        assert_eq!(error.kind(), ErrorKind::MalformedAnswer);
        assert_eq!(
            error.message(),
            "the server redirected to another origin; credentials are not sent there"
        );

        // The client for the application's own requests does not go there either; it hands the redirect out.
        let answer = http()
            .client()
            .post(&server.origin)
            .bearer_auth(TOKEN)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 307);
    }
    assert!(other.seen().is_empty());
}

#[test]
fn a_redirect_cannot_replace_the_credentials() {
    let from = Url::parse("https://example.com/a").unwrap();
    let to = next_url(
        &from,
        &HeaderValue::from_static("https://mallory:pw@example.com/b"),
    )
    .unwrap();
    assert_eq!(to.as_str(), "https://example.com/b");
}

#[tokio::test]
async fn redirects_end() {
    let server = Server::start(|path| redirect(308, &format!("{path}x"))).await;
    let error = fails(post(format!("{}/", server.origin))).await;
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::MalformedAnswer, "the server redirected too often")
    );
    assert_eq!(server.seen().len(), 1 + MAX_REDIRECTS);
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_an_answer_or_an_error() {
    let server = Server::answering("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(
        http().perform(&post(server.origin.clone())).await.unwrap().status,
        302
    );
    let server = Server::start(|_| redirect(302, "http://[")).await;
    assert_eq!(
        fails(post(server.origin.clone())).await.kind(),
        ErrorKind::MalformedAnswer
    );
}

#[tokio::test]
async fn the_applications_client_follows_within_the_origin() {
    let server = Server::start(|path| match path {
        "/a" => redirect(302, "/b"),
        _ => Answer::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()),
    })
    .await;
    let answer = http()
        .client()
        .get(format!("{}/a", server.origin))
        .bearer_auth(TOKEN)
        .send()
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), answer.url().path()), (200, "/b"));
    assert!(
        server
            .seen()
            .pop()
            .unwrap()
            .contains("authorization: Bearer hunter2")
    );
}

const WITH_PROXIES: &str = "FRESHSOCKET_TEST_WITH_PROXIES";

/// In a process of its own, because a test cannot change its environment safely.
#[test]
fn clear_text_goes_past_every_proxy_and_https_through_it() {
    let proxy = format!("http://user:{TOKEN}@127.0.0.1:1");
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "native::http::tests::child_with_proxies"])
        .envs(
            [
                WITH_PROXIES,
                "HTTP_PROXY",
                "http_proxy",
                "HTTPS_PROXY",
                "ALL_PROXY",
            ]
            .map(|name| (name, &proxy)),
        )
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// Not a test of its own: the process with proxies.
#[tokio::test]
async fn child_with_proxies() {
    if std::env::var_os(WITH_PROXIES).is_none() {
        return;
    }
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(
        http().perform(&post(server.origin.clone())).await.unwrap().status,
        200
    );
    // Nothing listens at the proxy's port, and this server would have answered.
    let error = fails(post(server.origin.replace("http:", "https:"))).await;
    assert!(
        error.cause().unwrap().to_lowercase().contains("refused"),
        "{error}"
    );
    assert!(server.seen().len() == 1);
}
