//! The herd: 10,000 clients that drop together, and how they come back (W6 and section 7 of the contract).
//!
//! `cargo xtask herd` writes `docs/herd.md` and `docs/herd.svg` and prints the table; a test compares both with what
//! the code gives.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "times of minutes in milliseconds, and counts of thousands"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "test code"))]

pub mod machines;
pub mod page;
pub mod plot;
pub mod policy;
pub mod run;

use std::path::{Path, PathBuf};

/// A file of the docs, and what should stand in it.
#[derive(Debug)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// The page and the picture.
///
/// # Errors
/// What the machine says about its own default options.
pub fn files() -> Result<[File; 2], freshsocket::Error> {
    let rows = page::rows()?;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    Ok([
        File {
            path: docs.join("herd.md"),
            text: page::page(&rows),
        },
        File {
            path: docs.join("herd.svg"),
            text: plot::picture(&rows),
        },
    ])
}
