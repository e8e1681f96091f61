//! Numbered messages at a steady pace.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::state::Shared;
use crate::ws::Who;

/// A flood: messages `{"type":"tick","n":1,"pad":"..."}`, each number sent to all the connections meant that
/// are open at its moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Flood {
    /// Who gets it.
    pub who: Who,
    /// How many messages. Default 1000.
    pub count: u64,
    /// Least size of a message in bytes; shorter ones are padded. Default 0.
    pub size: usize,
    /// Messages per second; 0 is all at once. Default 1000.
    pub per_second: u32,
    /// The first number. Default 1.
    pub first: u64,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            who: Who::All,
            count: 1000,
            size: 0,
            per_second: 1000,
            first: 1,
        }
    }
}

/// Sends a flood to its end, or to the server's.
pub(crate) async fn run(shared: Arc<Shared>, flood: Flood) {
    tokio::select! {
        () = shared.stopped() => {}
        () = pace(&shared, &flood) => {}
    }
}

async fn pace(shared: &Shared, flood: &Flood) {
    let started = Instant::now();
    for sent in 0..flood.count {
        if flood.per_second > 0 {
            // Counted from the start, so that a late timer is caught up and the pace holds.
            let due = Duration::from_secs(1).mul_f64(count_as_f64(sent) / f64::from(flood.per_second));
            tokio::time::sleep_until(started + due).await;
        } else if sent % 64 == 0 {
            tokio::task::yield_now().await;
        }
        shared.hub.send(&flood.who, &tick(flood.first + sent, flood.size));
    }
}

fn tick(n: u64, size: usize) -> Message {
    let bare = format!(r#"{{"type":"tick","n":{n}}}"#);
    if bare.len() >= size {
        return Message::text(bare);
    }
    let around = r#","pad":"""#.len();
    let pad = "x".repeat(size.saturating_sub(bare.len() + around));
    Message::text(format!(r#"{{"type":"tick","n":{n},"pad":"{pad}"}}"#))
}

#[expect(clippy::cast_precision_loss)]
fn count_as_f64(count: u64) -> f64 {
    count as f64
}
