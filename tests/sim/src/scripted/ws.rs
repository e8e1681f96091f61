//! The WebSocket server: whom it lets in, what it says, how it closes, and a record of what each connect carried.

use freshsocket::io::SocketId;

/// How a bad token is refused.
#[derive(Clone, Copy, Debug)]
pub enum RefuseAs {
    /// At the upgrade.
    Http(u16),
    /// The upgrade is accepted, then closed with this code.
    Close(u16),
    /// The upgrade is accepted, then this message comes, then a close with this code.
    Message(&'static str, u16),
}

/// What goes wrong with an attempt, whoever makes it.
#[derive(Clone, Copy, Debug)]
pub enum ConnectFault {
    Unreachable,
    Hangs,
    Http(u16, Option<&'static str>),
}

/// What the server does after a connection opened.
#[derive(Clone, Copy, Debug)]
pub enum OnOpen {
    Say(&'static str),
    Close(u16, &'static str),
    Cut,
}

/// One attempt, as the server saw it.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// When it left the device, in true time.
    pub at: u64,
    pub socket: SocketId,
    pub conn: u64,
    /// Which token of the session, by the machine's count.
    pub token: u64,
    /// The token's text (for a ticket: of the token that bought it).
    pub text: String,
    pub ticket: Option<String>,
    pub accepted: bool,
}

pub struct Ws {
    pub latency: u64,
    pub offline: bool,
    /// Looks at tokens at all.
    pub checks: bool,
    /// Refuses everybody.
    pub refuses_all: bool,
    pub refuse_as: RefuseAs,
    pub fault: Option<(ConnectFault, u32)>,
    /// Done so many milliseconds after each open.
    pub on_open: Vec<(u64, OnOpen)>,
    /// Closes with this code when the connection's token expires.
    pub closes_at_expiry: Option<u16>,
    /// Allows one connection: an accepted attempt closes the others with this code, so many milliseconds after the
    /// client hears that it is accepted (or before).
    pub only_one: Option<(u16, i64)>,
    /// Nothing gets through any more, and nothing says so.
    pub silent: bool,
    /// The transport takes nothing more; what is written stays with the driver.
    pub stalled: bool,
    /// The driver's closing handshake never ends by itself.
    pub never_closes: bool,
    pub handshakes: Vec<Handshake>,
    /// Texts that arrived, with their connection.
    pub received: Vec<(u64, String)>,
    pub pings: Vec<u64>,
    /// Close codes that the client sent.
    pub client_closes: Vec<(u64, u16)>,
    /// Connections that are open at the server.
    pub open: Vec<u64>,
    pub most_open: usize,
}

impl Default for Ws {
    fn default() -> Self {
        Self {
            latency: 20,
            offline: false,
            checks: true,
            refuses_all: false,
            refuse_as: RefuseAs::Http(401),
            fault: None,
            on_open: Vec::new(),
            closes_at_expiry: None,
            only_one: None,
            silent: false,
            stalled: false,
            never_closes: false,
            handshakes: Vec::new(),
            received: Vec::new(),
            pings: Vec::new(),
            client_closes: Vec::new(),
            open: Vec::new(),
            most_open: 0,
        }
    }
}

impl Ws {
    pub fn fails(&mut self, fault: ConnectFault, times: u32) {
        self.fault = Some((fault, times));
    }

    pub fn strike(&mut self) -> Option<ConnectFault> {
        if self.offline {
            return Some(ConnectFault::Unreachable);
        }
        let (kind, left) = self.fault.as_mut().filter(|(_, left)| *left > 0)?;
        *left -= 1;
        Some(*kind)
    }

    pub fn opened(&mut self, conn: u64) {
        self.open.push(conn);
        self.most_open = self.most_open.max(self.open.len());
    }

    pub fn forget(&mut self, conn: u64) {
        self.open.retain(|open| *open != conn);
    }

    /// Which token each attempt carried, by the machine's count.
    pub fn tokens(&self) -> Vec<u64> {
        self.handshakes.iter().map(|handshake| handshake.token).collect()
    }

    pub fn attempts(&self) -> usize {
        self.handshakes.len()
    }

    /// What arrived, in order.
    pub fn texts(&self) -> Vec<&str> {
        self.received.iter().map(|(_, text)| text.as_str()).collect()
    }
}
