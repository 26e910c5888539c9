use std::{net::SocketAddr, path::PathBuf};

use clap::Args as ClapArgs;
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
  napt registry --listen 0.0.0.0:7080 --url https://registry.example --data /srv/napt")]
pub(super) struct Args {
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

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let data = match &self.data {
            Some(folder) => context.cwd.join(folder),
            None => context.dirs.data.join("registry"),
        };
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
