//! Naptha's merge: what is given wins, what is absent, null or empty falls back to the default.

use serde_json::Value;

use super::{Deployment, SUB_DEPLOYMENTS};

/// Whether a value says nothing: `null`, `{}` or `[]`.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(_) | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Merges `given` over `default`: recursive over objects; lists are replaced whole.
pub fn merge(given: &Value, default: &Value) -> Value {
    match (given, default) {
        (given, default) if says_nothing(given) => {
            if default.is_null() {
                given.clone()
            } else {
                default.clone()
            }
        }
        (Value::Object(given), Value::Object(default)) => {
            let mut merged = default.clone();
            for (key, value) in given {
                let below = default.get(key).unwrap_or(&Value::Null);
                merged.insert(key.clone(), merge(value, below));
            }
            Value::Object(merged)
        }
        (given, _) => given.clone(),
    }
}

/// What a run gives over what is deployed. Unlike [`merge`], a list of sub-deployments keeps what is deployed of each
/// element, so that a list of nodes is one of the deployed modules; elements beyond those deployed are like the last one.
/// An element of another module is what is given alone.
pub fn overlay(given: &Deployment, deployed: &Deployment) -> Result<Deployment, serde_json::Error> {
    let mut given = given.clone();
    for (module_type, _, _) in SUB_DEPLOYMENTS {
        let below = deployed.subs(module_type).and_then(Option::as_deref).unwrap_or_default();
        let elements = given.subs_mut(module_type).and_then(Option::as_mut).into_iter().flatten();
        for (index, element) in elements.enumerate() {
            if let Some(below) = below.get(index).or(below.last()).filter(|below| fits(element, below)) {
                *element = overlay(element, below)?;
            }
        }
    }
    let merged = merge(&serde_json::to_value(&given)?, &serde_json::to_value(deployed)?);
    let mut merged: Deployment = serde_json::from_value(merged)?;
    // One node or the other: half of each would be a third.
    merged.node = given.node.or_else(|| deployed.node.clone());
    Ok(merged)
}

/// Whether an element of a list may be of a deployed module: it says no other.
fn fits(element: &Deployment, deployed: &Deployment) -> bool {
    fn bare(deployment: &Deployment) -> Option<&str> {
        let name = deployment.module.as_ref()?.name.as_deref()?;
        Some(name.split_once(':').map_or(name, |(_, bare)| bare))
    }
    bare(element).is_none_or(|name| bare(deployed) == Some(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_of_nodes_keeps_what_is_deployed() {
        let read = |value: Value| serde_json::from_value::<Deployment>(value).expect("a deployment");
        let deployed = read(json!({ "agent_deployments": [
            { "module": { "name": "a" }, "config": { "max_rounds": 1 } },
            { "module": { "name": "b" }, "node": { "ip": "old" } },
        ] }));
        let node = |ip: &str| json!({ "node": { "ip": ip } });
        let given = read(
            json!({ "agent_deployments": [node("x"), node("y"), node("z"), { "module": { "name": "agent:c" } }] }),
        );
        let agents = overlay(&given, &deployed).expect("a deployment").agent_deployments.expect("a list");
        let told = agents.iter().map(|agent| {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            let module = agent.module.as_ref().map(|module| text(&module.name)).unwrap_or_default();
            let node = agent.node.as_ref().map(|node| text(&node.ip)).unwrap_or_default();
            (module, node, agent.config.as_ref().and_then(|config| config.max_rounds))
        });
        let expected = [("a", "x", Some(1)), ("b", "y", None), ("b", "z", None), ("agent:c", "", None)];
        assert_eq!(
            told.collect::<Vec<_>>(),
            expected.map(|(module, node, rounds)| (module.into(), node.into(), rounds))
        );
    }

    #[test]
    fn given_wins_and_nothing_falls_back() {
        let merged = merge(
            &json!({"a": 1, "b": null, "c": {"x": 2}, "d": [], "e": [3], "new": true}),
            &json!({"a": 0, "b": 5, "c": {"x": 0, "y": 7}, "d": [1], "e": [1, 2]}),
        );
        assert_eq!(merged, json!({"a": 1, "b": 5, "c": {"x": 2, "y": 7}, "d": [1], "e": [3], "new": true}));
    }
}
