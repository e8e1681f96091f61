//! The control API: what [`MockServer`](crate::MockServer) does in process, over HTTP.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::fault::{Fault, Target, Times};
use crate::flood::{self, Flood};
use crate::http::Answer;
use crate::locked;
use crate::record::Counters;
use crate::state::Shared;
use crate::stream::Mode;
use crate::ws::Who;

/// Where the control API lives.
pub(crate) const PREFIX: &str = "/__control/";

/// A request that is wrong; its text is the answer.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("no such control command")]
    Unknown,
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("binary is not base64")]
    Base64(#[from] base64::DecodeError),
    #[error("no such counter: {0}")]
    Counter(String),
}

/// Serves a control request. The connection ends with the answer, so that no later request of the same client
/// slips through a restart on it.
pub(crate) async fn answer(shared: &Arc<Shared>, parts: &Parts, body: &Bytes) -> Answer {
    let command = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let answered = match parts.method {
        Method::GET => read(shared, command, parts.uri.query().unwrap_or_default()),
        _ => act(shared, command, &parts.method, body).await,
    };
    let answer = match answered {
        Ok(value) => Answer::json(200, value),
        Err(wrong @ Wrong::Unknown) => Answer::json(404, json!({ "error": wrong.to_string() })),
        Err(wrong) => Answer::json(400, json!({ "error": wrong.to_string() })),
    };
    answer.with(header::CONNECTION, "close")
}

fn read(shared: &Shared, command: &str, query: &str) -> Result<Value, Wrong> {
    Ok(match command {
        "state" => json!({
            "settings": *shared.settings(),
            "faults": locked(&shared.faults).list(),
            "connections": shared.hub.list(),
            "counters": shared.log.counters(),
            "listening": shared.gate.is_open(),
        }),
        "records" => {
            let since = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "since");
            let since = since
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or_default();
            json!(shared.log.records(since))
        }
        "counters" => json!(shared.log.counters()),
        "settings" => json!(*shared.settings()),
        "faults" => json!(locked(&shared.faults).list()),
        "connections" => json!(shared.hub.list()),
        "tokens_issued" => json!(locked(&shared.book).issued()),
        _ => return Err(Wrong::Unknown),
    })
}

async fn act(shared: &Arc<Shared>, command: &str, method: &Method, body: &Bytes) -> Result<Value, Wrong> {
    let done = json!({});
    let count = |count: usize| json!({ "connections": count });
    Ok(match command {
        "settings" => {
            let merged = shared.settings().merged(&parsed(body)?)?;
            shared.change_settings(|settings| *settings = merged);
            shared.hub.recheck();
            json!(*shared.settings())
        }
        "faults" if method == Method::DELETE => {
            let target = parsed::<OfTarget>(body)?.target;
            locked(&shared.faults).clear(target);
            shared.release();
            done
        }
        "faults" => {
            let SetFault { target, fault, times } = parsed(body)?;
            locked(&shared.faults).set(target, fault, times.map_or(Times::Always, Times::Next));
            done
        }
        "release" => {
            shared.release();
            done
        }
        "close" => {
            let close: Close = parsed(body)?;
            count(
                shared
                    .hub
                    .close(&close.selection.who(), close.code, &close.reason),
            )
        }
        "cut" => count(shared.hub.switch(&selected(body)?, Mode::Cut)),
        "half_open" => count(shared.hub.switch(&selected(body)?, Mode::HalfOpen)),
        "pause_reads" => count(shared.hub.switch(&selected(body)?, Mode::ReadsPaused)),
        "resume" => count(shared.hub.switch(&selected(body)?, Mode::Normal)),
        "send" | "broadcast" => {
            let send: Send = parsed(body)?;
            count(shared.hub.send(&send.selection.who(), &send.content.message()?))
        }
        "flood" => {
            tokio::spawn(flood::run(Arc::clone(shared), parsed::<FloodOf>(body)?.flood()));
            done
        }
        "restart" => {
            let restart: Restart = parsed(body)?;
            shared.go_away(restart.close_code, true).await;
            tokio::spawn(come_back(
                Arc::clone(shared),
                Duration::from_millis(restart.after_ms),
            ));
            done
        }
        "revoke_user" => {
            locked(&shared.book).revoke_user(&parsed::<OfUser>(body)?.user);
            done
        }
        "expire_tokens" => {
            shared.expire_tokens();
            done
        }
        "issue_token" => {
            let issue: Issue = parsed(body)?;
            json!({ "token": shared.issue_access_token(&issue.user, Duration::from_millis(issue.lifetime_ms)) })
        }
        "reset" => {
            shared.reset();
            done
        }
        "wait" => wait(shared, parsed(body)?).await?,
        "shutdown" => {
            tokio::spawn(shut_down(Arc::clone(shared)));
            done
        }
        _ => return Err(Wrong::Unknown),
    })
}

