use clap::Args as ClapArgs;
use serde_json::json;

use crate::{context::Context, publish, report::Failure, shell::Output};

/// Sign out of a registry
///
/// Ends the token that `napt login` got, and forgets it. The key stays.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt logout --registry https://registry.example")]
pub(super) struct Args {
    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let url = context.registry(self.registry.as_deref())?.value;
        context.require_network(&url)?;
        let ended = context.block_on(publish::logout(&url, context.http(), &context.credentials()))?;
        let human = if ended { format!("Signed out of {url}") } else { format!("Not signed in to {url}") };
        Ok(Output::new(human, json!({ "registry": url, "ended": ended })))
    }
}
