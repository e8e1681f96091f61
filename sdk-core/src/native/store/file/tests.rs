use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::*;
use crate::native::store::store_conformance;

const TOKEN: &str = "hunter2";
const CHILD_PATH: &str = "FRESHSOCKET_TEST_STORE";

fn session(number: u64) -> StoredSession {
    StoredSession {
        access: format!("{TOKEN}-{number}").into(),
        refresh: Some(TOKEN.into()),
        cookies: None,
        received_unix_ms: 1,
        lifetime_ms: None,
        user: None,
        rotation: number,
        intent: None,
    }
}

fn store_in(folder: &TempDir) -> (FileStore, PathBuf) {
    let path = folder.path().join("session.json");
    (FileStore::new(&path), path)
}

async fn done(store: &FileStore, at: StoreVersion, number: u64) -> StoreVersion {
    match store.swap(at, Some(session(number).into())).await.unwrap() {
        Swapped::Done(version) => version,
        Swapped::Conflict(held) => panic!("conflict with {held:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new/folder/session.json");
    let store = || FileStore::new(&path).check_every(Duration::from_millis(20));
    store_conformance(|| async { Box::new(store()) as Box<dyn Store> })
        .await
        .unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("made/session.json");
    let store = FileStore::new(&path);
    let version = done(&store, StoreVersion(0), 1).await;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(store.load().await.unwrap().version, version);
    assert_eq!(mode(&path), 0o600);

    // What a killed writer left under the temporary name, wide open, is not written into.
    let left = path.with_file_name("session.json.tmp");
    fs::write(&left, "left").unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o666)).unwrap();
    done(&store, version, 2).await;
    assert_eq!(mode(&path), 0o600);
    assert!(!left.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_in_its_place_is_left_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    let before = fs::metadata(folder.path()).unwrap().permissions().mode();
    let error = FileStore::new(folder.path()).load().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreFailed);
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode(), before);
}

#[tokio::test]
async fn a_file_that_was_removed_does_not_repeat_its_versions() {
    let folder = TempDir::new().unwrap();
    let (store, path) = store_in(&folder);
    let first = done(&store, StoreVersion(0), 1).await;
    fs::remove_file(&path).unwrap();
    assert_eq!(
        store.swap(first, None).await.unwrap(),
        Swapped::Conflict(StoreSnapshot::default())
    );
    // The clock must have moved on by a millisecond; a version is made from no less.
    while SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() <= u128::from(first.0) {
        tokio::task::yield_now().await;
    }
    assert!(done(&store, StoreVersion(0), 2).await > first);
}

