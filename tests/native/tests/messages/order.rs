//! W10: order is kept across reconnects and handovers, and nothing is sent twice.

use std::collections::BTreeMap;
use std::time::Duration;

use freshsocket::options::SocketOptions;
use freshsocket::{Session, SocketHandle};
use freshsocket_mock_server::{Kind, MockServer};
use freshsocket_native_tests::{
    DEADLINE, cut, force_refresh, opened, records, seen, server, signed_in, within,
};

const COUNT: u64 = 2_000;

/// Sends 1 to `COUNT` while `disturb` is called now and then; gives what the server got and what came back.
async fn numbered(
    server: &MockServer,
    session: &Session,
    disturb: impl AsyncFn(&SocketHandle, u64),
) -> (Vec<u64>, Vec<u64>) {
    let roomy = |o: &mut SocketOptions| o.outbox.max_messages = 10_000;
    let mut socket = session.socket(server.ws_url()).options(roomy).connect().unwrap();
    opened(&socket).await;
    let sender = socket.handle();
    let mut reading = tokio::spawn(async move {
        let mut echoes = Vec::new();
        let mut ended = false;
        // What an old connection still says may come behind the end that a new one says.
        let patience = |ended| {
            if ended {
                Duration::from_millis(300)
            } else {
                DEADLINE
            }
        };
        while let Ok(message) = tokio::time::timeout(patience(ended), socket.next()).await {
            match message.unwrap().unwrap().as_text().unwrap() {
                "end" => ended = true,
                number => echoes.push(number.parse().unwrap()),
            }
        }
        (echoes, socket)
    });
    let mut sendings = Vec::new();
    for n in 1..=COUNT {
        if n % 150 == 0 {
            disturb(&sender, n).await;
        }
        sendings.push(within("taken", sender.send(n.to_string())).await.unwrap());
    }
    for sending in sendings {
        within("sent", sending.sent()).await.unwrap();
    }
    // Said again until it comes back: it may be on its way when a connection that was cut before is found dead.
    let ending = async {
        loop {
            within("taken", sender.send("end")).await.unwrap();
            if let Ok(read) = tokio::time::timeout(Duration::from_millis(600), &mut reading).await {
                return read.unwrap();
            }
        }
    };
    let (echoes, _socket) = within("the end", ending).await;
    let got = records(server, Kind::WsMessage)
        .into_iter()
        .filter_map(|r| r.message?.parse().ok())
        .collect();
    (got, echoes)
}

fn assert_ascending(numbers: &[u64]) {
    let wrong = numbers.windows(2).find(|two| two[0] >= two[1]);
    assert!(wrong.is_none(), "out of order, or twice: {wrong:?}");
}

#[tokio::test]
async fn w10_what_waits_while_there_is_no_connection_is_neither_lost_nor_doubled() {
    let server = server(|s| s.record_messages = true).await;
    let session = signed_in(&server).await;
    let (got, echoes) = numbered(&server, &session, async |socket, n| {
        // Nothing is on its way when the connection is cut, and the sender goes on at once.
        seen("all before", &server, |s| s.counters.messages_in == n - 1).await;
        cut(&server, socket).await;
    })
    .await;
    let all: Vec<u64> = (1..=COUNT).collect();
    assert!(got == all, "{} of {COUNT} reached the server", got.len());
    // Echoes that were on their way at a cut are lost with it.
    assert_ascending(&echoes);
    assert_eq!(server.counters().ws_closed, COUNT / 150);
}

#[tokio::test]
async fn w10_order_survives_cuts_at_any_moment_and_nothing_comes_twice() {
    let server = server(|s| s.record_messages = true).await;
    let session = signed_in(&server).await;
    let (got, echoes) = numbered(&server, &session, async |_, _| {
        server.cut_all();
        tokio::task::yield_now().await;
    })
    .await;
    assert_ascending(&got);
    assert_ascending(&echoes);
    assert!(server.counters().ws_opened > 2);
    // What the operating system had taken at a cut is lost; what it had not is not.
    println!(
        "{} of {COUNT} were on their way at {} cuts",
        COUNT - got.len() as u64,
        server.counters().ws_closed
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w10_order_survives_cuts_on_several_threads() {
    let server = server(|s| s.record_messages = true).await;
    let session = signed_in(&server).await;
    let (got, echoes) = numbered(&server, &session, async |_, n| {
        if n % 300 == 0 {
            server.cut_all();
        } else {
            server.close_all(Some(1012), "");
        }
    })
    .await;
    assert_ascending(&got);
    assert_ascending(&echoes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w5_handovers_lose_nothing_and_keep_the_order() {
    let server = server(|s| s.record_messages = true).await;
    let session = signed_in(&server).await;
    let (got, echoes) = numbered(&server, &session, async |_, _| {
        force_refresh(&server, &session).await;
    })
    .await;
    let all: Vec<u64> = (1..=COUNT).collect();
    let sorted = |mut numbers: Vec<u64>| {
        numbers.sort_unstable();
        numbers
    };
    // A server that serves each connection by itself may be through with the new one's first before the old one's last.
    assert!(sorted(got) == all, "lost or doubled on the way there");
    assert!(sorted(echoes) == all, "lost or doubled on the way back");
    let mut of_connections: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for record in records(&server, Kind::WsMessage) {
        let number = record.message.and_then(|message| message.parse::<u64>().ok());
        of_connections
            .entry(record.connection)
            .or_default()
            .extend(number);
    }
    assert!(of_connections.len() > 5);
    for numbers in of_connections.values() {
        assert_ascending(numbers);
    }
}
