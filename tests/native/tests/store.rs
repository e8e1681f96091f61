//! S8, S10: what is kept over restarts, crashes and lost answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use freshsocket::native::{StoreFuture, StoreWatch};
use freshsocket::options::SessionOptions;
use freshsocket::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
use freshsocket::{
    Changes, ErrorKind, FileStore, MemoryStore, Session, SessionBuilder, SessionEvent, SessionState,
    SignOutCause, Store as _,
};
use freshsocket_mock_server::{Fault, Kind, MockServer, Target, Times};
use freshsocket_native_tests::{
    builder, echo, force_refresh, next_where, open_socket, records, seen, server, session_state, sign_in,
    within,
};
use futures_util::stream;

/// A builder of sessions in this file.
fn stored(server: &MockServer, file: &Path) -> SessionBuilder {
    // Each program has dice of its own: two that throw the same would take each other's keys for their own.
    static SEEDS: AtomicU64 = AtomicU64::new(1);
    let seed = SEEDS.fetch_add(1, Ordering::Relaxed);
    // Not watched: what is found here is found without hints.
    let store = FileStore::new(file).check_every(Duration::ZERO);
    let builder = builder(server).seed(seed).store(store);
    builder.session_options(keyed)
}

/// With an idempotency key, and a lease of 2.5 seconds: for so long a program waits for one that was killed.
fn keyed(options: &mut SessionOptions) {
    options.refresh.idempotency_header = Some("Idempotency-Key".into());
    options.request_timeout_ms = 1_500;
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.json");
    (folder, file)
}

/// The user signs in, and the program ends.
async fn sign_in_and_end(server: &MockServer, file: &Path) {
    let session = stored(server, file).build().await.unwrap();
    sign_in(&session, "ada").await;
    session.close().await;
}

#[tokio::test]
async fn s8_a_session_in_a_file_outlives_the_program() {
    let (_folder, file) = place();
    let server = server(|_| {}).await;
    sign_in_and_end(&server, &file).await;
    for _ in 0..3 {
        let session = stored(&server, &file).build().await.unwrap();
        assert!(
            matches!(session.state(), SessionState::Active { .. }),
            "signed in when `build` returns"
        );
        assert!(session.user().is_some());
        force_refresh(&server, &session).await;
        echo(&mut open_socket(&server, &session).await, "hello").await;
    }
    let session = stored(&server, &file).build().await.unwrap();
    session.logout().await.unwrap();
    drop(session);
    let session = stored(&server, &file).build().await.unwrap();
    assert_eq!(
        session.state(),
        SessionState::SignedOut {
            cause: SignOutCause::NotSignedIn
        }
    );
    assert_eq!(
        (server.counters().logins, server.counters().refreshes_refused),
        (1, 0)
    );
}

/// The child of the test below: a program that is about to be killed. On its own it does nothing.
#[tokio::test]
async fn child_that_refreshes_until_it_is_killed() {
    let Ok(of) = std::env::var("FRESHSOCKET_TEST_CHILD") else {
        return;
    };
    let (url, file) = of.split_once(' ').unwrap();
    let builder = Session::builder(url).store(FileStore::new(file));
    let session = builder.session_options(keyed).build().await.unwrap();
    assert!(session.state().is_signed_in());
    let http = session.http();
    let _ = http.send(http.client().get(format!("{url}/api/me"))).await;
    std::future::pending::<()>().await;
}

