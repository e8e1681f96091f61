//! What every token store must do, as a check to run against it.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;

use super::{Store, StoreWatch};
use crate::error::{Error, ErrorKind};
use crate::json::Json;
use crate::store::{RefreshIntent, StoreSnapshot, StoreVersion, StoredSession, Swapped};

const RACERS: u64 = 6;
const WINS_EACH: u64 = 20;

/// Every store takes a session whose JSON has this many bytes.
const LARGE: usize = 256 * 1024;
/// No store has to take one of so many; one that does not says so.
const TOO_LARGE: usize = 4 * 1024 * 1024;

/// How soon a watcher hears of a write.
const HEARD_WITHIN: Duration = Duration::from_secs(10);
/// A watch that said nothing for so long has nothing more to say of what was before.
const QUIET: Duration = Duration::from_millis(100);

/// Checks that a store keeps the contract of [`Store`]; the error names the rule that it breaks.
///
/// The contract, rule by rule:
///
/// * A store that was never written holds version zero and no session.
/// * What is written is what every handle reads, in every field; what a session does not have is not there.
/// * A swap is made at the current version and at no other. One that is not made changes nothing, and its answer is what
///   the store holds.
/// * Every write makes a higher version. Clearing is a write, and does not end the counting.
/// * Of any number of swaps at one version, from any number of handles, exactly one is made.
/// * A swap whose future is dropped is made or not, never half, and the store works on.
/// * A session of up to 256 KiB of JSON is taken. A larger one is taken or refused as
///   [`StoreFailed`](ErrorKind::StoreFailed), with no token in the error; a refusal changes nothing.
/// * Where [`watch`](Store::watch) is offered, it hints when it is in place, and after the writes of other handles (here:
///   within ten seconds).
///
/// Each call of `make` gives another handle of the *same* storage, which is empty at first: two connections to one
/// database, two stores of one file. Run it inside a tokio runtime, with several threads to race in earnest.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use freshsocket::native::{Store, StoreFuture, store_conformance};
/// use freshsocket::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
///
/// /// A store of one's own: two methods.
/// #[derive(Clone, Default)]
/// struct Shelf(Arc<Mutex<StoreSnapshot>>);
///
/// impl Store for Shelf {
///     fn load(&self) -> StoreFuture<'_, StoreSnapshot> {
///         Box::pin(async { Ok(self.0.lock().unwrap().clone()) })
///     }
///
///     fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> StoreFuture<'_, Swapped> {
///         Box::pin(async move {
///             let mut held = self.0.lock().unwrap();
///             if held.version != expected {
///                 return Ok(Swapped::Conflict(held.clone()));
///             }
///             *held = StoreSnapshot { version: StoreVersion(expected.0 + 1), session: next };
///             Ok(Swapped::Done(held.version))
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let shelf = Shelf::default();
/// store_conformance(|| async { Box::new(shelf.clone()) as Box<dyn Store> }).await.unwrap();
/// # }
/// ```
pub async fn store_conformance<F, M>(make: F) -> Result<(), String>
where
    F: Fn() -> M,
    M: Future<Output = Box<dyn Store>>,
{
    let (one, other) = (make().await, make().await);
    let version = keeps_what_is_written(&*one, &*other).await?;
    let version = keeps_what_is_odd(&*one, &*other, version).await?;
    let version = clears_and_counts_on(&*one, &*other, version).await?;
    survives_dropped_futures(&*one, &*other, version).await?;
    takes_what_is_large(&*one, &*other).await?;

    let mut handles = Vec::new();
    for _ in 0..RACERS {
        handles.push(make().await);
    }
    lets_exactly_one_win(handles, &*one).await?;
    tells_of_writes(&*one, &*other).await
}

async fn keeps_what_is_written(one: &dyn Store, other: &dyn Store) -> Result<StoreVersion, String> {
    let empty = load(one).await?;
    rule(
        empty == StoreSnapshot::default(),
        "a store that was never written holds version zero and no session",
    )?;

    let full = session(1);
    let first = done(
        swap(one, empty.version, Some(&full)).await?,
        "a swap at the current version is made",
    )?;
    rule(first > empty.version, "a write makes a higher version")?;
    let written = StoreSnapshot {
        version: first,
        session: Some(Box::new(full)),
    };
    rule(
        load(other).await? == written,
        "another handle sees the write, with every field",
    )?;

    let stale = swap(other, empty.version, Some(&session(2))).await?;
    rule(
        stale == Swapped::Conflict(written.clone()),
        "a swap at an old version is refused, with what is held",
    )?;
    let ahead = swap(other, StoreVersion(first.0 + 1000), None).await?;
    rule(
        ahead == Swapped::Conflict(written.clone()),
        "a swap at a version that never was is refused",
    )?;
    rule(load(one).await? == written, "a refused swap changes nothing")?;

    let bare = StoredSession {
        refresh: None,
        cookies: None,
        lifetime_ms: None,
        user: None,
        intent: None,
        ..session(3)
    };
    let second = done(
        swap(other, first, Some(&bare)).await?,
        "a swap at the current version is made",
    )?;
    rule(second > first, "a write makes a higher version")?;
    let written = StoreSnapshot {
        version: second,
        session: Some(Box::new(bare)),
    };
    rule(
        load(one).await? == written,
        "what a session does not have is not taken over from the one before",
    )?;
    Ok(second)
}

