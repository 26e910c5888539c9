//! `napt new`: a project from a template.

use std::{collections::BTreeMap, io, path::PathBuf};

use serde_json::json;

use crate::{
    check::editor_files,
    context::Context,
    report::Failure,
    scaffold::{self, Ask, Defaults, NewOptions, Variable, VariableKind},
    shell::{Output, Shell},
};

/// Make a project from a template
///
/// `orchestrator` makes a workspace that runs at once: an orchestrator, the agent that it drives, and the knowledge
/// base of their conversation; with `--bare`, the orchestrator alone. The other types make one module; a persona is
/// data. Where the members of a workspace reach, and with `--in`, the module joins it. A value is taken from `--set`,
/// else from `--values`, else asked for on a terminal; elsewhere, and with `--yes`, it is the default.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  napt new orchestrator debate
  napt new orchestrator debate --yes --set rounds=3 --set model=ollama
  napt new agent summariser --set 'role=an editor' --set model=openai
  napt new tool sums --in debate
  napt new orchestrator panel --bare --values answers.toml
  napt new orchestrator debate --lang rust

Variables:
  all           description, author
  orchestrator  rounds, model (echo, openai or ollama; not with --bare)
  agent         role, model (echo, openai or ollama)
  in Rust       the same, and of an orchestrator agents (rust or python)
  environment   highest
  persona       format (yaml or json)")]
pub(super) struct Args {
    /// orchestrator, agent, tool, kb, memory, environment or persona
    #[arg(value_name = "TYPE")]
    module_type: String,

    /// The module's name, and the folder's
    name: String,

    /// What it is written in; `rust` is for orchestrators and agents
    #[arg(long, value_enum, value_name = "LANGUAGE", default_value_t = Language::Python)]
    lang: Language,

    /// Only the orchestrator: no workspace, agent or knowledge base
    #[arg(long)]
    bare: bool,

    /// Join the workspace that this folder is in
    #[arg(long, value_name = "DIR")]
    r#in: Option<PathBuf>,

    /// Give a variable of the template a value
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,

    /// Take values from a TOML or JSON file
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,

    /// Ask nothing: take the defaults
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Language {
    Python,
    Rust,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let options = NewOptions {
            module_type: self.module_type.clone(),
            language: match self.lang {
                Language::Python => scaffold::Language::Python,
                Language::Rust => scaffold::Language::Rust,
            },
            bare: self.bare,
            name: self.name.clone(),
            parent: context.cwd.clone(),
            workspace: self.r#in.as_ref().map(|folder| context.cwd.join(folder)),
            values: BTreeMap::from_iter(self.set.iter().cloned()),
            values_file: self.values.as_ref().map(|file| context.cwd.join(file)),
            editor_files: editor_files(),
        };
        let shell = &context.shell;
        let created = if self.yes || !shell.is_interactive() {
            scaffold::new_project(&options, &Defaults, shell)?
        } else {
            scaffold::new_project(&options, &Person(shell), shell)?
        };
        if let Some(root) = &created.apart_from {
            let root = root.display();
            shell.note(&format!("it is no member of the workspace in `{root}`; made with `--in {root}` it would be"));
        }
        let path = created.path.strip_prefix(&context.cwd).unwrap_or(&created.path);
        let next = created.next.iter().map(|command| format!("\n  {command}")).collect::<String>();
        shell.note(&format!("\nnext:\n  cd {}{next}", path.display()));
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
