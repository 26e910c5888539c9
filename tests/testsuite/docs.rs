//! The book is true: what it lists is what there is, and what it says to type works.

use std::{collections::BTreeSet, path::Path};

use napt::report::Kind;
use snapbox::{Data, assert_data_eq};

use crate::support::{
    Sandbox,
    console::{self, Step},
    modules,
    node::{self, TestNode},
    registry::TestRegistry,
};

/// The text of a file of the repository.
fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A page with what is made by the tests in it; `SNAPSHOTS=overwrite` writes it.
fn page(path: &str) -> Data {
    Data::read_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path), None)
}

/// The cells of the tables of a page, without their first lines.
fn table(page: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = page.lines().collect();
    let rows = lines.iter().enumerate().filter(|(at, line)| {
        line.starts_with('|')
            && !line.starts_with("| ---")
            && !lines.get(at + 1).is_some_and(|next| next.starts_with("| ---"))
    });
    rows.map(|(_, row)| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The words of every command, also of those within commands.
fn commands() -> Vec<Vec<String>> {
    fn collect(command: &clap::Command, words: &[String], found: &mut Vec<Vec<String>>) {
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let words = [words, &[inner.get_name().to_owned()]].concat();
            found.push(words.clone());
            collect(inner, &words, found);
        }
    }
    let mut found = Vec::new();
    collect(&napt::cli::command(), &[], &mut found);
    found
}

#[test]
fn every_command_has_help_with_examples_and_is_in_the_book() {
    let sandbox = Sandbox::new();
    let mut text = String::from(
        "# Commands\n\nWhat `--help` says. This page is made from it: `SNAPSHOTS=overwrite cargo test docs::`\n",
    );
    let help = |arguments: &[&str]| {
        let ran = sandbox.napt(arguments).expect(0);
        assert!(ran.stdout.contains("\nExamples:\n  "), "{arguments:?} has no examples\n{}", ran.stdout);
        assert_eq!(ran.stderr, "");
        let lines: Vec<&str> = ran.stdout.lines().map(str::trim_end).collect();
        format!("\n```text\n{}\n```\n", lines.join("\n"))
    };
    text.push_str("\n## napt\n");
    let main = help(&["--help"]);
    assert!(!main.contains("More:"), "a command is in no group of src/cli/help.rs\n{main}");
    text.push_str(&main);
    for words in commands() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        text.push_str(&format!("\n#{} napt {}\n", "#".repeat(words.len()), words.join(" ")));
        text.push_str(&help(&[words.as_slice(), &["--help"]].concat()));
    }
    assert_data_eq!(text, page("docs/commands.md").raw());
}

#[test]
fn the_book_has_every_exit_code() {
    let kinds = [
        Kind::Failed,
        Kind::Usage,
        Kind::Check,
        Kind::Network,
        Kind::Auth,
        Kind::Conflict,
        Kind::Bug,
        Kind::Interrupted,
    ];
    let mut expected = vec![("0".to_owned(), "-".to_owned())];
    expected.extend(kinds.map(|kind| {
        let name = serde_json::to_value(kind).expect("JSON");
        (kind.exit_code().to_string(), format!("`{}`", name.as_str().expect("a name")))
    }));
    let listed: Vec<(String, String)> =
        table(&file("docs/exit-codes.md")).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(listed, expected);
}

#[test]
fn the_book_has_every_environment_variable() {
    let source = file("src/context/environment.rs");
    // Names are the only texts of capital letters in that file.
    let is_name = |text: &&str| {
        text.len() > 1
            && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            && text.starts_with(char::is_alphabetic)
    };
    let read: BTreeSet<&str> = source.split('"').skip(1).step_by(2).filter(is_name).collect();
    let page = file("docs/environment.md");
    let rows = table(&page);
    let listed: BTreeSet<&str> = rows.iter().map(|row| row[0].trim_matches('`').trim_end_matches('*')).collect();
    assert!(read.contains("NAPT_HOME") && read.contains("UV_"), "{read:?}");
    assert_eq!(listed, read);
}

#[test]
fn commands_are_read_from_a_page_with_their_output() {
    let page = "```console\nnot typed\n$ napt check\nall [..]\n\nis well\n$ napt run \\\n  x\n```\n$ napt no\n\
                ```console ignore\n$ napt no\n```\n```json\n$ napt no\n```\n```sh\nout\n$ cd a\n> b\n>\nc\n> d\n```\n";
    let step = |line, command: &str, output: &str| Step { line, command: command.into(), output: output.into() };
    assert_eq!(
        console::steps(page),
        [
            step(3, "napt check", "all [..]\n\nis well\n"),
            step(7, "napt run \\\n  x", ""),
            step(19, "cd a\nb\n", "c\n> d\n")
        ]
    );
}

#[test]
fn the_tutorial_can_be_followed() {
    follow("docs/tutorial.md");
}

#[test]
fn the_page_on_deploying_can_be_followed() {
    follow("docs/deploy.md");
}

#[test]
fn the_settings_are_as_the_configuration_page_shows_them() {
    follow("docs/configuration.md");
}

#[test]
fn the_page_on_checking_can_be_followed() {
    console::follow(&Sandbox::new(), &Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/check.md"));
}

#[test]
fn backups_are_looked_through_as_the_operations_page_says() {
    let mut registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &node::cache());
    modules::write(&sandbox, "d", "kb:d", "1.0.0", "");
    sandbox.napt(&["login"]).expect(0);
    sandbox.napt(&["publish", "-C", "d", "--no-verify"]).expect(0);
    let mut node = TestNode::start_in(sandbox, &[]);
    node.napt(&["deploy", "kb:d"]).expect(0);
    node.kill();
    registry.stop();
    for (from, to) in [(registry.data(), "backup"), (&node.data(), "node-backup")] {
        super::registry_fsck::copy(from, &node.sandbox.work().join(to));
    }
    console::follow(&node.sandbox, &Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md"));
}

#[test]
fn an_existing_project_can_be_adopted_as_the_book_says() {
    follow("docs/adopt.md");
}

#[test]
fn a_pipeline_can_be_set_up_as_its_page_says() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    modules::write(&sandbox, ".", "persona:ada", "0.1.0", "");
    console::follow(&sandbox, &Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md"));
}

#[test]
fn publishing_can_be_followed() {
    follow("docs/publish.md");
}

/// Follows a page with a registry and a node that nobody has used.
fn follow(page: &str) {
    let registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &node::cache());
    let node = TestNode::start_in(sandbox, &["--registry", registry.url.as_str()]);
    console::follow(&node.sandbox, &Path::new(env!("CARGO_MANIFEST_DIR")).join(page));
}

#[test]
fn every_page_is_in_the_table_of_contents_and_no_link_is_dead() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let pages: BTreeSet<String> = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.ends_with(".md"))
        .collect();
    let links = |page: &str| {
        let text = file(&format!("docs/{page}"));
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let targets = targets.filter_map(|target| target.split('#').next()).filter(|target| !target.contains("://"));
        targets.filter(|target| !target.is_empty()).map(str::to_owned).collect::<BTreeSet<String>>()
    };
    for page in &pages {
        for target in links(page) {
            assert!(folder.join(&target).exists(), "docs/{page} has a link to `{target}`");
        }
    }
    let listed: BTreeSet<String> = links("README.md").into_iter().chain(["README.md".to_owned()]).collect();
    assert_eq!(listed, pages);
}
