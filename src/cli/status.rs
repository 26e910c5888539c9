use clap::Args as ClapArgs;
use serde_json::json;

use crate::{
    client::NodeClient,
    context::Context,
    report::{Failure, plural},
    secrets::redact_json,
    shell::Output,
    wire::{DeploymentStatus, DeploymentView, RevisionStatus},
};

/// Letters of a user's id that are shown: `user:` and eight digits.
const OWNER: usize = 13;

/// Digits of a digest that are shown.
const DIGEST: usize = 12;

/// Show a node and its deployments, one deployment's revisions, or one run and all that it called for
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt status
  napt status debate
  napt status 0196f0c2a1b27c3d8e4f5a6b7c8d9e0f")]
pub(super) struct Args {
    /// A deployment's name, or a run's id, or how that begins
    #[arg(value_name = "WHAT")]
    what: Option<String>,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        context.block_on(async {
            match self.what.as_deref() {
                Some(id) if is_run(id) => run(&node, id).await,
                Some(name) => history(&node, name).await,
                None => overview(&node).await,
            }
        })
    }
}

/// Runs have ids of their own form: no name begins with a digit.
fn is_run(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn run(node: &NodeClient, id: &str) -> Result<Output, Failure> {
    let run = node.run_view(&node.find_run(id).await?).await?;
    let tree = node.tree(&run.root).await?;
    let mut human: Vec<String> = tree
        .iter()
        .map(|child| {
            let indent = if child.id == run.root { "" } else { "  " };
            format!("{indent}{}", super::runs::line(child))
        })
        .collect();
    human.extend(run.error.as_ref().map(|error| format!("error: {error}")));
    Ok(Output::new(human.join("\n"), json!({ "run": run, "tree": tree })))
}

async fn overview(node: &NodeClient) -> Result<Output, Failure> {
    let info = node.node().await?;
    let deployments = node.deployments().await?;
    let mut human = vec![format!("{} at {}, napt {}", info.id, node.url(), info.version)];
    for DeploymentStatus { deployment, runs, draining } in &deployments {
        let DeploymentView { name, revision, module, version, modules, .. } = deployment;
        let mut line = format!("{name}  revision {revision}  {module} {version}  {}", plural(modules.len(), "module"));
        if *runs > 0 {
            line += &format!("  {}", plural(count(*runs), "run"));
        }
        if *draining > 0 {
            line += &format!("  draining: {}", plural(count(*draining), "run"));
        }
        human.push(line);
    }
    let mut deployments = json!(deployments);
    redact_json(&mut deployments);
    Ok(Output::new(human.join("\n"), json!({ "node": info, "deployments": deployments })))
}

/// All revisions of a deployment, newest first.
async fn history(node: &NodeClient, name: &str) -> Result<Output, Failure> {
    let revisions = node.revisions(name).await?;
    let mut human = Vec::new();
    for RevisionStatus { deployment, live, runs } in &revisions {
        let state = match (live, runs) {
            (true, 0) => "live".to_owned(),
            (true, runs) => format!("live, {}", plural(count(*runs), "run")),
            (false, 0) if deployment.removed => "removed".to_owned(),
            (false, 0) => "-".to_owned(),
            (false, runs) => format!("draining: {}", plural(count(*runs), "run")),
        };
        let what = match (deployment.removed, deployment.rollback_of) {
            (true, _) => String::new(),
            (false, None) => format!("  {} {}", deployment.module, deployment.version),
            (false, Some(of)) => format!("  {} {}, rollback of {of}", deployment.module, deployment.version),
        };
        let created = deployment.created.strftime("%Y-%m-%d %H:%M:%S");
        let who = deployment.owner.get(..OWNER).unwrap_or(&deployment.owner);
        human.push(format!("{:>4}  {state:<18}  {created}  {who}…{what}", deployment.revision));
        for pin in &deployment.modules {
            human.push(format!("        {} {}  {}", pin.id, pin.version, pin.sha256.get(..DIGEST).unwrap_or_default()));
        }
    }
    let mut revisions = json!(revisions);
    redact_json(&mut revisions);
    Ok(Output::new(human.join("\n"), json!({ "name": name, "revisions": revisions })))
}

fn count(runs: u64) -> usize {
    usize::try_from(runs).unwrap_or(usize::MAX)
}