/// Times without end, texts without content.
async fn keeps_what_is_odd(
    one: &dyn Store,
    other: &dyn Store,
    version: StoreVersion,
) -> Result<StoreVersion, String> {
    let odd = StoredSession {
        access: "".into(),
        refresh: Some("".into()),
        cookies: Some("".into()),
        received_unix_ms: u64::MAX,
        lifetime_ms: Some(u64::MAX),
        user: Some(Json::object([("list", Json::from("")), ("none", Json::Null)])),
        rotation: u64::MAX,
        intent: Some(RefreshIntent {
            key: String::new(),
            at_unix_ms: 0,
            asked_unix_ms: u64::MAX,
            lease: 7,
        }),
    };
    let version = done(
        swap(one, version, Some(&odd)).await?,
        "a swap at the current version is made",
    )?;
    rule(
        load(other).await?.session.as_deref() == Some(&odd),
        "another handle sees the write, with every field, however large or empty",
    )?;
    Ok(version)
}

async fn clears_and_counts_on(
    one: &dyn Store,
    other: &dyn Store,
    version: StoreVersion,
) -> Result<StoreVersion, String> {
    let cleared = done(swap(one, version, None).await?, "clearing is a write")?;
    rule(cleared > version, "clearing makes a higher version")?;
    let empty = StoreSnapshot {
        version: cleared,
        session: None,
    };
    rule(
        load(other).await? == empty,
        "a cleared store has no session, and its version",
    )?;
    let stale = swap(other, StoreVersion::default(), Some(&session(4))).await?;
    rule(
        stale == Swapped::Conflict(empty),
        "a cleared store does not pass for one that was never written",
    )?;
    let again = done(
        swap(other, cleared, None).await?,
        "clearing what is clear is a write",
    )?;
    rule(again > cleared, "clearing makes a higher version")?;
    Ok(again)
}

async fn survives_dropped_futures(
    one: &dyn Store,
    other: &dyn Store,
    mut version: StoreVersion,
) -> Result<(), String> {
    // Dropped at once, and after each of the first few times that it could go on.
    for polls in 0..6 {
        let (dropped, next) = (session(2 * polls + 5), session(2 * polls + 6));
        drop_after(one.swap(version, Some(Box::new(dropped.clone()))), polls).await;
        drop_after(one.load(), polls).await;
        // It may still be under way, so it is overtaken rather than waited for.
        let mut held = load(other).await?;
        version = loop {
            rule(
                held.version == version || held.session.as_deref() == Some(&dropped),
                "a swap whose future was dropped is made as a whole or not at all",
            )?;
            match swap(other, held.version, Some(&next)).await? {
                Swapped::Done(version) => break version,
                Swapped::Conflict(now) => held = now,
            }
        };
        let written = StoreSnapshot {
            version,
            session: Some(Box::new(next)),
        };
        rule(
            load(one).await? == written,
            "after a swap whose future was dropped the store works on",
        )?;
    }
    Ok(())
}

