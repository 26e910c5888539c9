use clap::Args as ClapArgs;
use serde_json::json;

use crate::{context::Context, report::Failure, shell::Output};

/// Ask a node to end a run
///
/// Runs that it called for end with it. Asking again, or after its end, is fine.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt cancel 0196f0c2a1b27c3d8e4f5a6b7c8d9e0f")]
pub(super) struct Args {
    /// The run's id, or how it begins
    #[arg(value_name = "RUN")]
    run: String,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        context.block_on(async {
            let id = node.find_run(&self.run).await?;
            node.cancel(&id).await?;
            let run = node.run_view(&id).await?;
            let human = match run.status {
                // The node may have been faster than this question.
                status if status.is_final() => format!("{} has ended: {}", run.id, status.as_str()),
                _ => format!("asked {} to end", run.id),
            };
            Ok(Output::new(human, json!({ "run": run })))
        })
    }
}
