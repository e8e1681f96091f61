//! The store in Redis: for any number of processes on any number of machines.

mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, RedisError, Script};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{Store, StoreFuture, StoreWatch};
use crate::error::{Error, ErrorKind};
use crate::secret::redact_url;
use crate::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};

/// The form of what is kept; it stands beside the session as `format`.
const FORMAT: &str = "1";

/// No session is this large.
const MAX_BYTES: usize = 1024 * 1024;

const TIME_LIMIT: Duration = Duration::from_secs(5);
const LONGEST_TIME_LIMIT: Duration = Duration::from_secs(60);
const LONGEST_KEY: usize = 512;

/// A store in Redis (5 or later) or a server that speaks like it (Valkey): one session for processes on many machines.
///
/// The session is a hash at `key`: `version`, `format` and `session`, its JSON. Compare-and-swap is one script, so it is
/// atomic among all. Every write is announced on the channel `<key>:changed`, and sessions follow it at once. The
/// connection is made when it is first needed and again when it broke; a Redis that does not answer within the time limit
/// is a store that failed, and delays nobody for longer. The user in the URL needs the commands `HMGET`, `HGET`,
/// `HSTRLEN`, `HSET`, `HDEL`, `TIME`, `EVALSHA`, `SCRIPT LOAD`, `PUBLISH`, `SUBSCRIBE` and `PING`.
///
/// # What survives
///
/// A write counts once Redis has it in memory; what Redis keeps over a crash of its own is set there. With
/// `appendonly yes` and `appendfsync always` a new pair is on the disk before it is used, as with a
/// [`FileStore`](crate::FileStore). With `appendfsync everysec` a crash of its machine may lose the last second; without
/// persistence a restart loses the session. Sessions that are running notice when they are connected again, and write
/// theirs back; one that starts first is not signed in. The key has no expiry, so that a `volatile-*` eviction policy does
/// not touch it; `allkeys-*` may. There is no support for Redis Cluster.
///
/// # Security
///
/// Redis holds the tokens in the clear. This store does not speak TLS: beyond this machine it needs a network that is
/// private by other means (a tunnel, a mesh), and [`allow_insecure`](RedisStoreBuilder::allow_insecure). No password and no
/// token is in an error, in the `Debug` form or in a log.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use freshsocket::{RedisStore, Session};
///
/// let store = RedisStore::new("redis://127.0.0.1/0", "bots:session")?;
/// let session = Session::builder("https://api.example.com").store(store).build().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

/// A [`RedisStore`] in the making.
///
/// ```
/// use std::time::Duration;
/// use freshsocket::RedisStore;
///
/// let store = RedisStore::builder("redis://redis.internal:6379/3", "bots:session")
///     .time_limit(Duration::from_secs(2))
///     .allow_insecure(true) // the network between is ours alone
///     .build()?;
/// # Ok::<(), freshsocket::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisStoreBuilder {
    url: String,
    key: String,
    time_limit: Duration,
    allow_insecure: bool,
}

struct Inner {
    client: Client,
    key: String,
    channel: String,
    shown_url: String,
    time_limit: Duration,
    script: Script,
    /// The connection that worked last.
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl RedisStore {
    /// A store at `key` of the Redis at `url`: `redis://[user:password@]host[:port][/database]`, or
    /// `redis+unix:///path/of/the/socket[?db=number]`. Nothing is connected before it is used.
    ///
    /// # Errors
    /// [`InvalidOptions`](ErrorKind::InvalidOptions) names `redis.url` or `redis.key`;
    /// [`InsecureUrl`](ErrorKind::InsecureUrl): the host is not this machine, see
    /// [`allow_insecure`](RedisStoreBuilder::allow_insecure).
    ///
    /// ```
    /// use freshsocket::RedisStore;
    ///
    /// let store = RedisStore::new("redis://localhost", "bots:session")?;
    /// let refused = RedisStore::new("https://localhost", "bots:session").unwrap_err();
    /// assert_eq!(refused.field(), Some("redis.url"));
    /// # Ok::<(), freshsocket::Error>(())
    /// ```
    pub fn new(url: impl Into<String>, key: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url, key).build()
    }

    /// As [`new`](Self::new), with more to say before it is built.
    ///
    /// ```
    /// let store = freshsocket::RedisStore::builder("redis://localhost", "bots:session").build()?;
    /// # Ok::<(), freshsocket::Error>(())
    /// ```
    pub fn builder(url: impl Into<String>, key: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder {
            url: url.into(),
            key: key.into(),
            time_limit: TIME_LIMIT,
            allow_insecure: false,
        }
    }
}

