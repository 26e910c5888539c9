//! End-to-end tests, by command: one binary, one file a verb.

#![allow(unreachable_pub, reason = "no other crate can reach a test")]
#![allow(clippy::disallowed_methods, reason = "tests set the scene by hand; a panic names the place")]

#[path = "../support/mod.rs"]
mod support;

mod check;
mod cli;
mod deploy;
mod docs;
mod login;
mod new;
mod node;
mod package;
mod publish;
mod quickstart;
mod registry;
mod registry_client;
mod registry_crash;
mod resolve;
