use clap::Args as ClapArgs;
use serde_json::json;

use crate::{client::undeploy, context::Context, report::Failure, shell::Output};

/// Remove a deployment from a node
///
/// New runs are refused from then on; those that go on end as they would. Its revisions stay in its history, and
/// `napt rollback NAME` brings the last one back.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt undeploy debate")]
pub(super) struct Args {
    /// The deployment's name
    #[arg(value_name = "NAME")]
    name: String,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        let removed = context.interruptible(undeploy(&node, &self.name, &context.shell))?;
        let human = format!("Removed `{}` from {}; `napt rollback {0}` brings it back", self.name, node.url());
        Ok(Output::new(human, json!({ "node": node.url(), "deployment": removed.view })))
    }
}
