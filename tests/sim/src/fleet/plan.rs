//! What a seed says about the world before anything happens in it: how many holders, what kind of servers, which faults.

use freshsocket::Json;
use freshsocket::options::{Credential, Matcher, Renewal, SessionOptions, SocketOptions, TicketOptions};
use freshsocket::rng::Rng;

/// What access tokens say about themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tokens {
    /// `exp`, `iat` and a number of their own.
    Jwt,
    /// The same text for all of one user and second.
    SameInASecond,
    /// No `iat`: the server's Date header tells its clock.
    WithoutIat,
    /// Opaque, with `expires_in` beside them.
    Opaque,
    /// Opaque, and nothing says how long they live.
    OpaqueUntilRefused,
}

/// How the WebSocket server refuses a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefuseAs {
    Http(u16),
    /// Accepts, then closes.
    Close(u16),
    /// Accepts, says so, then closes.
    Message,
}

/// One world.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) holders: usize,
    pub(super) sockets: u64,
    /// All holders on one device: one wall clock, one sleep.
    pub(super) one_device: bool,
    pub(super) durable: bool,
    pub(super) tokens: Tokens,
    pub(super) lifetime_ms: u64,
    pub(super) rotates: bool,
    /// A refresh token that comes a second time ends its whole family, as servers with reuse detection do.
    pub(super) detects_reuse: bool,
    /// For so long a spent refresh token buys another pair.
    pub(super) grace_ms: u64,
    pub(super) honours_key: bool,
    pub(super) sends_key: bool,
    pub(super) server_clock_ms: i64,
    pub(super) with_date: bool,
    pub(super) closes_at_expiry: Option<u16>,
    pub(super) one_per_user: bool,
    pub(super) refuse_as: RefuseAs,
    pub(super) echoes: bool,
    /// Whether the monotonic clock runs on while the device sleeps.
    pub(super) counts_sleep: bool,
    /// How far the wall clocks of devices are from the truth, at most.
    pub(super) skew_ms: u64,
    pub(super) latency_ms: u64,
    pub(super) store_ms: u64,
    /// How late the drivers' timers fire, at most.
    pub(super) late_ms: u64,
    pub(super) chaos_ms: u64,
    /// The mean time from fault to fault.
    pub(super) fault_every_ms: u64,
    pub(super) act_every_ms: u64,
    /// Which kinds of faults happen at all: most seeds leave some out, so that others get the time to do harm.
    pub(super) faults: u64,
    /// How many of a thousand writes of the store are announced to the other holders.
    pub(super) announced: u64,
    /// Also users who sign out, or sign in as somebody else.
    pub(super) switches: bool,
    pub(super) session: SessionOptions,
    pub(super) socket: SocketOptions,
}

pub(super) fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    let index = usize::try_from(rng.up_to(from.len() as u64 - 1)).unwrap_or(0);
    from[index]
}

pub(super) fn one_in(rng: &mut Rng, n: u64) -> bool {
    rng.up_to(n - 1) == 0
}

impl Plan {
    pub(super) fn drawn(rng: &mut Rng) -> Self {
        let holders = pick(rng, &[1, 1, 2, 2, 3, 5]);
        let durable = holders > 1 || !one_in(rng, 3);
        let tokens = pick(
            rng,
            &[
                Tokens::Jwt,
                Tokens::Jwt,
                Tokens::Jwt,
                Tokens::SameInASecond,
                Tokens::WithoutIat,
                Tokens::Opaque,
                Tokens::OpaqueUntilRefused,
            ],
        );
        let sockets = if holders > 2 { 1 } else { pick(rng, &[1, 1, 2, 3]) };
        let one_per_user = holders == 1 && sockets == 1 && one_in(rng, 4);
        let sends_key = one_in(rng, 2);
        let one_device = one_in(rng, 2);
        // Not days for clocks of several machines: a holder that looks at the store for the first time in a while counts
        // the lease it finds there by wall clocks (`Session::lease_left`), so S10 does not hold there.
        let skews: &[u64] = if one_device {
            &[0, 500, 5_000, 259_200_000]
        } else {
            &[0, 500, 5_000]
        };
        let mut plan = Self {
            holders,
            sockets,
            one_device,
            durable,
            tokens,
            lifetime_ms: pick(rng, &[60_000, 60_000, 300_000, 900_000, 3_600_000]),
            rotates: !one_in(rng, 8),
            detects_reuse: !one_in(rng, 3),
            grace_ms: pick(rng, &[0, 0, 10_000, 60_000]),
            honours_key: sends_key && !one_in(rng, 4),
            sends_key,
            server_clock_ms: pick(rng, &[0, 0, 3_000, -40_000, 86_400_000, -200_000_000]),
            with_date: tokens == Tokens::WithoutIat || one_in(rng, 2),
            closes_at_expiry: pick(rng, &[None, None, Some(4401), Some(1008), Some(3000)]),
            one_per_user,
            refuse_as: pick(
                rng,
                &[
                    RefuseAs::Http(401),
                    RefuseAs::Http(403),
                    RefuseAs::Close(4401),
                    RefuseAs::Message,
                ],
            ),
            echoes: one_in(rng, 2),
            counts_sleep: one_in(rng, 3),
            skew_ms: pick(rng, skews),
            latency_ms: pick(rng, &[2, 20, 80, 300]),
            store_ms: pick(rng, &[0, 1, 5, 40]),
            late_ms: pick(rng, &[0, 1, 30]),
            chaos_ms: pick(rng, &[120_000, 600_000, 1_800_000]),
            fault_every_ms: pick(rng, &[2_000, 10_000, 40_000]),
            act_every_ms: pick(rng, &[300, 2_000, 9_000]),
            faults: rng.next_u64() | rng.next_u64(),
            announced: pick(rng, &[0, 500, 1_000]),
            switches: one_in(rng, 3),
            session: SessionOptions::default(),
            socket: SocketOptions::default(),
        };
        plan.session = plan.session_options();
        plan.socket = Self::socket_options(rng);
        plan
    }

    fn session_options(&self) -> SessionOptions {
        let mut session = SessionOptions {
            base_url: "https://auth.test".into(),
            ..SessionOptions::default()
        };
        if self.sends_key {
            session.refresh.idempotency_header = Some("Idempotency-Key".into());
        }
        session
    }

    fn socket_options(rng: &mut Rng) -> SocketOptions {
        let mut socket = SocketOptions {
            url: "wss://ws.test/ws".into(),
            ..SocketOptions::default()
        };
        socket.credential = match rng.up_to(5) {
            0 => Credential::Query {
                parameter: "token".into(),
            },
            1 => Credential::Header {
                name: "Authorization".into(),
                prefix: "Bearer ".into(),
            },
            2 => Credential::FirstMessage {
                template: Json::object([("type", Json::from("auth")), ("token", Json::from("{token}"))]),
            },
            3 => Credential::Ticket(TicketOptions {
                url: "/ticket".into(),
                ..TicketOptions::default()
            }),
            _ => Credential::default(),
        };
        socket.renewal = match rng.up_to(6) {
            0 => Renewal::Reconnect,
            1 => Renewal::Keep,
            2 => Renewal::InBand {
                template: Json::object([("type", Json::from("auth")), ("token", Json::from("{token}"))]),
                ack: None,
            },
            _ => Renewal::Handover,
        };
        if one_in(rng, 3) {
            socket.ready = Some(Matcher::new([("/type", Json::from("welcome"))]));
        }
        socket.outbox.max_messages = pick(rng, &[3, 1_000]);
        socket
    }
}
