//! The README's Rust code, compiled as doc tests.
#![allow(
    clippy::doc_markdown,
    reason = "the README is read by people; names of products are no code"
)]
#![doc = include_str!("../../README.md")]
