//! What has become of a deployment, for those commands that change one.

use serde_json::{Value, json};
use url::Url;

use crate::{
    client::Deployed,
    config::NodeEntry,
    report::{Failure, Kind},
    secrets::redact_json,
    wire::DeploymentView,
};

/// All that a dry run has found, as one failure.
pub(super) fn found(unchecked: Option<Failure>, deployed: Result<Deployed, Failure>) -> Result<Deployed, Failure> {
    match (unchecked, deployed) {
        (None, Ok(deployed)) => Ok(deployed),
        (Some(checked), Ok(_)) => Err(checked),
        // Only what a node found is a finding: that it cannot be reached is not.
        (None, Err(failure)) if failure.data.is_some() => Err(Failure { kind: Kind::Check, ..failure }),
        (None, Err(failure)) => Err(failure),
        (Some(checked), Err(mut failure)) => {
            failure.hints.extend(checked.hints);
            let message = format!("{:#}; besides, {:#}", checked.error, failure.error);
            let mut data = checked.data.unwrap_or_default();
            data["problems"] = failure.data.map(|mut data| data["problems"].take()).unwrap_or_default();
            Err(Failure {
                kind: Kind::Check,
                error: anyhow::Error::msg(message),
                hints: failure.hints,
                data: Some(data),
            })
        }
    }
}

/// What has become of a deployment, in a line.
pub(super) fn told(deployed: &Deployed, node: &Url) -> String {
    let DeploymentView { module, version, name, revision, .. } = &deployed.view;
    match deployed.unchanged {
        true => format!(
            "{module} {version} as `{name}`, revision {revision}, is live already on {node}; nothing has changed"
        ),
        false => format!("Deployed {module} {version} as `{name}`, revision {revision}, on {node}"),
    }
}

/// The same for programs.
pub(super) fn data(deployed: &Deployed, node: &Url, dry_run: bool) -> Value {
    let mut deployment = json!(deployed.view);
    redact_json(&mut deployment);
    json!({ "node": node, "deployment": deployment, "unchanged": deployed.unchanged, "dry_run": dry_run })
}

/// The merged configuration, without secrets and what is not set. `localhost` is the node that was asked.
pub(super) fn merged(deployed: &Deployed, node: &Url) -> Value {
    let mut deployment = deployed.view.deployment.clone();
    deployment.for_each_node(&mut |entry| {
        if let Some(entry) = entry.as_mut().filter(|entry| entry.ip.as_deref() == Some("localhost")) {
            *entry = NodeEntry { name: Some(node.to_string()), ..NodeEntry::default() };
        }
    });
    let mut merged = json!(deployment);
    redact_json(&mut merged);
    without_nulls(&mut merged);
    merged
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
