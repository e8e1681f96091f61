//! One connection through the proxy.

use std::sync::atomic::Ordering;
use std::time::Duration;

use freshsocket::rng::Rng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Break, Fate, Plan, Shared, Way, locked};

/// How many pieces of up to 16 KiB may be on their way: a long way holds much, but not everything.
const ON_THE_WAY: usize = 64;

/// How long the ends are given to close after a FIN.
const PATIENCE: Duration = Duration::from_secs(5);

/// Carries bytes both ways until both ends have said that no more comes, or the connection is cut.
pub(super) async fn carry(
    shared: &Shared,
    mut client: TcpStream,
    mut server: TcpStream,
    fate: &watch::Sender<Fate>,
    plan: Option<Plan>,
    number: u64,
) {
    // What is late or in crumbs here is so on purpose, not because the system collects it.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let over = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let lane = |way, rng| Lane {
            shared,
            way,
            fate,
            plan: plan.filter(|plan| plan.way == way),
            rng: Rng::new(rng),
        };
        let mut decided = fate.subscribe();
        tokio::select! {
            // Both at once, as on a real way: a direction that ends leaves the other.
            _ = async {
                tokio::join!(
                    lane(Way::Up, number * 2).run(from_client, to_server),
                    lane(Way::Down, number * 2 + 1).run(from_server, to_client),
                )
            } => None,
            decided = decided.wait_for(|fate| fate.over.is_some()) => decided.ok().and_then(|fate| fate.over),
        }
    };
    match over {
        // Both have closed it themselves.
        None | Some(Break::Silence) => {}
        Some(Break::Reset) => {
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
        Some(Break::Fin) => {
            let _ = (client.shutdown().await, server.shutdown().await);
            // Closing a socket with unread bytes would send a reset after the FIN.
            let both = async { tokio::join!(drain(&mut client), drain(&mut server)) };
            let _ = tokio::time::timeout(PATIENCE, both).await;
        }
    }
}

/// One direction of one connection.
struct Lane<'a> {
    shared: &'a Shared,
    way: Way,
    fate: &'a watch::Sender<Fate>,
    plan: Option<Plan>,
    rng: Rng,
}

impl Lane<'_> {
    async fn run(mut self, mut from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin) {
        let (late, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
        let (shared, way, fate, plan) = (self.shared, self.way, self.fate, self.plan);
        let arriving = async {
            let mut last = Instant::now();
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(read @ 1..) = from.read(&mut buffer).await {
                let at = self.arrival().max(last);
                last = at;
                if late.send((at, buffer[..read].to_vec())).await.is_err() {
                    break;
                }
            }
            drop(late);
        };
        let leaving = async {
            let mut out = Exit {
                to,
                left: plan.map(|plan| plan.after),
            };
            while let Some((at, bytes)) = due.recv().await {
                tokio::time::sleep_until(at).await;
                let deaf = match way {
                    Way::Up => fate.borrow().deaf_up,
                    Way::Down => fate.borrow().deaf_down,
                };
                if !deaf && out.write(shared, way, &bytes).await.is_none() {
                    broken(fate, plan).await;
                }
            }
            let _ = out.to.shutdown().await;
        };
        tokio::join!(arriving, leaving);
    }

    /// When a byte that comes in now goes out.
    fn arrival(&mut self) -> Instant {
        let flow = *locked(self.shared.flow(self.way));
        let jitter = u64::try_from(flow.jitter.as_micros()).unwrap_or(0);
        Instant::now() + flow.delay + Duration::from_micros(self.rng.up_to(jitter))
    }
}

/// The far end of a direction.
struct Exit<W> {
    to: W,
    /// How many bytes pass before the break.
    left: Option<usize>,
}

impl<W: AsyncWrite + Unpin> Exit<W> {
    /// Writes in the pieces and at the speed that are set; `None` when it is time for the break.
    async fn write(&mut self, shared: &Shared, way: Way, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let flow = *locked(shared.flow(way));
            let mut size = flow.piece.unwrap_or(bytes.len()).clamp(1, bytes.len());
            if let Some(speed) = flow.bytes_per_second {
                // Twenty pieces a second, as far as the speed allows.
                size = size.min((speed as usize / 20).max(1));
            }
            if let Some(left) = &mut self.left {
                size = size.min(*left);
                *left -= size;
            }
            // An end that is gone is noticed by the other direction, or by nobody.
            let _ = self.to.write_all(&bytes[..size]).await;
            shared.passed(way).fetch_add(size as u64, Ordering::SeqCst);
            bytes = &bytes[size..];
            if self.left == Some(0) {
                return None;
            }
            match flow.bytes_per_second {
                Some(speed) => {
                    let size = u32::try_from(size).unwrap_or(u32::MAX);
                    tokio::time::sleep(Duration::from_secs(1) * size / speed.max(1)).await;
                }
                // So that the pieces are read one by one.
                None if flow.piece.is_some() => tokio::task::yield_now().await,
                None => {}
            }
        }
        Some(())
    }
}

/// Breaks the connection as planned, and waits to be dropped with it where it ends.
async fn broken(fate: &watch::Sender<Fate>, plan: Option<Plan>) {
    if let Some(plan) = plan {
        fate.send_modify(|fate| fate.meets(plan.how));
        if plan.how != Break::Silence {
            std::future::pending::<()>().await;
        }
    }
}

async fn drain(stream: &mut TcpStream) {
    let mut buffer = [0; 4_096];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}