impl RedisStoreBuilder {
    /// How long one access may take, the connecting included; by default 5 seconds. Keep it below the session's
    /// `requestTimeoutMs`.
    ///
    /// ```
    /// let store = freshsocket::RedisStore::builder("redis://localhost", "bots:session")
    ///     .time_limit(std::time::Duration::from_millis(800))
    ///     .build()?;
    /// # Ok::<(), freshsocket::Error>(())
    /// ```
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Allows a host that is not this machine, without TLS; by default refused, because tokens and password go over the
    /// network in the clear.
    ///
    /// ```
    /// let store = freshsocket::RedisStore::builder("redis://10.0.0.7", "bots:session").allow_insecure(true).build()?;
    /// # Ok::<(), freshsocket::Error>(())
    /// ```
    pub fn allow_insecure(mut self, allow: bool) -> Self {
        self.allow_insecure = allow;
        self
    }

    /// The store; nothing is connected before it is used.
    ///
    /// # Errors
    /// [`InvalidOptions`](ErrorKind::InvalidOptions) names `redis.url`, `redis.key` or `redis.timeLimit`;
    /// [`InsecureUrl`](ErrorKind::InsecureUrl) names `redis.url`.
    ///
    /// ```
    /// let refused = freshsocket::RedisStore::builder("redis://10.0.0.7", "bots:session").build();
    /// assert_eq!(refused.unwrap_err().kind(), freshsocket::ErrorKind::InsecureUrl);
    /// ```
    pub fn build(self) -> Result<RedisStore, Error> {
        let wrong = |field: &str, why: &'static str| {
            Error::new(ErrorKind::InvalidOptions, why).with_field(format!("redis.{field}"))
        };
        // The reasons of others may quote the URL, and with it the password.
        let info = self.url.as_str().into_connection_info().map_err(|_| {
            wrong(
                "url",
                "it must be redis://host[:port][/database] or redis+unix:///path",
            )
        })?;
        match info.addr() {
            ConnectionAddr::Unix(_) => {}
            ConnectionAddr::Tcp(host, _) if self.allow_insecure || is_this_machine(host) => {}
            ConnectionAddr::Tcp(..) => {
                let error = Error::new(
                    ErrorKind::InsecureUrl,
                    "tokens would go to another machine without TLS; allow_insecure permits it",
                );
                return Err(error.with_field("redis.url"));
            }
            _ => return Err(wrong("url", "this store does not speak TLS")),
        }
        if self.key.is_empty() || self.key.len() > LONGEST_KEY {
            return Err(wrong("key", "it must have 1 to 512 bytes"));
        }
        if self.time_limit.is_zero() || self.time_limit > LONGEST_TIME_LIMIT {
            return Err(wrong("timeLimit", "it must be above 0 and at most 60 seconds"));
        }
        let client = Client::open(info).map_err(|_| wrong("url", "it cannot be used"))?;
        Ok(RedisStore {
            inner: Arc::new(Inner {
                client,
                channel: format!("{}:changed", self.key),
                key: self.key,
                shown_url: redact_url(&self.url),
                time_limit: self.time_limit,
                script: Script::new(include_str!("redis/access.lua")),
                connection: Mutex::new(None),
            }),
        })
    }
}

impl Store for RedisStore {
    fn load(&self) -> StoreFuture<'_, StoreSnapshot> {
        Box::pin(async {
            match self.inner.access("load", StoreVersion::default(), &[]).await? {
                (Answer::Held(snapshot), _) => Ok(snapshot),
                (Answer::Done(_), _) => Err(self.inner.not_understood("the answer to a read")),
            }
        })
    }

    fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> StoreFuture<'_, Swapped> {
        Box::pin(async move {
            let inner = &self.inner;
            let (act, text) = match &next {
                Some(session) => ("set", inner.written(session)?),
                None => ("clear", Zeroizing::default()),
            };
            match inner.access(act, expected, &text).await? {
                (Answer::Done(version), _) => Ok(Swapped::Done(version)),
                // Made by the first sending, whose answer was lost: nobody else writes the same.
                (Answer::Held(held), true) if next.is_some() && held.session == next => {
                    Ok(Swapped::Done(held.version))
                }
                (Answer::Held(held), _) => Ok(Swapped::Conflict(held)),
            }
        })
    }

    fn watch(&self) -> Option<StoreWatch> {
        Some(watch::watch(Arc::clone(&self.inner)))
    }
}

/// What the script answers.
enum Answer {
    Held(StoreSnapshot),
    Done(StoreVersion),
}

