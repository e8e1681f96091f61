//! Whatever comes in, in whatever order and at whatever time: no panic, bounded outputs, and deadlines that end.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::io::{
    CallId, CallbackAnswer, ConnEnd, ConnId, ConnectFailure, EffectId, HttpAnswer, Input, Notice, Output,
    SendId, SocketId, TokenGrant,
};
use freshsocket::machine::Machine;
use freshsocket::options::{Credential, Options, Preset, Renewal, SessionOptions, TicketOptions};
use freshsocket::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
use freshsocket::time::{Mono, Now};
use freshsocket::{AccessToken, Claims, Error, ErrorKind, Json, Message, RefreshToken, Secret};
use proptest::prelude::*;
use sim::{jwt, socket_options};

/// No input, however odd, makes the machine say more than this (five sockets, ten queued messages each).
const MOST_OUTPUTS: usize = 250;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..12u64, 1 => any::<u64>()]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(jwt(r#"{"sub":"ada","exp":1700003600,"iat":1700000000}"#)),
        Just(jwt(r#"{"sub":"bob","exp":1e300,"iat":-5}"#)),
        Just(jwt(r#"{"exp":1700000000.001,"iat":1700000000}"#)),
        "[a-z]{1,8}",
    ]
}

fn http_answer() -> impl Strategy<Value = Result<HttpAnswer, Error>> {
    let body = prop_oneof![
        4 => (text(), text(), number()).prop_map(|(access, refresh, expires)| {
            format!(r#"{{"access":"{access}","refresh":"{refresh}","ticket":"{refresh}","expires_in":{expires}}}"#)
        }),
        1 => Just("<html>".to_owned()),
        1 => Just(String::new()),
        1 => any::<String>(),
    ];
    let status = prop_oneof![6 => Just(200u16), 3 => prop::sample::select(vec![204, 400, 401, 403, 429, 503]), 1 => any::<u16>()];
    let retry_after = prop::option::of(prop_oneof![number().prop_map(|n| n.to_string()), any::<String>()]);
    let answer = (status, body, retry_after, prop::option::of(any::<u64>())).prop_map(
        |(status, body, retry_after, date_unix_ms)| HttpAnswer {
            status,
            retry_after,
            date_unix_ms,
            set_cookies: vec![Secret::new(body.clone())],
            body: Some(Secret::new(body)),
        },
    );
    prop_oneof![5 => answer.prop_map(Ok), 1 => Just(Err(Error::new(ErrorKind::Unreachable, "no")))]
}

fn snapshot() -> impl Strategy<Value = StoreSnapshot> {
    let session = (text(), number(), prop::option::of(number()), number()).prop_map(
        |(access, received_unix_ms, lifetime_ms, rotation)| {
            Box::new(StoredSession {
                refresh: Some(RefreshToken::new(access.clone())),
                access: AccessToken::new(access),
                cookies: None,
                received_unix_ms,
                lifetime_ms,
                user: None,
                rotation,
                intent: None,
            })
        },
    );
    (number(), prop::option::of(session)).prop_map(|(version, session)| StoreSnapshot {
        version: StoreVersion(version),
        session,
    })
}

fn session_input() -> impl Strategy<Value = Input> {
    let effect = || number().prop_map(EffectId);
    let failed = || Error::new(ErrorKind::StoreFailed, "no");
    prop_oneof![
        1 => Just(()).prop_map(|()| Input::TokenNeeded),
        1 => number().prop_map(|n| Input::Login { call: CallId(n), credentials: vec![("u".into(), "p".into())] }),
        1 => (number(), text(), prop::option::of(number())).prop_map(|(n, text, expires_in_ms)| Input::Adopt {
            call: CallId(n),
            tokens: TokenGrant {
                access: AccessToken::new(text),
                refresh: Some(RefreshToken::new("r")),
                expires_in_ms,
                user: None,
            },
        }),
        1 => number().prop_map(|n| Input::Logout { call: CallId(n) }),
        1 => number().prop_map(|n| Input::Verify { call: CallId(n) }),
        1 => number().prop_map(|token| Input::TokenRejected { token }),
        1 => any::<bool>().prop_map(|online| Input::Network { online }),
        1 => any::<bool>().prop_map(|foreground| Input::Foreground { foreground }),
        1 => Just(()).prop_map(|()| Input::Woke),
        1 => Just(()).prop_map(|()| Input::StoreChanged),
        4 => (effect(), http_answer()).prop_map(|(effect, answer)| Input::HttpAnswered { effect, answer }),
        1 => (effect(), snapshot()).prop_map(|(effect, loaded)| Input::StoreLoaded { effect, loaded: Ok(loaded) }),
        1 => effect().prop_map(move |effect| Input::StoreLoaded { effect, loaded: Err(failed()) }),
        2 => (effect(), number())
            .prop_map(|(effect, n)| Input::StoreSwapped { effect, swapped: Ok(Swapped::Done(StoreVersion(n))) }),
        1 => (effect(), snapshot())
            .prop_map(|(effect, held)| Input::StoreSwapped { effect, swapped: Ok(Swapped::Conflict(held)) }),
        1 => effect().prop_map(move |effect| Input::StoreSwapped { effect, swapped: Err(failed()) }),
        1 => (effect(), text(), prop::option::of(number())).prop_map(|(effect, text, expires_in_ms)| {
            let answer = CallbackAnswer::Token { access: AccessToken::new(text), expires_in_ms };
            Input::CallbackAnswered { effect, answer }
        }),
        1 => effect().prop_map(|effect| Input::CallbackAnswered { effect, answer: CallbackAnswer::SignedOut }),
    ]
}

fn socket_input() -> impl Strategy<Value = Input> {
    let socket = || (0..5u64).prop_map(SocketId);
    let conn = || number().prop_map(ConnId);
    let unsent = || prop::collection::vec(number().prop_map(|n| (SendId(n), Message::text("x"))), 0..4);
    let code = || {
        prop_oneof![
            Just(1000u16),
            Just(4401),
            Just(4403),
            Just(1009),
            Just(1013),
            any::<u16>()
        ]
    };
    prop_oneof![
        2 => (socket(), 0..7u8).prop_map(|(socket, kind)| Input::OpenSocket { socket, options: options(kind).into() }),
        1 => socket().prop_map(|socket| Input::Connect { socket }),
        1 => (socket(), code()).prop_map(|(socket, code)| Input::Disconnect { socket, code, reason: String::new() }),
        1 => socket().prop_map(|socket| Input::DropSocket { socket }),
        2 => (socket(), number())
            .prop_map(|(socket, n)| Input::Send { identity: None, socket, send: SendId(n), message: Message::text("x") }),
        3 => conn().prop_map(|conn| Input::Opened { conn, subprotocol: None }),
        1 => conn().prop_map(|conn| Input::ConnectFailed {
            conn,
            failure: ConnectFailure::Unreachable { detail: String::new() }
        }),
        1 => (conn(), any::<u16>(), prop::option::of(any::<String>())).prop_map(|(conn, status, retry_after)| {
            Input::ConnectFailed { conn, failure: ConnectFailure::Http { status, retry_after } }
        }),
        1 => (conn(), 0..4u8).prop_map(|(conn, n)| {
            let notices = [Notice::FirstMessage, Notice::Ready, Notice::AuthError, Notice::Renewed];
            let notice = notices[usize::from(n)];
            Input::Noticed { conn, notice }
        }),
        1 => (conn(), code(), any::<bool>(), unsent()).prop_map(|(conn, code, refused, unsent)| {
            Input::Ended { conn, end: ConnEnd::Closed { code, reason: String::new(), refused }, unsent }
        }),
        1 => (conn(), any::<bool>(), unsent()).prop_map(|(conn, refused, unsent)| {
            Input::Ended { conn, end: ConnEnd::Lost { detail: String::new(), refused }, unsent }
        }),
        1 => (conn(), code()).prop_map(|(conn, code)| {
            Input::Ended { conn, end: ConnEnd::Violation { code, detail: String::new() }, unsent: Vec::new() }
        }),
        1 => (conn(), number()).prop_map(|(conn, at)| Input::Activity { conn, last_received: Mono(at) }),
        2 => Just(()).prop_map(|()| Input::Tick),
    ]
}

fn options(kind: u8) -> freshsocket::options::SocketOptions {
    let mut options = socket_options();
    options.outbox.max_messages = 10;
    match kind {
        0 => options.renewal = Renewal::Reconnect,
        1 => {
            options.credential = Credential::Ticket(TicketOptions {
                url: "/t".into(),
                ..TicketOptions::default()
            });
        }
        2 => options.credential = Credential::None,
        3 => options.reconnect.max_attempts = Some(3),
        5 => {
            options.renewal = Renewal::InBand {
                template: Json::from("{token}"),
                ack: Some(freshsocket::options::Matcher::new([("/type", "ok".into())])),
            };
        }
        4 => options.ready = Some(freshsocket::options::Matcher::new([("/type", "hi".into())])),
        _ => {}
    }
    options
}

/// How the clocks move before an input.
fn moves() -> impl Strategy<Value = (u64, u64)> {
    prop_oneof![
        6 => (0..40_000u64).prop_map(|ms| (ms, ms)),
        1 => (0..1_000u64, 0..u64::MAX),
        1 => (any::<u32>().prop_map(u64::from), any::<u64>()),
    ]
}

fn drain(machine: &mut Machine) -> Vec<Output> {
    let outputs: Vec<Output> = std::iter::from_fn(|| machine.poll())
        .take(MOST_OUTPUTS + 1)
        .collect();
    assert!(
        outputs.len() <= MOST_OUTPUTS,
        "too many outputs for one input: {:?}",
        &outputs[..20]
    );
    outputs
}

fn run(preset: Preset, durable: bool, inputs: Vec<((u64, u64), Input)>) {
    let base_url = "https://auth.test".into();
    let session = SessionOptions {
        base_url,
        preset,
        ..SessionOptions::default()
    };
    let mut now = Now {
        mono: Mono(0),
        unix_ms: sim::EPOCH,
    };
    let mut machine = Machine::new(session, durable, 7, now).unwrap();
    drain(&mut machine);
    for ((mono, wall), input) in inputs {
        now = Now {
            mono: now.mono + mono,
            unix_ms: now.unix_ms.wrapping_add(wall),
        };
        machine.handle(now, input);
        drain(&mut machine);
    }
    // From here on nothing happens but time: every deadline passes, and none comes again at once.
    let mut ticks = 0;
    while let Some(at) = machine.next_deadline().filter(|_| ticks < 200) {
        let before = now;
        now = Now {
            mono: now.mono.max(at),
            unix_ms: now.unix_ms.saturating_add(now.mono.max(at).since(now.mono)),
        };
        machine.handle(now, Input::Tick);
        drain(&mut machine);
        let again = machine.next_deadline();
        prop_assert_progress(before, now, at, again);
        ticks += 1;
    }
}

fn prop_assert_progress(before: Now, now: Now, at: Mono, again: Option<Mono>) {
    let moved = again != Some(at) || now.mono > before.mono;
    assert!(
        moved && again.is_none_or(|again| again > now.mono),
        "a deadline at {at:?} came again as {again:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_inputs_in_any_order_at_any_time_are_survived(
        preset in prop::sample::select(vec![
            Preset::SimpleJwt, Preset::TokenOnly, Preset::Cookie, Preset::Callback,
        ]),
        durable in any::<bool>(),
        inputs in prop::collection::vec((moves(), prop_oneof![session_input(), socket_input()]), 0..80),
    ) {
        run(preset, durable, inputs);
    }

    #[test]
    fn claims_of_any_text_are_read_or_not_and_never_panic(text in any::<String>(), json in any::<String>()) {
        let _ = Claims::read(&text);
        let _ = Claims::read(&jwt(&json));
        let _ = Claims::read(&format!("{text}.{json}.{text}"));
    }

    #[test]
    fn json_of_any_text_is_read_or_not_and_what_was_read_reads_the_same_again(text in any::<String>(), pointer in any::<String>()) {
        if let Some(value) = Json::parse(&text) {
            prop_assert_eq!(Json::parse(&value.to_string()), Some(value.clone()));
            let _ = value.at(&pointer);
        }
    }

    #[test]
    fn options_of_any_text_are_read_or_refused_by_name(text in any::<String>(), field in "[a-zA-Z]{1,12}") {
        if let Err(error) = Options::from_json(&text) {
            prop_assert_eq!(error.kind(), ErrorKind::InvalidOptions);
            prop_assert!(error.cause().is_some(), "says where");
        }
        let unknown = format!(r#"{{"session":{{"x{field}":1}}}}"#);
        let error = Options::from_json(&unknown).unwrap_err();
        prop_assert!(error.cause().unwrap().contains(&field), "names the field: {}", error);
    }

    #[test]
    fn a_retry_after_of_any_text_waits_at_most_an_hour_and_a_tenth(text in any::<String>(), date in any::<u64>()) {
        let session = SessionOptions { base_url: "https://auth.test".into(), ..SessionOptions::default() };
        let mut now = Now { mono: Mono(5), unix_ms: sim::EPOCH };
        let mut machine = Machine::new(session, false, 1, now).unwrap();
        let tokens = TokenGrant {
            access: AccessToken::new("a"), refresh: Some(RefreshToken::new("r")), expires_in_ms: None, user: None,
        };
        machine.handle(now, Input::Adopt { call: CallId(1), tokens });
        machine.handle(now, Input::TokenRejected { token: 1 });
        let effect = drain(&mut machine).into_iter().find_map(|output| match output {
            Output::Http { effect, .. } => Some(effect),
            _ => None,
        });
        let answer = HttpAnswer { status: 503, retry_after: Some(text), date_unix_ms: Some(date), ..HttpAnswer::default() };
        now.mono = now.mono + 10;
        machine.handle(now, Input::HttpAnswered { effect: effect.unwrap(), answer: Ok(answer) });
        let wait = machine.next_deadline().unwrap().since(now.mono);
        prop_assert!(wait <= 3_600_000 + 360_000, "{}", wait);
    }
}
