//! Where tokens may be, and where not.

use std::sync::OnceLock;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::*;
use crate::options::Credential;

const TOKEN: &str = "s3cret-t0ken-0f-the-first-message";

struct Captured(Mutex<String>);

impl log::Log for Captured {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        // Only the client's own side: the server of the test logs what it reads.
        if ON_CLIENT.get() {
            use std::fmt::Write as _;
            let _ = writeln!(self.0.lock().unwrap(), "{} {}", record.target(), record.args());
        }
    }
    fn flush(&self) {}
}

thread_local! {
    static ON_CLIENT: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn captured() -> &'static Captured {
    static CAPTURED: OnceLock<&'static Captured> = OnceLock::new();
    CAPTURED.get_or_init(|| {
        let captured = Box::leak(Box::new(Captured(Mutex::new(String::new()))));
        log::set_logger(captured).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        captured
    })
}

/// One thread for the client, which logs; another for the server, which does not.
#[test]
fn s6_a_token_is_on_the_wire_and_in_no_log() {
    let captured = captured();
    let (address_to, address) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        runtime().block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            address_to.send(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            #[allow(clippy::result_large_err)] // the trait's
            let choose = |_: &tungstenite::handshake::server::Request,
                          mut answer: tungstenite::handshake::server::Response| {
                answer
                    .headers_mut()
                    .insert("Sec-WebSocket-Protocol", "access_token".parse().unwrap());
                Ok(answer)
            };
            let server = tokio_tungstenite::accept_hdr_async(stream, choose).await.unwrap();
            drain(server).await
        })
    });
    ON_CLIENT.set(true);
    runtime().block_on(async {
        let request = ConnectRequest {
            url: format!("ws://{}/?ticket={TOKEN}", address.recv().unwrap()).into(),
            subprotocols: vec!["access_token".into(), TOKEN.into()],
            headers: vec![("Authorization".into(), format!("Bearer {TOKEN}").into())],
            first_message: Some(format!("auth {TOKEN}").into()),
            timeout_ms: 5_000,
        };
        let options = SocketOptions {
            credential: Credential::default(),
            ..SocketOptions::default()
        };
        let mut rig = Rig::start(request, &options, tls());
        match rig.told().await {
            Input::Opened { subprotocol, .. } => assert_eq!(subprotocol.as_deref(), Some("access_token")),
            other => panic!("{other:?}"),
        }
        rig.send(1, "plain").await.unwrap();
        rig.pipe.transmit_secret(format!("again {TOKEN}").into());
        rig.pipe.close(1000, String::new());
        rig.ended().await;
    });
    let got: Vec<String> = server
        .join()
        .unwrap()
        .iter()
        .filter_map(|m| m.to_text().ok().map(str::to_owned))
        .collect();
    assert_eq!(
        got[..3],
        [
            format!("auth {TOKEN}"),
            "plain".to_owned(),
            format!("again {TOKEN}")
        ]
    );
    let log = captured.0.lock().unwrap();
    assert!(log.contains("tungstenite"), "the logger works: {log}");
    let hex = TOKEN
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat();
    let decimal = TOKEN
        .bytes()
        .map(|byte| byte.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    for form in [TOKEN, &hex, &decimal] {
        assert!(!log.contains(form), "{form} in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s6_all_of_it_works_over_tls() {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut count = 0;
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut server = tokio_tungstenite::accept_async(stream).await.unwrap();
            // Comes in one record with the answer to the upgrade, or close behind it.
            server.send("welcome".into()).await.unwrap();
            while let Some(Ok(message)) = server.next().await {
                if message.is_binary() {
                    count += 1;
                    server.send(message).await.unwrap();
                }
            }
            return count;
        }
    });

    let mut untrusting = Rig::start(
        request(format!("wss://localhost:{port}/")),
        &SocketOptions::default(),
        tls(),
    );
    match untrusting.told().await {
        Input::ConnectFailed {
            failure: ConnectFailure::Unreachable { detail },
            ..
        } => {
            assert!(detail.contains("TLS with localhost"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    let mut rig = Rig::start(
        request(format!("wss://localhost:{port}/")),
        &SocketOptions::default(),
        client,
    );
    rig.opened().await;
    assert!(rig.receive(1).await == [Message::text("welcome")]);
    let rig = Arc::new(rig);
    let sender = Arc::clone(&rig);
    let sending = tokio::spawn(async move {
        for number in 0..500 {
            sender.send(number, numbered(number, 20_000)).await.unwrap();
        }
    });
    let got = rig.receive(500).await;
    assert!(
        got.len() == 500
            && got
                .iter()
                .enumerate()
                .all(|(i, m)| *m == numbered(i as u64, 20_000))
    );
    sending.await.unwrap();
    rig.until(
        "rest",
        |state| matches!(&state.phase, state::Phase::Open(wire) if wire.is_resting()),
    )
    .await;
    rig.send(500, numbered(500, 8)).await.unwrap();
    assert_eq!(rig.receive(1).await.len(), 1);
    rig.pipe.close(1000, String::new());
    assert_eq!(within(server).await.unwrap(), 501);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}
