//! napt is to multi-agent modules what Cargo is to crates.
//!
//! # The map
//!
//! Calls go one way: `cli` → the verbs → the nouns. A noun never knows a verb; a verb never knows `cli`, takes a
//! plain options struct and reports through [`report::Reporter`].
//!
//! | room | what it is for |
//! | --- | --- |
//! | [`cli`] | one file a subcommand: arguments and `exec` |
//! | [`context`] | what surrounds a command: folders, environment, settings, HTTP client |
//! | [`shell`] | the only room that prints |
//! | [`scaffold`] | verb: templates in, project out |
//! | [`adopt`] | verb: an existing Naptha project in, its `napt.toml` out |
//! | [`check`] | verb: diagnostics, rules, fixes, schemas and renderers |
//! | [`package`] | verb: project in, reproducible archive out; archive in, safe folder out |
//! | [`resolve`] | verb: versions of dependencies, `napt.lock` |
//! | [`dependencies`] | verb: what modules need: add, remove, update, fetch, show |
//! | [`publish`] | verb: archives to a registry, in dependency order, resumable |
//! | [`client`] | verb: a client of a node: deploy, roll back, run, follow |
//! | [`dev`] | verb: the loop of a module author: registry, node and client over a watched workspace |
//! | [`registry`] | verb: the registry server |
//! | [`node`] | verb: the node server: doors over one core |
//! | [`module`] | noun: ids, manifests, projects, workspaces |
//! | [`config`] | noun: Naptha's configuration files |
//! | [`wire`] | noun: what crosses the network between nodes and clients |
//! | [`identity`] | noun: keys, signatures, tokens |
//! | [`registries`] | noun: the registries that a command may ask, and what is kept of their answers |
//! | [`secrets`] | noun: how keys look; found so that they are not published, masked so that they are not shown |
//! | [`report`] | noun: how rooms speak: progress, errors, hints |
//! | [`crash`] | noun: places where tests break the program |

pub mod adopt;
pub mod check;
pub mod cli;
pub mod client;
pub mod config;
pub mod context;
pub mod crash;
pub mod dependencies;
pub mod dev;
pub mod identity;
pub mod module;
pub mod node;
pub mod package;
pub mod publish;
pub mod registries;
pub mod registry;
pub mod report;
pub mod resolve;
pub mod scaffold;
pub mod secrets;
pub mod shell;
pub mod wire;
