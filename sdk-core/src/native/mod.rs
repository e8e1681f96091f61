//! The native client: the machine driven by tokio, reqwest and tungstenite.
