use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{parse, serving};
use crate::{
    context::Context,
    dev::{ServerOptions, serve},
    registry,
    report::{Failure, Kind},
    shell::Output,
};

/// The module that it makes.
const NAME: &str = "debate";

/// What the agents talk about.
const PROMPT: &str = "prompt='Should every meeting have an agenda?'";

/// Take an orchestrator through its whole life, with a registry and a node of its own
///
/// Makes a workspace in DIR, checks, packages and publishes it, deploys it and runs it, with the very commands that it
/// prints. Everything but your key and token is kept in DIR, and no server is left running. A second time it goes on
/// with what is there.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt quickstart
  napt quickstart /tmp/try")]
pub(super) struct Args {
    /// Where to put everything
    #[arg(value_name = "DIR", default_value = "napt-quickstart")]
    dir: PathBuf,
}

/// The servers, and the folders of the commands.
struct Tour<'a> {
    context: &'a Context,
    root: PathBuf,
    registry: String,
    node: String,
    steps: Vec<Value>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let root = context.cwd.join(&self.dir);
        fs_err::create_dir_all(&root)?;
        let root = fs_err::canonicalize(root)?;
        let runtime = Runtime::new()?;
        let mut options = serving::options(context)?;
        options.data = root.join("node");
        let options = ServerOptions {
            registry: Some(root.join("registry")),
            registry_port: None,
            node: options,
            node_port: None,
        };
        // At their usual ports, if they are free, no command needs a flag.
        let running = runtime.block_on(serve(options))?;
        serving::tell_sandbox(&context.shell, &running.node.sandbox);
        let registry = running.registry.as_ref().map(registry::Running::url);
        let tour = Tour {
            context,
            root: root.clone(),
            registry: registry.map_or_else(String::new, |url| url.as_str().trim_end_matches('/').to_owned()),
            node: running.node.url(),
            steps: Vec::new(),
        };
        let farewell = tour.farewell();
        let walked = tour.walk();
        runtime.block_on(running.stop());
        let steps = walked?;
        context.shell.note(&farewell);
        Ok(Output::new("", json!({ "dir": root, "steps": steps })))
    }
}

impl Tour<'_> {
    fn walk(mut self) -> Result<Vec<Value>, Failure> {
        let root = self.root.clone();
        let workspace = root.join(NAME);
        if workspace.exists() {
            self.say(&format!("The workspace `{}` is there from before.", workspace.display()));
        } else {
            self.run(&root, &["new", "orchestrator", NAME, "--yes"])?;
        }
        self.show(&format!("cd {}", quoted(&workspace.display().to_string())));
        self.run(&workspace, &["check"])?;
        self.run(&workspace, &["package"])?;
        self.say(&format!("A registry listens on {} (`napt registry`).", self.registry));
        let (at_registry, at_node) = self.flags();
        self.run_at(&workspace, &["login"], &[&at_registry])?;
        self.run_at(&workspace, &["publish", "--workspace"], &[&at_registry])?;
        self.say(&format!("A node listens on {} (`napt node`).", self.node));
        let module = format!("orchestrator:{NAME}");
        self.run_at(&workspace, &["deploy", &module], &[&at_node, &at_registry])?;
        self.run_at(&workspace, &["run", &module, "-p", PROMPT], &[&at_node])?;
        self.run_at(&workspace, &["runs"], &[&at_node])?;
        Ok(self.steps)
    }

    /// What a command must say to find the registry, and the node: nothing at the usual addresses.
    fn flags(&self) -> (Vec<String>, Vec<String>) {
        let flags = |flag: &str, url: &str, default: &str| -> Vec<String> {
            if url == default { Vec::new() } else { vec![flag.to_owned(), url.to_owned()] }
        };
        (
            flags("--registry", &self.registry, crate::context::DEFAULT_REGISTRY_URL),
            flags("--node", &self.node, crate::context::DEFAULT_NODE_URL),
        )
    }

    fn farewell(&self) -> String {
        let (workspace, registry, node) = (self.root.join(NAME), self.root.join("registry"), self.root.join("node"));
        let (at_registry, at_node) = self.flags();
        // A server that cannot have its usual port listens where it did this time.
        let listen = |flags: &[String], url: &str| {
            if flags.is_empty() { String::new() } else { format!(" --listen {}", url.trim_start_matches("http://")) }
        };
        let flags = |lists: &[&Vec<String>]| -> String {
            lists.iter().flat_map(|list| list.iter()).map(|word| format!(" {word}")).collect()
        };
        format!(
            "
No server is left running. What there is now:
  {workspace}  the workspace: the agents' words are in
    modules/{NAME}/{NAME}/configs/agent_deployments.json
  {registry}  the registry's records and archives
  {node}  the node's modules and runs

To go on, start both again, each in a terminal of its own:
  napt registry --data {registry}{}
  napt node --data {node}{}{}
then change something, and:
  cd {workspace}
  napt deploy{}
  napt run orchestrator:{NAME} -p \"{PROMPT}\"{}",
            listen(&at_registry, &self.registry),
            listen(&at_node, &self.node),
            flags(&[&at_registry]),
            flags(&[&at_node, &at_registry]),
            flags(&[&at_node]),
            workspace = shell_words::quote(&workspace.display().to_string()),
            registry = shell_words::quote(&registry.display().to_string()),
            node = shell_words::quote(&node.display().to_string()),
        )
    }

    fn say(&self, text: &str) {
        self.context.shell.note(&format!("\n{text}"));
    }

    fn show(&self, command: &str) {
        self.say(&format!("$ {command}"));
    }

    fn run_at(&mut self, folder: &Path, words: &[&str], flags: &[&Vec<String>]) -> Result<(), Failure> {
        let mut words = words.to_vec();
        words.extend(flags.iter().flat_map(|flags| flags.iter().map(String::as_str)));
        self.run(folder, &words)
    }

    /// Runs one command as its user would type it, and shows it.
    fn run(&mut self, folder: &Path, words: &[&str]) -> Result<(), Failure> {
        let typed = format!("napt {}", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
        self.show(&typed);
        let command = parse(words).map_err(|error| Failure::new(Kind::Bug, error.to_string()))?;
        let context = self.context.in_folder(folder)?;
        let output = command.exec(&context).map_err(|failure| match failure.kind {
            Kind::Interrupted => failure,
            _ => failure.context(format!("`{typed}` failed")),
        })?;
        context.shell.human(&output)?;
        self.steps.push(json!({ "command": typed, "data": output.data }));
        Ok(())
    }
}

/// A word as one would type it: in double quotes when it has single ones of its own.
fn quoted(word: &str) -> String {
    if word.contains('\'') && !word.contains(['"', '$', '`', '\\', '!']) {
        format!("\"{word}\"")
    } else {
        shell_words::quote(word).into_owned()
    }
}
