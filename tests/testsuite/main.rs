//! End-to-end tests, by command: one binary, one file a verb.

#![allow(clippy::disallowed_methods, unreachable_pub, reason = "no room's door: the bans are about the library")]

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod package;
