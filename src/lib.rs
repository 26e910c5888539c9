//! napt is to multi-agent modules what Cargo is to crates.
//!
//! # The map
//!
//! Calls go one way, down this table: a room calls none that stands above it (a test sees to that). So `cli` calls the
//! verbs and these the nouns; a noun never knows a verb. A verb never knows `cli`, takes a plain options struct and
//! reports through [`report::Reporter`].
//!
//! | room | what it is for |
//! | --- | --- |
//! | [`cli`] | one file a subcommand: arguments and `exec` |
//! | [`context`] | what surrounds a command: folders, environment, settings, HTTP client |
//! | [`shell`] | the only room that prints |
//! | [`dev`] | verb: the loop of a module author: registry, node and client over a watched workspace |
//! | [`scaffold`] | verb: templates in, project out |
//! | [`check`] | verb: diagnostics, rules, fixes, renderers; the files' schemas |
//! | [`publish`] | verb: archives to a registry, in dependency order, resumable |
//! | [`dependencies`] | verb: what modules need: add, remove, update, fetch, show |
//! | [`script`] | verb: a user's program with what Naptha's SDK looks for in its environment |
//! | [`client`] | verb: a client of a node: deploy, roll back, run, follow |
//! | [`node`] | verb: the node server: doors over one core |
//! | [`registry`] | verb: the registry server |
//! | [`resolve`] | verb: versions of dependencies, `napt.lock` |
//! | [`sources`] | verb: a module in git in, its archive out |
//! | [`adopt`] | verb: an existing Naptha project in, its `napt.toml` out |
//! | [`package`] | verb: project in, reproducible archive out; archive in, safe folder out |
//! | [`registries`] | noun: the registries that a command may ask, and what is kept of their answers |
//! | [`wire`] | noun: what crosses the network between nodes and clients |
//! | [`compat`] | noun: what programs written for Naptha's SDK need beside it |
//! | [`config`] | noun: Naptha's configuration files |
//! | [`identity`] | noun: keys, signatures, tokens |
//! | [`module`] | noun: ids, manifests, projects, workspaces |
//! | [`files`] | noun: files that appear as a whole or not at all |
//! | [`secrets`] | noun: how keys look; found so that they are not published, masked so that they are not shown |
//! | [`report`] | noun: how rooms speak: progress, errors, hints |
//! | [`crash`] | noun: places where tests break the program |

pub mod adopt;
pub mod check;
pub mod cli;
pub mod client;
pub mod compat;
pub mod config;
pub mod context;
pub mod crash;
pub mod dependencies;
pub mod dev;
pub mod files;
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
pub mod script;
pub mod secrets;
pub mod shell;
pub mod sources;
pub mod wire;
