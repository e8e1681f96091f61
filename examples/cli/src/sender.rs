//! Sends what is to be sent, in order, and reports what becomes of each.
//!
//! A task of its own: a full transport makes it wait, and messages must be read meanwhile.

use freshsocket::{Error, ErrorKind, Message, SendStatus, SocketHandle};
use tokio::sync::{mpsc, watch};

use crate::output::Sent;

/// Reports that wait to be printed; sending waits at this many.
const WAITING: usize = 64;
/// A full outbox is asked again after this long.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_millis(20);

/// What can be sent, or why it cannot.
pub(crate) type Outgoing = Result<Message, Error>;

/// The running sender.
#[derive(Debug)]
pub(crate) struct Sender {
    /// Ends when there is nothing more to send and everything is sent or failed.
    pub(crate) reports: mpsc::Receiver<Sent>,
    stop: watch::Sender<bool>,
}

impl Sender {
    /// Sends `first`, then the lines, once the socket is open for the first time.
    pub(crate) fn start(
        handle: SocketHandle,
        first: Vec<Outgoing>,
        lines: Option<mpsc::Receiver<Outgoing>>,
    ) -> Self {
        let (report, reports) = mpsc::channel(WAITING);
        let (stop, stopped) = watch::channel(false);
        let task = Task {
            handle,
            report,
            stopped,
            sends: 0,
        };
        tokio::spawn(task.run(first, lines));
        Self { reports, stop }
    }

    /// Takes no more lines. What was taken and is not sent fails when the socket is closed.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }
}

struct Task {
    handle: SocketHandle,
    report: mpsc::Sender<Sent>,
    stopped: watch::Receiver<bool>,
    sends: u64,
}

impl Task {
    async fn run(mut self, first: Vec<Outgoing>, mut lines: Option<mpsc::Receiver<Outgoing>>) {
        let mut stop = self.stopped.clone();
        tokio::select! {
            () = self.writable() => {}
            () = stopped(&mut stop) => {}
        }
        for outgoing in first {
            self.send(outgoing).await;
        }
        let Some(lines) = &mut lines else { return };
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                line = lines.recv() => match line {
                    Some(outgoing) => self.send(outgoing).await,
                    None => return,
                },
            }
        }
        // Nothing disappears silently: what was read and cannot be sent any more has its line as well.
        lines.close();
        while let Some(outgoing) = lines.recv().await {
            self.send(outgoing).await;
        }
    }

    async fn send(&mut self, outgoing: Outgoing) {
        self.sends += 1;
        let send = self.sends;
        let accepted = match outgoing {
            Ok(message) => self.accepted(message).await,
            Err(error) => Err(error),
        };
        let status = match &accepted {
            Ok(sending) => sending.status(),
            Err(error) => SendStatus::Failed(error.clone()),
        };
        let queued = status == SendStatus::Queued;
        let _ = self.report.send(Sent { send, status }).await;
        if let (true, Ok(sending)) = (queued, accepted) {
            let report = self.report.clone();
            tokio::spawn(async move {
                let status = match sending.sent().await {
                    Ok(()) => SendStatus::Sent,
                    Err(error) => SendStatus::Failed(error),
                };
                let _ = report.send(Sent { send, status }).await;
            });
        }
    }

    /// Gives a message to the SDK. A full outbox is no failure here: standard input can wait.
    async fn accepted(&self, message: Message) -> Result<freshsocket::Sending, Error> {
        loop {
            match self.handle.send(message.clone()).await {
                Err(error) if error.kind() == ErrorKind::OutboxFull && !*self.stopped.borrow() => {
                    let mut stop = self.stopped.clone();
                    tokio::select! {
                        () = self.writable() => {}
                        () = stopped(&mut stop) => return Err(error),
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                result => return result,
            }
        }
    }

    /// Waits until sending can succeed, or cannot any more.
    async fn writable(&self) {
        self.handle
            .wait_for(|state| state.is_open() || state.is_final())
            .await;
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error is a sender that is gone, which stops as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
