//! The command line: one file a subcommand, each with `Args` and `exec`. Only here is clap known.

mod add;
mod arguments;
mod cancel;
mod check;
mod completions;
mod config;
mod deploy;
mod deployed;
mod dev;
mod explain;
mod fetch;
mod fsck;
mod help;
mod info;
mod init;
mod login;
mod logout;
mod logs;
mod man;
mod new;
mod node;
mod package;
mod publish;
mod quickstart;
mod registry;
mod remove;
mod rollback;
mod run;
mod runs;
mod schema;
mod search;
mod status;
mod token;
mod tree;
mod undeploy;
mod update;
mod yank;

use std::{collections::BTreeSet, ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{ColorChoice, FromArgMatches, Parser, Subcommand};
pub use help::command;

use crate::{
    client::NodeClient,
    config::{Deployment, SUB_DEPLOYMENTS},
    context::{Context, Environment, Key},
    report::{Failure, Kind, Reporter},
    shell::{MessageFormat, Output, Shell, Verbosity},
};

/// Scaffold, check, package, publish, deploy and run multi-agent modules.
#[derive(Debug, Parser)]
#[command(name = "napt", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = "Examples:
  napt new orchestrator debate
  napt check debate
  napt node                                # in another terminal
  napt deploy debate
  napt run orchestrator:debate -p \"prompt='Is a hot dog a sandwich?'\"")]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    global: Global,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Print errors and results only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Print details; twice: also what libraries log
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,

    /// When to use colour [default: auto]
    #[arg(long, global = true, value_name = "WHEN")]
    color: Option<ColorChoice>,

    /// How to write messages and results
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    message_format: MessageFormat,

    /// Do not use the network: answer from what was fetched before
    #[arg(long, global = true)]
    offline: bool,

    /// Run as if called in this folder
    #[arg(long, short = 'C', global = true, value_name = "DIR")]
    directory: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(quickstart::Args),
    New(new::Args),
    Init(init::Args),
    Check(check::Args),
    Explain(explain::Args),
    Schema(schema::Args),
    Package(package::Args),
    Registry(registry::Args),
    Login(login::Args),
    Logout(logout::Args),
    Publish(publish::Args),
    Yank(yank::Args),
    Search(search::Args),
    Info(info::Args),
    Add(add::Args),
    Remove(remove::Args),
    Update(update::Args),
    Fetch(fetch::Args),
    Tree(tree::Args),
    Node(node::Args),
    Dev(dev::Args),
    Deploy(deploy::Args),
    Rollback(rollback::Args),
    Undeploy(undeploy::Args),
    Run(run::Args),
    Runs(runs::Args),
    Status(status::Args),
    Logs(logs::Args),
    Cancel(cancel::Args),
    Token(token::Args),
    Config(config::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// As it is typed, for messages and the JSON envelope.
    fn name(&self) -> &'static str {
        match self {
            Command::Quickstart(_) => "quickstart",
            Command::New(_) => "new",
            Command::Init(_) => "init",
            Command::Check(_) => "check",
            Command::Explain(_) => "explain",
            Command::Schema(_) => "schema",
            Command::Package(_) => "package",
            Command::Registry(_) => "registry",
            Command::Login(_) => "login",
            Command::Logout(_) => "logout",
            Command::Publish(_) => "publish",
            Command::Yank(_) => "yank",
            Command::Search(_) => "search",
            Command::Info(_) => "info",
            Command::Add(_) => "add",
            Command::Remove(_) => "remove",
            Command::Update(_) => "update",
            Command::Fetch(_) => "fetch",
            Command::Tree(_) => "tree",
            Command::Node(_) => "node",
            Command::Dev(_) => "dev",
            Command::Deploy(_) => "deploy",
            Command::Rollback(_) => "rollback",
            Command::Undeploy(_) => "undeploy",
            Command::Run(_) => "run",
            Command::Runs(_) => "runs",
            Command::Status(_) => "status",
            Command::Logs(_) => "logs",
            Command::Cancel(_) => "cancel",
            Command::Token(_) => "token",
            Command::Config(_) => "config",
            Command::Completions(_) => "completions",
            Command::Man(_) => "man",
        }
    }

    fn exec(&self, context: &Context) -> Result<Output, Failure> {
        match self {
            Command::Quickstart(args) => args.exec(context),
            Command::New(args) => args.exec(context),
            Command::Init(args) => args.exec(context),
            Command::Check(args) => args.exec(context),
            Command::Explain(args) => args.exec(context),
            Command::Schema(args) => args.exec(context),
            Command::Package(args) => args.exec(context),
            Command::Registry(args) => args.exec(context),
            Command::Login(args) => args.exec(context),
            Command::Logout(args) => args.exec(context),
            Command::Publish(args) => args.exec(context),
            Command::Yank(args) => args.exec(context),
            Command::Search(args) => args.exec(context),
            Command::Info(args) => args.exec(context),
            Command::Add(args) => args.exec(context),
            Command::Remove(args) => args.exec(context),
            Command::Update(args) => args.exec(context),
            Command::Fetch(args) => args.exec(context),
            Command::Tree(args) => args.exec(context),
            Command::Node(args) => args.exec(context),
            Command::Dev(args) => args.exec(context),
            Command::Deploy(args) => args.exec(context),
            Command::Rollback(args) => args.exec(context),
            Command::Undeploy(args) => args.exec(context),
            Command::Run(args) => args.exec(context),
            Command::Runs(args) => args.exec(context),
            Command::Status(args) => args.exec(context),
            Command::Logs(args) => args.exec(context),
            Command::Cancel(args) => args.exec(context),
            Command::Token(args) => args.exec(context),
            Command::Config(args) => args.exec(context),
            Command::Completions(args) => args.exec(context),
            Command::Man(args) => args.exec(context),
        }
    }
}

