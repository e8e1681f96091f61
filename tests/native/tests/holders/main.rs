//! S8, S9, S10: several processes hold one session, in one file or in one Redis. Real processes, really killed and frozen.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod child;
mod holders;
mod leases;
mod place;
mod sign_outs;

/// Each scenario on a file and on a Redis.
macro_rules! in_every_place {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        mod in_a_file {
            use crate::place::Place;
            $($(#[$doc])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(Place::file()).await;
            })*
        }
        mod in_redis {
            use crate::place::Place;
            $($(#[$doc])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(Place::redis().await).await;
            })*
        }
    };
}
pub(crate) use in_every_place;
