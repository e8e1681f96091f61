//! The processes, as the test sees them.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use freshsocket_mock_server::{Kind, MockServer};
use freshsocket_native_tests::redis::signal;
use freshsocket_native_tests::{DEADLINE, records, sign_in, within};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Notify;

use crate::child::{MARK, TOLD, builder};
use crate::place::Place;

/// One process that holds the session.
pub(crate) struct Holder {
    process: Child,
    orders: ChildStdin,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    said: Mutex<Vec<String>>,
    news: Notify,
}

impl Holder {
    pub(crate) fn start(server: &MockServer, place: &Place) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::child_that_holds_a_session", "--nocapture"])
            .env(TOLD, format!("{} {}", server.http_url(), place.name()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (orders, words) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let heard = Arc::<Heard>::default();
        let listener = heard.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(words).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(said) = line.strip_prefix(MARK) {
                    listener.said.lock().unwrap().push(said.to_owned());
                    listener.news.notify_waiters();
                }
            }
        });
        Self {
            process,
            orders,
            heard,
        }
    }

    pub(crate) async fn order(&mut self, what: &str) {
        self.orders
            .write_all(format!("{what}\n").as_bytes())
            .await
            .unwrap();
    }

    /// Everything it said so far that begins with this word.
    pub(crate) fn said(&self, word: &str) -> Vec<String> {
        let said = self.heard.said.lock().unwrap();
        let rest = |line: &String| Some(line.strip_prefix(word)?.strip_prefix(' ')?.to_owned());
        said.iter().filter_map(rest).collect()
    }

    pub(crate) fn state(&self) -> String {
        self.said("state").pop().unwrap_or_default()
    }

    pub(crate) fn token(&self) -> String {
        self.said("token").pop().unwrap_or_default()
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let all = async {
            loop {
                let news = self.heard.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if holds(self) {
                    return;
                }
                news.await;
            }
        };
        let outcome = tokio::time::timeout(DEADLINE, all).await;
        assert!(outcome.is_ok(), "{what}: {:?}", self.heard.said.lock().unwrap());
    }

    /// A request of the application's: its answer.
    pub(crate) async fn me(&mut self) -> String {
        let before = self.said("me").len();
        self.order("me").await;
        self.answer("me", before).await
    }

    /// The answer that comes after this many.
    pub(crate) async fn answer(&self, word: &str, before: usize) -> String {
        self.until("an answer", |holder| holder.said(word).len() > before)
            .await;
        self.said(word).swap_remove(before)
    }

    pub(crate) fn freeze(&self) {
        signal("STOP", self.process.id().unwrap());
    }

    pub(crate) fn thaw(&self) {
        signal("CONT", self.process.id().unwrap());
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.process.start_kill().unwrap();
        within("its end", self.process.wait()).await.unwrap();
    }
}

/// Ada signs in with one that ends, and these go on with her session.
pub(crate) async fn holders(server: &MockServer, place: &Place, count: usize) -> Vec<Holder> {
    let session = builder(&server.http_url(), &place.name()).build().await.unwrap();
    sign_in(&session, "ada").await;
    session.close().await;
    start(server, place, count).await
}

/// These find her session in the store.
pub(crate) async fn start(server: &MockServer, place: &Place, count: usize) -> Vec<Holder> {
    let holders: Vec<Holder> = (0..count).map(|_| Holder::start(server, place)).collect();
    for holder in &holders {
        holder.until("signed in", |h| h.state() == "active").await;
    }
    holders
}

/// All of them make a request at once: their answers.
pub(crate) async fn all_me(holders: &mut [Holder]) -> Vec<String> {
    let before: Vec<usize> = holders.iter().map(|holder| holder.said("me").len()).collect();
    for holder in holders.iter_mut() {
        holder.order("me").await;
    }
    let mut answers = Vec::new();
    for (holder, before) in holders.iter().zip(before) {
        answers.push(holder.answer("me", before).await);
    }
    answers
}

/// Waits until all have the token that the store holds; that token.
pub(crate) async fn agree(place: &Place, holders: &[Holder]) -> String {
    use freshsocket::Store as _;

    let stored = place.store().load().await.unwrap().session.expect("a session");
    let token = stored.access.expose().to_owned();
    for holder in holders {
        holder
            .until("the token that is stored", |h| h.token() == token)
            .await;
    }
    token
}

/// That nobody was signed out, ever.
pub(crate) fn nobody_was_signed_out(holders: &[Holder]) {
    for holder in holders {
        let states = holder.said("state");
        assert!(
            !states.iter().any(|state| state.starts_with("signedOut")),
            "{states:?}"
        );
    }
}

/// The idempotency keys of the refreshes that the server saw.
pub(crate) fn keys(server: &MockServer) -> Vec<Option<String>> {
    let refreshes = records(server, Kind::Refresh);
    refreshes
        .into_iter()
        .map(|record| record.idempotency_key)
        .collect()
}
