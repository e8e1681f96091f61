//! Listening: a port that can be closed and opened again, and the registry of TCP connections.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;

use crate::state::Shared;
use crate::stream::{FaultStream, Mode, Switch};
use crate::{http, locked};

const BACKLOG: u32 = 4096;

/// The door of the server: its port, open or closed, and the connections that came through it.
#[derive(Debug)]
pub(crate) struct Gate {
    addr: SocketAddr,
    /// Bound to the port but never listening: keeps the port ours while the listener is gone, since the
    /// system would hand it out as the source port of some connection.
    _reserved: TcpSocket,
    listener: Mutex<Option<TcpListener>>,
    reopened: Notify,
    connections: Mutex<HashMap<u64, Arc<Switch>>>,
    last_id: AtomicU64,
}

impl Gate {
    /// Binds a port of the loopback address; 0 lets the system choose.
    pub(crate) fn bind(port: u16) -> io::Result<Self> {
        let reserved = reserve(SocketAddr::from(([127, 0, 0, 1], port)))?;
        let addr = reserved.local_addr()?;
        let listener = listen(addr)?;
        Ok(Self {
            addr,
            _reserved: reserved,
            listener: Mutex::new(Some(listener)),
            reopened: Notify::new(),
            connections: Mutex::default(),
            last_id: AtomicU64::new(0),
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn is_open(&self) -> bool {
        locked(&self.listener).is_some()
    }

    /// Stops listening, at once: further connects are refused by the system.
    pub(crate) fn close(&self) {
        let Some(listener) = locked(&self.listener).take() else {
            return;
        };
        // A program that this process is just starting holds a copy of every socket until its exec; without
        // the shutdown the copy would go on listening.
        if let Err(error) = SockRef::from(&listener).shutdown(Shutdown::Both) {
            tracing::debug!(%error, "the listener closes by its drop only");
        }
    }

    /// Listens again on the same port.
    pub(crate) fn open(&self) -> io::Result<()> {
        let mut listener = locked(&self.listener);
        if listener.is_none() {
            *listener = Some(listen(self.addr)?);
            self.reopened.notify_one();
        }
        Ok(())
    }

    /// Cuts every TCP connection, HTTP and WebSocket; `spare` keeps those exempt (control requests).
    pub(crate) fn cut_all(&self, spare: bool) {
        for switch in locked(&self.connections).values() {
            if !(spare && switch.is_exempt()) {
                switch.set(Mode::Cut);
            }
        }
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let accepted = poll_fn(|cx| match &*locked(&self.listener) {
            Some(listener) => listener.poll_accept(cx),
            None => Poll::Pending,
        });
        accepted.await.map(|(tcp, _)| tcp)
    }
}

/// Accepts connections until the server is stopped.
pub(crate) async fn accept_loop(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stopped() => return,
            // The accept below waits on a listener that may be gone; start over with the new one.
            () = shared.gate.reopened.notified() => {}
            accepted = shared.gate.accept() => match accepted {
                Ok(tcp) => welcome(&shared, tcp),
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::task::yield_now().await;
                }
            },
        }
    }
}

fn welcome(shared: &Arc<Shared>, tcp: TcpStream) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let id = shared.gate.last_id.fetch_add(1, Ordering::SeqCst);
    let switch = Arc::new(Switch::default());
    locked(&shared.gate.connections).insert(id, Arc::clone(&switch));
    shared.log.count(|counters| counters.tcp_accepted += 1);
    tokio::spawn(serve(
        Arc::clone(shared),
        tcp,
        Registered {
            shared: Arc::clone(shared),
            id,
            switch,
        },
    ));
}

async fn serve(shared: Arc<Shared>, tcp: TcpStream, registered: Registered) {
    let registered = Arc::new(registered);
    let stream = FaultStream::new(tcp, Arc::clone(&registered.switch));
    let service = service_fn(|request| http::serve(Arc::clone(&shared), Arc::clone(&registered), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}

/// A connection's place in the registry, given up when the last part of it (HTTP or WebSocket) is done.
#[derive(Debug)]
pub(crate) struct Registered {
    shared: Arc<Shared>,
    id: u64,
    pub(crate) switch: Arc<Switch>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        locked(&self.shared.gate.connections).remove(&self.id);
    }
}

/// Takes a port without listening on it.
fn reserve(addr: SocketAddr) -> io::Result<TcpSocket> {
    if addr.port() != 0 {
        // Sharing the port with our own reservation must not mean sharing it with another server.
        let probe = TcpSocket::new_v4()?;
        probe.set_reuseaddr(true)?;
        probe.bind(addr)?;
        probe.listen(1)?;
    }
    let socket = TcpSocket::new_v4()?;
    // A free port must be free of everything, so sharing is allowed only once it is taken.
    if addr.port() == 0 {
        socket.bind(addr)?;
    }
    share(&socket)?;
    if addr.port() != 0 {
        socket.bind(addr)?;
    }
    Ok(socket)
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    share(&socket)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Lets a socket have its port together with the reservation, and with what lingers there in `TIME_WAIT`.
fn share(socket: &TcpSocket) -> io::Result<()> {
    socket.set_reuseaddr(true)?;
    #[cfg(unix)]
    socket.set_reuseport(true)?;
    Ok(())
}
