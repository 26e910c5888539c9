//! `napt new`: a project from a template.

use std::{collections::BTreeMap, io};

use serde_json::json;

use crate::{
    context::Context,
    report::Failure,
    scaffold::{self, Ask, Defaults, NewOptions, Variable, VariableKind},
    shell::{Output, Shell},
};

/// Make a project from a template
///
/// `orchestrator` makes a workspace that runs at once: an orchestrator, the agent that it drives, and the knowledge
/// base of their conversation. `agent` and `kb` make a project of one module. On a terminal it asks for what is not
/// given; elsewhere, and with `--yes`, it takes the defaults.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  napt new orchestrator debate
  napt new orchestrator debate --yes --set rounds=3 --set model=ollama
  napt new agent summariser --set 'role=an editor' --set model=openai

Variables:
  all           description, author
  orchestrator  rounds, model (echo, openai or ollama)
  agent         role, model (echo, openai or ollama)")]
pub(super) struct Args {
    /// orchestrator, agent or kb
    #[arg(value_name = "TYPE")]
    template: String,

    /// The module's name, and the folder's
    name: String,

    /// Give a variable of the template a value
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,

    /// Ask nothing: take the defaults
    #[arg(long, short)]
    yes: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let options = NewOptions {
            template: self.template.clone(),
            name: self.name.clone(),
            parent: context.cwd.clone(),
            values: BTreeMap::from_iter(self.set.iter().cloned()),
        };
        let shell = &context.shell;
        let created = if self.yes || !shell.is_interactive() {
            scaffold::new_project(&options, &Defaults, shell)?
        } else {
            scaffold::new_project(&options, &Person(shell), shell)?
        };
        let next = created.next.iter().map(|command| format!("\n  {command}")).collect::<String>();
        shell.note(&format!("\nnext:\n  cd {}{next}", created.name));
        Ok(Output::new("", json!(created)))
    }
}

/// Somebody at a terminal.
struct Person<'a>(&'a Shell);

impl Ask for Person<'_> {
    fn ask(&self, variable: &Variable, default: &str) -> io::Result<String> {
        let prompt = match &variable.kind {
            VariableKind::Choice { choices, .. } => format!("{} ({})", variable.prompt, choices.join(", ")),
            VariableKind::Bool { .. } => format!("{} (true, false)", variable.prompt),
            VariableKind::String { .. } | VariableKind::Integer { .. } => variable.prompt.clone(),
        };
        let check = |text: &str| variable.parse(text).map(drop).map_err(|error| error.to_string());
        self.0.ask_text(&prompt, default, &check)
    }
}