fn spawn_child(server: &MockServer, file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_refreshes_until_it_is_killed"])
        .env(
            "FRESHSOCKET_TEST_CHILD",
            format!("{} {}", server.http_url(), file.display()),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A program is killed after the server has rotated the refresh token and before it hears of it.
async fn killed_in_between(server: &MockServer, file: &Path) {
    sign_in_and_end(server, file).await;
    server.expire_tokens();
    server.fault(Target::Refresh, Fault::Hold { act_first: true }, Times::Next(1));
    let mut child = spawn_child(server, file);
    seen("the rotation", server, |s| s.counters.refreshes_ok == 1).await;
    child.kill().unwrap();
    let status = within("its end", tokio::task::spawn_blocking(move || child.wait()))
        .await
        .unwrap()
        .unwrap();
    assert!(!status.success());
    server.release();
    let snapshot = FileStore::new(file).load().await.unwrap();
    assert!(snapshot.session.unwrap().intent.is_some(), "killed in between");
}

#[tokio::test]
async fn s8_killed_between_refresh_and_store_the_next_start_is_signed_in() {
    let (_folder, file) = place();
    let server = server(|s| s.honour_idempotency_key = true).await;
    killed_in_between(&server, &file).await;
    let session = stored(&server, &file).build().await.unwrap();
    session_state("signed in", &session, |s| {
        matches!(s, SessionState::Active { .. })
    })
    .await;
    let refreshes = records(&server, Kind::Refresh);
    assert_eq!(refreshes.len(), 2);
    assert_eq!(refreshes[0].idempotency_key, refreshes[1].idempotency_key);
    assert_eq!(
        refreshes[0].issued_token_seq, refreshes[1].issued_token_seq,
        "the same answer again"
    );
    assert!(session.verify().await.unwrap());
    echo(&mut open_socket(&server, &session).await, "hello").await;
    force_refresh(&server, &session).await;
}

#[tokio::test]
async fn s8_killed_between_refresh_and_store_the_next_start_knows_why_it_is_not_signed_in() {
    let (_folder, file) = place();
    let server = server(|_| {}).await;
    killed_in_between(&server, &file).await;
    let session = stored(&server, &file).build().await.unwrap();
    let out = session_state("signed out", &session, |s| !s.is_signed_in()).await;
    assert_eq!(
        out,
        SessionState::SignedOut {
            cause: SignOutCause::RefreshInterrupted
        }
    );
    sign_in(&session, "ada").await;
    force_refresh(&server, &session).await;
}

#[tokio::test]
async fn s8_killed_before_the_server_acted_the_next_start_is_signed_in() {
    let (_folder, file) = place();
    let server = server(|_| {}).await;
    sign_in_and_end(&server, &file).await;
    server.expire_tokens();
    server.fault(Target::Refresh, Fault::Unavailable, Times::Always);
    let mut child = spawn_child(&server, &file);
    seen("the request", &server, |s| s.counters.refreshes >= 1).await;
    child.kill().unwrap();
    within("its end", tokio::task::spawn_blocking(move || child.wait()))
        .await
        .unwrap()
        .unwrap();
    server.clear_faults();
    let session = stored(&server, &file).build().await.unwrap();
    session_state("signed in", &session, |s| {
        matches!(s, SessionState::Active { .. })
    })
    .await;
    assert_eq!(
        (
            server.counters().refreshes_ok,
            server.counters().refreshes_refused
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn s8_a_lost_refresh_answer_is_asked_for_again() {
    for honoured in [true, false] {
        let (_folder, file) = place();
        let server = server(|s| s.honour_idempotency_key = honoured).await;
        let session = stored(&server, &file).build().await.unwrap();
        sign_in(&session, "ada").await;
        server.fault(Target::Refresh, Fault::DropAnswer, Times::Next(1));
        let mut events = session.events();
        server.expire_tokens();
        let http = session.http();
        let answer = within(
            "answer",
            http.send(http.client().get(format!("{}/api/me", server.http_url()))),
        )
        .await;
        assert_eq!(answer.unwrap().status().as_u16(), 401);
        let failed = next_where("lost", &mut events, |e| {
            matches!(e, SessionEvent::RefreshFailed { .. })
        })
        .await;
        assert!(
            matches!(failed, SessionEvent::RefreshFailed { error } if error.kind() == ErrorKind::Unreachable)
        );
        if honoured {
            session_state("active", &session, |s| matches!(s, SessionState::Active { .. })).await;
            assert!(session.verify().await.unwrap());
        } else {
            let out = session_state("signed out", &session, |s| !s.is_signed_in()).await;
            assert_eq!(
                out,
                SessionState::SignedOut {
                    cause: SignOutCause::RefreshRefused
                }
            );
        }
        let keys: Vec<_> = records(&server, Kind::Refresh)
            .into_iter()
            .map(|r| r.idempotency_key)
            .collect();
        assert!(
            keys.len() == 2 && keys[0].is_some() && keys[0] == keys[1],
            "{keys:?}"
        );
    }
}

async fn store_failed(events: &mut Changes<SessionEvent>) {
    let event = next_where("the failure", events, |e| {
        matches!(e, SessionEvent::StoreFailed { .. })
    })
    .await;
    assert!(matches!(event, SessionEvent::StoreFailed { error } if error.kind() == ErrorKind::StoreFailed));
}

#[tokio::test]
async fn s8_a_store_that_cannot_be_written_is_told_and_the_session_goes_on() {
    let (folder, _) = place();
    let in_the_way = folder.path().join("a file, not a folder");
    std::fs::write(&in_the_way, "x").unwrap();
    let server = server(|_| {}).await;
    let session = stored(&server, &in_the_way.join("session.json"))
        .build()
        .await
        .unwrap();
    let mut events = session.events();
    sign_in(&session, "ada").await;
    store_failed(&mut events).await;
    force_refresh(&server, &session).await;
    store_failed(&mut events).await;
    echo(&mut open_socket(&server, &session).await, "hello").await;
    session.logout().await.unwrap();
    store_failed(&mut events).await;
    assert_eq!(
        session.state(),
        SessionState::SignedOut {
            cause: SignOutCause::LoggedOut
        }
    );
}

#[tokio::test]
async fn s8_a_damaged_file_signs_nobody_in_and_is_kept_aside() {
    let (_folder, file) = place();
    std::fs::write(
        &file,
        r#"{"format":1,"version":3,"session":{"access":"secret-in-a-damaged-file"#,
    )
    .unwrap();
    let server = server(|_| {}).await;
    let session = stored(&server, &file).build().await.unwrap();
    assert!(!session.state().is_signed_in());
    assert!(file.with_file_name("session.json.corrupt").exists());
    sign_in(&session, "ada").await;
    drop(session);
    assert!(
        stored(&server, &file)
            .build()
            .await
            .unwrap()
            .state()
            .is_signed_in()
    );
}

/// A request of the application's that finds the token refused.
async fn me(url: String, session: Session) -> u16 {
    let http = session.http();
    let answer = within("answer", http.send(http.client().get(format!("{url}/api/me")))).await;
    answer.unwrap().status().as_u16()
}

#[tokio::test]
async fn s10_two_holders_at_expiry_make_one_refresh_and_both_have_its_token() {
    let (_folder, file) = place();
    let server = server(|_| {}).await;
    sign_in_and_end(&server, &file).await;
    let first = stored(&server, &file).build().await.unwrap();
    let second = stored(&server, &file).build().await.unwrap();
    server.expire_tokens();
    server.fault(Target::Refresh, Fault::Hold { act_first: true }, Times::Next(1));
    let one = tokio::spawn(me(server.http_url(), first.clone()));
    seen("the first", &server, |s| s.counters.refreshes_ok == 1).await;
    let two = tokio::spawn(me(server.http_url(), second.clone()));
    seen("the second's refusal", &server, |s| s.counters.api == 2).await;
    server.release();
    assert_eq!(
        (
            within("one", one).await.unwrap(),
            within("two", two).await.unwrap()
        ),
        (200, 200)
    );
    assert_eq!(
        first.ensure_valid_token().await.unwrap(),
        second.ensure_valid_token().await.unwrap()
    );
    assert_eq!(server.counters().refreshes, 1);
}

#[tokio::test]
async fn s8_a_holder_whose_refresh_token_was_replaced_adopts_the_new_pair() {
    let (_folder, file) = place();
    let server = server(|_| {}).await;
    sign_in_and_end(&server, &file).await;
    let session = stored(&server, &file).build().await.unwrap();
    server.expire_tokens();
    server.fault(Target::Refresh, Fault::Hold { act_first: false }, Times::Next(1));
    let waiting = tokio::spawn(me(server.http_url(), session.clone()));
    seen("the request", &server, |s| s.counters.refreshes == 1).await;
    // Meanwhile somebody who does not wait for others writes a newer pair, and the old one is spent.
    server.revoke_user("ada");
    let pair = server.issue_session("ada");
    let store = FileStore::new(&file);
    let held = store.load().await.unwrap();
    let mut newer = held.session.unwrap();
    newer.access = pair.access.as_str().into();
    newer.refresh = Some(pair.refresh.as_str().into());
    newer.rotation += 1;
    newer.intent = None;
    store.swap(held.version, Some(newer)).await.unwrap();
    server.release();
    assert_eq!(within("the request", waiting).await.unwrap(), 200);
    assert_eq!(session.ensure_valid_token().await.unwrap().expose(), pair.access);
    let counters = server.counters();
    assert_eq!((counters.refreshes, counters.refreshes_refused), (1, 1));
    force_refresh(&server, &session).await;
}

#[tokio::test]
async fn s10_signing_out_in_one_program_signs_out_the_other() {
    let (_folder, file) = place();
    let server = server(|_| {}).await;
    sign_in_and_end(&server, &file).await;
    let first = stored(&server, &file).build().await.unwrap();
    let second = stored(&server, &file).build().await.unwrap();
    first.logout().await.unwrap();
    server.expire_tokens();
    let http = second.http();
    let answer = http
        .send(http.client().get(format!("{}/api/me", server.http_url())))
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 401);
    assert_eq!(
        second.state(),
        SessionState::SignedOut {
            cause: SignOutCause::SignedOutElsewhere
        }
    );
    assert_eq!(server.counters().refreshes, 0);
}

/// Two sessions on one store: what one does, the other follows without being asked for anything.
async fn followed(store: impl freshsocket::Store + Clone) {
    let server = server(|_| {}).await;
    let build = |seed| builder(&server).seed(seed).store(store.clone()).build();
    let (one, other) = (build(1).await.unwrap(), build(2).await.unwrap());
    let mut told = other.states();
    sign_in(&one, "ada").await;
    session_state("signed in elsewhere", &other, SessionState::is_signed_in).await;
    force_refresh(&server, &one).await;
    let newest = one.ensure_valid_token().await.unwrap();
    while other.ensure_valid_token().await.unwrap() != newest {
        within("the new pair", told.next()).await.unwrap();
    }
    one.logout().await.unwrap();
    let out = session_state("signed out elsewhere", &other, |s| !s.is_signed_in()).await;
    assert_eq!(
        out,
        SessionState::SignedOut {
            cause: SignOutCause::SignedOutElsewhere
        }
    );
    let counters = server.counters();
    assert_eq!((counters.logins, counters.refreshes), (1, 1));
}

#[tokio::test]
async fn s10_sessions_on_one_memory_store_follow_each_other() {
    followed(MemoryStore::new()).await;
}

#[tokio::test]
async fn s10_sessions_on_one_file_follow_each_other() {
    let (_folder, file) = place();
    followed(FileStore::new(&file)).await;
}

/// A store whose hints never end, each of them false.
#[derive(Default)]
struct Noisy {
    memory: MemoryStore,
    loads: Arc<AtomicU64>,
}

impl freshsocket::Store for Noisy {
    fn load(&self) -> StoreFuture<'_, StoreSnapshot> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.memory.load()
    }

    fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> StoreFuture<'_, Swapped> {
        self.memory.swap(expected, next)
    }

    fn watch(&self) -> Option<StoreWatch> {
        Some(Box::pin(stream::repeat(())))
    }
}

#[tokio::test]
async fn s10_a_store_that_hints_without_end_starves_nobody() {
    let server = server(|_| {}).await;
    let (store, began) = (Noisy::default(), Instant::now());
    let loads = store.loads.clone();
    let session = builder(&server).store(store).build().await.unwrap();
    sign_in(&session, "ada").await;
    force_refresh(&server, &session).await;
    echo(&mut open_socket(&server, &session).await, "hello").await;
    let most = began.elapsed().as_millis() / 20 + 2;
    assert!(
        u128::from(loads.load(Ordering::Relaxed)) <= most,
        "{loads:?} of {most}"
    );
    session.logout().await.unwrap();
    let counters = server.counters();
    assert_eq!((counters.logins, counters.refreshes), (1, 1));
}
