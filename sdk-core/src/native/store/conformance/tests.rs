//! Stores that break one rule each: the check must find it.

use std::sync::Mutex;

use futures_util::stream;

use super::*;
use crate::native::store::StoreFuture;

/// What a broken store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// Writes at whatever version.
    IgnoresExpected,
    /// Writes only when the version is not the one expected before, but takes any that is older.
    TakesOlder,
    /// Counts from the beginning when it is cleared.
    ReusesVersions,
    /// Says which version, but not what is there.
    LosesTheSessionOnConflict,
    /// Clears itself when a swap is refused.
    ClearsOnConflict,
    /// Keeps no intent.
    LosesTheIntent,
    /// Keeps times to about a second.
    RoundsTimes,
    /// Cuts what is long.
    CutsLarge,
    /// Refuses what is large, and quotes it.
    QuotesLarge,
    /// Refuses what it must take.
    RefusesSmall,
    /// Reads, waits and then writes.
    Races,
    /// Offers a watch that says nothing.
    NeverHints,
    /// Offers a watch that says only that it is there.
    HintsOnce,
    /// Offers a watch that ends.
    EndsTheWatch,
}

#[derive(Clone)]
struct Broken {
    wrong: Wrong,
    held: Arc<Mutex<StoreSnapshot>>,
}

impl Broken {
    fn answer(
        &self,
        seen: &StoreSnapshot,
        expected: StoreVersion,
        next: Option<Box<StoredSession>>,
    ) -> Result<Swapped, Error> {
        let mut held = self.held.lock().unwrap();
        let may = match self.wrong {
            Wrong::IgnoresExpected => true,
            Wrong::TakesOlder => expected <= held.version && expected.0 > 0 || expected == held.version,
            Wrong::Races => seen.version == expected,
            _ => held.version == expected,
        };
        if !may {
            if self.wrong == Wrong::ClearsOnConflict {
                held.session = None;
            }
            let session = held
                .session
                .clone()
                .filter(|_| self.wrong != Wrong::LosesTheSessionOnConflict);
            return Ok(Swapped::Conflict(StoreSnapshot {
                version: held.version,
                session,
            }));
        }
        let mut session = next;
        if let Some(session) = &mut session {
            let size = serde_json::to_vec(session).unwrap().len();
            let refuse =
                |cause: String| Err(Error::new(ErrorKind::StoreFailed, "too large").with_cause(cause));
            match self.wrong {
                Wrong::LosesTheIntent => session.intent = None,
                Wrong::RoundsTimes => {
                    session.received_unix_ms = session.received_unix_ms / 1024 * 1024;
                }
                Wrong::CutsLarge if size > 1_000_000 => session.user = None,
                Wrong::QuotesLarge if size > 1_000_000 => return refuse(session.access.expose().to_owned()),
                Wrong::RefusesSmall if size > 10_000 => return refuse(String::new()),
                _ => {}
            }
        }
        let cleared = session.is_none() && self.wrong == Wrong::ReusesVersions;
        let version = if cleared { 1 } else { held.version.0 + 1 };
        *held = StoreSnapshot {
            version: StoreVersion(version),
            session,
        };
        Ok(Swapped::Done(held.version))
    }
}

impl Store for Broken {
    fn load(&self) -> StoreFuture<'_, StoreSnapshot> {
        Box::pin(async { Ok(self.held.lock().unwrap().clone()) })
    }

    fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> StoreFuture<'_, Swapped> {
        Box::pin(async move {
            let seen = self.held.lock().unwrap().clone();
            tokio::task::yield_now().await;
            self.answer(&seen, expected, next)
        })
    }

    fn watch(&self) -> Option<StoreWatch> {
        match self.wrong {
            Wrong::NeverHints => Some(Box::pin(stream::pending())),
            Wrong::HintsOnce => Some(Box::pin(stream::once(async {}).chain(stream::pending()))),
            Wrong::EndsTheWatch => Some(Box::pin(stream::once(async {}))),
            _ => None,
        }
    }
}

async fn judged(wrong: Wrong) -> Result<(), String> {
    let store = Broken {
        wrong,
        held: Arc::default(),
    };
    store_conformance(|| async { Box::new(store.clone()) as Box<dyn Store> }).await
}

// Paused: where a hint is waited for in vain, nobody waits in earnest.
#[tokio::test(start_paused = true)]
async fn s10_a_store_that_breaks_a_rule_is_told_which() {
    for (wrong, rule) in [
        (
            Wrong::IgnoresExpected,
            "a swap at an old version is refused, with what is held",
        ),
        (
            Wrong::TakesOlder,
            "of several swaps at one version exactly one is made",
        ),
        (Wrong::ReusesVersions, "clearing makes a higher version"),
        (
            Wrong::LosesTheSessionOnConflict,
            "a swap at an old version is refused, with what is held",
        ),
        (
            Wrong::ClearsOnConflict,
            "a swap at an old version is refused, with what is held",
        ),
        (
            Wrong::LosesTheIntent,
            "another handle sees the write, with every field",
        ),
        (
            Wrong::RoundsTimes,
            "another handle sees the write, with every field",
        ),
        (
            Wrong::CutsLarge,
            "a session that is taken is kept whole, however large",
        ),
        (Wrong::QuotesLarge, "no error shows a token"),
        (Wrong::RefusesSmall, "swap failed"),
        (
            Wrong::Races,
            "of several swaps at one version exactly one is made",
        ),
        (Wrong::NeverHints, "a watch hints when it is in place"),
        (Wrong::HintsOnce, "a watch hints after a write of another handle"),
        (Wrong::EndsTheWatch, "a watch does not end by itself"),
    ] {
        let verdict = judged(wrong).await.expect_err(&format!("{wrong:?}"));
        assert!(verdict.contains(rule), "{wrong:?}: {verdict}");
    }
    judged(Wrong::Nothing).await.unwrap();
}
