use clap::Args as ClapArgs;
use serde_json::json;

use crate::{context::Context, report::Failure, shell::Output, wire::RunView};

/// List your runs on a node, newest first
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt runs
  napt runs --all --limit 200")]
pub(super) struct Args {
    /// Also runs that modules called for
    #[arg(long)]
    all: bool,

    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        let runs = context.block_on(node.runs(self.all, self.limit))?;
        if runs.is_empty() {
            let more = if self.all { "" } else { "; `--all` also shows those that modules called for" };
            context.shell.note(&format!("no runs yet{more}"));
        }
        let human: Vec<String> = runs.iter().map(line).collect();
        Ok(Output::new(human.join("\n"), json!({ "runs": runs })))
    }
}

/// A run in one line.
pub(super) fn line(run: &RunView) -> String {
    let took = match (run.started, run.finished) {
        (Some(start), Some(end)) => format!("{:.2} s", end.duration_since(start).as_secs_f64()),
        _ => "-".to_owned(),
    };
    let created = run.created.strftime("%Y-%m-%d %H:%M:%S");
    format!("{}  {:<10}  {created}  {took:>9}  {}", run.id, run.status.as_str(), run.module)
}
