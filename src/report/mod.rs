//! What a verb says while it works, and how every room's error speaks: its kind, which becomes the exit code,
//! and its hint, which says what to do next.

mod client;
mod inspection;
mod progress;

use std::fmt;

pub use inspection::{Finding, Inspection};
pub use progress::{Amount, Meter, Progress, Relayed};

/// What went wrong, as far as the caller of the program needs to know. Documented in `docs/exit-codes.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something that was asked for could not be done.
    Failed,
    /// The command line, or a value on it, makes no sense.
    Usage,
    /// A check found problems.
    Check,
    /// A server or the network is unavailable.
    Network,
    /// Not signed in, or not allowed.
    Auth,
    /// It exists already, and differs.
    Conflict,
    /// A defect of napt itself.
    Bug,
    /// The user interrupted the command.
    Interrupted,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 8] = [
        Kind::Failed,
        Kind::Usage,
        Kind::Check,
        Kind::Network,
        Kind::Auth,
        Kind::Conflict,
        Kind::Bug,
        Kind::Interrupted,
    ];

    /// When a command ends with it, for the manual.
    pub fn meaning(self) -> &'static str {
        match self {
            Kind::Failed => {
                "something that was asked for could not be done: a run ended in an error, a file cannot be read"
            }
            Kind::Usage => "the command line, or a value on it, makes no sense",
            Kind::Check => {
                "problems were found in a module, by `napt check` or before packaging; or `fsck` found damage in a server's data"
            }
            Kind::Network => "a registry or node cannot be reached, or does not answer like one",
            Kind::Auth => "not signed in, or not allowed",
            Kind::Conflict => {
                "it exists already and differs, as a version that was published with other content; or another process uses it"
            }
            Kind::Bug => "a defect of napt itself; please report it",
            Kind::Interrupted => "Ctrl-C, after what was begun has been asked to end",
        }
    }

    /// The process exit code of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Check => 3,
            Kind::Network => 4,
            Kind::Auth => 5,
            Kind::Conflict => 6,
            Kind::Bug => 70,
            Kind::Interrupted => 130,
        }
    }
}

/// An error of one of the library rooms.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// Which exit code it deserves.
    fn kind(&self) -> Kind {
        Kind::Failed
    }

    /// What the user can do about it, as a phrase.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// An error on its way to the user: kind, message with its chain of causes, hints.
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// The message and its causes.
    pub error: anyhow::Error,
    /// What to do next.
    pub hints: Vec<String>,
    /// What was found, for the `data` of the JSON envelope.
    pub data: Option<serde_json::Value>,
}

impl Failure {
    /// A failure of the given kind.
    pub fn new(kind: Kind, message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Failure { kind, error: anyhow::Error::msg(message), hints: Vec::new(), data: None }
    }

    /// Adds what the user can do next.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what was found, for programs.
    #[must_use]
    pub fn with_data(mut self, data: serde_json::Value) -> Self {
        self.data = Some(data);
        self
    }

    /// Adds a cause below the message.
    #[must_use]
    pub fn caused_by(self, cause: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        let message = self.error.to_string();
        Failure { error: anyhow::Error::msg(cause).context(message), ..self }
    }

    /// Puts a sentence in front: what was being done when it went wrong.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display + Send + Sync + 'static) -> Self {
        self.error = self.error.context(context);
        self
    }

    /// The message, then each cause.
    pub fn messages(&self) -> Vec<String> {
        self.error.chain().map(ToString::to_string).collect()
    }
}

impl<E: Fault> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure { kind: error.kind(), hints: error.hint().into_iter().collect(), data: None, error: error.into() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure { kind: Kind::Failed, hints: Vec::new(), data: None, error }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure { kind: Kind::Failed, hints: Vec::new(), data: None, error: error.into() }
    }
}

/// Who a verb tells what it does. Only `shell` draws it; tests and servers pass [`Silent`].
pub trait Reporter: Send + Sync {
    /// A step: a verb of at most 12 letters ("Packaging") and what it is about.
    fn step(&self, verb: &str, what: &str);
    /// Something that the user should know but that stops nothing.
    fn warn(&self, message: &str);
    /// A line of detail, shown only with `-v`.
    fn detail(&self, message: &str);
    /// Begins something long, with the verb of its step: a bar on a terminal for as long as the answer lives. Elsewhere
    /// nothing, since [`Reporter::step`] has told already what is being done.
    fn progress(&self, _verb: &str, _amount: Amount) -> Progress {
        Progress::unseen()
    }
    /// Whether the user has interrupted: what computes for long asks now and then, and ends.
    fn is_interrupted(&self) -> bool {
        false
    }
}

/// A reporter that says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn step(&self, _verb: &str, _what: &str) {}
    fn warn(&self, _message: &str) {}
    fn detail(&self, _message: &str) {}
}

/// The candidate that `given` was probably meant to be, if one is near enough.
pub fn did_you_mean<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&given.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len().min(given.len()) / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What to do about a name that is none: the one that was probably meant, else what `otherwise` says.
pub fn did_you_mean_or<'a>(
    given: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    did_you_mean(given, candidates).map_or_else(otherwise, |near| format!("did you mean `{near}`?"))
}

/// `1 module`, `2 modules`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
