use clap::{Args as ClapArgs, Subcommand};
use jiff::{SignedDuration, Timestamp};
use napt_registry_client::{TokenRequest, Verb};
use serde_json::json;

use crate::{
    context::Context,
    report::{Failure, Kind},
    shell::Output,
    wire::NewToken,
};

/// Make tokens: for pipelines that publish, and for a node's clients that cannot sign their requests
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt token new --name notebook
  napt token new --publish 'agent:*' --name pipeline")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(NewArgs),
}

/// Make a token, and print it: it is shown this once
///
/// A node's, unless `--publish` is given. Naptha's clients take that in the node's URL:
/// `NODE_URL=http://TOKEN@host:port`. A registry's goes into `NAPT_TOKEN`, and may do nothing but publish.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt token new
  napt token new --name notebook --expires 12h --node https://node.example
  napt token new --publish 'agent:*' --name pipeline --registry https://registry.example")]
struct NewArgs {
    /// What it is for, in words
    #[arg(long, value_name = "NAME", default_value = "token")]
    name: String,

    /// How long it is good for: a number with `s`, `m`, `h` or `d`; at most 365d
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = seconds)]
    expires: u64,

    /// Of a registry, to publish these modules: `type:name`, where `*` stands for anything
    #[arg(long, value_name = "MODULES", conflicts_with = "node", value_parser = pattern)]
    publish: Option<String>,

    /// The registry's URL
    #[arg(long, value_name = "URL", requires = "publish")]
    registry: Option<String>,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let Command::New(new) = &self.command;
        match &new.publish {
            Some(modules) => new.of_registry(modules, context),
            None => new.of_node(context),
        }
    }
}

impl NewArgs {
    fn of_registry(&self, modules: &str, context: &Context) -> Result<Output, Failure> {
        let url = context.registry(self.registry.as_deref())?.value;
        let client = context.registry_client(self.registry.as_deref())?;
        let expires = Timestamp::now() + SignedDuration::from_secs(self.expires.cast_signed());
        let wanted =
            TokenRequest { name: self.name.clone(), verbs: vec![Verb::Publish], modules: modules.to_owned(), expires };
        let made = context.block_on(client.create_token(&wanted))?;
        context.shell.note(&format!("It is good until {}, and is not shown again.", day(made.info.expires)));
        context.shell.note("A pipeline takes it as NAPT_TOKEN, from where it keeps its secrets.");
        let data = json!({ "token": made.token, "name": made.info.name, "expires": made.info.expires, "url": url });
        Ok(Output::new(made.token, data).revealed())
    }

    fn of_node(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        let wanted = NewToken { name: self.name.clone(), expires_in: self.expires };
        let made = context.block_on(node.new_token(&wanted))?;
        let mut url = node.url().clone();
        url.set_username(&made.token)
            .map_err(|()| Failure::new(Kind::Usage, format!("`{url}` cannot hold a credential")))?;
        let url = url.as_str().trim_end_matches('/').to_owned();
        context.shell.note(&format!("It is good until {}, and is not shown again.", day(made.expires)));
        context.shell.note("Naptha's clients take it as NODE_URL=http://TOKEN@host:port");
        let data = json!({ "token": made.token, "name": made.name, "expires": made.expires, "url": url });
        Ok(Output::new(made.token, data).revealed())
    }
}

/// A time as people read it; programs get it in full.
fn day(expires: Timestamp) -> impl std::fmt::Display {
    expires.strftime("%Y-%m-%d %H:%M UTC")
}

/// What fits no module would make a token for nothing.
fn pattern(text: &str) -> Result<String, String> {
    if text.contains([':', '*']) {
        Ok(text.to_owned())
    } else {
        Err(format!("say the type too, for example `agent:{text}` or `*:{text}`"))
    }
}

/// Reads `90`, `15m`, `12h` or `30d`.
fn seconds(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        other => return Err(format!("unknown unit `{other}`; write for example `12h` or `30d`")),
    };
    let number: u64 = digits.parse().map_err(|_| "write for example `12h` or `30d`".to_owned())?;
    match number.checked_mul(unit) {
        Some(seconds @ 1..=31_536_000) => Ok(seconds),
        _ => Err("a token is good for 1 second to 365 days".to_owned()),
    }
}
