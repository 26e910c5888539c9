use std::ffi::OsString;

use clap::Args as ClapArgs;
use serde_json::json;

use crate::{
    client::NodeClient,
    context::Context,
    report::{Failure, Kind, Reporter},
    script,
    shell::{MessageFormat, Output},
    wire::NewToken,
};

/// How long the program's credential is good for when nothing ends it before: a day.
const TOKEN_SECONDS: u64 = 24 * 3600;

/// Run a program that uses Naptha's SDK against your node and registry
///
/// It finds `NODE_URL`, `HUB_URL` and `PRIVATE_KEY` set, and a `.env` file does not replace them. The credential in `NODE_URL`
/// is made for this program and ends with it. Python loads a few shims before the program, so that what Naptha's documents show
/// works: plain dicts for `create`, `call_orchestrator_func` and the like, nodes given by `name`. All else of the environment stays.
///
/// The exit code is the program's.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt exec -- python script.py
  napt exec -- naptha inference models
  napt exec --node http://127.0.0.1:7001 -- python script.py --rounds 3")]
pub(super) struct Args {
    /// The program and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,

    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let client = super::nodes::client(context, self.node.as_deref())?;
        let registry = context.registry(self.registry.as_deref())?.value;
        let mut node = context.node(self.node.as_deref())?.value;
        let key = context.credentials().key_path();
        let code = context.block_on(async {
            let token = match node.username() {
                "" => Some(new_token(&client).await?),
                // Whoever gave it ends it.
                _ => None,
            };
            if let Some(token) = &token {
                node.set_username(token)
                    .map_err(|()| Failure::new(Kind::Usage, format!("`{node}` cannot hold a credential")))?;
            }
            let code = script::run(script::Options {
                command: &self.command,
                folder: &context.cwd,
                cache: &context.dirs.cache.join("exec"),
                python_path: context.env.python_path.as_deref(),
                node: &node,
                registry: &registry,
                key: &key,
                aside: context.shell.format == MessageFormat::Json,
            })
            .await;
            if token.is_some()
                && let Err(error) = client.end_token(&node).await
            {
                context.shell.warn(&format!("the program's credential is good for another day at the most: {error}"));
            }
            Ok::<u8, Failure>(code?)
        })?;
        Ok(Output::new("", json!({ "code": code })).ended(code))
    }
}

async fn new_token(client: &NodeClient) -> Result<String, Failure> {
    let wanted = NewToken { name: "napt exec".to_owned(), expires_in: TOKEN_SECONDS };
    Ok(client.new_token(&wanted).await?.token)
}
