//! The program that a holder runs: it does what it is told on its standard input, and says on its standard output what
//! becomes of its session.

use std::io::Write as _;

use freshsocket::{Session, SessionBuilder, SessionState};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::place::AnyStore;

pub(crate) const TOLD: &str = "FRESHSOCKET_TEST_HOLDER";
/// What the child says begins with this; the rest is the test harness's own.
pub(crate) const MARK: char = '@';
/// A request that takes longer is given up; the lease is a second more.
pub(crate) const REQUEST_TIMEOUT_MS: u64 = 2_500;

/// As every holder is set up. The dice are each one's own.
pub(crate) fn builder(url: &str, place: &str) -> SessionBuilder {
    Session::builder(url)
        .store(AnyStore::named(place))
        .session_options(|o| {
            o.request_timeout_ms = REQUEST_TIMEOUT_MS;
            o.refresh.idempotency_header = Some("Idempotency-Key".into());
            o.refresh.retry.base_ms = 50;
            o.refresh.retry.cap_ms = 200;
        })
}

/// On its own it does nothing.
#[tokio::test]
async fn child_that_holds_a_session() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let (url, place) = told.split_once(' ').unwrap();
    let session = builder(url, place).build().await.unwrap();
    let mut states = session.states();
    let _subscription = session.on_token_refresh(|token| say(&format!("token {}", token.expose())));
    if let Ok(token) = session.ensure_valid_token().await {
        say(&format!("token {}", token.expose()));
    }
    say(&format!("state {}", shown(&session)));
    tokio::spawn({
        let session = session.clone();
        async move {
            while states.next().await.is_some() {
                say(&format!("state {}", shown(&session)));
            }
        }
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("me", _) => {
                let (session, url) = (session.clone(), url.to_owned());
                tokio::spawn(async move {
                    let http = session.http();
                    let answer = http.send(http.client().get(format!("{url}/api/me"))).await;
                    say(&match answer {
                        Ok(answer) => format!("me {}", answer.status().as_u16()),
                        Err(error) => format!("me {}", error.kind().as_str()),
                    });
                });
            }
            ("login", user) => {
                let outcome = session.login([("username", user), ("password", "correct")]).await;
                say(&format!("login {}", outcome.is_ok()));
            }
            ("logout", _) => say(&format!("logout {}", session.logout().await.is_ok())),
            _ => say("what?"),
        }
    }
}

/// The state, and its cause.
fn shown(session: &Session) -> String {
    let state = session.state();
    match &state {
        SessionState::SignedOut { cause } => format!("{} {cause:?}", state.name()),
        _ => state.name().to_owned(),
    }
}

fn say(what: &str) {
    // Not `println!`, which the harness captures.
    let _ = writeln!(std::io::stdout().lock(), "\n{MARK}{what}");
}
