use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::io::HttpRequest;
use crate::native::http::Http;
use crate::options::Method;

const WITHOUT_ROOTS: &str = "FRESHSOCKET_TEST_WITHOUT_ROOTS";

struct Server {
    url: String,
    root: CertificateDer<'static>,
}

/// TLS for `localhost`, with a certificate of a private authority.
fn acceptor() -> (TlsAcceptor, CertificateDer<'static>) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap().der().clone();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".into()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();

    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), root)
}

/// An HTTPS server.
async fn server() -> Server {
    let (acceptor, root) = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await;
            let _ = stream.shutdown().await;
        }
    });
    Server { url, root }
}

/// A `wss://` server for `localhost` that echoes, with the same kind of certificate.
#[tokio::test]
async fn p1_a_socket_over_tls_echoes_with_a_private_authority() {
    use futures_util::{SinkExt, StreamExt};

    let (acceptor, root) = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/ws", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let session = crate::Session::builder("https://localhost")
        .root_certificate(root.to_vec())
        .build()
        .await
        .unwrap();
    let mut socket = session
        .socket(url)
        .credential(crate::options::Credential::None)
        .connect()
        .unwrap();
    let large = "x".repeat(1 << 20);
    for text in ["hello", &large, "bye"] {
        socket.handle().send(text).await.unwrap();
        let echo = tokio::time::timeout(std::time::Duration::from_secs(20), socket.next());
        assert_eq!(echo.await.unwrap().unwrap().unwrap().as_text(), Some(text));
    }
    socket.disconnect().await;
}

async fn get(server: &Server, extra_roots: &[CertificateDer<'static>]) -> Result<u16, Error> {
    let request = HttpRequest {
        method: Method::Get,
        url: server.url.clone(),
        headers: Vec::new(),
        extra_header: None,
        body: None,
        max_answer_bytes: 1000,
        timeout_ms: 10_000,
    };
    let tls = client_config(extra_roots)?;
    let http = Http::new(&tls)?;
    http.perform(&request).await.map(|answer| answer.status)
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_given_and_only_then() {
    let server = server().await;
    assert_eq!(
        get(&server, std::slice::from_ref(&server.root)).await.unwrap(),
        200
    );
    let error = get(&server, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.cause().unwrap().contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let mut server = server().await;
    server.url = server.url.replace("localhost", "127.0.0.1");
    let error = get(&server, std::slice::from_ref(&server.root))
        .await
        .unwrap_err();
    assert!(error.cause().unwrap().contains("certificate"), "{error}");
}

#[test]
fn a_root_that_is_no_certificate_is_named() {
    let error = client_config(&[CertificateDer::from(vec![1, 2, 3])]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);
}

/// The variables that name the roots are read at every start, and a test cannot change its own environment safely.
#[cfg(all(unix, not(target_vendor = "apple")))]
#[test]
fn without_roots_of_the_platform_the_bundled_ones_serve() {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "native::tls::tests::child_without_roots"])
        .env(WITHOUT_ROOTS, "1")
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent")
        .output()
        .unwrap();
    assert!(
        status.status.success(),
        "{}",
        String::from_utf8_lossy(&status.stdout)
    );
}

/// Not a test of its own: the process without roots.
#[tokio::test]
async fn child_without_roots() {
    if std::env::var_os(WITHOUT_ROOTS).is_none() {
        return;
    }
    let provider = Arc::new(ring::default_provider());
    assert!(platform_verifier(&[], &provider).is_none());
    let server = server().await;
    assert_eq!(
        get(&server, std::slice::from_ref(&server.root)).await.unwrap(),
        200
    );
    assert!(get(&server, &[]).await.is_err());
}
