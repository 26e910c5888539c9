//! End-to-end tests, by command: one binary, one file a verb.

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod login;
mod publish;
mod registry;