/// One command, from what follows `napt` on its line.
fn parse(words: &[&str]) -> Result<Command, clap::Error> {
    Cli::try_parse_from(std::iter::once("napt").chain(words.iter().copied())).map(|cli| cli.command)
}

/// A node as the surroundings suggest it: the user is its operator.
fn node_options(context: &Context) -> Result<crate::node::Options, Failure> {
    let operator = context.credentials().key_or_create()?;
    Ok(crate::node::Options {
        listen: ([127, 0, 0, 1], 7001).into(),
        data: context.dirs.data.join("node"),
        environments: context.dirs.cache.join("environments"),
        registry: context.registry(None)?.value,
        users: vec![operator.public().user_id()],
        open: false,
        peers: Vec::new(),
        provider: None,
        max_runs: 64,
        caps: crate::node::Caps::default(),
        http: context.http(),
        policy: context.policy()?,
        installer: context.env.installer.clone(),
        path: context.env.path.clone().unwrap_or_default(),
    })
}

/// A client of the node, with the user's key.
fn node_client(context: &Context, flag: Option<&str>) -> Result<NodeClient, Failure> {
    let url = context.node(flag)?.value;
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user && url.username().parse::<crate::identity::Token>().is_err() {
        return Err(Failure::new(Kind::Usage, format!("the user in the node's URL `{url}` is not a token"))
            .hinted("a token is `napt_` and 48 hex digits; leave it out to sign with your key"));
    }
    if context.offline && !is_local(&url) {
        return Err(Failure::new(
            Kind::Network,
            format!("the node at `{url}` is not on this machine, and `--offline` is set"),
        )
        .hinted("leave `--offline` out, or name a node on this machine"));
    }
    if url.path() != "/" || url.query().is_some() {
        return Err(Failure::new(Kind::Usage, format!("the node's URL `{url}` has a path"))
            .hinted("a node is reached by host and port alone, for example `http://127.0.0.1:7001`"));
    }
    let client = NodeClient::new(url, context.http(), context.credentials().key_or_create()?);
    Ok(client.with_policy(context.policy()?))
}

/// Whether a server is on this machine, and so no network is between.
fn is_local(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The JSON of a flag; what is wrong is told with its place.
fn json_value<T: serde::de::DeserializeOwned>(flag: &str, text: &str) -> Result<T, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::new(Kind::Usage, format!("the value of `{flag}` is not as expected: {error}")))
}

