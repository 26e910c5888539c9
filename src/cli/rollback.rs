use clap::Args as ClapArgs;

use super::deployed::{data, found, told};
use crate::{client::rollback, context::Context, report::Failure, shell::Output, wire::RollbackRequest};

/// Deploy an earlier revision of a deployment again
///
/// Its content becomes a new revision; nothing is packed or uploaded. What the node no longer has it fetches from its
/// registry, and the revision goes live only when all of it is ready, as with `napt deploy`. `napt status NAME` shows the
/// revisions.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt rollback debate
  napt rollback debate 3")]
pub(super) struct Args {
    /// The deployment's name
    #[arg(value_name = "NAME")]
    name: String,

    /// The revision to deploy again [default: the one before the live one]
    #[arg(value_name = "REVISION", value_parser = clap::value_parser!(u64).range(1..))]
    revision: Option<u64>,

    /// Do everything but the last step, and change nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        let request = RollbackRequest { revision: self.revision, dry_run: self.dry_run };
        let deployed = context.interruptible(rollback(&node, &self.name, &request, &context.shell));
        let deployed = if self.dry_run { found(None, deployed)? } else { deployed? };
        let of = deployed.view.rollback_of.map(|of| format!(" (rollback of {of})")).unwrap_or_default();
        let human = match (self.dry_run, deployed.unchanged) {
            (true, false) => format!(
                "Would roll `{}` back to {} {}, as revision {}{of}",
                self.name, deployed.view.module, deployed.view.version, deployed.view.revision
            ),
            (_, true) => told(&deployed, node.url()),
            (false, false) => told(&deployed, node.url()) + &of,
        };
        Ok(Output::new(human, data(&deployed, node.url(), self.dry_run)))
    }
}