impl Inner {
    /// One run of the script, within the time limit; also whether it was sent a second time.
    async fn access(
        &self,
        act: &str,
        expected: StoreVersion,
        session: &[u8],
    ) -> Result<(Answer, bool), Error> {
        let mut call = self.script.key(&self.key);
        call.arg(MAX_BYTES)
            .arg(act)
            .arg(expected.0)
            .arg(session)
            .arg(&self.channel);
        let work = async {
            let (mut connection, is_old) = self.connection(None).await?;
            match call.invoke_async::<Vec<Option<Vec<u8>>>>(&mut connection).await {
                // It broke while nobody used it: Redis was restarted, or something in between forgot it.
                Err(error) if is_old && error.is_unrecoverable_error() => {
                    let (mut connection, _) = self.connection(Some(Broken)).await?;
                    Ok((call.invoke_async(&mut connection).await?, true))
                }
                answer => Ok((answer?, false)),
            }
        };
        let answer = tokio::time::timeout(self.time_limit, work).await;
        if !matches!(answer, Ok(Ok(_))) {
            // Whatever was wrong, the next access begins anew.
            *self.connection.lock().await = None;
        }
        match answer {
            Ok(Ok((answer, resent))) => Ok((self.understood(answer)?, resent)),
            Ok(Err(error)) => Err(self.failed("cannot be used", reason(&error))),
            Err(_) => Err(self.failed("gave no answer", format!("within {:?}", self.time_limit))),
        }
    }

    /// The connection that worked last, or another; also whether it was used before.
    async fn connection(&self, broken: Option<Broken>) -> Result<(MultiplexedConnection, bool), RedisError> {
        let mut held = self.connection.lock().await;
        if broken.is_some() {
            *held = None;
        }
        if let Some(connection) = &*held {
            return Ok((connection.clone(), true));
        }
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.time_limit))
            .set_response_timeout(Some(self.time_limit));
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&limits)
            .await?;
        *held = Some(connection.clone());
        Ok((connection, false))
    }

    fn written(&self, session: &StoredSession) -> Result<Zeroizing<Vec<u8>>, Error> {
        let text = serde_json::to_vec(session).map(Zeroizing::new);
        let text = text.map_err(|error| self.failed("cannot be written", error.to_string()))?;
        if text.len() > MAX_BYTES {
            let why = format!("the session is larger than {MAX_BYTES} bytes");
            return Err(self.failed("cannot be written", why));
        }
        Ok(text)
    }

    fn understood(&self, answer: Vec<Option<Vec<u8>>>) -> Result<Answer, Error> {
        let parts: Vec<Option<Zeroizing<Vec<u8>>>> =
            answer.into_iter().map(|part| part.map(Zeroizing::new)).collect();
        let part = |at: usize| parts.get(at)?.as_deref().map(Vec::as_slice);
        let text = |at: usize| part(at).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let version = || text(1).and_then(|digits| digits.parse().ok()).map(StoreVersion);
        match (text(0), version()) {
            (Some("done"), Some(version)) => Ok(Answer::Done(version)),
            (Some("held"), Some(version)) => {
                let format = text(2).unwrap_or_default();
                // A newer form is not damage: it is to be kept for the newer program that wrote it.
                if !matches!(format, "" | FORMAT) {
                    let why = "its format is another than this version knows";
                    return Err(self.failed("was written by a newer version", why));
                }
                let session = part(3).map(serde_json::from_slice).transpose();
                // Its own words may quote the text.
                let session = session.map_err(|_| self.not_understood("the session in it"))?;
                Ok(Answer::Held(StoreSnapshot { version, session }))
            }
            (Some("large"), _) => {
                let why = format!("what it holds is larger than {MAX_BYTES} bytes");
                Err(self.failed("cannot be read", why))
            }
            _ => Err(self.not_understood("its answer")),
        }
    }

    fn not_understood(&self, what: &str) -> Error {
        self.failed("cannot be understood", format!("{what} is damaged"))
    }

    fn failed(&self, what: &str, cause: impl Into<String>) -> Error {
        let message = format!("the token store {} in {} {what}", self.key, self.shown_url);
        Error::new(ErrorKind::StoreFailed, message).with_cause(cause)
    }
}

/// The connection that is held is of no use.
struct Broken;

/// Why, without the words of the server: they quote commands, and commands carry tokens.
fn reason(error: &RedisError) -> String {
    if error.is_connection_refusal() {
        return "the connection was refused".to_owned();
    }
    if error.is_timeout() {
        return "there was no answer in time".to_owned();
    }
    if error.is_connection_dropped() {
        return "the connection was lost".to_owned();
    }
    match error.code() {
        Some(code) if code.len() <= 32 && code.bytes().all(|b| b.is_ascii_uppercase()) => code.to_owned(),
        _ => error.category().to_owned(),
    }
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("url", &self.inner.shown_url)
            .field("key", &self.inner.key)
            .field("time_limit", &self.inner.time_limit)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("url", &redact_url(&self.url))
            .field("key", &self.key)
            .field("time_limit", &self.time_limit)
            .field("allow_insecure", &self.allow_insecure)
            .finish()
    }
}

#[cfg(test)]
mod tests;
