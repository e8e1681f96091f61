//! The limit on failed authentication: who fails too often within a minute gets 429, even with what is good.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::header;
use serde_json::json;

use crate::fault::Target;
use crate::http::Answer;
use crate::locked;
use crate::settings::Settings;

const WINDOW: Duration = Duration::from_secs(60);

/// Failures of the last minute, each target and user apart. What names no user this server knows has one account for
/// the whole server: its clients all come from the loopback address.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: Mutex<HashMap<Account, VecDeque<Instant>>>,
}

type Account = (Target, Option<String>);

impl Throttle {
    /// Notes a failure, if the settings limit those at this target.
    pub(crate) fn failed(&self, target: Target, user: Option<&str>, settings: &Settings) {
        if limits(settings, target) {
            let mut failures = locked(&self.failures);
            let failures = failures.entry(account(target, user)).or_default();
            failures.retain(|at| at.elapsed() < WINDOW);
            failures.push_back(Instant::now());
        }
    }

    /// The refusal, if there were too many failures.
    pub(crate) fn refusal(&self, target: Target, user: Option<&str>, settings: &Settings) -> Option<Answer> {
        if !limits(settings, target) {
            return None;
        }
        let recent = locked(&self.failures)
            .get(&account(target, user))
            .map_or(0, |failures| {
                failures.iter().filter(|at| at.elapsed() < WINDOW).count()
            });
        (recent >= settings.failed_auth_limit as usize).then(|| {
            let body = json!({ "detail": "Request was throttled.", "error": "Too many attempts" });
            let after = settings.failed_auth_retry_after_s.to_string();
            Answer::json(429, body).with(header::RETRY_AFTER, after)
        })
    }

    pub(crate) fn reset(&self) {
        locked(&self.failures).clear();
    }
}

fn limits(settings: &Settings, target: Target) -> bool {
    let of_http = target != Target::Ws && settings.failed_auth_targets.contains(&Target::Http);
    of_http || settings.failed_auth_targets.contains(&target)
}

fn account(target: Target, user: Option<&str>) -> Account {
    (target, user.filter(|user| !user.is_empty()).map(str::to_owned))
}
