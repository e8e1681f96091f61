//! Messages both ways, at a steady pace, over a slow network, while the token is renewed again and again (W5): what was
//! lost, duplicated or out of order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use freshsocket::{Session, Socket, SocketEvent, SocketHandle};
use freshsocket_mock_server::{Kind, MockServer};
use tokio::time::{MissedTickBehavior, interval};

use crate::proxy::{FaultProxy, Flow};
use crate::{opened, server, sign_in, within};

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often the token is renewed.
    pub rotations: u64,
    /// Messages a second, each way.
    pub per_second: u32,
    /// From the client to the server and back.
    pub round_trip: Duration,
    /// How long each token lives.
    pub lifetime: Duration,
}

/// What came of the messages of one direction.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// How many were sent.
    pub sent: u64,
    /// How many never came.
    pub lost: u64,
    /// How many came again.
    pub duplicated: u64,
    /// How many came after a later one.
    pub reordered: u64,
}

/// What came of all.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many handovers there were.
    pub handovers: u64,
    /// From the server to the application; order over everything, whatever connection it came on.
    pub down: Delivery,
    /// From the application to the server; order over everything as well.
    pub up: Delivery,
    /// How often the application was told of an end, or of a connection that did not replace another.
    pub interruptions: u64,
    /// How long it took.
    pub took: Duration,
    /// The longest time between two messages for the application, after the first second.
    pub longest_silence: Duration,
}

/// Runs it, with a server and a proxy of its own.
pub async fn run(plan: Plan) -> Report {
    let server = Arc::new(
        server(|s| {
            s.access_lifetime_ms = u64::try_from(plan.lifetime.as_millis()).unwrap_or(u64::MAX);
            s.fractional_times = true;
            s.enforce_expiry = true;
            s.echo = false;
            s.record_messages = true;
        })
        .await,
    );
    let proxy = FaultProxy::to(server.addr());
    proxy.set(Flow {
        delay: plan.round_trip / 2,
        ..Flow::default()
    });
    let session = Session::builder(proxy.http_url())
        .build()
        .await
        .expect("it builds");
    sign_in(&session, "ada").await;
    let socket = session.socket(proxy.ws_url()).connect().expect("a socket");
    opened(&socket).await;
    let mut events = socket.events();

    let stop = Arc::new(AtomicBool::new(false));
    let down = tokio::spawn(speak(server.clone(), plan.per_second, stop.clone()));
    let up = tokio::spawn(say(socket.handle(), plan.per_second, stop.clone()));
    let heard = tokio::spawn(listen(socket));

    let begun = Instant::now();
    let (mut handovers, mut interruptions, mut is_first) = (0, 0, true);
    while handovers < plan.rotations {
        match within("an event", events.next())
            .await
            .expect("the client is there")
        {
            SocketEvent::Opened { handover: true, .. } => handovers += 1,
            SocketEvent::Opened { .. } if std::mem::take(&mut is_first) => {}
            SocketEvent::Opened { .. } | SocketEvent::Ended { .. } => interruptions += 1,
            _ => {}
        }
    }
    stop.store(true, Ordering::SeqCst);
    let (down_sent, up_sent) = (down.await.expect("no panic"), up.await.expect("no panic"));
    let said = |record: &freshsocket_mock_server::Record| record.kind == Some(Kind::WsMessage);
    let all_up = |s: &freshsocket_mock_server::Snapshot<'_>| s.counters.messages_in >= up_sent;
    // Fewer than all is a finding and no failure of this run.
    let _ = server.wait_for(all_up, Duration::from_secs(5)).await;
    server.send_to_user("ada", "end");
    let (down_heard, longest_silence) = within("the last message", heard).await.expect("no panic");
    let up_heard = server
        .records()
        .into_iter()
        .filter(said)
        .filter_map(|record| record.message?.parse().ok());
    Report {
        handovers,
        down: account(down_sent, down_heard.into_iter()),
        up: account(up_sent, up_heard),
        interruptions,
        took: begun.elapsed(),
        longest_silence,
    }
}

/// The server speaks to all connections of the user, as servers do.
async fn speak(server: Arc<MockServer>, per_second: u32, stop: Arc<AtomicBool>) -> u64 {
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0;
    while !stop.load(Ordering::SeqCst) {
        ticks.tick().await;
        server.send_to_user("ada", sent.to_string());
        sent += 1;
    }
    sent
}

async fn say(socket: SocketHandle, per_second: u32, stop: Arc<AtomicBool>) -> u64 {
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        ticks.tick().await;
        socket.send(sent.to_string()).await.expect("it is sent");
        sent += 1;
    }
    sent
}

/// Everything up to "end", and the longest silence.
async fn listen(mut socket: Socket) -> (Vec<u64>, Duration) {
    let mut heard = Vec::new();
    let begun = Instant::now();
    let (mut last, mut longest) = (begun, Duration::ZERO);
    while let Some(Ok(message)) = socket.next().await {
        match message.as_text().map(str::parse) {
            Some(Ok(number)) => heard.push(number),
            _ => break,
        }
        if last.duration_since(begun) > Duration::from_secs(1) {
            longest = longest.max(last.elapsed());
        }
        last = Instant::now();
    }
    (heard, longest)
}

fn account(sent: u64, heard: impl Iterator<Item = u64>) -> Delivery {
    let mut times: HashMap<u64, u64> = HashMap::new();
    let mut delivery = Delivery {
        sent,
        ..Delivery::default()
    };
    let mut highest = None;
    for number in heard {
        *times.entry(number).or_default() += 1;
        if highest.is_some_and(|highest| number < highest) {
            delivery.reordered += 1;
        }
        highest = highest.max(Some(number));
    }
    delivery.lost = (0..sent).filter(|number| !times.contains_key(number)).count() as u64;
    delivery.duplicated = times.values().map(|count| count - 1).sum();
    delivery
}
