//! Hearing of writes in Redis: one subscription, mended where it breaks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use redis::RedisError;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::time::timeout;

use super::Inner;
use crate::backoff;
use crate::native::store::StoreWatch;
use crate::options::RetryOptions;
use crate::rng::Rng;

/// A subscription that was silent for so long is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(30);

/// Between attempts to subscribe, so that a fleet does not come back in step.
const RETRY: RetryOptions = RetryOptions {
    base_ms: 500,
    factor: 2.0,
    cap_ms: 30_000,
};
/// Full jitter may draw nothing at all.
const LEAST_PAUSE_MS: u64 = 50;

/// Hints once whenever the subscription is in place, and at every write.
pub(super) fn watch(store: Arc<Inner>) -> StoreWatch {
    let watcher = Watcher {
        store,
        open: None,
        failures: 0,
        dice: Rng::new(getrandom::u64().unwrap_or_default()),
    };
    Box::pin(stream::unfold(watcher, |watcher| async {
        Some(((), watcher.changed().await))
    }))
}

struct Watcher {
    store: Arc<Inner>,
    open: Option<(PubSubSink, PubSubStream)>,
    /// Since a subscription last proved alive.
    failures: u32,
    dice: Rng,
}

impl Watcher {
    async fn changed(mut self) -> Self {
        loop {
            let limit = self.store.time_limit;
            let Some((sink, messages)) = &mut self.open else {
                if self.failures > 0 {
                    let pause = backoff::delay_ms(&RETRY, self.failures - 1, None, &mut self.dice);
                    tokio::time::sleep(Duration::from_millis(pause.max(LEAST_PAUSE_MS))).await;
                }
                // Counted until a message or an answer comes: a server that takes subscriptions only to drop them is
                // not to be asked without a pause.
                self.failures = self.failures.saturating_add(1);
                if let Ok(Ok(open)) = timeout(limit, subscribe(&self.store)).await {
                    self.open = Some(open);
                    return self;
                }
                continue;
            };
            match timeout(SILENCE, messages.next()).await {
                Ok(Some(_)) => {
                    self.failures = 0;
                    return self;
                }
                Ok(None) => self.open = None,
                Err(_) => match timeout(limit, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => self.failures = 0,
                    _ => self.open = None,
                },
            }
        }
    }
}

async fn subscribe(store: &Inner) -> Result<(PubSubSink, PubSubStream), RedisError> {
    let (mut sink, messages) = store.client.get_async_pubsub().await?.split();
    sink.subscribe(&store.channel).await?;
    Ok((sink, messages))
}
