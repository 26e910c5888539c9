//! End-to-end tests, by command: one binary, one file a verb.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the rooms that the bans are about")]

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod package;
