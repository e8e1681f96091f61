//! The director: makes the faults happen, one after another, and waits until each is survived.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freshsocket::Session;
use freshsocket_mock_server::{Fault, Kind, MockServer, Target, Times};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::args::Sabotage;
use crate::script::{Act, Pace};
use crate::seen::Seen;

/// How many tasks ask for a token while a refresh is slow.
const CALLERS: usize = 100;

/// What the director tells the one who keeps the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cue {
    /// The act with this place in [`Act::ALL`] begins.
    Begin(usize),
    /// It went as promised, after this long.
    Survived { after: Duration, how: String },
    /// It did not.
    Failed { why: String },
    /// No more faults: stop sending and count.
    End,
}

/// Everything the director needs.
pub(crate) struct Stage {
    pub(crate) server: MockServer,
    pub(crate) session: Session,
    pub(crate) pace: &'static Pace,
    pub(crate) seen: watch::Receiver<Seen>,
    pub(crate) cues: mpsc::UnboundedSender<Cue>,
    pub(crate) sabotage: Option<Sabotage>,
}

impl Stage {
    /// Plays the whole script; ends early when an act is not survived.
    pub(crate) async fn direct(mut self) {
        for (place, act) in Act::ALL.into_iter().enumerate() {
            if let Err(why) = self.until_undisturbed(act).await {
                self.say(Cue::Failed { why });
                break;
            }
            self.say(Cue::Begin(place));
            let began = Instant::now();
            match self.play(act).await {
                Ok(how) => self.say(Cue::Survived {
                    after: began.elapsed(),
                    how,
                }),
                Err(why) => {
                    self.say(Cue::Failed { why });
                    break;
                }
            }
            let least = if act.is_fault() {
                self.pace.act
            } else {
                Duration::ZERO
            };
            sleep_until(began + least).await;
        }
        self.say(Cue::End);
    }

    fn say(&self, cue: Cue) {
        // Nobody listens any more when the run was interrupted.
        let _ = self.cues.send(cue);
    }

    async fn play(&mut self, act: Act) -> Result<String, String> {
        let before = *self.seen.borrow();
        match act {
            Act::Quiet => {
                sleep(self.pace.quiet.0).await;
                self.until("a handover", |now| now.handovers > before.handovers)
                    .await?;
                Ok("renewed in time, handed over without a gap".into())
            }
            Act::TokensExpire => {
                self.server.expire_tokens();
                self.until("close 4401 and recovery", |now| {
                    now.ended_4401 > before.ended_4401 && now.is_flowing()
                })
                .await?;
                Ok("refreshed once, connected again".into())
            }
            Act::ServerRestart => {
                let away = self.server.restart_after(self.pace.server_away, Some(1012)).await;
                away.map_err(|error| format!("the mock server did not come back: {error}"))?;
                self.until("close 1012 and recovery", |now| {
                    now.ended_1012 > before.ended_1012 && now.is_flowing()
                })
                .await?;
                Ok("connected again, the outbox sent in order".into())
            }
            Act::NetworkCut => {
                if self.sabotage == Some(Sabotage::Stop) {
                    self.server.stop_listening();
                }
                self.server.cut_all();
                self.until("the cut and recovery", |now| {
                    now.ended_lost > before.ended_lost && now.is_flowing()
                })
                .await?;
                Ok("connected again".into())
            }
            Act::HalfOpen => {
                self.server.half_open_all();
                let recovered = |now: &Seen| now.ended_silent > before.ended_silent && now.is_flowing();
                self.until("the silence noticed and recovery", recovered).await?;
                Ok("silence noticed, connected again".into())
            }
            Act::TokenRefused => self.token_refused(before).await,
            Act::SlowRefresh => self.slow_refresh(before).await,
            Act::FailingRefresh => self.failing_refresh(before).await,
            Act::LostAnswer => self.lost_answer(before).await,
            Act::Finale => {
                sleep(self.pace.quiet.1).await;
                Ok("still signed in, still connected".into())
            }
        }
    }

    async fn token_refused(&mut self, before: Seen) -> Result<String, String> {
        // The server no longer takes the token, but says so only at the next handshake.
        self.server.set(|settings| settings.enforce_expiry = false);
        self.server.expire_tokens();
        self.server.cut_all();
        let recovered = |now: &Seen| now.refused_401 > before.refused_401 && now.is_flowing();
        self.until("the refusal and recovery", recovered).await?;
        let now = *self.seen.borrow();
        self.server.set(|settings| settings.enforce_expiry = true);
        match now.refused_401 - before.refused_401 {
            1 => Ok("refused once, refreshed, connected".into()),
            times => Err(format!("the refused token was shown {times} times")),
        }
    }

