//! gRPC's messages as the core has them, and back. Its numbers are all doubles: whole ones become integers again.

use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Number, Value, json};

use super::protocol::{
    AgentDeployment, BaseDeployment, DataGenerationConfig, Module, ModuleRun, ModuleRunRequest, NodeConfig,
    NodeConfigInput, ToolDeployment, agent_deployment, base_deployment, module_run_request, tool_deployment,
};
use crate::{
    module::ModuleType,
    node::{NodeError, error::reason},
    wire::{RunInput, RunRecord},
};

/// The largest number up to which doubles hold all integers.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// A request as the other doors get it.
pub(super) fn input_of(request: ModuleRunRequest) -> Result<RunInput, NodeError> {
    use module_run_request::Deployment as Given;
    let deployment = match request.deployment {
        Some(Given::AgentDeployment(deployment)) => agent(deployment),
        Some(Given::ToolDeployment(deployment)) => tool(deployment),
        Some(
            Given::MemoryDeployment(deployment)
            | Given::KbDeployment(deployment)
            | Given::EnvironmentDeployment(deployment),
        ) => base(deployment),
        // Orchestrators have no field of their own in these messages.
        None => {
            return Err(NodeError::Invalid(
                "the request has no deployment; orchestrators are run over HTTP".to_owned(),
            ));
        }
    };
    let deployment = serde_json::from_value(deployment)
        .map_err(|error| NodeError::Invalid(format!("the deployment is not as expected: {}", reason(&error))))?;
    Ok(RunInput {
        consumer_id: request.consumer_id,
        inputs: request.inputs.map_or(Value::Null, object),
        deployment,
        signature: request.signature,
        extra: Map::new(),
    })
}

/// A record as gRPC's clients read it; the deployment is the one that they sent.
pub(super) fn run_of(module_type: ModuleType, record: RunRecord) -> ModuleRun {
    ModuleRun {
        module_type: module_type.to_string(),
        consumer_id: record.consumer_id,
        inputs: match record.inputs {
            Value::Object(inputs) => Some(structure(inputs)),
            _ => None,
        },
        deployment: None,
        orchestrator_runs: Vec::new(),
        status: record.status,
        error: record.error,
        id: Some(record.id),
        results: record.results,
        error_message: record.error_message,
        created_time: record.created_time,
        start_processing_time: record.start_processing_time,
        completed_time: record.completed_time,
        duration: record.duration,
        input_schema_ipfs_hash: record.input_schema_ipfs_hash,
        signature: Some(record.signature),
    }
}

fn agent(deployment: AgentDeployment) -> Value {
    use agent_deployment::Node;
    let node = match deployment.node {
        Some(Node::NodeConfig(node)) => known_node(node),
        Some(Node::NodeInput(node)) => named_node(node),
        None => Value::Null,
    };
    json!({
        "node": node,
        "name": text(deployment.name),
        "module": module(deployment.module),
        "config": deployment.config.map(object),
        "data_generation_config": data_generation(deployment.data_generation_config),
        "tool_deployments": list(deployment.tool_deployments, tool),
        "kb_deployments": list(deployment.kb_deployments, base),
        "environment_deployments": list(deployment.environment_deployments, base),
    })
}

fn tool(deployment: ToolDeployment) -> Value {
    use tool_deployment::Node;
    let node = match deployment.node {
        Some(Node::NodeConfig(node)) => known_node(node),
        Some(Node::NodeInput(node)) => named_node(node),
        None => Value::Null,
    };
    json!({
        "node": node,
        "name": text(deployment.name),
        "module": module(deployment.module),
        "config": deployment.config.map(object),
        "data_generation_config": data_generation(deployment.data_generation_config),
    })
}

fn base(deployment: BaseDeployment) -> Value {
    use base_deployment::Node;
    let node = match deployment.node {
        Some(Node::NodeConfig(node)) => known_node(node),
        Some(Node::NodeInput(node)) => named_node(node),
        None => Value::Null,
    };
    json!({
        "node": node,
        "name": text(deployment.name),
        "module": module(deployment.module),
        "config": deployment.config.map(object),
    })
}

/// An empty list says nothing, as an absent one.
fn list<T>(deployments: Vec<T>, convert: fn(T) -> Value) -> Value {
    deployments.into_iter().map(convert).collect()
}

/// proto3 sends an absent text as an empty one.
fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn module(module: Option<Module>) -> Value {
    module.map_or(Value::Null, |module| {
        json!({
            "id": text(module.id),
            "name": text(module.name),
            "description": text(module.description),
            "author": text(module.author),
            "module_url": text(module.module_url),
            "module_type": module.module_type,
            "module_version": module.module_version,
            "module_entrypoint": module.module_entrypoint,
            "execution_type": module.execution_type,
        })
    })
}

fn data_generation(config: Option<DataGenerationConfig>) -> Value {
    config.map_or(Value::Null, |config| {
        json!({
            "save_outputs": config.save_outputs,
            "save_outputs_location": config.save_outputs_location,
            "save_outputs_path": config.save_outputs_path,
            "save_inputs": config.save_inputs,
            "save_inputs_location": config.save_inputs_location,
            "default_filename": config.default_filename,
        })
    })
}

/// Of a whole record, what says which node it is.
fn known_node(node: NodeConfig) -> Value {
    json!({
        "id": text(node.id),
        "ip": text(node.ip),
        "user_communication_protocol": text(node.user_communication_protocol),
        "user_communication_port": port(Some(node.user_communication_port)),
    })
}

fn named_node(node: NodeConfigInput) -> Value {
    json!({
        "ip": text(node.ip),
        "user_communication_port": port(node.user_communication_port),
        "user_communication_protocol": node.user_communication_protocol,
    })
}

/// A port that cannot be one is absent.
fn port(port: Option<i32>) -> Option<u16> {
    port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

fn object(fields: Struct) -> Value {
    Value::Object(fields.fields.into_iter().map(|(name, value)| (name, json_of(value))).collect())
}

fn json_of(value: ProtoValue) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::NumberValue(number)) => number_of(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json_of).collect(),
        Some(Kind::StructValue(fields)) => object(fields),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "whole, and within what an integer holds")]
fn number_of(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < MAX_WHOLE {
        return Value::from(number as i64);
    }
    // JSON has no infinities.
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

fn structure(fields: Map<String, Value>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, value)| (name, proto_of(value))).collect() }
}

fn proto_of(value: Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => Kind::ListValue(ListValue { values: values.into_iter().map(proto_of).collect() }),
        Value::Object(fields) => Kind::StructValue(structure(fields)),
    };
    ProtoValue { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_through_and_whole_numbers_stay_whole() {
        let value =
            json!({"n": 1, "big": -9_007_199_254_740_991_i64, "half": 0.5, "none": null, "deep": [{"a": [true, "x"]}]});
        let fields = value.as_object().expect("an object").clone();
        assert_eq!(object(structure(fields)), value);
        assert_eq!(number_of(f64::INFINITY), Value::Null);
        assert_eq!(number_of(1e300), json!(1e300));
    }
}
