use clap::Args as ClapArgs;
use napt_registry_client::ClientError;
use semver::Version;
use serde_json::json;

use super::arguments::exact_release;
use crate::{context::Context, module::ModuleId, report::Failure, shell::Output};

/// Take a published version back, so that nobody chooses it anew
///
/// It stays where it is: whoever has it in a `napt.lock` can still get it, and is told the reason.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt yank agent:critic@0.2.1 --reason 'it forgets the last round; use 0.2.2'
  napt yank agent:critic@0.2.1 --undo")]
pub(super) struct Args {
    /// The version, as `type:name@1.2.3`
    #[arg(value_name = "TYPE:NAME@VERSION", value_parser = exact_release)]
    release: (ModuleId, Version),

    /// Why, for those who use it
    #[arg(long, value_name = "TEXT", required_unless_present = "undo")]
    reason: Option<String>,

    /// Take the yank back
    #[arg(long, conflicts_with = "reason")]
    undo: bool,

    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let (id, version) = &self.release;
        let client = context.registry_client(self.registry.as_deref())?;
        let (module_type, name) = (id.module_type.as_str(), id.name.as_str());
        context.interruptible(async {
            let done = match self.undo {
                true => client.unyank(module_type, name, version).await,
                false => client.yank(module_type, name, version, self.reason.as_deref()).await,
            };
            match done {
                Ok(()) => Ok(()),
                Err(error @ ClientError::Status { status: 404, .. }) => {
                    let failure = Failure::from(error);
                    // When the index cannot be asked, the error is still the one to tell.
                    let entries = client.index(module_type, name).await.ok().flatten().unwrap_or_default();
                    let versions: Vec<String> = entries.iter().map(|entry| entry.version.to_string()).collect();
                    Err(match (versions.is_empty(), context.registries(self.registry.as_deref())) {
                        (false, _) => failure.hinted(format!("its versions are {}", versions.join(", "))),
                        (true, Ok(registries)) => match registries.default_registry().near(id).await {
                            Some(near) => failure.hinted(format!("did you mean `{near}`?")),
                            None => failure,
                        },
                        (true, Err(_)) => failure,
                    })
                }
                Err(error) => Err(Failure::from(error)),
            }
        })?;
        let human = match self.undo {
            true => format!("{id}@{version} can be chosen again"),
            false => format!("{id}@{version} is yanked"),
        };
        let data = json!({ "module": id, "version": version, "yanked": !self.undo, "reason": self.reason });
        Ok(Output::new(human, data))
    }
}
