//! Ctrl-C and SIGTERM: the first one closes cleanly, the second one does not wait.

use tokio::sync::watch;

use crate::exit::Code;

/// Tells of the first signal.
#[derive(Clone, Debug)]
pub(crate) struct Interrupted(watch::Receiver<Option<Code>>);

impl Interrupted {
    /// Starts listening.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let mut signals = Signals::new()?;
        let (told, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let first = signals.next().await;
            told.send_replace(Some(first));
            let second = signals.next().await;
            std::process::exit(i32::from(second as u8));
        });
        Ok(Self(receiver))
    }

    /// Waits for the first signal.
    pub(crate) async fn wait(&mut self) -> Code {
        match self.0.wait_for(Option::is_some).await {
            Ok(code) => code.unwrap_or(Code::Interrupted),
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Code {
        tokio::select! {
            _ = self.interrupt.recv() => Code::Interrupted,
            _ = self.terminate.recv() => Code::Terminated,
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Code {
        self.0.recv().await;
        Code::Interrupted
    }
}
