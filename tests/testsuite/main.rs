//! End-to-end tests, by command: one binary, one file a verb.

#![allow(unreachable_pub, reason = "no other crate can reach a test")]
#![allow(clippy::disallowed_methods, reason = "tests set the scene by hand; a panic names the place")]

#[path = "../support/mod.rs"]
mod support;

mod canary;
mod check;
mod ci;
mod cli;
mod completions;
mod config;
mod create;
mod dependencies;
mod deploy;
mod deployments;
mod dev;
mod directory;
mod docs;
mod egress;
mod errors;
mod escapes;
mod exec;
mod faults;
mod generations;
mod hub;
mod hub_accounts;
mod hub_sdk;
mod inference;
mod inference_model;
mod init;
mod installs;
mod json;
mod login;
mod manners;
mod mistyped;
mod naptha_page;
mod new;
mod new_join;
mod node;
mod node_archives;
mod node_boundary;
mod node_crash;
mod node_doors;
mod node_faults;
mod node_frames;
mod node_fsck;
mod node_grpc;
mod node_limits;
mod node_peers;
mod node_runs;
mod node_walls;
mod node_warmth;
mod on_demand;
mod own_calls;
mod package;
mod publish;
mod quickstart;
mod readiness;
mod reference;
mod registry;
mod registry_client;
mod registry_crash;
mod registry_fsck;
mod resolve;
mod rust_modules;
mod sdk;
mod secrets;
mod shared;
mod sources;
mod storage;
mod structure;
mod templates;
mod terminal;
mod three_nodes;
mod two_accounts;
