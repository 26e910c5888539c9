//! The only room that prints. Results go to stdout, talk to stderr; the JSON envelope is one object on stdout.

mod ask;
mod harmless;
mod progress;

use std::{
    io::{IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use harmless::harmless;
use progress::Bars;
use serde_json::{Value, json};

use crate::{
    report::{Amount, Failure, Progress, Reporter},
    secrets::redact,
};

/// How messages and results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum MessageFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object on stdout.
    Json,
    /// Annotations of a GitHub workflow (`napt check`); for people otherwise.
    Github,
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Errors and results only.
    Quiet,
    /// Steps and warnings too.
    #[default]
    Normal,
    /// Details too.
    Verbose,
    /// What libraries log too.
    Debug,
}

/// What a command found or did: the same thing for people and for programs.
#[derive(Debug, Default)]
pub struct Output {
    /// For stdout, without a final newline; empty prints nothing.
    pub human: String,
    /// The `data` of the JSON envelope.
    pub data: Value,
    /// Whether it is a secret that was asked for, and so is shown as it is.
    revealed: bool,
    /// The exit code of a program that was run, which becomes napt's.
    pub code: u8,
}

impl Output {
    /// An output for people and its data.
    pub fn new(human: impl Into<String>, data: Value) -> Self {
        Output { human: human.into(), data, revealed: false, code: 0 }
    }

    /// The same, shown as it is: for a new secret, which is told this once.
    pub fn revealed(self) -> Self {
        Output { revealed: true, ..self }
    }

    /// The same, of a program that has ended with this exit code.
    pub fn ended(self, code: u8) -> Self {
        Output { code, ..self }
    }
}

/// The terminal, or what stands in its place.
#[derive(Debug)]
pub struct Shell {
    /// How results are written.
    pub format: MessageFormat,
    verbosity: Verbosity,
    bars: Bars,
    interrupted: Arc<AtomicBool>,
}

const STEP: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

impl Shell {
    /// A shell on the process's own stdout and stderr. Colour follows `anstream`'s global choice.
    pub fn new(format: MessageFormat, verbosity: Verbosity) -> Self {
        Shell { format, verbosity, bars: Bars::new(format, verbosity), interrupted: Arc::default() }
    }

    /// Another shell like this one, for a command within a command.
    pub fn again(&self) -> Self {
        Shell { interrupted: Arc::clone(&self.interrupted), ..Shell::new(self.format, self.verbosity) }
    }

    /// Where it is written down that the user has interrupted.
    pub fn interrupted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupted)
    }

    /// Whether a person can be asked: stdin and stderr are terminals and results are for people.
    pub fn is_interactive(&self) -> bool {
        self.format == MessageFormat::Human && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// A text as it may be shown: without secrets, and to people without what does things to their terminal.
    fn shown(&self, text: &str) -> String {
        let text = redact(text);
        if self.format == MessageFormat::Json { text } else { harmless(&text).into_owned() }
    }

    fn talk(&self, line: &str) {
        self.bars.suspend(|| {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(anstream::stderr().lock(), "{}", self.shown(line));
        });
    }

    /// Writes a line of a result to stdout as it comes (logs, live output).
    pub fn line(&self, text: &str) -> std::io::Result<()> {
        self.bars.suspend(|| writeln!(anstream::stdout().lock(), "{}", self.shown(text)))
    }

    /// Writes a piece of a result to stdout at once; a secret in pieces is not seen as one.
    pub fn piece(&self, text: &str) -> std::io::Result<()> {
        self.bars.suspend(|| {
            let mut stdout = anstream::stdout().lock();
            write!(stdout, "{}", self.shown(text))?;
            stdout.flush()
        })
    }

    /// Writes a command's result.
    pub fn output(&self, command: &str, output: &Output) -> std::io::Result<()> {
        let text = match self.format {
            MessageFormat::Json => envelope(command, true, "data", output.data.clone()).to_string(),
            MessageFormat::Human | MessageFormat::Github if output.human.is_empty() => return Ok(()),
            MessageFormat::Human | MessageFormat::Github => output.human.clone(),
        };
        if output.revealed { writeln!(anstream::stdout().lock(), "{text}") } else { self.line(&text) }
    }

    /// Writes the result of a command within a command: people see it, programs get it in the outer one's envelope.
    pub fn human(&self, output: &Output) -> std::io::Result<()> {
        if self.format == MessageFormat::Json || output.human.is_empty() { Ok(()) } else { self.line(&output.human) }
    }

    /// Tells a program what has happened while a command goes on: one JSON line on stdout. People get nothing.
    pub fn event(&self, event: &str, data: &Value) -> std::io::Result<()> {
        match self.format {
            MessageFormat::Json => self.line(&json!({ "format": 1, "event": event, "data": data }).to_string()),
            MessageFormat::Human | MessageFormat::Github => Ok(()),
        }
    }

    /// Sends the log to stderr: that of a server, or all of it with `-vv`.
    pub fn start_log(&self) {
        let level = match self.verbosity {
            Verbosity::Quiet => "error",
            // The watcher of folders warns of those that are gone, as they often are.
            Verbosity::Normal => "warn,napt=info,notify=error",
            Verbosity::Verbose => "info,napt=debug,tower_http=debug,pubgrub=warn,notify=error",
            // Below `info`, these may log what is sent, and so tokens.
            Verbosity::Debug => "debug,napt=trace,hyper=info,h2=info,rustls=info,tungstenite=info",
        };
        let is_coloured = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
        let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(is_coloured);
        // A second log in one process changes nothing.
        let _ = log.with_env_filter(level).try_init();
    }

    /// Writes why a command failed: message, causes, hints.
    pub fn failure(&self, command: &str, failure: &Failure) -> std::io::Result<()> {
        if self.format == MessageFormat::Json {
            let mut envelope = envelope(command, false, "error", error_of(failure));
            if let Some(data) = &failure.data {
                envelope["data"] = data.clone();
            }
            return self.line(&envelope.to_string());
        }
        self.complain(failure);
        Ok(())
    }

    /// Tells people of a failure that ends nothing.
    pub fn complain(&self, failure: &Failure) {
        self.talk(&told(failure));
    }

    /// A problem in detail, ahead of the failure that it leads to.
    pub fn problem(&self, text: &str) {
        self.talk(text);
    }

    /// A note beside a result: where things are, what to do next.
    pub fn note(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.talk(text);
        }
    }

    /// Takes what shows progress off the terminal, for the end or a question.
    pub fn clear_progress(&self) {
        self.bars.clear();
    }
}

