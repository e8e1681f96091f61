//! What the fuzz targets share: a clock, a maker of JWTs, and `Run`, a driver that performs nothing and checks what
//! must be true of a machine after every input.

mod clock;
mod data;
mod jwt;
mod kinds;
mod run;

pub use clock::Clock;
pub use jwt::jwt;
pub use run::Run;

/// Stands in every secret that a run hands to the machine, and must stand in nothing printable.
pub const PLANTED: &str = "hunter2planted";
