use clap::Args as ClapArgs;
use futures_util::StreamExt;
use serde_json::json;

use crate::{
    client::NodeClient,
    context::Context,
    report::{Failure, Kind, plural},
    shell::{MessageFormat, Output},
    wire::{EventPayload, RunEvent},
};

/// Show what a run printed
///
/// Records of Python's `logging` on stderr at the levels DEBUG and INFO are left out, of which there are many, unless `--all`
/// is given.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt logs 0196f0c2a1b27c3d8e4f5a6b7c8d9e0f
  napt logs 0196f0c2a1b27c3d8e4f5a6b7c8d9e0f --follow")]
pub(super) struct Args {
    /// The run's id, or how it begins
    #[arg(value_name = "RUN")]
    run: String,

    /// Go on until the run ends
    #[arg(long, short)]
    follow: bool,

    /// Also log records of the levels DEBUG and INFO
    #[arg(long, short)]
    all: bool,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        context.block_on(async {
            let id = node.find_run(&self.run).await?;
            let events = self.read(context, &node, &id).await?;
            let run = node.run_view(&id).await?;
            Ok(Output::new("", json!({ "run": run, "events": events })))
        })
    }

    /// Prints lines as they come; the JSON envelope gets all events at the end instead.
    async fn read(&self, context: &Context, node: &NodeClient, id: &str) -> Result<Vec<RunEvent>, Failure> {
        let json = context.shell.format == MessageFormat::Json;
        let is_final = node.run_view(id).await?.status.is_final();
        let mut hidden = 0;
        let mut kept = Vec::new();
        let mut ended = false;
        let mut events = Box::pin(node.events(id, 0, self.follow || is_final).await?);
        while let Some(event) = events.next().await {
            let event = event?;
            ended |= matches!(&event.payload, EventPayload::Status { status, .. } if status.is_final());
            if json {
                kept.push(event);
                continue;
            }
            match &event.payload {
                EventPayload::Line { stream, text } if stream == "stderr" && !self.all && is_chatter(text) => {
                    hidden += 1
                }
                EventPayload::Line { text, .. } => context.shell.line(text)?,
                EventPayload::Call { run, module, .. } => context.shell.note(&format!("called {module} as run {run}")),
                EventPayload::Inference { provider, model, prompt_tokens, completion_tokens } => {
                    let tokens = |count: &Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
                    let (asked, answered) = (tokens(prompt_tokens), tokens(completion_tokens));
                    context.shell.note(&format!("used model {model} of {provider}: {asked} + {answered} tokens"));
                }
                EventPayload::Status { status, message } => context.shell.note(&match message {
                    Some(message) => format!("{}: {message}", status.as_str()),
                    None => status.as_str().to_owned(),
                }),
            }
        }
        if hidden > 0 {
            context.shell.note(&format!("{} left out; `--all` shows them", plural(hidden, "log record")));
        }
        if (self.follow || is_final) && !ended {
            let what = format!("the node at {} broke off before the run's last line", node.url());
            return Err(Failure::new(Kind::Network, what).hinted("run the same command again"));
        }
        Ok(kept)
    }
}

/// A record of Python's `logging` that tells of nothing unusual: in the form of Naptha's SDK, or in Python's own.
fn is_chatter(text: &str) -> bool {
    ["DEBUG", "INFO"].iter().any(|level| {
        text.starts_with(&format!("{level}:")) || text.split(" - ").nth(2).is_some_and(|third| third == *level)
    })
}
