//! Small modules in Rust, and the toolchain for them.

use std::path::{Path, PathBuf};

use super::Sandbox;

/// Where rustup keeps its toolchains; the tests' home folders hide it.
pub fn rustup_home() -> Option<PathBuf> {
    let given = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
    given.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".rustup"))).filter(|folder| folder.is_dir())
}

fn template(path: &str, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(path);
    std::fs::read_to_string(path).expect("a template").replace("{{name}}", name)
}

/// A Rust module with the template's client.
pub struct Rust<'a> {
    pub id: &'a str,
    pub version: &'a str,
    /// `main.rs`, but for `mod napt;` and `main`.
    pub run: &'a str,
    /// More of `napt.toml`, after `[module]`.
    pub more: &'a str,
}

impl<'a> Rust<'a> {
    pub fn new(id: &'a str, run: &'a str) -> Self {
        Rust { id, version: "0.1.0", run, more: "" }
    }

    /// Writes it to a folder below the work folder, named as the module.
    pub fn write(&self, sandbox: &Sandbox) {
        let (_, name) = self.id.split_once(':').expect("type:name");
        write_package(
            sandbox,
            self.id,
            self.version,
            self.more,
            "serde = { version = \"1\", features = [\"derive\"] }\nserde_json = \"1\"\n",
        );
        sandbox.write(
            format!("{name}/Cargo.lock"),
            template("shared/partials/cargo_lock.hbs", name).replace(
                &format!("name = \"{name}\"\nversion = \"0.1.0\""),
                &format!("name = \"{name}\"\nversion = \"{}\"", self.version),
            ),
        );
        sandbox.write(format!("{name}/src/napt.rs"), template("shared/partials/napt_client.hbs", name));
        let main = format!(
            "#[allow(dead_code)]\nmod napt;\n\nfn main() -> std::process::ExitCode {{\n    napt::serve(run)\n}}\n\n{}",
            self.run
        );
        sandbox.write(format!("{name}/src/main.rs"), main);
    }
}

/// Writes a Rust module that needs no crates.
pub fn write_bare(sandbox: &Sandbox, id: &str, main: &str) {
    let (_, name) = id.split_once(':').expect("type:name");
    write_package(sandbox, id, "0.1.0", "", "");
    sandbox.write(
        format!("{name}/Cargo.lock"),
        format!("version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n"),
    );
    sandbox.write(format!("{name}/src/main.rs"), main);
}

fn write_package(sandbox: &Sandbox, id: &str, version: &str, more: &str, dependencies: &str) {
    let (module_type, name) = id.split_once(':').expect("type:name");
    sandbox.write(
        format!("{name}/napt.toml"),
        format!("[module]\ntype = \"{module_type}\"\ndescription = \"A module for tests\"\n{more}"),
    );
    // Building is most of what such tests cost.
    sandbox.write(
        format!("{name}/Cargo.toml"),
        format!(
            "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\n\n[dependencies]\n{dependencies}\n\
             [profile.release]\nopt-level = 0\n"
        ),
    );
}
