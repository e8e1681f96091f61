//! Noticing that a file was replaced: its date, size and number are asked for at an interval.
//!
//! Systems can tell by themselves (inotify and its like), each in its own way and with its own gaps on network file systems,
//! by a crate that brings a thread and a back end for each. One question a second costs less than all that.

use std::fs::Metadata;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures_util::stream;

use crate::native::store::StoreWatch;

/// Hints once at the beginning and whenever the file looks different.
pub(super) fn watch(file: PathBuf, interval: Duration) -> StoreWatch {
    let watcher = Watcher {
        file,
        interval,
        seen: None,
    };
    Box::pin(stream::unfold(watcher, |watcher| async {
        Some(((), watcher.changed().await))
    }))
}

struct Watcher {
    file: PathBuf,
    interval: Duration,
    /// What was seen last, if anybody looked yet.
    seen: Option<Look>,
}

/// What a file looks like from outside: it is replaced as a whole at every write.
#[derive(PartialEq)]
enum Look {
    Missing,
    There {
        modified: Option<SystemTime>,
        size: u64,
        /// Which file it is, where files have numbers.
        number: u64,
    },
}

impl Watcher {
    async fn changed(mut self) -> Self {
        loop {
            if self.seen.is_some() {
                tokio::time::sleep(self.interval).await;
            }
            let file = tokio::fs::metadata(&self.file).await;
            let now = file.map_or(Look::Missing, |file| Look::at(&file));
            if self.seen.as_ref() != Some(&now) {
                self.seen = Some(now);
                return self;
            }
        }
    }
}

impl Look {
    fn at(file: &Metadata) -> Self {
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(file);
        #[cfg(not(unix))]
        let number = 0;
        Self::There {
            modified: file.modified().ok(),
            size: file.len(),
            number,
        }
    }
}
