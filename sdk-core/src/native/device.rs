//! What the application tells of its device: network, wakes, foreground (S7, W6).

use super::session::Session;
use crate::io::Input;

impl Session {
    /// Tells the SDK that the device has, or has no, network (W6). Without, no attempts are made, and none are used up;
    /// when it is back, those that wait are made at once. Told that there is network where there was, it takes that for
    /// another network, as a wake (see [`woke`](Self::woke)).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let socket = session.socket(server.ws_url()).options(|o| o.auto_connect = false).connect()?;
    /// session.network_changed(false);
    /// socket.connect();
    /// socket.wait_for(|state| *state == freshsocket::SocketState::Offline).await;
    /// session.network_changed(true);
    /// socket.wait_for(|state| state.is_open()).await;
    /// # Ok(()) }
    /// ```
    pub fn network_changed(&self, online: bool) {
        let _ = self.guard.shared.tell(Input::Network { online });
    }

    /// Tells the SDK that the device may have been away: it came back from sleep, the user came back to it, the network
    /// path changed (S7). Any number of these is one. The token is renewed if it is due, then every open connection is
    /// asked for a sign of life and replaced if there is none within `heartbeat.probeTimeoutMs`.
    ///
    /// A sleep of the device itself is noticed without this, within five seconds after it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let socket = session.socket(server.ws_url()).connect()?;
    /// socket.wait_for(|state| state.is_open()).await;
    /// session.woke();
    /// assert!(socket.is_connected());
    /// # Ok(()) }
    /// ```
    pub fn woke(&self) {
        let _ = self.guard.shared.tell(Input::Woke);
    }

    /// Tells the SDK that the application went to the background, or came back from it (S7). In the background attempts
    /// to connect do not count against `maxAttempts` (W6); coming back is a wake, and begins an attempt at once where one
    /// is waiting. Connections are not closed: systems that suspend the process do that.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let session = freshsocket::Session::builder("http://127.0.0.1:9").build().await?;
    /// session.foreground_changed(false);
    /// // The system shows the application again.
    /// session.foreground_changed(true);
    /// # Ok(()) }
    /// ```
    pub fn foreground_changed(&self, foreground: bool) {
        let _ = self.guard.shared.tell(Input::Foreground { foreground });
    }
}
