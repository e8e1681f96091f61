//! The README's Rust code, compiled as doc tests.
#![doc = include_str!("../../README.md")]