/// A failure as the envelope has it.
pub fn error_of(failure: &Failure) -> Value {
    let messages = messages(failure);
    json!({
        "kind": failure.kind,
        "message": messages.first(),
        "causes": messages.get(1..).unwrap_or_default(),
        "hints": failure.hints,
    })
}

/// A failure as people are told of it: message, causes, hints.
pub fn told(failure: &Failure) -> String {
    let messages = messages(failure);
    let mut parts = messages.iter();
    let mut text = format!("{ERROR}error{ERROR:#}: {}", parts.next().map_or("unknown", String::as_str));
    for cause in parts {
        text.push_str(&format!("\n  caused by: {}", cause.replace('\n', "\n  ")));
    }
    for hint in &failure.hints {
        text.push_str(&format!("\n\n{HINT}hint{HINT:#}: {hint}"));
    }
    text
}

fn messages(failure: &Failure) -> Vec<String> {
    let mut messages = failure.messages();
    messages.dedup();
    messages
}

fn envelope(command: &str, ok: bool, key: &str, value: Value) -> Value {
    json!({ "format": 1, "command": command, "ok": ok, key: value })
}

impl Reporter for Shell {
    fn step(&self, verb: &str, what: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.talk(&format!("{STEP}{verb:>12}{STEP:#} {what}"));
        }
    }

    fn warn(&self, message: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.talk(&format!("{WARNING}warning{WARNING:#}: {message}"));
        }
    }

    fn detail(&self, message: &str) {
        if self.verbosity >= Verbosity::Verbose {
            self.talk(&format!("{:13}{message}", ""));
        }
    }

    fn progress(&self, verb: &str, amount: Amount) -> Progress {
        self.bars.begin(verb, amount)
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}
