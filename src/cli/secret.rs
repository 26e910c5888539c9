use std::{io::Read, path::PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;
use url::Url;

use crate::{
    client::NodeClient,
    config::read_env_variables,
    context::{Context, Environment},
    identity::Secret,
    module::ModuleId,
    report::{Failure, Kind, Reporter, did_you_mean_or},
    shell::Output,
};

/// Give a node the secrets that your runs need
///
/// A secret becomes an environment variable of your runs on that node. It is encrypted here for that node and no other, kept
/// encrypted there, and masked in what your runs print and return.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt secret set SEARCH_API_KEY < key.txt
  napt secret list
  napt secret remove SEARCH_API_KEY")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Set(SetArgs),
    List(ListArgs),
    Remove(RemoveArgs),
}

/// Set a secret, whose value is read from stdin
///
/// A value is never an argument, since other programs and your shell's history can see those.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt secret set SEARCH_API_KEY < key.txt
  napt secret set SEARCH_API_KEY --module agent:searcher --from-env
  napt secret set SEARCH_API_KEY MAIL_TOKEN --from-env-file .env
  napt secret set SEARCH_API_KEY --node https://b.example --allow-node https://a.example < key.txt")]
struct SetArgs {
    /// The variables that they become
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// Only for runs of this module [default: for all of your runs on the node]
    #[arg(long, value_name = "TYPE:NAME", value_parser = super::arguments::hinted::<ModuleId>)]
    module: Option<ModuleId>,

    /// Take the values from the environment variables of these names
    #[arg(long, conflicts_with = "from_env_file")]
    from_env: bool,

    /// Take the values from a file of `NAME=value` lines
    #[arg(long, value_name = "FILE")]
    from_env_file: Option<PathBuf>,

    /// Another node whose calls on your behalf get it too, which takes that node's word; repeatable
    #[arg(long = "allow-node", value_name = "URL", value_parser = super::arguments::server)]
    allowed: Vec<Url>,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

/// List the names of your secrets on a node
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt secret list")]
struct ListArgs {
    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

/// Have a node forget a secret
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt secret remove SEARCH_API_KEY
  napt secret remove SEARCH_API_KEY --module agent:searcher")]
struct RemoveArgs {
    /// Its name
    name: String,

    /// The one that is only for runs of this module
    #[arg(long, value_name = "TYPE:NAME", value_parser = super::arguments::hinted::<ModuleId>)]
    module: Option<ModuleId>,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        match &self.command {
            Command::Set(args) => args.exec(context),
            Command::List(args) => args.exec(context),
            Command::Remove(args) => args.exec(context),
        }
    }
}

impl SetArgs {
    fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        let values = self.values(context)?;
        context.block_on(async {
            let mut allowed = Vec::new();
            for url in &self.allowed {
                let other = NodeClient::new(url.clone(), context.http(), context.credentials().key_or_create()?);
                allowed.push(other.with_policy(context.policy()?).node().await?.id);
            }
            for (name, value) in self.names.iter().zip(&values) {
                node.set_secret(name, value, self.module.as_ref(), &allowed).await?;
                let whose =
                    self.module.as_ref().map_or("all your runs".to_owned(), |module| format!("runs of {module}"));
                context.shell.step("Set", &format!("{name} for {whose} on {}", node.url()));
            }
            Ok(Output::new("", json!({ "node": node.url(), "names": self.names, "module": self.module })))
        })
    }

    fn values(&self, context: &Context) -> Result<Vec<Secret>, Failure> {
        let usage = |what: String, hint: &str| Failure::new(Kind::Usage, what).hinted(hint.to_owned());
        if self.from_env {
            let value = |name: &String| {
                let missing = || usage(format!("the environment has no variable `{name}`"), "export it first");
                Environment::secret(name).ok_or_else(missing)
            };
            return self.names.iter().map(value).collect();
        }
        if let Some(file) = &self.from_env_file {
            let variables = read_env_variables(&context.cwd.join(file))?;
            let value = |name: &String| {
                let found = variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value);
                let known = variables.iter().map(|(name, _)| name.as_str());
                let hint = || "the file has no variables".to_owned();
                let missing = || {
                    Failure::new(Kind::Usage, format!("`{}` has no variable `{name}`", file.display()))
                        .hinted(did_you_mean_or(name, known, hint))
                };
                found.map(Secret::new).ok_or_else(missing)
            };
            return self.names.iter().map(value).collect();
        }
        let [name] = self.names.as_slice() else {
            let hint = "set them one by one, or with `--from-env` or `--from-env-file FILE`";
            return Err(usage("stdin holds the value of one secret, and several are named".to_owned(), hint));
        };
        let value = if context.shell.is_interactive() {
            context.shell.ask_secret(&format!("{name} (not shown)"))?
        } else {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text.strip_suffix('\n').map_or(text.as_str(), |line| line.trim_end_matches('\r')).to_owned()
        };
        if value.is_empty() {
            return Err(usage(format!("the value of `{name}` is empty"), &format!("`napt secret set {name} < FILE`")));
        }
        Ok(vec![Secret::new(value)])
    }
}

impl ListArgs {
    fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        let secrets = context.block_on(node.secrets())?;
        let width = secrets.iter().map(|secret| secret.name.len()).max().unwrap_or_default();
        let lines: Vec<String> = secrets
            .iter()
            .map(|secret| {
                let whose = secret.module.as_ref().map_or("all runs".to_owned(), ToString::to_string);
                format!("{:<width$}  {whose}", secret.name)
            })
            .collect();
        Ok(Output::new(lines.join("\n"), json!({ "node": node.url(), "secrets": secrets })))
    }
}

impl RemoveArgs {
    fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        context.block_on(node.remove_secret(&self.name, self.module.as_ref()))?;
        context.shell.step("Removed", &format!("{} from {}", self.name, node.url()));
        Ok(Output::new("", json!({ "node": node.url(), "name": self.name, "module": self.module })))
    }
}
