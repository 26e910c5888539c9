//! The command line: one file a subcommand, each with `Args` and `exec`. Only here is clap known.

mod add;
mod arguments;
mod cancel;
mod check;
mod completions;
mod config;
mod create;
mod deploy;
mod deployed;
mod dev;
mod exec;
mod explain;
mod fetch;
mod fsck;
mod help;
mod inference;
mod info;
mod init;
mod login;
mod logout;
mod logs;
mod man;
mod new;
mod node;
mod nodes;
mod package;
mod placement;
mod publish;
mod quickstart;
mod registry;
mod remove;
mod rollback;
mod run;
mod runs;
mod schema;
mod search;
mod secret;
mod serving;
mod status;
mod storage;
mod token;
mod tree;
mod types;
mod undeploy;
mod update;
mod yank;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{ColorChoice, FromArgMatches, Parser, Subcommand};
pub use help::command;
use types::{agents, environments, kbs, memories, orchestrators, personas, tools};

use crate::{
    context::{Context, Environment, Key},
    report::{Failure, Kind},
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

/// The commands: each is a file of this folder, whose name is the command's.
macro_rules! commands {
    ($($variant:ident($file:ident)),* $(,)?) => {
        #[derive(Debug, Subcommand)]
        enum Command {
            $($variant($file::Args),)*
        }

        impl Command {
            /// As it is typed, for messages and the JSON envelope.
            fn name(&self) -> &'static str {
                match self {
                    $(Command::$variant(_) => stringify!($file),)*
                }
            }

            fn exec(&self, context: &Context) -> Result<Output, Failure> {
                match self {
                    $(Command::$variant(args) => args.exec(context),)*
                }
            }
        }
    };
}

commands! {
    Quickstart(quickstart),
    New(new),
    Init(init),
    Check(check),
    Explain(explain),
    Schema(schema),
    Package(package),
    Registry(registry),
    Login(login),
    Logout(logout),
    Publish(publish),
    Yank(yank),
    Search(search),
    Agents(agents),
    Tools(tools),
    Kbs(kbs),
    Memories(memories),
    Personas(personas),
    Orchestrators(orchestrators),
    Environments(environments),
    Info(info),
    Add(add),
    Remove(remove),
    Update(update),
    Fetch(fetch),
    Tree(tree),
    Node(node),
    Nodes(nodes),
    Dev(dev),
    Deploy(deploy),
    Create(create),
    Rollback(rollback),
    Undeploy(undeploy),
    Run(run),
    Runs(runs),
    Status(status),
    Logs(logs),
    Cancel(cancel),
    Storage(storage),
    Exec(exec),
    Inference(inference),
    Secret(secret),
    Token(token),
    Config(config),
    Completions(completions),
    Man(man),
}

/// One command, from what follows `napt` on its line.
fn parse(words: &[&str]) -> Result<Command, clap::Error> {
    Cli::try_parse_from(std::iter::once("napt").chain(words.iter().copied())).map(|cli| cli.command)
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
        Ok(output) if output.code != 0 => {
            let failure = Failure::new(Kind::Failed, format!("the program ended with exit code {}", output.code));
            // The program itself has told people.
            if cli.global.message_format == MessageFormat::Json {
                fail(&context.shell, name, &failure.with_data(output.data.clone()));
            }
            return ExitCode::from(output.code);
        }
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
