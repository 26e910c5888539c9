use std::{io::Read, time::Duration};

use clap::{Args as ClapArgs, Subcommand};
use futures_util::StreamExt;
use napt_registry_client::Policy;
use serde_json::{Value, json};

use crate::{
    client::NodeClient,
    context::Context,
    report::{Failure, Kind},
    shell::{MessageFormat, Output},
};

/// The node's built-in model.
const ECHO: &str = "napt/echo";

/// A third of how long a model may think before it says anything.
const PATIENCE: Duration = Duration::from_secs(100);

/// Use the models of a node
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt inference models
  napt inference chat 'Is a hot dog a sandwich?' --model llama-3
  napt inference embed 'a hot dog' 'a sandwich'")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Models(ModelsArgs),
    #[command(alias = "completions")]
    Chat(ChatArgs),
    Embed(EmbedArgs),
}

/// List the models, each with the provider that answers for it
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt inference models
  napt inference models --node http://127.0.0.1:7001")]
struct ModelsArgs {
    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

/// Ask a model, and print its answer as it comes
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt inference chat hello
  napt inference chat --model llama-3 --system 'Answer in one word.' < question.txt")]
struct ChatArgs {
    /// What to say to it; read from stdin when absent
    text: Option<String>,

    /// Which model
    #[arg(long, short, default_value = ECHO)]
    model: String,

    /// What it is told before that
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

/// Turn texts into vectors: a line of JSON each
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt inference embed 'a hot dog' 'a sandwich'
  napt inference embed --model nomic-embed-text 'a hot dog'")]
struct EmbedArgs {
    /// The texts
    #[arg(value_name = "TEXT", required = true)]
    texts: Vec<String>,

    /// Which model
    #[arg(long, short, default_value = ECHO)]
    model: String,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        match &self.command {
            Command::Models(args) => args.exec(context),
            Command::Chat(args) => args.exec(context),
            Command::Embed(args) => args.exec(context),
        }
    }
}

/// A client that is patient with models.
fn client(context: &Context, flag: Option<&str>) -> Result<NodeClient, Failure> {
    let policy = context.policy()?;
    let call_timeout = policy.call_timeout.max(PATIENCE);
    Ok(super::nodes::client(context, flag)?.with_policy(Policy { call_timeout, ..policy }))
}

impl ModelsArgs {
    fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = client(context, self.node.as_deref())?;
        let models = context.block_on(node.models())?;
        let width = models.iter().map(|model| model.id.len()).max().unwrap_or_default();
        let lines: Vec<String> =
            models.iter().map(|model| format!("{:<width$}  {}", model.id, model.provider)).collect();
        Ok(Output::new(lines.join("\n"), json!({ "node": node.url(), "models": models })))
    }
}

impl ChatArgs {
    fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = client(context, self.node.as_deref())?;
        let text = match &self.text {
            Some(text) => text.clone(),
            None => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text)?;
                text
            }
        };
        let message = |role: &str, content: &str| json!({ "role": role, "content": content });
        let system = self.system.iter().map(|text| message("system", text));
        let messages: Vec<Value> = system.chain([message("user", &text)]).collect();
        let request = json!({
            "model": self.model, "messages": messages, "stream": true, "stream_options": { "include_usage": true },
        });
        context.interruptible(self.answer(context, &node, &request))
    }

    async fn answer(&self, context: &Context, node: &NodeClient, request: &Value) -> Result<Output, Failure> {
        let shown = context.shell.format != MessageFormat::Json;
        let mut chunks = Box::pin(node.chat(request).await?);
        let (mut content, mut reason, mut usage) = (String::new(), Value::Null, Value::Null);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            if let Some(error) = chunk.get("error") {
                let why = error["message"].as_str().unwrap_or("no reason given").to_owned();
                return Err(Failure::new(Kind::Network, "the answer broke off").caused_by(why));
            }
            let choice = &chunk["choices"][0];
            if let Some(piece) = choice["delta"]["content"].as_str() {
                content.push_str(piece);
                if shown {
                    context.shell.piece(piece)?;
                }
            }
            for (key, kept) in [("finish_reason", &mut reason), ("usage", &mut usage)] {
                let found = if key == "usage" { &chunk[key] } else { &choice[key] };
                if !found.is_null() {
                    *kept = found.clone();
                }
            }
        }
        if shown {
            context.shell.piece("\n")?;
        }
        let data = json!({ "model": self.model, "content": content, "finish_reason": reason, "usage": usage });
        Ok(Output::new("", data))
    }
}

impl EmbedArgs {
    fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = client(context, self.node.as_deref())?;
        let request = json!({ "model": self.model, "input": self.texts });
        let vectors = context.block_on(node.embed(&request))?;
        let lines: Vec<String> = vectors.iter().map(|vector| json!(vector).to_string()).collect();
        Ok(Output::new(lines.join("\n"), json!({ "model": self.model, "embeddings": vectors })))
    }
}
