//! The pipe against a real server on a real socket. Waits are for states, each with a deadline.

mod ends;
mod receiving;
mod secrets;
mod sending;
mod speed;

use std::future::{Future, poll_fn};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message as WireMessage;

use super::*;
use crate::io::{ConnEnd, ConnectFailure};

type Server = WebSocketStream<TcpStream>;

/// A pipe, and everything that it said.
struct Rig {
    pipe: Arc<Pipe>,
    told: UnboundedReceiver<Input>,
    sent: Arc<Sent>,
}

#[derive(Default)]
struct Sent(Mutex<Vec<SendId>>);

impl SendObserver for Sent {
    fn sent(&self, send: SendId) {
        self.0.lock().unwrap().push(send);
    }
}

impl Sent {
    fn ids(&self) -> Vec<SendId> {
        self.0.lock().unwrap().clone()
    }
}

fn request(url: String) -> ConnectRequest {
    ConnectRequest {
        url: url.into(),
        subprotocols: Vec::new(),
        headers: Vec::new(),
        first_message: None,
        timeout_ms: 5_000,
    }
}

fn tls() -> Arc<rustls::ClientConfig> {
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    Arc::new(
        config
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth(),
    )
}

impl Rig {
    fn start(request: ConnectRequest, options: &SocketOptions, tls: Arc<rustls::ClientConfig>) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let sent = Arc::new(Sent::default());
        let start = Instant::now();
        let clock: Clock = Arc::new(move || Mono(start.elapsed().as_millis() as u64));
        let (pipe, task) = Pipe::new(ConnId(1), request, options, tls, clock, tell, sent.clone());
        tokio::spawn(task);
        Self { pipe, told, sent }
    }

    async fn told(&mut self) -> Input {
        within(self.told.recv()).await.expect("told something")
    }

    async fn opened(&mut self) {
        let told = self.told().await;
        assert!(matches!(told, Input::Opened { .. }), "{told:?}");
    }

    /// The end, and the numbers of the unsent; notices before it are skipped.
    async fn ended(&mut self) -> (ConnEnd, Vec<SendId>) {
        loop {
            match self.told().await {
                Input::Noticed { .. } | Input::Flushed { .. } => {}
                Input::Ended { end, unsent, .. } => {
                    return (end, unsent.into_iter().map(|(send, _)| send).collect());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    async fn send(&self, number: u64, message: impl Into<Message>) -> Result<(), (Over, Message)> {
        let mut message = Some(message.into());
        let sent = poll_fn(|cx| self.pipe.poll_send(cx, SendId(number), &mut message)).await;
        sent.map_err(|over| (over, message.expect("the message is given back")))
    }

    fn transmit(&self, messages: Vec<(SendId, Message)>) {
        self.pipe.transmit(messages);
    }

    /// The next `count` messages, or fewer when the connection ends.
    async fn receive(&self, count: usize) -> Vec<Message> {
        let mut got = VecDeque::new();
        while got.len() < count {
            if within(poll_fn(|cx| self.pipe.poll_recv(cx, &mut got))).await == Recv::Over {
                break;
            }
        }
        got.into()
    }

    /// Waits until this is true of the shared state.
    async fn until(&self, what: &str, is: impl Fn(&mut State) -> bool) {
        let start = Instant::now();
        while !self.pipe.shared.with(&is) {
            assert!(start.elapsed() < Duration::from_secs(20), "{what} within 20 s");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// A pipe connected to a server.
async fn connected(options: &SocketOptions) -> (Rig, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let mut rig = Rig::start(request(url), options, tls());
    let (stream, _) = within(listener.accept()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let server = within(tokio_tungstenite::accept_async(stream)).await.unwrap();
    rig.opened().await;
    (rig, server)
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("within 20 s")
}

/// Runs a server that sends everything back.
fn echo(mut server: Server) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(Ok(message)) = server.next().await {
            if (message.is_text() || message.is_binary()) && server.send(message).await.is_err() {
                break;
            }
        }
    })
}

/// The messages that the server receives until nothing more comes.
async fn drain(mut server: Server) -> Vec<WireMessage> {
    let mut got = Vec::new();
    while let Some(Ok(message)) = within(server.next()).await {
        got.push(message);
    }
    got
}

fn number_of(message: &WireMessage) -> u64 {
    let bytes = message.clone().into_data();
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

/// A binary message that begins with its number.
fn numbered(number: u64, length: usize) -> Message {
    let mut bytes = vec![7; length.max(8)];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Message::binary(bytes)
}
