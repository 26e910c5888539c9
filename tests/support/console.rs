//! Reads the blocks of a page of the book, and follows it: types what its `console` and `sh` blocks say after `$`, in one
//! shell session.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::Signal;
use snapbox::{Data, IntoData, assert_data_eq};

use super::{Ran, Sandbox, dev::TestDev};

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Where its first line is in the page, from 1.
    pub line: usize,
    /// The first word behind the fence.
    pub language: &'a str,
    /// What follows `ignore`, of a block that is not typed: `: REASON`.
    pub ignored: Option<&'a str>,
    /// What is in it.
    pub text: String,
}

impl Block<'_> {
    /// Whether it shows a shell.
    pub fn is_console(&self) -> bool {
        matches!(self.language, "console" | "sh")
    }
}

/// The blocks of a page.
pub fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut is_open = false;
    for (at, line) in page.lines().enumerate() {
        if let Some(info) = line.strip_prefix("```") {
            is_open = !is_open;
            if is_open {
                let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
                let ignored = rest.strip_prefix("ignore");
                blocks.push(Block { line: at + 2, language, ignored, text: String::new() });
            }
        } else if let Some(block) = blocks.last_mut().filter(|_| is_open) {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    blocks
}

/// A command of a page, and what the page shows of its output.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Where in the page, from 1.
    pub line: usize,
    /// Without the `$`; `^C` is that key.
    pub command: String,
    /// Nothing when the page shows nothing.
    pub output: String,
}

