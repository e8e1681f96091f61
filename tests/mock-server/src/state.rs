//! What every task of one server shares.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::book::Book;
use crate::fault::FaultTable;
use crate::listen::Gate;
use crate::locked;
use crate::record::Log;
use crate::settings::Settings;
use crate::throttle::Throttle;
use crate::ws::Hub;

/// The server's state. Locks are held for single steps only, never across an await, never two at once.
#[derive(Debug)]
pub(crate) struct Shared {
    initial: Settings,
    settings: Mutex<Arc<Settings>>,
    pub(crate) book: Mutex<Book>,
    pub(crate) faults: Mutex<FaultTable>,
    pub(crate) throttle: Throttle,
    pub(crate) log: Log,
    pub(crate) hub: Hub,
    pub(crate) gate: Gate,
    /// Counts the calls of `release()`, which let go what a `Hold` fault holds.
    released: watch::Sender<u64>,
    stopped: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(settings: Settings, gate: Gate) -> Self {
        Self {
            settings: Mutex::new(Arc::new(settings.clone())),
            initial: settings,
            book: Mutex::new(Book::new()),
            faults: Mutex::default(),
            throttle: Throttle::default(),
            log: Log::new(),
            hub: Hub::default(),
            gate,
            released: watch::Sender::new(0),
            stopped: watch::Sender::new(false),
        }
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&locked(&self.settings))
    }

    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        change(Arc::make_mut(&mut *locked(&self.settings)));
    }

    /// Wall-clock milliseconds by the server's possibly wrong clock.
    pub(crate) fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let offset_ms = self.settings().clock_offset_s.saturating_mul(1000);
        i64::try_from(since.as_millis())
            .unwrap_or(i64::MAX)
            .saturating_add(offset_ms)
    }

    /// A moment of the server's clock as an HTTP date.
    pub(crate) fn http_date(&self, seconds_from_now: u64) -> String {
        let at_ms = u64::try_from(self.now_ms()).unwrap_or_default();
        let at = UNIX_EPOCH + Duration::from_millis(at_ms) + Duration::from_secs(seconds_from_now);
        httpdate::fmt_http_date(at)
    }

    pub(crate) fn release(&self) {
        self.released.send_modify(|count| *count += 1);
    }

    /// A hold that the next `release()` ends, counted from this call on: it is taken before the request shows
    /// in any counter, so that a test which sees the request can also let it go.
    pub(crate) fn hold(&self) -> Hold {
        Hold(self.released.subscribe())
    }

    /// Settings, faults, records, counters and failed authentication as at the start. Tokens and connections stay.
    pub(crate) fn reset(&self) {
        *locked(&self.settings) = Arc::new(self.initial.clone());
        locked(&self.faults).clear(None);
        self.throttle.reset();
        self.log.reset();
        self.release();
    }

    /// Stops everything at once.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
        self.gate.close();
        self.gate.cut_all(false);
        self.release();
    }

    /// Waits until the server is stopped.
    pub(crate) async fn stopped(&self) {
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }
}

/// See [`Shared::hold`].
pub(crate) struct Hold(watch::Receiver<u64>);

impl Hold {
    /// Waits for the release.
    pub(crate) async fn released(&mut self) {
        // An error means that the server is gone, and with it the reason to wait.
        let _ = self.0.changed().await;
    }
}
