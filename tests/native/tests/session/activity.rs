//! S13, W12: everything that happens to session and sockets, as one stream.

use freshsocket::{
    Activity, ActivityKind, Changes, ClosedBy, RefreshReason, Session, SessionEvent, SessionState,
    SocketEvent, SocketState,
};
use freshsocket_mock_server::{Fault, Target, Times};
use freshsocket_native_tests::{
    builder, next_where, open_socket, opened, seen, server, sign_in, signed_in, unix_ms, within,
};

/// How far a reader may fall behind.
const LONGEST: u64 = 1_024;

/// What is told up to the first entry of this kind, with it.
async fn up_to(activity: &mut Changes<Activity>, last: impl Fn(&ActivityKind) -> bool) -> Vec<Activity> {
    let mut told = Vec::new();
    let all = async {
        loop {
            let entry = activity.next().await.expect("the client is there");
            told.push(entry.clone());
            if last(&entry.what) {
                return;
            }
        }
    };
    within("the last entry", all).await;
    told
}

/// What is told until the end of the stream.
async fn rest(activity: &mut Changes<Activity>) -> Vec<Activity> {
    let mut told = Vec::new();
    let all = async {
        while let Some(entry) = activity.next().await {
            told.push(entry);
        }
    };
    within("the end", all).await;
    told
}

fn is_open(what: &ActivityKind, number: u64) -> bool {
    matches!(what, ActivityKind::SocketState { socket, state: SocketState::Open } if *socket == number)
}

/// Where the first entry of this kind stands.
fn place(told: &[Activity], wanted: impl Fn(&ActivityKind) -> bool) -> usize {
    let found = told.iter().position(|entry| wanted(&entry.what));
    found.unwrap_or_else(|| panic!("not in {told:#?}"))
}

