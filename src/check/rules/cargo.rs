//! What the examples of rules for Rust packages have in common.

use super::Part;

pub(super) const NO_PYTHON: Part = Part::Without("pyproject.toml");

pub(super) const PACKAGE: Part = Part::File(
    "Cargo.toml",
    r#"[package]
name = "debate"
version = "0.1.0"
edition = "2021""#,
);

pub(super) const MAIN: Part = Part::File("src/main.rs", "fn main() {}");

pub(super) const LOCK: Part = Part::File("Cargo.lock", "version = 4");
