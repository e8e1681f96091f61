//! A real Redis for tests: on a Unix socket in a folder of its own, gone when it is dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::eventually;

/// A running redis-server.
pub struct Redis {
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    process: Child,
}

impl Redis {
    /// One that keeps nothing on the disk. A missing redis-server is a failed test.
    pub async fn start() -> Self {
        Self::with(&["--save", "", "--appendonly", "no"]).await
    }

    /// One that has every write on the disk before it answers.
    pub async fn durable() -> Self {
        Self::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]).await
    }

    /// One with these settings.
    pub async fn with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let process = spawn(folder.path(), &arguments);
        let mut redis = Self {
            folder,
            arguments,
            process,
        };
        redis.ready().await;
        redis
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it, as a crash of its machine would.
    pub fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
        let _ = std::fs::remove_file(self.socket());
    }

    /// Runs it again, on the same folder.
    pub async fn start_again(&mut self) {
        self.process = spawn(self.folder.path(), &self.arguments);
        self.ready().await;
    }

    /// Runs a command in it with redis-cli; what that prints.
    pub fn run(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(self.socket())
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli runs (Debian package redis-tools)");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    async fn ready(&mut self) {
        eventually("redis-server answers", || {
            if let Ok(Some(status)) = self.process.try_wait() {
                panic!("redis-server ended: {status}");
            }
            let answer = self.run(&["ping"]);
            answer == "PONG" || answer.starts_with("NOAUTH")
        })
        .await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &Path, arguments: &Vec<String>) -> Child {
    let spawned = Command::new("redis-server")
        .args(["--port", "0", "--unixsocket"])
        .arg(folder.join("redis.sock"))
        .arg("--dir")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    spawned.expect("redis-server is needed (Debian package redis-server; `cargo xtask test` installs it)")
}

/// Sends a signal to a process: `STOP`, `CONT`.
pub fn signal(name: &str, pid: u32) {
    // The shell's own: a bare system has no program of that name.
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status()
        .expect("a shell runs");
    assert!(status.success(), "kill -{name} {pid}");
}