fn assert_consecutive(told: &[Activity]) {
    for pair in told.windows(2) {
        assert_eq!(pair[1].number, pair[0].number + 1, "{pair:#?}");
        assert!(pair[1].at >= pair[0].at, "{pair:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn causes_come_before_effects_with_the_times_at_which_they_were_decided() {
    let server = server(|_| {}).await;
    let before = unix_ms();
    let session = builder(&server).build().await.unwrap();
    let mut activity = session.activity();
    sign_in(&session, "ada").await;
    let socket = open_socket(&server, &session).await;
    // The server refuses the token that it took before: refresh, then another attempt.
    let refuse = Fault::RefuseUpgrade {
        status: 401,
        retry_after: None,
    };
    server.fault(Target::Ws, refuse, Times::Next(1));
    server.cut_all();
    let number = socket.number();
    let mut told = up_to(&mut activity, |what| is_open(what, number)).await;
    told.extend(up_to(&mut activity, |what| is_open(what, number)).await);
    let shown = format!("{told:?}");
    for token in server.tokens_issued() {
        assert!(!shown.contains(&token), "a token in {shown}");
    }
    check_order(&told);
    assert!(told[0].at >= before && told[told.len() - 1].at <= unix_ms());
}

fn check_order(told: &[Activity]) {
    assert_eq!(told[0].number, 1, "the first reader hears it from the beginning");
    assert_consecutive(told);

    let of_session = |wanted: &'static str| move |what: &ActivityKind| matches!(what, ActivityKind::SessionState(state) if state.name() == wanted);
    let attempt_with = |wanted: u64| move |what: &ActivityKind| matches!(what, ActivityKind::SocketEvent { event: SocketEvent::Attempt { token, .. }, .. } if *token == wanted);
    let on_socket = |wanted: fn(&SocketEvent) -> bool| move |what: &ActivityKind| matches!(what, ActivityKind::SocketEvent { event, .. } if wanted(event));
    let refreshed = |wanted: u64| move |what: &ActivityKind| matches!(what, ActivityKind::SessionEvent(SessionEvent::Refreshed { token, .. }) if *token == wanted);
    let refresh_started = |what: &ActivityKind| {
        let why = RefreshReason::Refused;
        *what == ActivityKind::SessionEvent(SessionEvent::RefreshStarted { why })
    };
    let places = [
        place(told, of_session("signedOut")),
        place(told, of_session("active")),
        place(told, refreshed(1)),
        place(told, attempt_with(1)),
        place(
            told,
            on_socket(|event| matches!(event, SocketEvent::Opened { .. })),
        ),
        place(
            told,
            on_socket(|event| matches!(event, SocketEvent::Ended { .. })),
        ),
        place(
            told,
            on_socket(|event| matches!(event, SocketEvent::AuthRefused { .. })),
        ),
        place(told, refresh_started),
        place(told, refreshed(2)),
        place(told, attempt_with(2)),
        told.len() - 1,
    ];
    assert!(places.is_sorted(), "{places:?} in {told:#?}");
    // One answer brought both, so they have one time.
    assert_eq!(told[places[8]].at, told[places[9]].at);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_readers_hear_the_same_and_what_the_separate_streams_tell() {
    let server = server(|_| {}).await;
    let session = builder(&server).build().await.unwrap();
    let (mut states, mut events) = (session.states(), session.events());
    let (mut one, mut two) = (session.activity(), session.activity());
    sign_in(&session, "ada").await;
    let made = || {
        session
            .socket(server.ws_url())
            .options(|o| o.auto_connect = false)
    };
    let (first, second) = (made().connect().unwrap(), made().connect().unwrap());
    let (mut first_states, mut first_events) = (first.states(), first.events());
    for socket in [&first, &second] {
        socket.connect();
        opened(socket).await;
    }
    first.disconnect().await;
    session.logout().await.unwrap();
    session.close().await;

    let told = rest(&mut one).await;
    assert_consecutive(&told);
    let heard: Vec<Activity> = rest(&mut two).await;
    // The second reader came when the first had what was told before.
    assert_eq!(heard, told[told.len() - heard.len()..]);
    assert!(heard.iter().any(|entry| is_open(&entry.what, second.number())));

    let mut expected = Vec::new();
    // The state now comes first: it is the one of the beginning, and may come twice.
    while let Some(state) = within("states", states.next()).await {
        expected.push(ActivityKind::SessionState(state));
    }
    expected.dedup();
    let of = |wanted: fn(&ActivityKind) -> bool| -> Vec<ActivityKind> {
        let all = told.iter().map(|entry| entry.what.clone());
        all.filter(wanted).collect()
    };
    assert_eq!(of(|what| matches!(what, ActivityKind::SessionState(_))), expected);
    let mut expected = Vec::new();
    while let Some(event) = within("events", events.next()).await {
        expected.push(ActivityKind::SessionEvent(event));
    }
    assert_eq!(of(|what| matches!(what, ActivityKind::SessionEvent(_))), expected);

    let socket = first.number();
    let mut expected = Vec::new();
    while let Some(state) = within("states", first_states.next()).await {
        expected.push(ActivityKind::SocketState { socket, state });
    }
    expected.dedup();
    let all: Vec<_> = told.iter().map(|entry| entry.what.clone()).collect();
    let of_first = |what: &&ActivityKind| matches!(what, ActivityKind::SocketState { socket: 1, .. });
    let told_states: Vec<_> = all.iter().filter(of_first).cloned().collect();
    assert_eq!(socket, 1);
    assert_eq!(told_states, expected);
    let mut expected = Vec::new();
    while let Some(event) = within("events", first_events.next()).await {
        expected.push(ActivityKind::SocketEvent { socket, event });
    }
    let of_first = |what: &&ActivityKind| matches!(what, ActivityKind::SocketEvent { socket: 1, .. });
    assert_eq!(all.iter().filter(of_first).cloned().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_misses_the_oldest_and_knows_how_many_and_where() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut slow = session.activity();
    let mut quick = session.activity();
    let mut last = 0;
    let mut sockets = Vec::new();
    for _ in 0..LONGEST + 100 {
        let made = session
            .socket(server.ws_url())
            .options(|o| o.auto_connect = false);
        let made = made.connect().unwrap();
        let idle = next_where(
            "its state",
            &mut quick,
            |entry| matches!(entry.what, ActivityKind::SocketState { socket, .. } if socket == made.number()),
        );
        last = idle.await.number;
        sockets.push(made);
    }
    assert_eq!(quick.missed(), 0);
    let first = within("what is left", slow.next()).await.unwrap();
    // That one is gone from the queue as well.
    assert_eq!(
        (first.number, slow.missed()),
        (last - LONGEST + 1, last - LONGEST)
    );
    for number in first.number + 1..=last {
        assert_eq!(within("the rest", slow.next()).await.unwrap().number, number);
    }
    assert_eq!(slow.missed(), last - LONGEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_hears_what_happens_from_now_on() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    for _ in 0..20 {
        session.logout().await.unwrap();
        sign_in(&session, "ada").await;
    }
    let mut late = session.activity();
    let state = session.state();
    session.logout().await.unwrap();
    let told = up_to(&mut late, |what| {
        matches!(what, ActivityKind::SessionState(SessionState::SignedOut { .. }))
    });
    let told = told.await;
    assert!(
        told[0].number > 20,
        "it was counted when nobody listened: {told:#?}"
    );
    assert!(told.len() < 5, "{told:#?}");
    assert!(matches!(state, SessionState::Active { .. }));
    // Somebody who gave up does not keep the others from anything.
    drop(late);
    let mut again = session.activity();
    sign_in(&session, "ada").await;
    next_where("signed in", &mut again, |entry| {
        matches!(
            entry.what,
            ActivityKind::SessionState(SessionState::Active { .. })
        )
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_socket_is_told_of_and_a_dropped_session_ends_the_stream() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut activity = session.activity();
    let (dropped, kept) = (
        open_socket(&server, &session).await,
        open_socket(&server, &session).await,
    );
    let (number, other) = (dropped.number(), kept.number());
    drop(dropped);
    let closed = |number: u64| {
        move |entry: &Activity| {
            matches!(
                &entry.what,
                ActivityKind::SocketState { socket, state: SocketState::Closed { by: ClosedBy::Application, .. } }
                    if *socket == number
            )
        }
    };
    next_where("closed", &mut activity, closed(number)).await;
    drop((session, kept));
    let told = rest(&mut activity).await;
    assert!(told.iter().any(closed(other)), "{told:#?}");
    assert!(within("the end", activity.next()).await.is_none());
    seen("both closed", &server, |seen| seen.counters.ws_open_now == 0).await;
}

#[tokio::test]
async fn after_the_end_there_is_nothing_to_hear() {
    let server = server(|_| {}).await;
    let session: Session = signed_in(&server).await;
    drop(session.activity());
    session.close().await;
    assert!(within("the end", session.activity().next()).await.is_none());
}
