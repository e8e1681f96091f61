//! The store in a file: for one machine, any number of processes.

mod watch;

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Store, StoreFuture, StoreWatch};
use crate::error::{Error, ErrorKind};
use crate::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};

const FORMAT: u32 = 1;

/// No session is this large; a file that is was not written by a store.
const MAX_BYTES: u64 = 1024 * 1024;

/// How long a write waits for other processes. Each holds the lock for one small write, unless it is frozen in it.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// How often a file is looked at for changes.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A store in a JSON file that only its owner can read (mode 0600; on Windows the folder's permissions apply).
///
/// Every write replaces the file as a whole and is on the disk before it counts, so that a process may be killed at
/// any moment. Beside `<name>` the store keeps `<name>.lock`, for an advisory lock held during one write and never
/// during a request, and for moments `<name>.tmp`. A damaged file is reported once and moved to `<name>.corrupt`;
/// whoever comes next finds an empty store.
///
/// What another process writes is noticed within a second: while a session uses the store, it asks for the file's date and
/// size once a second. [`check_every`](Self::check_every) changes that.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = freshsocket_mock_server::MockServer::start().await?;
/// # let folder = std::env::temp_dir().join(format!("freshsocket-doc-file-{}", std::process::id()));
/// # let path = folder.join("session.json");
/// let session = || freshsocket::Session::builder(server.http_url()).store(freshsocket::FileStore::new(&path));
/// session().build().await?.login([("username", "ada"), ("password", "secret")]).await?;
/// // The program runs again:
/// assert!(session().build().await?.state().is_signed_in());
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FileStore {
    paths: Arc<Paths>,
    check_every: Duration,
}

impl FileStore {
    /// A store in this file. Nothing is read or made before it is used; a missing folder is made then, with mode 0700.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let folder = std::env::temp_dir().join(format!("freshsocket-doc-{}", std::process::id()));
    /// # let path = folder.join("session.json");
    /// let store = freshsocket::FileStore::new(&path);
    /// let session = freshsocket::Session::builder(server.http_url()).store(store).build().await?;
    /// session.login([("username", "ada"), ("password", "secret")]).await?;
    /// assert!(path.exists()); // mode 0600
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok(()) }
    /// ```
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            paths: Arc::new(Paths::of(path.into())),
            check_every: CHECK_EVERY,
        }
    }

    /// How often to look whether another process has written; by default once a second. Zero: never, for a file that
    /// only one process uses; changes by others are then found at the next refresh.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let alone = freshsocket::FileStore::new("session.json").check_every(Duration::ZERO);
    /// ```
    pub fn check_every(mut self, interval: Duration) -> Self {
        self.check_every = interval;
        self
    }
}

impl Store for FileStore {
    fn load(&self) -> StoreFuture<'_, StoreSnapshot> {
        let paths = Arc::clone(&self.paths);
        Box::pin(blocking(move || paths.load()))
    }

    fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> StoreFuture<'_, Swapped> {
        let paths = Arc::clone(&self.paths);
        Box::pin(blocking(move || paths.swap(expected, next)))
    }

    fn watch(&self) -> Option<StoreWatch> {
        (!self.check_every.is_zero()).then(|| watch::watch(self.paths.file.clone(), self.check_every))
    }
}

/// Runs to its end even when the caller goes away, so that a write is never left half made.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::StoreFailed,
            "the token store's work was cut off by the runtime's shutdown",
        ))
    })
}

#[derive(Debug)]
struct Paths {
    file: PathBuf,
    folder: PathBuf,
    lock: PathBuf,
    temporary: PathBuf,
    corrupt: PathBuf,
}

/// What the file holds, as it is written.
#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    version: StoreVersion,
    session: Option<&'a StoredSession>,
}

/// What the file holds, as it is read: later versions of this crate may have added to it.
#[derive(Deserialize)]
struct Found {
    version: StoreVersion,
    /// `null` where nobody is signed in, but never missing; a plain `Option` would take both for the same.
    #[serde(deserialize_with = "Option::deserialize")]
    session: Option<Box<StoredSession>>,
}

#[derive(Deserialize)]
struct FoundFormat {
    format: u32,
}

/// Why a file cannot be used.
enum Unusable {
    /// It is no token store; this is where it stops to be one.
    Damaged(String),
    Failed(Error),
}

impl Paths {
    fn of(file: PathBuf) -> Self {
        let beside = |ending: &str| {
            let mut name = file.file_name().unwrap_or_default().to_owned();
            name.push(ending);
            file.with_file_name(name)
        };
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Self {
            lock: beside(".lock"),
            temporary: beside(".tmp"),
            corrupt: beside(".corrupt"),
            folder,
            file,
        }
    }

    /// Takes no lock: the file is replaced as a whole, so any moment shows the old or the new one.
    fn load(&self) -> Result<StoreSnapshot, Error> {
        match self.read() {
            Ok(snapshot) => Ok(snapshot),
            Err(Unusable::Failed(error)) => Err(error),
            Err(Unusable::Damaged(_)) => {
                let lock = self.lock()?;
                self.read_locked(&lock)
            }
        }
    }

    fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> Result<Swapped, Error> {
        let lock = self.lock()?;
        let held = self.read_locked(&lock)?;
        if held.version != expected {
            return Ok(Swapped::Conflict(held));
        }
        let version = next_version(held.version);
        self.write(
            &lock,
            &Written {
                format: FORMAT,
                version,
                session: next.as_deref(),
            },
        )?;
        Ok(Swapped::Done(version))
    }

    fn read_locked(&self, _: &Lock) -> Result<StoreSnapshot, Error> {
        self.read().map_err(|unusable| match unusable {
            Unusable::Failed(error) => error,
            Unusable::Damaged(how) => {
                let error = self.failed("is damaged", how);
                match fs::rename(&self.file, &self.corrupt) {
                    Ok(()) => error,
                    Err(cause) => self.failed("is damaged and cannot be moved aside", cause),
                }
            }
        })
    }

    fn read(&self) -> Result<StoreSnapshot, Unusable> {
        let failed = |error| Unusable::Failed(self.failed("cannot be read", error));
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(StoreSnapshot::default()),
            Err(error) => return Err(failed(error)),
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Unusable::Failed(
                self.failed("cannot be read", "it is not a file"),
            ));
        }
        tighten(&file).map_err(|error| {
            Unusable::Failed(self.failed("can be read by others, and that cannot be changed", error))
        })?;
        let mut text = Zeroizing::new(Vec::new());
        file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(Unusable::Damaged(format!("it is larger than {MAX_BYTES} bytes")));
        }
        // A newer form is not damage: it is to be kept for the newer program that wrote it.
        let FoundFormat { format } = parse(&text)?;
        if format > FORMAT {
            let why = format!("its format is {format}, and this version knows {FORMAT}");
            return Err(Unusable::Failed(
                self.failed("was written by a newer version", why),
            ));
        }
        let Found { version, session } = parse(&text)?;
        Ok(StoreSnapshot { version, session })
    }

    /// Writes a temporary file, then puts it in place: a process killed on the way leaves the old file, or the new one.
    fn write(&self, _: &Lock, content: &Written<'_>) -> Result<(), Error> {
        let text = serde_json::to_vec(content).map(Zeroizing::new);
        let text = text.map_err(|error| self.failed("cannot be written", error))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(self.failed(
                "cannot be written",
                format!("the session is larger than {MAX_BYTES} bytes"),
            ));
        }
        self.replace(&text)
            .map_err(|error| self.failed("cannot be written", error))
    }

    fn replace(&self, text: &[u8]) -> io::Result<()> {
        // What a killed writer left. Removed rather than reused: its permissions may be anything.
        match fs::remove_file(&self.temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut temporary = private(OpenOptions::new().write(true).create_new(true)).open(&self.temporary)?;
        temporary.write_all(text)?;
        temporary.sync_all()?;
        drop(temporary);
        fs::rename(&self.temporary, &self.file)?;
        sync_folder(&self.folder)
    }

    fn lock(&self) -> Result<Lock, Error> {
        let failed = |error| self.failed("cannot be locked", error);
        let deadline = Instant::now() + LOCK_PATIENCE;
        make_folder(&self.folder).map_err(failed)?;
        let file = private(OpenOptions::new().write(true).create(true).truncate(false)).open(&self.lock);
        let file = file.map_err(failed)?;
        let mut pause = Duration::from_millis(1);
        loop {
            match fs4::FileExt::try_lock(&file) {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(fs4::TryLockError::Error(error)) => return Err(failed(error)),
                Err(fs4::TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(self.failed("cannot be locked", "another process holds it"));
                }
                // Neither system can wait for a lock and for a deadline at once.
                Err(fs4::TryLockError::WouldBlock) => std::thread::park_timeout(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(16));
        }
    }

    fn failed(&self, what: &str, cause: impl Display) -> Error {
        let message = format!("the token store {} {what}", self.file.display());
        Error::new(ErrorKind::StoreFailed, message).with_cause(cause.to_string())
    }
}

/// The right to write, until it is dropped (or the process ends, however it ends).
struct Lock {
    _file: File,
}

/// Where a file begins, its versions begin at the clock: a holder of a version of a file that was since removed must
/// not find its number again.
fn next_version(version: StoreVersion) -> StoreVersion {
    if version > StoreVersion::default() {
        return StoreVersion(version.0 + 1);
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    StoreVersion(u64::try_from(now).unwrap_or_default().max(1))
}

/// Says where the text stops to be what it should be, and not how: `serde_json`'s own words quote the text.
fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Unusable> {
    serde_json::from_slice(text).map_err(|error| {
        Unusable::Damaged(format!(
            "{:?} error in line {}, column {}",
            error.classify(),
            error.line(),
            error.column()
        ))
    })
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Takes away what others may do with the file.
#[cfg(unix)]
fn tighten(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn tighten(_: &File) -> io::Result<()> {
    Ok(())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Makes a rename durable. Windows has no such call, and keeps its folders by a journal.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