#[tokio::test]
async fn a_damaged_file_is_named_once_and_moved_aside() {
    for (damage, cause) in [
        (
            format!(r#"{{"format":1,"version":"{TOKEN}","session":null}}"#),
            "Data error in line 1, column 31",
        ),
        (
            format!(r#"{{"format":1,"version":1,"session":{{"access":"{TOKEN}","#),
            "Eof error in line 1",
        ),
        (r#"{"format":1,"version":1}"#.into(), "Data error in line 1"),
        (TOKEN.into(), "Syntax error in line 1"),
        (" ".repeat(MAX_BYTES as usize + 1), "larger than"),
        ("\0".repeat(512), "Syntax error in line 1"),
    ] {
        let folder = TempDir::new().unwrap();
        let (store, path) = store_in(&folder);
        fs::write(&path, &damage).unwrap();
        let error = store.load().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StoreFailed);
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert!(error.cause().unwrap().contains(cause), "{error}");
        assert!(!error.to_string().contains(TOKEN), "{error}");
        assert_eq!(
            fs::read_to_string(path.with_file_name("session.json.corrupt")).unwrap(),
            damage
        );

        assert_eq!(store.load().await.unwrap(), StoreSnapshot::default());
        done(&store, StoreVersion(0), 1).await;
    }
}

#[tokio::test]
async fn a_swap_meets_a_damaged_file_as_a_load_does() {
    let folder = TempDir::new().unwrap();
    let (store, path) = store_in(&folder);
    fs::write(&path, "{").unwrap();
    assert_eq!(
        store.swap(StoreVersion(0), None).await.unwrap_err().kind(),
        ErrorKind::StoreFailed
    );
    done(&store, StoreVersion(0), 1).await;
}

#[tokio::test]
async fn a_newer_file_is_kept_and_unknown_fields_are_read_over() {
    let folder = TempDir::new().unwrap();
    let (store, path) = store_in(&folder);
    fs::write(&path, r#"{"format":2,"anything":[]}"#).unwrap();
    let error = store.load().await.unwrap_err();
    assert!(
        error.message().ends_with("was written by a newer version"),
        "{error}"
    );
    assert!(store.swap(StoreVersion(0), None).await.is_err());
    assert!(path.exists());

    let text = r#"{"format":1,"version":7,"more":{},"session":{"access":"a","receivedUnixMs":1,"rotation":2,"x":[]}}"#;
    fs::write(&path, text).unwrap();
    assert_eq!(store.load().await.unwrap().session.unwrap().rotation, 2);
}

#[tokio::test]
async fn no_length_of_a_truncated_file_does_harm() {
    let folder = TempDir::new().unwrap();
    let (store, path) = store_in(&folder);
    done(&store, StoreVersion(0), 1).await;
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let error = store.load().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StoreFailed);
        assert!(!format!("{error:?}").contains(TOKEN), "{error}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(store.load().await.unwrap().session, Some(session(1).into()));
}

#[tokio::test]
async fn a_session_too_large_to_read_again_is_not_written() {
    let folder = TempDir::new().unwrap();
    let (store, _) = store_in(&folder);
    let version = done(&store, StoreVersion(0), 1).await;
    let large = Box::new(StoredSession {
        access: "x".repeat(MAX_BYTES as usize).into(),
        ..session(2)
    });
    assert_eq!(
        store.swap(version, Some(large)).await.unwrap_err().kind(),
        ErrorKind::StoreFailed
    );
    assert_eq!(store.load().await.unwrap().session, Some(session(1).into()));
}

#[tokio::test]
async fn a_holder_frozen_in_its_write_delays_by_no_more_than_the_patience() {
    let folder = TempDir::new().unwrap();
    let (store, path) = store_in(&folder);
    let version = done(&store, StoreVersion(0), 1).await;
    let frozen = File::open(path.with_file_name("session.json.lock")).unwrap();
    fs4::FileExt::lock(&frozen).unwrap();
    assert_eq!(
        store.load().await.unwrap().version,
        version,
        "reading takes no lock"
    );
    let error = store.swap(version, None).await.unwrap_err();
    assert_eq!(error.cause(), Some("another process holds it"));
    drop(frozen);
    assert!(matches!(
        store.swap(version, None).await.unwrap(),
        Swapped::Done(_)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handles_racing_make_every_version_once() {
    let folder = TempDir::new().unwrap();
    let (store, path) = store_in(&folder);
    let start = done(&store, StoreVersion(0), 0).await;
    let mut tasks = Vec::new();
    for handle in [store.clone(), FileStore::new(&path)] {
        // Four tasks to a handle: 200 swaps for each of the two.
        for _ in 0..4 {
            let handle = handle.clone();
            tasks.push(tokio::spawn(async move {
                let (mut made, mut at) = (Vec::new(), start);
                while made.len() < 50 {
                    match handle.swap(at, Some(session(at.0).into())).await.unwrap() {
                        Swapped::Done(version) => {
                            made.push(version.0);
                            at = version;
                        }
                        Swapped::Conflict(held) => at = held.version,
                    }
                }
                made
            }));
        }
    }
    let mut made = Vec::new();
    for task in tasks {
        made.extend(task.await.unwrap());
    }
    made.sort_unstable();
    assert_eq!(made, (start.0 + 1..=start.0 + 400).collect::<Vec<_>>());
}

/// Not a test of its own: the process that `a_killed_writer_leaves_a_readable_file` kills.
#[tokio::test]
async fn child_that_writes_until_killed() {
    let Ok(path) = std::env::var(CHILD_PATH) else {
        return;
    };
    let store = FileStore::new(path);
    let mut held = store.load().await.unwrap();
    loop {
        match store
            .swap(held.version, Some(session(held.version.0).into()))
            .await
            .unwrap()
        {
            Swapped::Done(version) => held.version = version,
            Swapped::Conflict(now) => held = now,
        }
    }
}

fn spawn_child(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "native::store::file::tests::child_that_writes_until_killed",
        ])
        .env(CHILD_PATH, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_killed_writer_leaves_a_readable_file() {
    let folder = TempDir::new().unwrap();
    let (store, path) = store_in(&folder);
    let mut seen = done(&store, StoreVersion(0), 0).await;
    for round in 0..20 {
        let mut children = [spawn_child(&path), spawn_child(&path)];
        // Each round ends somewhere else in a write: after so many versions, and after so many microseconds more.
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut now = seen;
        while now.0 < seen.0 + 3 + round {
            assert!(Instant::now() < deadline, "the children do not write");
            now = store.load().await.unwrap().version;
        }
        tokio::time::sleep(Duration::from_micros(137 * round)).await;
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let held = store.load().await.unwrap();
        assert!(held.version > seen);
        seen = done(&store, held.version, round).await;
    }
    let mut left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["session.json", "session.json.lock"], "nothing piles up");
}

#[tokio::test]
async fn debug_shows_no_token() {
    let folder = TempDir::new().unwrap();
    let (store, _) = store_in(&folder);
    let version = done(&store, StoreVersion(0), 1).await;
    let conflict = store.swap(StoreVersion(0), None).await.unwrap();
    let memory = crate::native::store::MemoryStore::new();
    memory
        .swap(StoreVersion(0), Some(session(1).into()))
        .await
        .unwrap();
    for shown in [
        format!("{store:?}"),
        format!("{:?}", store.load().await),
        format!("{conflict:?}"),
        format!("{memory:?}"),
    ] {
        assert!(!shown.contains(TOKEN), "{shown}");
    }
    assert!(version > StoreVersion(0));
}

/// The date of a file may be coarse: a replaced file is another one all the same.
#[tokio::test]
async fn a_file_replaced_by_one_of_the_same_size_is_noticed() {
    use futures_util::StreamExt as _;

    let folder = TempDir::new().unwrap();
    let (store, _) = store_in(&folder);
    let store = store.check_every(Duration::from_millis(1));
    let mut hints = store.watch().unwrap();
    hints.next().await.unwrap();
    let mut version = StoreVersion(0);
    for number in 0..20 {
        version = done(&store, version, number % 10).await;
        let hint = tokio::time::timeout(Duration::from_secs(10), hints.next()).await;
        assert_eq!(hint, Ok(Some(())), "write {number}");
    }
    assert!(
        FileStore::new("x").check_every(Duration::ZERO).watch().is_none(),
        "zero: never"
    );
}
