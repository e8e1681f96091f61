//! The machine of freshsocket in `WebAssembly`: the driver behind the npm package.
//!
//! The division is the one of the native client. The machine decides; the driver here gives it inputs and performs its
//! outputs in order; what touches the world (a `WebSocket`, `fetch`, a timer) is a method of the `Host`, an
//! object of the package's TypeScript, and nothing but the doing. So whatever has a `WebSocket` and a `fetch` can be
//! a host, and no binding of a browser's interfaces is compiled in.
//!
//! Numbers of effects, calls, sockets, connections and messages cross as `f64`, which holds more of them than anybody
//! can use up. What the application sees of states, events and errors crosses as the JSON of the documentation; messages
//! cross as the values that the platform made, and are looked into only while somebody has to.
//!
//! Not a crate to depend on: its interface is the package's own business.
#![forbid(unsafe_code)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
// Numbers come as f64, and what JavaScript hands over is owned.
#![allow(clippy::needless_pass_by_value)]

mod client;
mod driver;
mod host;
mod lanes;
mod options;
mod text;

pub use client::Client;
