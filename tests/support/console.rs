//! Follows a page of the book: types what its `console` and `sh` blocks say after `$`, in one shell session.

use std::{path::Path, process::Stdio};

use snapbox::{Data, IntoData, assert_data_eq};

use super::{Ran, Sandbox};

/// A command of a page, and what the page shows of its output.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Where in the page, from 1.
    pub line: usize,
    /// Without the `$`.
    pub command: String,
    /// Nothing when the page shows nothing.
    pub output: String,
}

/// The commands of all blocks but those marked `ignore`. A command goes on where its line ends in `\`, and on lines that
/// begin with `> `, as a shell shows them; the lines after it up to the next `$`, or the end of the block, are its output, where `[..]` and a line `...` stand for anything.
pub fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut in_block, mut is_run, mut goes_on) = (false, false, false);
    // The first step of this block.
    let mut first = 0;
    for (at, line) in page.lines().enumerate() {
        if let Some(info) = line.strip_prefix("```") {
            let mut words = info.split_whitespace();
            let is_console = matches!(words.next(), Some("console" | "sh"));
            is_run = !in_block && is_console && !words.any(|word| word == "ignore");
            (in_block, goes_on, first) = (!in_block, false, steps.len());
            continue;
        }
        if !is_run {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            goes_on = command.ends_with('\\');
            steps.push(Step { line: at + 1, command: command.to_owned(), output: String::new() });
        } else if steps.len() > first
            && let Some(step) = steps.last_mut()
        {
            let text = line.strip_prefix("> ").or(line.strip_prefix('>').filter(|rest| rest.is_empty()));
            if let Some(text) = text.filter(|_| step.output.is_empty()) {
                step.command.push('\n');
                step.command.push_str(text);
            } else if goes_on {
                step.command.push('\n');
                step.command.push_str(line);
                goes_on = line.ends_with('\\');
            } else {
                step.output.push_str(line);
                step.output.push('\n');
            }
        }
    }
    steps
}

/// Whether it starts a server, which whoever follows the page has running already.
fn is_server(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    matches!(words.as_slice(), ["napt", "registry" | "node" | "dev", rest @ ..] if rest.first() != Some(&"fsck"))
}

/// Types all of a page. Variables and the folder stay from one command to the next.
pub fn follow(sandbox: &Sandbox, page: &Path) {
    follow_with(sandbox, page, |_| {});
}

/// The same, with something to do after each step, those included that start a server.
pub fn follow_with(sandbox: &Sandbox, page: &Path, mut after: impl FnMut(&Step)) {
    let text = std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let steps = steps(&text);
    assert!(steps.iter().any(|step| step.command.starts_with("napt ")), "{} types nothing", page.display());
    for step in &steps {
        if is_server(&step.command) {
            after(step);
            continue;
        }
        let place = format!("{}:{}: {}", page.display(), step.line, step.command);
        let ran = type_in(sandbox, &step.command);
        assert_eq!(ran.code, Some(0), "{place}\n{}", ran.stdout);
        if !step.output.is_empty() {
            let expected: Data = step.output.as_str().into_data();
            let shown = std::panic::catch_unwind(|| assert_data_eq!(&ran.stdout, expected));
            assert!(shown.is_ok(), "{place}\nwhat it really printed:\n{}", ran.stdout);
        }
        after(step);
    }
}

/// One command, with stdout and stderr as a terminal shows them.
fn type_in(sandbox: &Sandbox, command: &str) -> Ran {
    let session = sandbox.home().join("session");
    std::fs::create_dir_all(&session).expect("a folder");
    let script = format!(
        "set -a\nexec 2>&1\n\
         if [ -f '{0}/variables' ]; then . '{0}/variables'; cd \"$(cat '{0}/folder')\"; fi\n\
         {command}\n\
         code=$?\nexport -p > '{0}/variables'\npwd > '{0}/folder'\nexit $code\n",
        session.display()
    );
    let napt = sandbox.command(&[]);
    let binary = Path::new(napt.get_program()).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg(script).current_dir(sandbox.work()).env_clear().stdin(Stdio::null());
    shell.envs(napt.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", format!("{}:{path}", binary.display()));
    Ran::of(shell.output().expect("a shell"))
}
