use std::time::Duration;

use clap::Args as ClapArgs;
use napt_registry_client::Policy;
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::placement::Given;
use crate::{
    client::{ClientError, NodeClient, follow, yanked_of},
    context::Context,
    module::{ModuleId, near_id},
    report::{Failure, Kind, Reporter},
    shell::Output,
    wire::{RunRequest, RunView},
};

/// How long a run may wait for a registry to say what is yanked.
const YANKED_WITHIN: Duration = Duration::from_secs(1);

/// Run a deployed module on a node and follow it
///
/// What the module prints appears on stderr as it comes, its result on stdout. Ctrl-C asks the node to cancel the run.
///
/// With `--agent-nodes` and the like the module gets one agent a node, in the order of its deployment, whose last one stands
/// for all that follow; without, those of its deployment. Naptha's spellings, such as `--agent_nodes`, are the same options.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt run orchestrator:debate -p \"prompt='Is a hot dog a sandwich?'\"
  napt run agent:critic -p '{\"prompt\": \"hello\"}' --node http://127.0.0.1:7001
  napt run orchestrator:debate -p prompt=why --agent_nodes \"one.example,two.example\"")]
pub(super) struct Args {
    /// The module, as `type:name`
    #[arg(value_name = "TYPE:NAME", value_parser = super::arguments::hinted::<ModuleId>)]
    module: ModuleId,

    /// Its inputs: `key=value` pairs with shell quoting, or a JSON object; repeatable
    ///
    /// A value that is JSON other than text, such as `3`, `true` or `[1]`, is that; all else is text. For the text `3`
    /// write a JSON object.
    #[arg(long = "parameter", short = 'p', value_name = "INPUTS")]
    parameters: Vec<String>,

    /// Do not follow: print the run's id as soon as it is accepted
    #[arg(long, short)]
    detach: bool,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,

    #[command(flatten)]
    given: Given,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        let mut inputs = Map::new();
        for text in &self.parameters {
            inputs.extend(super::arguments::pairs("-p \"prompt='two words' rounds=3\"", text)?);
        }
        let deployment = self.given.deployment(context)?;
        let request = RunRequest { module: self.module.clone(), inputs: Value::Object(inputs), deployment };
        context.block_on(async {
            // From before the run is accepted, so that no Ctrl-C leaves one behind.
            let mut interrupt = signal(SignalKind::interrupt())?;
            let run = match node.run(&request).await {
                Ok(run) => run,
                Err(error) => return Err(with_near_module(error, &self.module, &node).await),
            };
            let told = tell_yanked(context, &node, &run);
            if self.detach {
                told.await;
                return Ok(Output::new(run.id.clone(), json!({ "run": run })));
            }
            context.shell.note(&format!("run {} of {} on {}", run.id, run.module, node.url()));
            let show = |line: &str| context.shell.note(line);
            tokio::select! {
                (ended, ()) = async { tokio::join!(follow(&node, &run.id, &show), told) } => ended?,
                _ = interrupt.recv() => {
                    node.cancel(&run.id).await?;
                    return Err(Failure::new(Kind::Interrupted, "interrupted; the node was asked to cancel the run")
                        .hinted(format!("`napt status {}` shows where it stands", run.id)));
                }
            };
            finished(node.run_view(&run.id).await?)
        })
    }
}

/// Why a run was refused; of a module that is not deployed, which one that is may have been meant.
async fn with_near_module(error: ClientError, wanted: &ModuleId, node: &NodeClient) -> Failure {
    let unknown = matches!(&error, ClientError::Refused { problem, .. } if problem.status == 404);
    let lost = matches!(&error, ClientError::Unreachable { .. } | ClientError::Timeout { .. }) && !error.is_untouched();
    let failure = Failure::from(error);
    if lost {
        return failure.hinted("the node may have accepted the run all the same: `napt runs` shows it then");
    }
    // When the node cannot say, the error is still the one to tell.
    let Some(deployments) = (if unknown { node.deployments().await.ok() } else { None }) else { return failure };
    let known = deployments.iter().flat_map(|status| &status.deployment.modules).map(|pin| pin.id.to_string());
    // One that is there under this name is there in another way, which the node's own hint tells.
    let known = known.filter(|known| *known != wanted.to_string());
    match near_id(wanted, &known.collect::<Vec<_>>()) {
        // Not that the mistyped one should be deployed.
        Some(near) => Failure { hints: vec![format!("did you mean `{near}`?")], ..failure },
        None => failure,
    }
}

/// Warns when something of what is run was taken back since it was deployed. That is not worth waiting for long.
async fn tell_yanked(context: &Context, node: &NodeClient, run: &RunView) {
    let policy = Policy { tries: 1, call_timeout: YANKED_WITHIN, ..Policy::default() };
    let Ok(registries) = context.registries_with(None, policy) else { return };
    // A registry that does not answer now says nothing.
    let yanked = tokio::time::timeout(YANKED_WITHIN, yanked_of(node, &registries, run)).await.unwrap_or_default();
    yanked.iter().for_each(|yanked| context.shell.warn(&yanked.to_string()));
}

/// A run's result, or why there is none.
fn finished(run: RunView) -> Result<Output, Failure> {
    if run.status.is_failure() {
        let reason = run.error.clone().unwrap_or_else(|| run.status.as_str().to_owned());
        return Err(Failure::new(Kind::Failed, format!("the run of {} ended without a result", run.module))
            .caused_by(reason)
            .hinted(format!(
                "`napt logs {}` shows what it printed, `napt status {}` the runs that it called for",
                run.id, run.id
            )));
    }
    let result = run.result.clone().unwrap_or_default();
    // JSON is shown in lines, text as it is.
    let human = match serde_json::from_str::<Value>(&result) {
        Ok(value @ (Value::Array(_) | Value::Object(_))) => format!("{value:#}"),
        _ => result,
    };
    Ok(Output::new(human, json!({ "run": run })))
}
