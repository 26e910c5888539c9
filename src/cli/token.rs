use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use crate::{
    context::Context,
    report::{Failure, Kind},
    shell::Output,
    wire::NewToken,
};

/// Make tokens for a node's clients that cannot sign their requests
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt token new --name notebook")]
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
/// Naptha's clients take it in the node's URL: `NODE_URL=http://TOKEN@host:port`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt token new
  napt token new --name notebook --expires 12h --node https://node.example")]
struct NewArgs {
    /// What it is for, in words
    #[arg(long, value_name = "NAME", default_value = "token")]
    name: String,

    /// How long it is good for: a number with `s`, `m`, `h` or `d`; at most 365d
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = seconds)]
    expires: u64,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let Command::New(new) = &self.command;
        let node = super::node_client(context, new.node.as_deref())?;
        let wanted = NewToken { name: new.name.clone(), expires_in: new.expires };
        let made = context.block_on(node.new_token(&wanted))?;
        let mut url = node.url().clone();
        url.set_username(&made.token)
            .map_err(|()| Failure::new(Kind::Usage, format!("`{url}` cannot hold a credential")))?;
        let url = url.as_str().trim_end_matches('/').to_owned();
        context.shell.note(&format!("It is good until {}, and is not shown again.", made.expires));
        context.shell.note("Naptha's clients take it as NODE_URL=http://TOKEN@host:port");
        let data = json!({ "token": made.token, "name": made.name, "expires": made.expires, "url": url });
        Ok(Output::new(made.token, data).revealed())
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