/// The commands of a console block. A command goes on where its line ends in `\`, and on lines that begin with `> `, as a
/// shell shows them; the lines after it up to the next `$`, or the end of the block, are its output, where `[..]` and a
/// line `...` stand for anything.
pub fn commands(block: &Block<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for (at, line) in block.text.lines().enumerate() {
        if let Some(command) = line.strip_prefix("$ ").or(Some(line).filter(|line| *line == "^C")) {
            goes_on = command.ends_with('\\');
            steps.push(Step { line: block.line + at, command: command.to_owned(), output: String::new() });
        } else if let Some(step) = steps.last_mut() {
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

/// What is typed of a page.
pub fn steps(page: &str) -> Vec<Step> {
    let typed = blocks(page).into_iter().filter(|block| block.is_console() && block.ignored.is_none());
    typed.flat_map(|block| commands(&block)).collect()
}

/// The calls of napt in a shell script, as words without `napt`; those in a `$(…)` too.
pub fn napt_calls(script: &str) -> Vec<Vec<String>> {
    let mut pieces = vec![String::new()];
    // The quote that is open, and those around the `$(` that are.
    let (mut quote, mut around) = (None, Vec::new());
    let script = script.replace("\\\n", " ");
    let mut rest = script.chars().peekable();
    while let Some(c) = rest.next() {
        let is_word = pieces.last().is_some_and(|piece| !piece.is_empty() && !piece.ends_with(' '));
        match (quote, c) {
            (_, '$') if quote != Some('\'') && rest.peek() == Some(&'(') => {
                rest.next();
                around.push((quote.take(), std::mem::take(pieces.last_mut().expect("one"))));
            }
            (None, ')') => {
                let (outer, before) = around.pop().unwrap_or_default();
                quote = outer;
                pieces.push(format!("{before}$"));
            }
            (None, '|' | '&' | ';' | '<' | '>' | '(' | '\n') => pieces.push(String::new()),
            (None, '#') if !is_word => while rest.next_if(|c| *c != '\n').is_some() {},
            (open, c) => {
                if open == Some(c) {
                    quote = None;
                } else if open.is_none() && matches!(c, '"' | '\'') {
                    quote = Some(c);
                }
                pieces.last_mut().expect("one").push(c);
            }
        }
    }
    let mut calls = Vec::new();
    for piece in
        pieces.iter().map(|piece| piece.trim()).filter(|piece| piece.contains("napt") || piece.contains("cargo"))
    {
        let words = shell_words::split(piece).unwrap_or_else(|error| panic!("{piece}: {error}"));
        let is_before = |word: &&String| {
            word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
                || *word == "time"
        };
        let words: Vec<String> = words.iter().skip_while(is_before).cloned().collect();
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["napt", ..] => calls.push(words[1..].to_vec()),
            ["cargo", "run", "--", ..] => calls.push(words[3..].to_vec()),
            _ => {}
        }
    }
    calls
}

/// Fails unless napt understands each call of it in a script; the answer is how many there are.
#[track_caller]
pub fn understands(script: &str) -> usize {
    let calls = napt_calls(script);
    for call in &calls {
        let parse = |words: Vec<&String>| {
            napt::cli::command()
                .try_get_matches_from(std::iter::once("napt").chain(words.into_iter().map(String::as_str)))
        };
        // What a variable stands for is not known here; it may be several words, or none.
        let parsed = parse(call.iter().collect())
            .or_else(|_| parse(call.iter().filter(|word| !word.starts_with('$')).collect()));
        let error = parsed.err().filter(clap::Error::use_stderr);
        assert!(error.is_none(), "napt {}: {}", call.join(" "), error.expect("it is one"));
    }
    calls.len()
}

/// Types all of a page. Variables and the folder stay from one command to the next.
///
/// The lines `napt registry` and `napt node` stand for the servers that the sandbox has; `napt dev` is started, and ended
/// by `^C`, or else at the end of the page. Where it runs, a file that is changed is waited for.
pub fn follow(sandbox: &Sandbox, page: &Path) {
    let text = std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let steps = steps(&text);
    assert!(steps.iter().any(|step| step.command.starts_with("napt ")), "{} types nothing", page.display());
    let mut session = Session::new(sandbox);
    for step in &steps {
        let place = format!("{}:{}: {}", page.display(), step.line, step.command);
        let printed = session.step(&step.command, &place);
        if !step.output.is_empty()
            && let Some(printed) = printed
        {
            let expected: Data = any_port(&step.output).into_data();
            let shown = std::panic::catch_unwind(|| assert_data_eq!(&printed, expected));
            assert!(shown.is_ok(), "{place}\nwhat it really printed:\n{printed}");
        }
    }
}

/// The ports of pages are those of servers that were started without flags.
fn any_port(text: &str) -> String {
    ["7001", "7080"]
        .iter()
        .fold(text.to_owned(), |text, port| text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:[..]"))
}

/// A line of `napt dev` as a terminal has it, its verb to the right.
fn as_shown(line: &str) -> String {
    let (verb, what) = line.split_once(' ').unwrap_or((line, ""));
    format!("{verb:>12} {what}\n")
}

/// A shell, and the `napt dev` that runs beside it.
struct Session<'a> {
    sandbox: &'a Sandbox,
    dev: Option<TestDev>,
}

/// The servers of a sandbox, which its user has put into `config.toml`: `napt dev` goes before that, as it does for users.
const SERVERS: [(&str, &str); 2] = [("registry", "NAPT_REGISTRY"), ("node", "NAPT_NODE")];

impl<'a> Session<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        for (key, variable) in SERVERS {
            if let Some(url) = variable_of(sandbox, variable) {
                sandbox.napt(&["config", "set", key, &url]).expect(0);
            }
        }
        Session { sandbox, dev: None }
    }

    /// What it prints; nothing of a server that runs already.
    fn step(&mut self, command: &str, place: &str) -> Option<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["^C"] => {
                let (code, lines) = self.dev.take().unwrap_or_else(|| panic!("{place}: nothing runs")).end(Signal::INT);
                assert_eq!(code, Some(0), "{place}");
                Some(lines.iter().map(|line| as_shown(line)).collect())
            }
            ["napt", "dev"] => {
                let folder = self.folder();
                let mut dev = TestDev::begin(self.sandbox, folder.to_str().expect("UTF-8"), &[]);
                let lines = dev.until("Watching");
                self.dev = Some(dev);
                Some(lines.iter().map(|line| as_shown(line)).collect())
            }
            ["napt", server @ ("registry" | "node")] => {
                let (_, variable) = SERVERS.iter().find(|(name, _)| name == server).expect("one of the two");
                assert!(variable_of(self.sandbox, variable).is_some(), "{place}: the test of this page starts none");
                None
            }
            ["napt", "registry" | "node" | "dev", flag, ..] if flag.starts_with('-') => {
                panic!("{place}: a block that starts a server with flags is marked `ignore: WHY`")
            }
            _ => {
                let ran = self.run(command);
                assert_eq!(ran.code, Some(0), "{place}\n{}", ran.stdout);
                if let Some(dev) = self.dev.as_mut().filter(|_| matches!(words.first(), Some(&("perl" | "echo")))) {
                    dev.until_any(&["Reloaded", "Keeping", "Mended"]);
                }
                Some(ran.stdout)
            }
        }
    }

    fn state(&self) -> PathBuf {
        self.sandbox.home().join("session")
    }

    /// Where the shell is.
    fn folder(&self) -> PathBuf {
        let kept = std::fs::read_to_string(self.state().join("folder"));
        kept.map_or_else(|_| self.sandbox.work(), |path| PathBuf::from(path.trim_end()))
    }

    /// One command, with stdout and stderr as a terminal shows them.
    fn run(&self, command: &str) -> Ran {
        let state = self.state();
        std::fs::create_dir_all(&state).expect("a folder");
        let script = format!(
            "set -a\nexec 2>&1\n\
             if [ -f '{0}/variables' ]; then . '{0}/variables'; cd \"$(cat '{0}/folder')\"; fi\n\
             {command}\n\
             code=$?\nexport -p > '{0}/variables'\npwd > '{0}/folder'\nexit $code\n",
            state.display()
        );
        let napt = self.sandbox.command(&[]);
        let binary = Path::new(napt.get_program()).parent().expect("a folder");
        let path = variable_of(self.sandbox, "PATH").unwrap_or_default();
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(script).current_dir(self.sandbox.work()).env_clear().stdin(Stdio::null());
        shell.envs(napt.get_envs().filter_map(|(name, value)| Some((name, value?))));
        SERVERS.iter().for_each(|(_, variable)| {
            shell.env_remove(variable);
        });
        shell.env("PATH", format!("{}:{path}", binary.display()));
        Ran::of(shell.output().expect("a shell"))
    }
}

fn variable_of(sandbox: &Sandbox, variable: &str) -> Option<String> {
    let napt = sandbox.command(&[]);
    let value = napt.get_envs().find(|(name, _)| *name == variable)?.1?;
    Some(value.to_str().expect("UTF-8").to_owned())
}