/// The deployment of `--deployment`. Keys that napt does not know go on to the module, but may well be mistyped.
fn deployment_value(context: &Context, text: Option<&str>) -> Result<Option<Deployment>, Failure> {
    fn unknown(deployment: &Deployment, found: &mut BTreeSet<String>) {
        let of_config = deployment.config.iter().flat_map(|config| config.extra.keys());
        found.extend(deployment.extra.keys().chain(of_config).cloned());
        for (module_type, _, _) in SUB_DEPLOYMENTS {
            for element in deployment.subs(module_type).and_then(Option::as_deref).unwrap_or_default() {
                unknown(element, found);
            }
        }
    }
    if text.is_some_and(|text| !text.trim_start().starts_with('{')) {
        return Err(Failure::new(Kind::Usage, "the value of `--deployment` is not a JSON object")
            .hinted(r#"write for example --deployment '{"config": {"max_rounds": 2}}'"#));
    }
    let deployment: Option<Deployment> = text.map(|text| json_value("--deployment", text)).transpose()?;
    let mut keys = BTreeSet::new();
    deployment.iter().for_each(|deployment| unknown(deployment, &mut keys));
    for key in keys {
        context.shell.warn(&format!("`{key}` in `--deployment` is no key of a deployment; modules get it as it is"));
    }
    Ok(deployment)
}

/// Parses and runs one command line; everything that goes wrong is told and becomes an exit code.
pub fn main(arguments: &[OsString]) -> ExitCode {
    // Before clap's own messages.
    if let Some(choice) = given(arguments, "--color").and_then(|value| value.parse().ok()) {
        use_color(choice);
    }
    let parsed = command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage(&error, arguments),
    };
    let verbosity = match (cli.global.quiet, cli.global.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) => Verbosity::Normal,
        (false, 1) => Verbosity::Verbose,
        (false, _) => Verbosity::Debug,
    };
    let name = cli.command.name();
    let shell = Shell::new(cli.global.message_format, verbosity);
    let cwd = match &cli.global.directory {
        Some(folder) => crate::module::existing_folder(folder).map_err(Failure::from),
        None => std::env::current_dir().map_err(Failure::from),
    };
    let context = match cwd.and_then(|cwd| Context::new(cwd, Environment::of_process(), shell)) {
        Ok(context) => context,
        Err(failure) => return fail(&Shell::new(cli.global.message_format, verbosity), name, &failure),
    };
    if verbosity == Verbosity::Debug {
        context.shell.start_log();
    }
    if cli.global.color.is_none() {
        match context.setting(Key::Color, None) {
            Ok(setting) => {
                use_color(setting.and_then(|setting| setting.value.parse().ok()).unwrap_or(ColorChoice::Auto))
            }
            Err(error) => return fail(&context.shell, name, &error.into()),
        }
    }
    let context = Context { offline: cli.global.offline, ..context };
    let result = cli.command.exec(&context);
    context.shell.clear_progress();
    let written = match &result {
        Ok(output) => context.shell.output(name, output),
        Err(failure) => return fail(&context.shell, name, failure),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&context.shell, name, &error.into()),
    }
}

/// The value of a global option, for when the command line as a whole cannot be read.
fn given<'a>(arguments: &'a [OsString], option: &str) -> Option<&'a str> {
    let mut texts = arguments.iter().map(|argument| argument.to_str().unwrap_or_default());
    while let Some(text) = texts.next() {
        match text.strip_prefix(option) {
            Some("") => return texts.next(),
            Some(rest) if rest.starts_with('=') => return Some(&rest[1..]),
            _ if text == "--" => return None,
            _ => {}
        }
    }
    None
}

/// From here on.
fn use_color(choice: ColorChoice) {
    match choice {
        ColorChoice::Auto => {}
        ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
        ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
    }
}

fn fail(shell: &Shell, command: &str, failure: &Failure) -> ExitCode {
    // The reader of our stdout has gone, as in `napt … | head`: nothing is wrong.
    let broken_pipe = failure.error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    });
    if broken_pipe {
        return ExitCode::SUCCESS;
    }
    // When even the error cannot be written, the exit code still says it.
    let _ = shell.failure(command, failure);
    ExitCode::from(failure.kind.exit_code())
}

/// The end after a panic, which people have been told of. Programs get the envelope as ever.
pub fn stopped(arguments: &[OsString]) -> ExitCode {
    if given(arguments, "--message-format") == Some("json") {
        let matches = command().try_get_matches_from(arguments).ok();
        let name = matches.as_ref().and_then(clap::ArgMatches::subcommand_name).unwrap_or("napt");
        let failure = Failure::new(Kind::Bug, "napt has a defect and stopped")
            .hinted("please report it with what stands on stderr");
        return fail(&Shell::new(MessageFormat::Json, Verbosity::Quiet), name, &failure);
    }
    ExitCode::from(Kind::Bug.exit_code())
}

/// clap's own answers: help and version are results, the rest are usage errors.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let json = given(arguments, "--message-format") == Some("json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let message = text.trim().trim_start_matches("error: ").to_owned();
        return fail(&Shell::new(MessageFormat::Json, Verbosity::Quiet), "napt", &Failure::new(Kind::Usage, message));
    }
    // As above: nobody is left to tell.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(Kind::Usage.exit_code()) } else { ExitCode::SUCCESS }
}
