use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::{
    context::Context,
    registry::{self, Options},
    report::{Failure, Reporter},
    shell::Output,
};

/// Run a registry server
///
/// It keeps its records and archives in one folder and needs nothing else. Ctrl-C or SIGTERM ends it, after the calls
/// in progress.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt registry
  napt registry --listen 0.0.0.0:7080 --url https://registry.example --data /srv/napt
  napt registry fsck --data /srv/napt")]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7080")]
    listen: SocketAddr,

    /// Where to keep records and archives [default: `registry` in napt's data folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The URL that users reach it by; needed unless it listens on the loopback only
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Fsck(FsckArgs),
}

/// Look for damage in the data of a registry that does not run
///
/// Reads every record and every archive and compares them. Nothing is changed, unless `--repair` removes what
/// interrupted publishes left behind. Exit code 3 when something is wrong.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt registry fsck
  napt registry fsck --data /srv/napt --repair")]
struct FsckArgs {
    /// Where the registry keeps records and archives [default: `registry` in napt's data folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Remove archives that belong to no version, and interrupted uploads
    #[arg(long)]
    repair: bool,
}

fn folder(context: &Context, given: Option<&PathBuf>) -> PathBuf {
    given.map_or_else(|| context.dirs.data.join("registry"), |folder| context.cwd.join(folder))
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        if let Some(Command::Fsck(args)) = &self.command {
            let data = folder(context, args.data.as_ref());
            let found = context.block_on(registry::fsck(&data, args.repair))?;
            return super::fsck::told(context, &data, found);
        }
        let data = folder(context, self.data.as_ref());
        context.shell.start_log();
        context.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let options = Options { url: self.url.clone(), ..Options::new(self.listen, &data) };
            let running = registry::serve(options).await?;
            let url = running.url();
            let shown = url.as_str().trim_end_matches('/');
            context.shell.step("Listening", shown);
            context.shell.event("listening", &json!({ "url": shown, "addr": running.addr, "data": data }))?;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            context.shell.step("Stopping", "after the calls in progress");
            running.stop().await;
            Ok(Output::new("", json!({ "url": shown })))
        })
    }
}
