//! `napt explain`

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::{
    check::{self, Part, RULES, Rule},
    context::Context,
    report::Failure,
    shell::Output,
};

/// Say what a rule of `napt check` finds, and why it matters
///
/// Without a rule, all of them are listed with their levels.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt explain
  napt explain unknown-key")]
pub(super) struct Args {
    /// The rule's name, as messages show it in brackets
    rule: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, _context: &Context) -> Result<Output, Failure> {
        match &self.rule {
            Some(name) => {
                let rule = check::explain(name)?;
                Ok(Output::new(format!("{}\n\n{}", rule.name, rule.page().trim_end()), one(rule)))
            }
            None => {
                let width = RULES.iter().map(|rule| rule.name.len()).max().unwrap_or_default();
                let line = |rule: &&Rule| format!("{:width$}  {:5}  {}", rule.name, rule.level_name(), rule.summary);
                let human = RULES.iter().map(line).collect::<Vec<_>>().join("\n");
                Ok(Output::new(human, json!({ "rules": RULES.iter().map(|rule| entry(rule)).collect::<Vec<_>>() })))
            }
        }
    }
}

fn entry(rule: &Rule) -> Value {
    json!({
        "rule": rule.name,
        "level": rule.level_name(),
        "summary": rule.summary,
        "fixable": rule.fix.is_some(),
    })
}

fn one(rule: &Rule) -> Value {
    let parts = |parts: &[Part]| -> Vec<Value> {
        let file = |part: &Part| match part {
            Part::File(path, text) => json!({ "path": path, "text": text }),
            Part::Without(path) => json!({ "path": path, "text": null }),
        };
        parts.iter().map(file).collect()
    };
    json!({
        "rule": rule.name,
        "level": rule.level_name(),
        "summary": rule.summary,
        "docs": rule.docs,
        "bad": parts(rule.example.bad),
        "good": parts(rule.example.good),
        "fix": rule.fix,
    })
}
