//! Starting the binary and waiting for what it prints.

use std::process::Stdio;
use std::time::Duration;

use freshsocket_mock_server::{MockServer, Settings};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

/// What takes longer than this hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) async fn server(change: impl FnOnce(&mut Settings)) -> MockServer {
    let server = MockServer::start().await.unwrap();
    server.set(|settings| {
        settings.record_messages = true;
        change(settings);
    });
    server
}

/// A command that is not started yet.
pub(crate) struct Cli(Command);

impl Cli {
    pub(crate) fn new(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freshsocket"));
        for name in [
            "FRESHSOCKET_PASSWORD",
            "FRESHSOCKET_TOKEN",
            "FRESHSOCKET_REFRESH_TOKEN",
        ] {
            command.env_remove(name);
        }
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self(command)
    }

    /// For this server's `/ws`, with quick retries.
    pub(crate) fn to(server: &MockServer, args: &[&str]) -> Self {
        Self::new(
            &[
                &[&*server.ws_url(), "--retry-base", "50ms", "--retry-cap", "200ms"],
                args,
            ]
            .concat(),
        )
    }

    /// The same, with ada signing in.
    pub(crate) fn ada(server: &MockServer, args: &[&str]) -> Self {
        Self::to(server, &[&["--user", "ada"], args].concat()).env("FRESHSOCKET_PASSWORD", "hunter2-planted")
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn start(mut self) -> Running {
        let mut child = self.0.spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Running {
            stdin: child.stdin.take(),
            stdout: Lines::of(stdout),
            stderr: Lines::of(stderr),
            child,
        }
    }

    /// Runs it to its end with nothing on standard input.
    pub(crate) async fn run(self) -> Finished {
        self.run_with("").await
    }

    /// Runs it to its end with this on standard input.
    pub(crate) async fn run_with(self, input: &str) -> Finished {
        let mut running = self.start();
        running.type_in(input).await;
        running.end_input();
        running.finish().await
    }
}

pub(crate) struct Running {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

impl Running {
    pub(crate) async fn type_in(&mut self, text: &str) {
        // A process that ended before it read everything is judged by its exit code.
        let _ = self.stdin.as_mut().unwrap().write_all(text.as_bytes()).await;
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {id}")])
            .status()
            .await
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the end.
    pub(crate) async fn finish(mut self) -> Finished {
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        let Ok(status) = status else {
            panic!(
                "still running\nstdout: {:#?}\nstderr: {:#?}",
                self.stdout.seen, self.stderr.seen
            );
        };
        let code = status.unwrap().code();
        Finished {
            code,
            stdout: self.stdout.rest().await,
            stderr: self.stderr.rest().await,
        }
    }
}

/// The lines of one stream.
pub(crate) struct Lines {
    receiver: mpsc::UnboundedReceiver<String>,
    reader: tokio::task::JoinHandle<()>,
    seen: Vec<String>,
}

impl Lines {
    fn of(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = sender.send(line);
            }
        });
        Self {
            receiver,
            reader,
            seen: Vec::new(),
        }
    }

    /// Waits for a line with this text.
    pub(crate) async fn wait_for(&mut self, text: &str) -> String {
        loop {
            match tokio::time::timeout(DEADLINE, self.receiver.recv()).await {
                Ok(Some(line)) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                _ => panic!("no line with {text:?} in {:#?}", self.seen),
            }
        }
    }

    /// Reads no more, and closes the pipe.
    pub(crate) async fn close(&mut self) {
        self.reader.abort();
        while !self.reader.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    async fn rest(mut self) -> Vec<String> {
        while let Some(line) = self.receiver.recv().await {
            self.seen.push(line);
        }
        self.seen
    }
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Finished {
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Standard output as JSON lines.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout
            .iter()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }

    /// The JSON lines of one type.
    pub(crate) fn lines_of(&self, kind: &str) -> Vec<Value> {
        self.json()
            .into_iter()
            .filter(|line| line["type"] == kind)
            .collect()
    }

    pub(crate) fn all_output(&self) -> String {
        format!("{}\n{}", self.stdout.join("\n"), self.stderr.join("\n"))
    }

    pub(crate) fn expect_in_stderr(self, text: &str) -> Self {
        assert!(
            self.stderr.iter().any(|line| line.contains(text)),
            "no {text:?} in {self:#?}"
        );
        self
    }
}
