//! The book is one: its pages are listed, its links lead somewhere, and what it says to type works.

use std::{collections::BTreeSet, path::Path};

use crate::support::{
    Sandbox,
    console::{self, Step, blocks},
    modules,
    node::{self, TestNode},
    python,
    registry::TestRegistry,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and all pages of the book, by path.
fn pages() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join("docs")).expect("a folder").map(|entry| entry.expect("an entry"));
    let names =
        entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).filter(|name| name.ends_with(".md"));
    let paths = names.map(|name| format!("docs/{name}")).chain(["README.md".to_owned()]);
    paths.map(|path| (path.clone(), std::fs::read_to_string(root().join(path)).expect("a page"))).collect()
}

/// The pages that are followed, with what each finds: a test each, and the list of them.
macro_rules! followed {
    ($($test:ident: $page:literal $ground:ident,)*) => {
        $(#[test]
        fn $test() {
            $ground(&root().join($page));
        })*

        const FOLLOWED: &[&str] = &[$($page),*];
    };
}

followed! {
    the_readme_can_be_followed: "README.md" servers,
    the_tutorial_can_be_followed: "docs/tutorial.md" servers,
    adopting_can_be_followed: "docs/adopt.md" servers,
    checking_can_be_followed: "docs/check.md" nothing,
    coming_from_naptha_can_be_followed: "docs/naptha.md" servers_and_sdk,
    composing_can_be_followed: "docs/compose.md" servers,
    developing_can_be_followed: "docs/dev.md" nothing,
    publishing_can_be_followed: "docs/publish.md" servers,
    deploying_can_be_followed: "docs/deploy.md" servers,
    pipelines_can_be_followed: "docs/ci.md" a_persona,
    operating_can_be_followed: "docs/operations.md" backups,
    storing_can_be_followed: "docs/storage.md" servers,
    models_can_be_followed: "docs/inference.md" servers,
    secrets_can_be_followed: "docs/secrets.md" servers,
    settings_can_be_followed: "docs/settings.md" servers,
}

/// A home and a folder, both empty.
fn nothing(page: &Path) {
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &node::cache());
    console::follow(&sandbox, page);
}

/// A registry and a node that nobody has used.
fn servers(page: &Path) {
    let registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &node::cache());
    let node = TestNode::start_in(sandbox, &["--registry", registry.url.as_str()]);
    console::follow(&node.sandbox, page);
}

/// The same, and Naptha's SDK on the path.
fn servers_and_sdk(page: &Path) {
    let registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &node::cache());
    let bin = python::with_sdk().parent().expect("a folder").to_str().expect("UTF-8");
    let path = std::env::var("PATH").unwrap_or_default();
    sandbox.set("PATH", &format!("{bin}:{path}"));
    let node = TestNode::start_in(sandbox, &["--registry", registry.url.as_str()]);
    console::follow(&node.sandbox, page);
}

/// The folder of a module, and a registry.
fn a_persona(page: &Path) {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    modules::write(&sandbox, ".", "persona:ada", "0.1.0", "");
    console::follow(&sandbox, page);
}

/// The data of a registry and of a node that do not run, and copies of it.
fn backups(page: &Path) {
    let mut registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &node::cache());
    modules::write(&sandbox, "d", "kb:d", "1.0.0", "");
    sandbox.napt(&["login"]).expect(0);
    sandbox.napt(&["publish", "--no-verify", "-C", "d"]).expect(0);
    let mut node = TestNode::start_in(sandbox, &[]);
    node.napt(&["deploy", "kb:d"]).expect(0);
    node.kill();
    registry.stop();
    let (work, of_user) = (node.sandbox.work(), node.sandbox.home().join("napt/data/registry"));
    super::registry_fsck::copy(registry.data(), &of_user);
    super::registry_fsck::copy(registry.data(), &work.join("backup"));
    super::registry_fsck::copy(&node.data(), &work.join("node-backup"));
    console::follow(&node.sandbox, page);
}

#[test]
fn every_page_with_commands_is_followed_and_says_why_where_it_is_not() {
    let mut with_commands = BTreeSet::new();
    for (path, text) in pages() {
        for block in blocks(&text).into_iter().filter(console::Block::is_console) {
            let reason = block.ignored.map(|rest| rest.strip_prefix(": ").unwrap_or_default().trim());
            match reason {
                None => with_commands.insert(path.clone()),
                Some(reason) => {
                    assert!(reason.len() > 8, "{path}:{}: `ignore` wants a reason: `ignore: WHY`", block.line);
                    continue;
                }
            };
            assert!(!console::commands(&block).is_empty(), "{path}:{}: no line begins with `$ `", block.line);
        }
    }
    let followed: BTreeSet<String> = FOLLOWED.iter().map(|page| (*page).to_owned()).collect();
    assert_eq!(with_commands, followed);
}

