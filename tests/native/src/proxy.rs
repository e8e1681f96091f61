//! A TCP proxy that is a bad network: slow, late, in crumbs, deaf, cut. It knows nothing of HTTP or `WebSockets`.
//!
//! The mock server's faults are what a server does wrong; here nothing but the way there is at fault.

mod carry;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What happens to the bytes of one direction; read anew for every piece that passes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    /// How long each byte is on its way.
    pub delay: Duration,
    /// Up to this much more, drawn for every piece. Order is kept.
    pub jitter: Duration,
    /// How many bytes pass in a second. Default: no limit.
    pub bytes_per_second: Option<u32>,
    /// How many bytes pass in one piece. Default: as they come.
    pub piece: Option<usize>,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Both ends are told that no more will come, in order (FIN).
    Fin,
    /// Both ends are told that the connection does not exist (RST).
    Reset,
    /// Nobody is told anything, and what they say is swallowed.
    Silence,
}

/// The proxy; what passes through it ends with it.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    door: Mutex<Door>,
}

/// Behind the address.
#[derive(Debug)]
enum Door {
    /// Accepts.
    Open(JoinHandle<()>),
    /// Refuses: the port is taken, and nobody listens.
    Shut(TcpSocket),
    /// Between the two.
    Moving,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    up: Mutex<Flow>,
    down: Mutex<Flow>,
    /// For connections to come, one each.
    plans: Mutex<VecDeque<Plan>>,
    connections: Mutex<HashMap<u64, watch::Sender<Fate>>>,
    accepted: AtomicU64,
    passed_up: AtomicU64,
    passed_down: AtomicU64,
}

/// When a connection is to break.
#[derive(Clone, Copy, Debug)]
struct Plan {
    way: Way,
    after: usize,
    how: Break,
}

/// What has been decided about an open connection.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    deaf_up: bool,
    deaf_down: bool,
    /// Over, and how the ends hear of it; never `Silence`.
    over: Option<Break>,
}

impl Fate {
    fn meets(&mut self, how: Break) {
        if how == Break::Silence {
            (self.deaf_up, self.deaf_down) = (true, true);
        } else {
            self.over = Some(how);
        }
    }
}

impl FaultProxy {
    /// A proxy to this server that does nothing wrong yet.
    pub fn to(server: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            server,
            up: Mutex::default(),
            down: Mutex::default(),
            plans: Mutex::default(),
            connections: Mutex::default(),
            accepted: AtomicU64::new(0),
            passed_up: AtomicU64::new(0),
            passed_down: AtomicU64::new(0),
        });
        let socket = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = socket.local_addr().expect("its address");
        let door = Door::Open(tokio::spawn(accept(socket, shared.clone())));
        Self {
            address,
            shared,
            door: Mutex::new(door),
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The WebSocket of the mock server.
    pub fn ws_url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Both directions become like this, for open connections as well.
    pub fn set(&self, flow: Flow) {
        *locked(&self.shared.up) = flow;
        *locked(&self.shared.down) = flow;
    }

    /// One direction becomes like this.
    pub fn set_way(&self, way: Way, flow: Flow) {
        *locked(self.shared.flow(way)) = flow;
    }

    /// Breaks the next connection when this many bytes have passed in this direction; each call is for one connection.
    pub fn break_next(&self, way: Way, after: usize, how: Break) {
        locked(&self.shared.plans).push_back(Plan { way, after, how });
    }

    /// Breaks every connection that is open now.
    pub fn break_all(&self, how: Break) {
        self.shared.decide(|fate| fate.meets(how));
    }

    /// Swallows what comes in these directions on the connections that are open now, which stay open for both ends.
    pub fn deafen(&self, ways: &[Way]) {
        self.shared.decide(|fate| {
            fate.deaf_up |= ways.contains(&Way::Up);
            fate.deaf_down |= ways.contains(&Way::Down);
        });
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Bytes that have passed in this direction, on all connections.
    pub fn passed(&self, way: Way) -> u64 {
        self.shared.passed(way).load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        locked(&self.shared.connections).len()
    }

    /// Refuses connections from here on. Those that are open stay.
    pub async fn refuse(&self) {
        let door = std::mem::replace(&mut *locked(&self.door), Door::Moving);
        let shut = match door {
            Door::Open(task) => {
                task.abort();
                // It owns the listener: only when it has ended is nobody listening.
                let _ = task.await;
                Door::Shut(bound(self.address))
            }
            other => other,
        };
        *locked(&self.door) = shut;
    }

    /// Accepts connections again.
    pub fn accept(&self) {
        let mut door = locked(&self.door);
        *door = match std::mem::replace(&mut *door, Door::Moving) {
            Door::Shut(socket) => Door::Open(tokio::spawn(accept(socket, self.shared.clone()))),
            other => other,
        };
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Door::Open(task) = &*locked(&self.door) {
            task.abort();
        }
        self.break_all(Break::Reset);
    }
}

impl Shared {
    fn flow(&self, way: Way) -> &Mutex<Flow> {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    fn passed(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Up => &self.passed_up,
            Way::Down => &self.passed_down,
        }
    }

    fn decide(&self, change: impl Fn(&mut Fate)) {
        for fate in locked(&self.connections).values() {
            fate.send_modify(&change);
        }
    }
}

/// A socket with this address that does not listen yet.
fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option of it");
    socket.bind(address).expect("a port on loopback");
    socket
}

async fn accept(socket: TcpSocket, shared: Arc<Shared>) {
    let listener: TcpListener = socket.listen(1_024).expect("it listens");
    while let Ok((client, _)) = listener.accept().await {
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        let plan = locked(&shared.plans).pop_front();
        let fate = watch::Sender::new(Fate::default());
        locked(&shared.connections).insert(number, fate.clone());
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Ok(server) = TcpStream::connect(shared.server).await {
                carry::carry(&shared, client, server, &fate, plan, number).await;
            }
            locked(&shared.connections).remove(&number);
        });
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