async fn drop_after<T>(mut future: super::StoreFuture<'_, T>, polls: u64) {
    for _ in 0..polls {
        let over = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
        if over {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn takes_what_is_large(one: &dyn Store, other: &dyn Store) -> Result<(), String> {
    let sized = |number: u64, size: usize| StoredSession {
        // Not as one text alone: a store may have columns.
        access: format!("secret-{number}-{}", "a".repeat(size / 4)).into(),
        user: Some(Json::object([("photo", Json::from("p".repeat(size / 2)))])),
        ..session(number)
    };
    let large = sized(40, LARGE);
    let at = load(one).await?.version;
    let version = done(
        swap(one, at, Some(&large)).await?,
        "a session of 256 KiB is taken",
    )?;
    let written = StoreSnapshot {
        version,
        session: Some(Box::new(large)),
    };
    rule(load(other).await? == written, "a large session is kept whole")?;

    let too_large = sized(41, TOO_LARGE);
    match one.swap(version, Some(Box::new(too_large.clone()))).await {
        Ok(swapped) => {
            done(swapped, "a swap at the current version is made")?;
            rule(
                load(other).await?.session.as_deref() == Some(&too_large),
                "a session that is taken is kept whole, however large",
            )?;
        }
        Err(error) => {
            rule(
                error.kind() == ErrorKind::StoreFailed,
                "a session that is too large is refused as `storeFailed`",
            )?;
            rule(
                !format!("{error} {error:?}").contains("secret-41"),
                "no error shows a token",
            )?;
            rule(
                load(other).await? == written,
                "a session that is refused changes nothing",
            )?;
        }
    }
    let at = load(one).await?.version;
    done(
        swap(other, at, Some(&session(42))).await?,
        "after a large session the store works on",
    )?;
    Ok(())
}

async fn tells_of_writes(one: &dyn Store, other: &dyn Store) -> Result<(), String> {
    let Some(mut hints) = one.watch() else {
        return Ok(());
    };
    heard(&mut hints, "a watch hints when it is in place").await?;
    for (number, what) in [(50, "a write"), (51, "another write")] {
        quieten(&mut hints).await;
        let at = load(other).await?.version;
        done(swap(other, at, Some(&session(number))).await?, what)?;
        heard(&mut hints, "a watch hints after a write of another handle").await?;
    }
    quieten(&mut hints).await;
    let at = load(other).await?.version;
    done(swap(other, at, None).await?, "clearing is a write")?;
    heard(&mut hints, "a watch hints after a clearing by another handle").await
}

async fn heard(hints: &mut StoreWatch, what: &str) -> Result<(), String> {
    match tokio::time::timeout(HEARD_WITHIN, hints.next()).await {
        Ok(Some(())) => Ok(()),
        Ok(None) => Err("broken rule: a watch does not end by itself".to_owned()),
        Err(_) => rule(false, what),
    }
}

/// Takes the hints of what was before, so that the next is of what comes. (One that hints all the time is let be.)
async fn quieten(hints: &mut StoreWatch) {
    for _ in 0..50 {
        if tokio::time::timeout(QUIET, hints.next()).await.is_err() {
            return;
        }
    }
}

/// The property that single refreshes rest on: at each version one writer succeeds, and one only.
async fn lets_exactly_one_win(handles: Vec<Box<dyn Store>>, judge: &dyn Store) -> Result<(), String> {
    let start = load(judge).await?.version;
    let mut racers = Vec::new();
    for (number, handle) in (0..).zip(handles) {
        racers.push(tokio::spawn(race(Arc::from(handle), number)));
    }
    let (mut from, mut to) = (BTreeSet::new(), BTreeSet::new());
    for racer in racers {
        for (expected, made) in racer.await.map_err(|error| error.to_string())?? {
            rule(made > expected, "a write makes a higher version")?;
            rule(
                from.insert(expected),
                "of several swaps at one version exactly one is made",
            )?;
            rule(to.insert(made), "no version is made twice")?;
        }
    }
    let end = load(judge).await?.version;
    rule(
        to.last() == Some(&end),
        "the last version made is the one that is held",
    )?;
    from.insert(end);
    to.insert(start);
    rule(
        from == to,
        "every version that was made was current until the next",
    )
}

/// What one racer won: the versions before and after.
async fn race(store: Arc<dyn Store>, number: u64) -> Result<Vec<(StoreVersion, StoreVersion)>, String> {
    let mut won = Vec::new();
    let mut version = load(&*store).await?.version;
    while (won.len() as u64) < WINS_EACH {
        let next = session(100 + number * WINS_EACH + won.len() as u64);
        match swap(&*store, version, Some(&next)).await? {
            Swapped::Done(made) => {
                won.push((version, made));
                version = made;
            }
            Swapped::Conflict(held) => {
                rule(
                    held.version > version,
                    "a conflict tells the version that is held now",
                )?;
                version = held.version;
            }
        }
    }
    Ok(won)
}

async fn load(store: &dyn Store) -> Result<StoreSnapshot, String> {
    store
        .load()
        .await
        .map_err(|error: Error| format!("load failed: {error}"))
}

async fn swap(store: &dyn Store, at: StoreVersion, next: Option<&StoredSession>) -> Result<Swapped, String> {
    let next = next.cloned().map(Box::new);
    store
        .swap(at, next)
        .await
        .map_err(|error: Error| format!("swap failed: {error}"))
}

fn done(swapped: Swapped, what: &str) -> Result<StoreVersion, String> {
    match swapped {
        Swapped::Done(version) => Ok(version),
        Swapped::Conflict(_) => Err(format!("broken rule: {what}")),
    }
}

fn rule(kept: bool, what: &str) -> Result<(), String> {
    if kept {
        Ok(())
    } else {
        Err(format!("broken rule: {what}"))
    }
}

/// A session with everything in it, and text that is hard to keep.
fn session(number: u64) -> StoredSession {
    StoredSession {
        access: format!("access-{number}").into(),
        refresh: Some(format!("refresh-{number}").into()),
        cookies: Some(format!("sid={number}; theme=\"dark\"").into()),
        received_unix_ms: 1_700_000_000_000 + number,
        lifetime_ms: Some(3_600_000),
        user: Some(Json::object([("name", Json::from("Zoë \"\\\n\u{1F600}\u{0}"))])),
        rotation: number,
        intent: Some(RefreshIntent {
            key: format!("key-{number}"),
            at_unix_ms: 1_700_000_000_000,
            asked_unix_ms: 1_700_000_000_000 + number,
            lease: 7,
        }),
    }
}

#[cfg(test)]
mod tests;