#[test]
fn napt_understands_every_command_of_the_book() {
    let mut calls = 0;
    for (path, text) in pages() {
        for block in blocks(&text) {
            let script: Vec<String> = match block.language {
                "console" => console::commands(&block).into_iter().map(|step| step.command).collect(),
                "sh" => block.text.lines().map(|line| line.strip_prefix("$ ").unwrap_or(line).to_owned()).collect(),
                // A step of a pipeline.
                "yaml" => block.text.lines().map(|line| line.trim_start_matches([' ', '-']).to_owned()).collect(),
                _ => continue,
            };
            let typed = std::panic::catch_unwind(|| console::understands(&script.join("\n")));
            calls += typed.unwrap_or_else(|_| panic!("{path}:{}", block.line));
        }
        // The lines of blocks begin with a fence, an even number of marks each.
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with("```")) {
            for code in line.split('`').skip(1).step_by(2).filter(|code| code.starts_with("napt ")) {
                names(code).unwrap_or_else(|what| panic!("{path}:{}: `{code}`: {what}", at + 1));
            }
        }
    }
    assert!(calls > 100, "{calls}");
}

/// Whether a command in running text is one, as far as it goes: placeholders stand for anything.
fn names(code: &str) -> Result<(), String> {
    let root = napt::cli::command();
    let mut command = &root;
    for word in code.split_whitespace().skip(1).map(|word| word.trim_matches(['[', ']', '…', '|', '\\'])) {
        if word == "--" || command.find_subcommand(word).is_none() && !word.starts_with("--") {
            let is_word = word.chars().all(|c| c.is_ascii_lowercase()) && !word.is_empty();
            if is_word && command.get_name() == "napt" {
                return Err(format!("no command `{word}`"));
            }
        } else if let Some(option) = word.strip_prefix("--") {
            let option = option.split('=').next();
            let has = |command: &clap::Command| command.get_arguments().any(|argument| argument.get_long() == option);
            if !has(command) && !has(&root) && option != Some("help") && option != Some("version") {
                return Err(format!("no option `{word}`"));
            }
        } else if let Some(inner) = command.find_subcommand(word) {
            command = inner;
        }
    }
    Ok(())
}

#[test]
fn commands_are_read_from_a_page_with_their_output() {
    let page = "```console\nnot typed\n$ napt check\nall [..]\n\nis well\n$ napt run \\\n  x\n```\n$ napt no\n\
                ```console ignore: why\n$ napt no\n```\n```json\n$ napt no\n```\n```sh\nout\n$ cd a\n> b\n>\nc\n> d\n^C\nend\n```\n";
    let step = |line, command: &str, output: &str| Step { line, command: command.into(), output: output.into() };
    assert_eq!(
        console::steps(page),
        [
            step(3, "napt check", "all [..]\n\nis well\n"),
            step(7, "napt run \\\n  x", ""),
            step(19, "cd a\nb\n", "c\n> d\n"),
            step(24, "^C", "end\n"),
        ]
    );
}

#[test]
fn calls_of_napt_are_found_in_a_script() {
    let script = "RUN=$(napt run a:b -p \"x='y; z'\" --detach) # napt no\nNAPT_TOKEN=… napt node --open | napt check\n\
                  echo \"napt no $(napt token new) x\" 'napt $(no)'\ntime cargo run -- quickstart \\\n  d > napt.txt && napt\n\
                  printf \"$(napt config get \"a b\")\" > f; git commit -m 'napt'\n";
    let found: Vec<String> = console::napt_calls(script).iter().map(|words| words.join("|")).collect();
    assert_eq!(
        found,
        ["run|a:b|-p|x='y; z'|--detach", "node|--open", "check", "token|new", "quickstart|d", "", "config|get|a b"]
    );
}

#[test]
fn every_page_is_in_the_table_of_contents_and_no_link_is_dead() {
    let pages = pages();
    for (path, text) in &pages {
        for target in links(text) {
            let (file, anchor) =
                target.split_once('#').map_or((target.as_str(), None), |(file, part)| (file, Some(part)));
            let linked = match file {
                "" => root().join(path),
                file => root().join(path).parent().expect("a folder").join(file),
            };
            assert!(linked.exists(), "{path} has a link to `{target}`");
            if let Some(anchor) = anchor {
                let text = std::fs::read_to_string(&linked).expect("a page");
                assert!(anchors(&text).contains(anchor), "{path} has a link to `{target}`, which is no heading");
            }
        }
    }
    let (_, contents) = pages.iter().find(|(path, _)| path == "docs/README.md").expect("a table of contents");
    let listed: Vec<String> = links(contents).into_iter().filter(|target| target.ends_with(".md")).collect();
    let once: BTreeSet<String> = listed.iter().map(|page| format!("docs/{page}")).collect();
    assert_eq!(once.len(), listed.len(), "a page is listed twice: {listed:?}");
    let all: BTreeSet<String> = pages.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(&once | &["docs/README.md", "README.md"].map(str::to_owned).into(), all);
}

#[test]
fn the_architecture_has_every_room() {
    let (_, page) = include_str!("../../docs/architecture.md").split_once("## The house").expect("a section");
    let (table, _) = page.split_once("## Words").expect("the next section");
    let rooms =
        include_str!("../../src/lib.rs").lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let missing: Vec<&str> = rooms.filter(|room| !table.contains(&format!("`{room}`"))).collect();
    assert_eq!(missing, [""; 0]);
}

/// Where the links of a page lead within the repository.
fn links(page: &str) -> Vec<String> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The headings of a page, as links name them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let headings = page.lines().filter(|line| {
        in_block ^= line.starts_with("```");
        !in_block && line.starts_with('#')
    });
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        text.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect::<String>()
    };
    headings.map(anchor).collect()
}
