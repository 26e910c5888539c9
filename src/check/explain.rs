//! What is to be known about a rule, as Markdown: for `napt explain`, for the book and for code scanners alike.

use std::fmt::Write;

use super::rules::{Part, RULES, Rule};
use crate::{
    module::LintLevel,
    report::{Fault, Kind, did_you_mean_or},
};

/// There is no such rule.
#[derive(Debug, thiserror::Error)]
#[error("there is no rule `{0}`")]
pub struct UnknownRule(String);

impl Fault for UnknownRule {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hint(&self) -> Option<String> {
        let names = RULES.iter().map(|rule| rule.name);
        Some(did_you_mean_or(&self.0, names, || "`napt explain` lists all rules".to_owned()))
    }
}

/// The rule of that name.
pub fn explain(name: &str) -> Result<&'static Rule, UnknownRule> {
    RULES.iter().find(|rule| rule.name == name).copied().ok_or_else(|| UnknownRule(name.to_owned()))
}

impl std::str::FromStr for &'static Rule {
    type Err = UnknownRule;

    fn from_str(name: &str) -> Result<Self, UnknownRule> {
        explain(name)
    }
}

impl Rule {
    /// Its level as `[lints]` spells it.
    pub fn level_name(&self) -> &'static str {
        match self.level {
            LintLevel::Allow => "allow",
            LintLevel::Warn => "warn",
            LintLevel::Deny => "deny",
        }
    }

    /// All that is to be known about it, without a heading.
    pub fn page(&self) -> String {
        let mut characters = self.summary.chars();
        let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
        let mut page = format!("{first}{}.\n\n{}\n", characters.as_str(), self.docs);
        for (title, parts) in [("What it finds", self.example.bad), ("As it should be", self.example.good)] {
            // Writing to a string cannot fail.
            let _ = write!(page, "\n{title}:\n");
            for part in parts {
                let _ = match part {
                    Part::File(path, text) => {
                        write!(page, "\n`{path}`\n\n```{}\n{text}\n```\n", language(path))
                    }
                    Part::Without(path) => write!(page, "\nThere is no `{path}`.\n"),
                };
            }
        }
        let (level, name) = (self.level_name(), self.name);
        let fix = self.fix.map_or_else(|| "`--fix` leaves it to you.".to_owned(), |fix| format!("`--fix` {fix}."));
        let _ = write!(page, "\nLevel: `{level}`; `{name} = \"allow\"` in `[lints]` silences it. {fix}\n");
        page
    }
}

/// What a code block of a file's text is marked with.
fn language(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("json") => "json",
        Some("toml") => "toml",
        Some("py") => "python",
        Some("md") => "markdown",
        _ => "text",
    }
}
