use clap::Args as ClapArgs;
use napt_registry_client::PasswordRequest;
use serde_json::json;

use crate::{
    context::Context,
    identity::Secret,
    publish,
    report::{Failure, Kind},
    shell::Output,
};

/// Sign in to a registry with your key
///
/// Makes a key when you have none, proves it to the registry (which opens an account for it) and keeps the token that
/// it gets. No password is needed; keep a copy of the key.
///
/// Naptha's clients sign in with a name and a password instead: `--username` sets these, or takes over an account that
/// was made for your key without proving it. The password is asked for, or taken from `HUB_PASSWORD`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt login
  napt login --registry https://registry.example
  napt login --username ada")]
pub(super) struct Args {
    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,

    /// Set the name, and the password, by which Naptha's clients sign in to your account
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let url = context.registry(self.registry.as_deref())?.value;
        let wanted = self.username.as_deref().map(|username| password_account(context, username)).transpose()?;
        let credentials = context.credentials();
        let client = context.registry_client(self.registry.as_deref())?;
        let session = context.block_on(publish::login(&client, url.as_str(), &credentials, wanted.clone()))?;
        let account = if session.created { "a new account" } else { "your account" };
        context.shell.note(&format!("The key is in `{}`: keep a copy.", credentials.key_path().display()));
        let mut account_of_hub = session.password_account;
        if let Some(wanted) = &wanted {
            let set = publish::set_password(&url, context.http(), &credentials, wanted);
            account_of_hub = Some(context.block_on(set)?);
        }
        if let Some(unconfirmed) = account_of_hub.as_ref().filter(|account| !account.confirmed) {
            let name = &unconfirmed.username;
            context.shell.note(&format!(
                "The password of `{name}` was set for your key before it was proved, and is not accepted any more; what \
                 was registered with it is removed. `napt login --username {name}` sets yours."
            ));
        }
        let human = format!("Signed in to {url} with {account}: {}", session.user);
        let data = json!({
            "registry": url,
            "user": session.user,
            "created": session.created,
            "expires": session.expires,
            "username": account_of_hub.filter(|account| account.confirmed).map(|account| account.username),
        });
        Ok(Output::new(human, data))
    }
}

/// The name and its password, which is never an argument: others on the machine could read it.
fn password_account(context: &Context, username: &str) -> Result<PasswordRequest, Failure> {
    let password = password(context)?.reveal().to_owned();
    Ok(PasswordRequest { username: username.to_owned(), password })
}

fn password(context: &Context) -> Result<Secret, Failure> {
    if let Some(password) = &context.env.hub_password {
        return Ok(password.clone());
    }
    if !context.shell.is_interactive() {
        return Err(Failure::new(Kind::Usage, "`--username` needs a password").hinted("set `HUB_PASSWORD`"));
    }
    Ok(Secret::new(context.shell.ask_secret("Password for Naptha's clients")?))
}
