//! What every token store must do, as a check to run against it.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use super::Store;
use crate::error::Error;
use crate::json::Json;
use crate::store::{RefreshIntent, StoreSnapshot, StoreVersion, StoredSession, Swapped};

const RACERS: u64 = 6;
const WINS_EACH: u64 = 20;

/// Checks that a store keeps the contract of [`Store`]; the error names the rule that it breaks.
///
/// Each call of `make` gives another handle of the *same* storage, which is empty at first: two connections to one
/// database, two stores of one file. Run it inside a tokio runtime, with several threads to race in earnest.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use freshsocket::native::{MemoryStore, Store, store_conformance};
///
/// let store = MemoryStore::new();
/// store_conformance(|| async { Box::new(store.clone()) as Box<dyn Store> }).await.unwrap();
/// # }
/// ```
pub async fn store_conformance<F, M>(make: F) -> Result<(), String>
where
    F: Fn() -> M,
    M: Future<Output = Box<dyn Store>>,
{
    let (one, other) = (make().await, make().await);
    let version = keeps_what_is_written(&*one, &*other).await?;
    let version = clears_and_counts_on(&*one, &*other, version).await?;
    survives_a_dropped_future(&*one, &*other, version).await?;

    let mut handles = Vec::new();
    for _ in 0..RACERS {
        handles.push(make().await);
    }
    lets_exactly_one_win(handles, &*one).await
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

async fn survives_a_dropped_future(
    one: &dyn Store,
    other: &dyn Store,
    version: StoreVersion,
) -> Result<(), String> {
    let mut dropped = one.swap(version, Some(Box::new(session(5))));
    poll_fn(|context| {
        let _ = dropped.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
    drop(dropped);
    // It may still be under way, so it is overtaken rather than waited for.
    let mut held = load(other).await?;
    let last = loop {
        match swap(other, held.version, Some(&session(6))).await? {
            Swapped::Done(version) => break version,
            Swapped::Conflict(now) => held = now,
        }
    };
    let written = StoreSnapshot {
        version: last,
        session: Some(Box::new(session(6))),
    };
    rule(
        load(one).await? == written,
        "after a swap whose future was dropped the store works on",
    )
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
        }),
    }
}
