//! End-to-end tests, by command: one binary, one file a verb.

#[path = "../support/mod.rs"]
mod support;

mod check;
mod cli;
