//! Secrets that every sandbox has, looked for in all that is printed, logged, stored or packed in it.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// A variable that every command gets and nothing may show.
pub const VARIABLE: (&str, &str) = ("CANARY_API_KEY", "canary-7f3a9c51d2e84b06-never-shown");

/// The secrets of a home: keys, tokens, and what the environment holds.
pub fn secrets(home: &Path, variables: &[(String, String)]) -> Vec<String> {
    let mut found = vec![VARIABLE.1.to_owned()];
    for key in ["config/identity.key", "data/node/identity.key"] {
        found.extend(std::fs::read_to_string(home.join("napt").join(key)).map(|text| text.trim().to_owned()));
    }
    let credentials = std::fs::read_to_string(home.join("napt/config/credentials.toml")).unwrap_or_default();
    found.extend(tokens(credentials.as_bytes()));
    let is_secret = |name: &str| ["NAPT_TOKEN", "NAPT_PROVIDER_KEY", "PRIVATE_KEY", "HUB_PASSWORD"].contains(&name);
    found.extend(variables.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.clone()));
    // Tests also set what is no secret at all, to see it refused.
    found.retain(|secret| secret.len() >= 16);
    found
}

/// All texts that are tokens of napt.
fn tokens(bytes: &[u8]) -> Vec<String> {
    let starts = bytes.windows(5).enumerate().filter(|(_, window)| *window == b"napt_").map(|(at, _)| at);
    starts
        .filter_map(|at| bytes.get(at..at + 53))
        .filter(|token| token[5..].iter().all(u8::is_ascii_hexdigit))
        .map(|token| String::from_utf8_lossy(token).into_owned())
        .collect()
}

/// The first secret in some bytes, shown as far as it may be.
pub fn leak(bytes: &[u8], secrets: &[String]) -> Option<String> {
    let has = |secret: &&String| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    secrets
        .iter()
        .find(has)
        .cloned()
        .or_else(|| tokens(bytes).into_iter().next())
        .map(|secret| format!("{}…", &secret[..8]))
}

/// Fails the test when a file holds a secret; an archive is looked into.
pub fn check_file(path: &Path, secrets: &[String]) {
    let Ok(mut bytes) = std::fs::read(path) else { return };
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        // What comes before the damage of a damaged one.
        let _ = flate2::read::MultiGzDecoder::new(bytes.as_slice()).take(64 << 20).read_to_end(&mut unpacked);
        bytes = unpacked;
    }
    if let Some(secret) = leak(&bytes, secrets) {
        panic!("`{}` holds the secret {secret}", path.display());
    }
}

/// All files of a folder whose names end in one of these.
pub fn files(folder: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if ends.iter().any(|end| name.to_string_lossy().ends_with(end)) {
                found.push(path);
            }
        }
    }
    found
}