    async fn slow_refresh(&mut self, before: Seen) -> Result<String, String> {
        let requests_before = self.server.counters().refreshes;
        let slow = Fault::Delay {
            ms: u64::try_from(self.pace.slow_by.as_millis()).unwrap_or(u64::MAX),
        };
        self.server.fault(Target::Refresh, slow, Times::Next(1));
        self.until("a refresh to begin", |now| now.refreshing).await?;
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..CALLERS {
            let session = self.session.clone();
            callers.spawn(async move { session.ensure_valid_token().await.map(drop) });
        }
        let all = timeout(self.pace.patience, callers.join_all()).await;
        let answers = all.map_err(|_| "callers of ensure_valid_token hung".to_owned())?;
        if let Some(error) = answers.into_iter().find_map(Result::err) {
            return Err(format!("a caller of ensure_valid_token got no token: {error}"));
        }
        self.until_handed_over(before).await?;
        match self.server.counters().refreshes - requests_before {
            1 => Ok(format!("{CALLERS} callers, 1 request, no interruption")),
            requests => Err(format!("{CALLERS} callers made {requests} refresh requests")),
        }
    }

    async fn failing_refresh(&mut self, before: Seen) -> Result<String, String> {
        let busy = Fault::Status {
            code: 503,
            retry_after: None,
            body: None,
            content_type: None,
        };
        self.server.fault(Target::Refresh, busy, Times::Always);
        self.until("a refresh to fail", |now| {
            now.refresh_failures > before.refresh_failures
        })
        .await?;
        sleep(self.pace.failing_for).await;
        self.server.clear_faults_at(Target::Refresh);
        self.until_handed_over(before).await?;
        let failures = self.seen.borrow().refresh_failures - before.refresh_failures;
        Ok(format!("{failures} × 503, no interruption"))
    }

    async fn lost_answer(&mut self, before: Seen) -> Result<String, String> {
        let requests_before = self.server.counters().refreshes_ok;
        self.server
            .fault(Target::Refresh, Fault::DropAnswer, Times::Next(1));
        self.until("the answer to be lost", |now| {
            now.refresh_failures > before.refresh_failures
        })
        .await?;
        self.until_handed_over(before).await?;
        let records = self.server.records();
        let keys: Vec<_> = records
            .iter()
            .rev()
            .filter(|r| r.is(Kind::Refresh))
            .take(2)
            .collect();
        let same_key = matches!(keys[..], [a, b] if a.idempotency_key.is_some() && a.idempotency_key == b.idempotency_key);
        if !same_key || self.server.counters().refreshes_ok == requests_before {
            return Err("the lost refresh was not repeated with its idempotency key".into());
        }
        Ok("asked again by the same key, no interruption".into())
    }

    /// A new token, and the connection moved to it without having ended.
    async fn until_handed_over(&mut self, before: Seen) -> Result<(), String> {
        let done = |now: &Seen| now.refreshes > before.refreshes && now.handovers > before.handovers;
        self.until("a new token and a handover", done).await?;
        match self.seen.borrow().ends - before.ends {
            0 => Ok(()),
            ends => Err(format!("the application saw {ends} broken connections")),
        }
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Seen) -> bool) -> Result<(), String> {
        let waiting = self
            .seen
            .wait_for(|now| now.signed_out || now.gave_up || holds(now));
        match timeout(self.pace.patience, waiting).await {
            Ok(Ok(now)) if now.signed_out => Err("the session was signed out".into()),
            Ok(Ok(now)) if now.gave_up => Err("the socket gave up".into()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("the run was interrupted".into()),
            Err(_) => Err(format!(
                "not within {:.0} s: {what}",
                self.pace.patience.as_secs_f64()
            )),
        }
    }

    /// A fault is easier to follow when it does not coincide with a renewal: waits for a token that is young, but shown
    /// to the server already.
    async fn until_undisturbed(&mut self, act: Act) -> Result<(), String> {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        // The SDK renews up to a fifth of the margin earlier, by chance.
        let reserved = ms(self.pace.margin().mul_f64(1.2) + self.pace.undisturbed(act));
        let settled = ms(self.pace.token_life.saturating_sub(self.pace.message_every * 3));
        self.until("a young token and an open socket", |now| {
            let left = now.expires_at.saturating_sub(unix_ms());
            !now.refreshing && now.is_flowing() && (reserved..settled).contains(&left)
        })
        .await
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
