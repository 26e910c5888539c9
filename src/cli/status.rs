use clap::Args as ClapArgs;
use serde_json::json;

use crate::{context::Context, report::Failure, shell::Output};

/// Show a node and its deployments, or one run and all that it called for
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt status
  napt status 0196f0c2a1b27c3d8e4f5a6b7c8d9e0f")]
pub(super) struct Args {
    /// A run's id
    #[arg(value_name = "RUN")]
    run: Option<String>,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::node_client(context, self.node.as_deref())?;
        context.block_on(async {
            if let Some(id) = &self.run {
                let run = node.run_view(id).await?;
                let tree = node.tree(&run.root).await?;
                let mut human: Vec<String> = tree
                    .iter()
                    .map(|child| {
                        let indent = if child.id == run.root { "" } else { "  " };
                        format!("{indent}{}", super::runs::line(child))
                    })
                    .collect();
                human.extend(run.error.as_ref().map(|error| format!("error: {error}")));
                return Ok(Output::new(human.join("\n"), json!({ "run": run, "tree": tree })));
            }
            let info = node.node().await?;
            let deployments = node.deployments().await?;
            let mut human = vec![format!("{} at {}, napt {}", info.id, node.url(), info.version)];
            for deployment in &deployments {
                human.push(format!(
                    "{}  revision {}  {} {}  {}",
                    deployment.name,
                    deployment.revision,
                    deployment.module,
                    deployment.version,
                    crate::report::plural(deployment.modules.len(), "module")
                ));
            }
            Ok(Output::new(human.join("\n"), json!({ "node": info, "deployments": deployments })))
        })
    }
}
