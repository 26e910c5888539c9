//! Every message that an error can have, as people and as programs see it, one snapshot a room. A variant that is not
//! listed does not compile; `SNAPSHOTS=overwrite cargo test errors::` writes the snapshots, which are to be read as a
//! user would: what is wrong, where, and what to do next.

mod modules;
mod nodes;
mod packages;
mod registries;

use std::{fmt::Write, io, path::PathBuf};

use napt::{
    module::ModuleId,
    report::Failure,
    shell::{error_of, told},
};
use snapbox::{Data, assert_data_eq};

/// Makes a test of a room. Each error has the way to a failure in brackets, and for each variant a pattern and a value.
macro_rules! room {
    ($room:ident: $($error:ty [$failure:expr] { $($pattern:pat => $value:expr),+ $(,)? })+) => {
        #[test]
        fn $room() {
            let mut page = String::new();
            $({
                let name = |error: &$error| match error { $($pattern => stringify!($pattern)),+ };
                let names = [$(stringify!($pattern)),+];
                let all: Vec<$error> = vec![$($value),+];
                for (error, expected) in all.into_iter().zip(names) {
                    assert_eq!(name(&error), expected, "the value is of its pattern");
                    super::write(&mut page, expected, &($failure)(error));
                }
            })+
            super::check(stringify!($room), page);
        }
    };
}
use room;

/// A failure as it is shown, below the name of its variant.
fn write(page: &mut String, name: &str, failure: &Failure) {
    let text = anstream::adapter::strip_str(&told(failure)).to_string();
    let name = name.split([' ', '(', '{']).next().unwrap_or(name);
    let json = error_of(failure);
    writeln!(page, "== {name}: exit code {}\n{text}\n{json}\n", failure.kind.exit_code()).expect("memory");
}

fn check(room: &str, page: String) {
    // What is said to a person is whole and clean.
    for line in page.lines().filter(|line| line.starts_with("error: ")) {
        let message = line.trim_start_matches("error: ");
        assert!(!message.is_empty() && !message.ends_with('.'), "{line}");
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/errors/{room}.txt"));
    assert_data_eq!(page, Data::read_from(&file, None).raw());
}

fn id(text: &str) -> ModuleId {
    text.parse().expect("an id")
}

fn path(text: &str) -> PathBuf {
    PathBuf::from(text)
}

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// As `fs_err` says it.
fn disk() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "failed to open file `m/napt.toml`: Permission denied (os error 13)",
    )
}

fn toml_error() -> Box<toml::de::Error> {
    Box::new(toml::from_str::<toml::Table>("name = \n").expect_err("no TOML"))
}

fn json_error() -> serde_json::Error {
    serde_json::from_str::<serde_json::Value>("[1,").expect_err("no JSON")
}

fn transport() -> reqwest::Error {
    reqwest::Client::new().get("http://").build().expect_err("no URL")
}

fn version(text: &str) -> semver::Version {
    text.parse().expect("a version")
}

fn req(text: &str) -> semver::VersionReq {
    text.parse().expect("a requirement")
}

fn problem(status: u16, detail: &str, hint: Option<&str>) -> Box<napt_registry_client::Problem> {
    Box::new(napt_registry_client::Problem {
        problem_type: "about:blank".to_owned(),
        title: "A title".to_owned(),
        status,
        detail: detail.to_owned(),
        hint: hint.map(str::to_owned),
        extra: serde_json::Map::new(),
    })
}
