use clap::Args as ClapArgs;
use serde_json::json;

use crate::{context::Context, publish, report::Failure, shell::Output};

/// Sign in to a registry with your key
///
/// Makes a key when you have none, proves it to the registry (which opens an account for it) and keeps the token that
/// it gets. No password is needed; keep a copy of the key.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt login
  napt login --registry https://registry.example")]
pub(super) struct Args {
    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let url = context.registry(self.registry.as_deref())?.value;
        let credentials = context.credentials();
        let client = context.registry_client(self.registry.as_deref())?;
        let session = context.block_on(publish::login(&client, url.as_str(), &credentials))?;
        let account = if session.created { "a new account" } else { "your account" };
        context.shell.note(&format!("The key is in `{}`: keep a copy.", credentials.key_path().display()));
        let human = format!("Signed in to {url} with {account}: {}", session.user);
        let data = json!({
            "registry": url,
            "user": session.user,
            "created": session.created,
            "expires": session.expires,
        });
        Ok(Output::new(human, data))
    }
}
