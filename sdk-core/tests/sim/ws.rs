//! The WebSocket server: whom it lets in, what it says, how it closes, and a record of what each connect carried.

use freshsocket::io::SocketId;

/// How a bad token is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RefuseAs {
    /// At the upgrade.
    Http(u16),
    /// The upgrade is accepted, then closed with this code.
    Close(u16),
    /// The upgrade is accepted, then this message comes, then a close with this code.
    Message(&'static str, u16),
}

/// What goes wrong with an attempt, whoever makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConnectFault {
    Unreachable,
    Hangs,
    Http(u16, Option<&'static str>),
}

/// What the server does after a connection opened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnOpen {
    Say(&'static str),
    Close(u16, &'static str),
    Cut,
}

/// One attempt, as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    /// When it left the device, in true time.
    pub(crate) at: u64,
    pub(crate) socket: SocketId,
    pub(crate) conn: u64,
    /// Which token of the session, by the machine's count.
    pub(crate) token: u64,
    /// The token's text (for a ticket: of the token that bought it).
    pub(crate) text: String,
    pub(crate) ticket: Option<String>,
    pub(crate) accepted: bool,
}

pub(crate) struct Ws {
    pub(crate) latency: u64,
    pub(crate) offline: bool,
    /// Looks at tokens at all.
    pub(crate) checks: bool,
    /// Refuses everybody.
    pub(crate) refuses_all: bool,
    pub(crate) refuse_as: RefuseAs,
    pub(crate) fault: Option<(ConnectFault, u32)>,
    /// Done so many milliseconds after each open.
    pub(crate) on_open: Vec<(u64, OnOpen)>,
    /// Closes with this code when the connection's token expires.
    pub(crate) closes_at_expiry: Option<u16>,
    /// Nothing gets through any more, and nothing says so.
    pub(crate) silent: bool,
    /// The transport takes nothing more; what is written stays with the driver.
    pub(crate) stalled: bool,
    /// The driver's closing handshake never ends by itself.
    pub(crate) never_closes: bool,
    pub(crate) handshakes: Vec<Handshake>,
    /// Texts that arrived, with their connection.
    pub(crate) received: Vec<(u64, String)>,
    pub(crate) pings: Vec<u64>,
    /// Close codes that the client sent.
    pub(crate) client_closes: Vec<(u64, u16)>,
    /// Connections that are open at the server.
    pub(crate) open: Vec<u64>,
    pub(crate) most_open: usize,
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
    pub(crate) fn fails(&mut self, fault: ConnectFault, times: u32) {
        self.fault = Some((fault, times));
    }

    pub(crate) fn strike(&mut self) -> Option<ConnectFault> {
        if self.offline {
            return Some(ConnectFault::Unreachable);
        }
        let (kind, left) = self.fault.as_mut().filter(|(_, left)| *left > 0)?;
        *left -= 1;
        Some(*kind)
    }

    pub(crate) fn opened(&mut self, conn: u64) {
        self.open.push(conn);
        self.most_open = self.most_open.max(self.open.len());
    }

    pub(crate) fn forget(&mut self, conn: u64) {
        self.open.retain(|open| *open != conn);
    }

    /// Which token each attempt carried, by the machine's count.
    pub(crate) fn tokens(&self) -> Vec<u64> {
        self.handshakes.iter().map(|handshake| handshake.token).collect()
    }

    pub(crate) fn attempts(&self) -> usize {
        self.handshakes.len()
    }

    /// What arrived, in order.
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.received.iter().map(|(_, text)| text.as_str()).collect()
    }
}