async fn wait(shared: &Shared, wait: Wait) -> Result<Value, Wrong> {
    let name = plain(&wait.counter);
    if counter(&shared.log.counters(), &name).is_none() {
        return Err(Wrong::Counter(wait.counter));
    }
    let holds = |seen: &crate::record::Snapshot<'_>| {
        counter(&seen.counters, &name).is_some_and(|value| {
            wait.at_least.is_none_or(|least| value >= least) && wait.at_most.is_none_or(|most| value <= most)
        })
    };
    let waiting = tokio::time::timeout(Duration::from_millis(wait.timeout_ms), shared.log.wait(&holds));
    let ok = waiting.await.is_ok();
    Ok(json!({ "ok": ok, "counters": shared.log.counters() }))
}

async fn come_back(shared: Arc<Shared>, away: Duration) {
    if let Err(error) = shared.come_back(away).await {
        tracing::error!(%error, "could not listen again");
    }
}

async fn shut_down(shared: Arc<Shared>) {
    shared.shut_down().await;
}

/// A counter by its name, in either spelling.
fn counter(counters: &Counters, plain_name: &str) -> Option<u64> {
    let all = serde_json::to_value(counters).ok()?;
    all.as_object()?
        .iter()
        .find_map(|(name, value)| (plain(name) == plain_name).then(|| value.as_u64())?)
}

fn plain(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

/// The body as a command's arguments; no body counts as an empty object.
fn parsed<T: DeserializeOwned>(body: &Bytes) -> Result<T, serde_json::Error> {
    if body.is_empty() {
        serde_json::from_str("{}")
    } else {
        serde_json::from_slice(body)
    }
}

fn selected(body: &Bytes) -> Result<Who, serde_json::Error> {
    Ok(parsed::<Selection>(body)?.who())
}

/// Which connections: of a `user`, one `connection`, all `except` one; nothing said means all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Selection {
    user: Option<String>,
    connection: Option<u64>,
    except: Option<u64>,
}

impl Selection {
    fn who(&self) -> Who {
        match (&self.user, self.connection, self.except) {
            (_, Some(id), _) => Who::Connection(id),
            (Some(user), None, _) => Who::User(user.clone()),
            (None, None, Some(id)) => Who::Except(id),
            (None, None, None) => Who::All,
        }
    }
}

#[derive(Debug, Deserialize)]
struct OfTarget {
    target: Option<Target>,
}

#[derive(Debug, Deserialize)]
struct OfUser {
    user: String,
}

#[derive(Debug, Deserialize)]
struct SetFault {
    target: Target,
    fault: Fault,
    times: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Close {
    #[serde(flatten)]
    selection: Selection,
    code: Option<u16>,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Send {
    #[serde(flatten)]
    selection: Selection,
    #[serde(flatten)]
    content: Content,
}

/// What to send: `text`, or `json`, or `binary` in base64.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Text(String),
    Json(Value),
    Binary(String),
}

impl Content {
    fn message(&self) -> Result<Message, Wrong> {
        Ok(match self {
            Self::Text(text) => Message::text(text.as_str()),
            Self::Json(json) => Message::text(json.to_string()),
            Self::Binary(base64) => {
                Message::binary(base64::engine::general_purpose::STANDARD.decode(base64)?)
            }
        })
    }
}

#[derive(Debug, Deserialize)]
struct FloodOf {
    #[serde(flatten)]
    selection: Selection,
    count: Option<u64>,
    size: Option<usize>,
    #[serde(alias = "perSecond")]
    per_second: Option<u32>,
    first: Option<u64>,
}

impl FloodOf {
    fn flood(self) -> Flood {
        let default = Flood::default();
        Flood {
            who: self.selection.who(),
            count: self.count.unwrap_or(default.count),
            size: self.size.unwrap_or(default.size),
            per_second: self.per_second.unwrap_or(default.per_second),
            first: self.first.unwrap_or(default.first),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Restart {
    #[serde(alias = "afterMs")]
    after_ms: u64,
    #[serde(alias = "closeCode")]
    close_code: Option<u16>,
}

#[derive(Debug, Deserialize)]
struct Issue {
    user: String,
    #[serde(alias = "lifetimeMs")]
    lifetime_ms: u64,
}

#[derive(Debug, Deserialize)]
struct Wait {
    counter: String,
    #[serde(alias = "atLeast")]
    at_least: Option<u64>,
    #[serde(alias = "atMost")]
    at_most: Option<u64>,
    #[serde(alias = "timeoutMs", default = "five_seconds")]
    timeout_ms: u64,
}

fn five_seconds() -> u64 {
    5_000
}
