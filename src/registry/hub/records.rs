//! Our records in Naptha's shape, and Naptha's records judged.

use std::collections::HashMap;

use napt_registry_client::NodeRecord;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::frames::HubError;
use crate::{
    module::ModuleId,
    registry::store::{HubAccount, HubModule, HubNode, HubServer, Pointer},
};

/// The largest list: a client takes 1 MiB a frame, and the reply is a little more than its list.
const MAX_LIST: usize = (1 << 20) - 4096;
/// How long texts may be in a list, tried one after the other until it fits.
const CUTS: [usize; 3] = [200, 60, 0];
/// The longest texts of a pointer, in bytes.
const MAX_DESCRIPTION: usize = 2_000;
const MAX_PARAMETERS: usize = 20_000;
const MAX_URL: usize = 2_000;
const MAX_VERSION: usize = 200;
const MAX_NAME: usize = 200;
/// How many models or provider types a node may name.
const MAX_NAMES: usize = 200;
/// The largest record of a node, in bytes.
const MAX_NODE: usize = 16 << 10;
/// The protocols that a server may speak.
const PROTOCOLS: [&str; 5] = ["ws", "wss", "grpc", "http", "https"];

pub(super) fn user(account: &HubAccount) -> Value {
    let HubAccount { user, username, .. } = account;
    let public_key = user.strip_prefix("user:").unwrap_or(user);
    json!({ "id": user, "name": username, "username": username, "public_key": public_key })
}

/// A module; what `napt publish` published is kept at this registry.
pub(super) fn module(module: &HubModule, base: &Url) -> Value {
    let HubModule { id, owner, description, version, entrypoint, elsewhere } = module;
    let (url, parameters, execution_type) = elsewhere.clone().unwrap_or_else(|| {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            let module = [id.module_type.as_str(), id.name.as_str(), version, "download"];
            path.pop_if_empty().extend(["api", "v1", "modules"]).extend(module);
        }
        (url.into(), String::new(), "package".to_owned())
    });
    json!({
        "id": id.to_string(),
        "name": id.name.as_str(),
        "description": description,
        "parameters": parameters,
        "author": owner,
        "module_url": url,
        "module_type": id.module_type.as_str(),
        "module_version": version,
        "module_entrypoint": entrypoint,
        "execution_type": execution_type,
    })
}

/// A list of modules that is one reply: the longest texts are cut before a module is left out.
///
/// Naptha's client takes its texts for markup and ends at a closing tag that closes nothing, so one module could hide all
/// others: here none is one.
pub(super) fn list(mut modules: Vec<Value>) -> Value {
    for text in modules.iter_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if let Value::String(text) = text
            && text.contains("[/")
        {
            *text = text.replace("[/", "[ /");
        }
    }
    let size = |modules: &[Value]| modules.iter().map(|module| module.to_string().len() + 1).sum::<usize>();
    for cut in CUTS {
        if size(&modules) <= MAX_LIST {
            break;
        }
        for module in &mut modules {
            for key in ["description", "parameters"] {
                if let Some(Value::String(text)) = module.get_mut(key)
                    && let Some((end, _)) = text.char_indices().nth(cut)
                {
                    text.truncate(end);
                }
            }
        }
    }
    let mut left = MAX_LIST;
    let fits = |module: &Value| {
        let size = module.to_string().len() + 1;
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    };
    let listed: Vec<Value> = modules.into_iter().take_while(fits).collect();
    Value::Array(listed)
}

/// What a client says of a module of this id that is kept elsewhere. Who owns it is not the client's to say.
pub(super) fn pointer(id: ModuleId, given: &Map<String, Value>) -> Result<Pointer, HubError> {
    let text = |key: &str, default: &str, max: usize| -> Result<String, HubError> {
        let text = match given.get(key) {
            None | Some(Value::Null) => default,
            Some(Value::String(text)) => text,
            Some(_) => return Err(HubError::Params(format!("`{key}` must be a text"))),
        };
        if text.len() > max || text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            let problem = format!("`{key}` must be at most {max} bytes, and no control character in it");
            return Err(HubError::Params(problem));
        }
        Ok(text.to_owned())
    };
    for (key, expected) in
        [("id", id.to_string()), ("name", id.name.to_string()), ("module_type", id.module_type.to_string())]
    {
        let said = given.get(key).map(|said| said.as_str().unwrap_or_default().replace('-', "_"));
        if said.is_some_and(|said| said != expected) {
            return Err(HubError::Params(format!("`{key}` must be `{expected}`, as the record's id has it")));
        }
    }
    let pointer = Pointer {
        description: text("description", "", MAX_DESCRIPTION)?,
        parameters: text("parameters", "", MAX_PARAMETERS)?,
        url: text("module_url", "", MAX_URL)?,
        version: text("module_version", "v0.1", MAX_VERSION)?,
        entrypoint: text("module_entrypoint", "run.py", MAX_NAME)?,
        execution_type: text("execution_type", "package", MAX_NAME)?,
        id,
    };
    // Both become arguments of programs that fetch.
    for (key, text) in [("module_url", &pointer.url), ("module_version", &pointer.version)] {
        if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_whitespace) {
            let problem = format!("`{key}` must not be empty, begin with `-` or hold white space");
            return Err(HubError::Params(problem));
        }
    }
    let path = &pointer.entrypoint;
    if path.starts_with('/') || path.contains('\\') || path.split('/').any(|part| part == "..") {
        return Err(HubError::Params("`module_entrypoint` must be a file within the module".to_owned()));
    }
    Ok(pointer)
}

/// What a node says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    ip: String,
    user_communication_protocol: String,
    user_communication_port: u16,
    node_communication_protocol: String,
    #[serde(default)]
    num_node_communication_servers: u32,
    #[serde(default)]
    provider_types: Vec<String>,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    docker_jobs: bool,
    routing_type: Option<String>,
    routing_url: Option<String>,
    #[serde(default)]
    num_gpus: u32,
    #[serde(default)]
    arch: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    ram: u64,
    #[serde(default)]
    vram: u64,
}

/// What the signed-in user says of the node that has the user's key.
pub(super) fn node_record(given: &Map<String, Value>) -> Result<Value, HubError> {
    let record: Said = serde_json::from_value(Value::Object(given.clone()))
        .map_err(|error| HubError::Params(format!("the node's record: {error}")))?;
    let texts = [
        Some(&record.ip),
        Some(&record.user_communication_protocol),
        Some(&record.node_communication_protocol),
        record.routing_type.as_ref(),
        record.routing_url.as_ref(),
        Some(&record.arch),
        Some(&record.os),
    ];
    let lists = [&record.provider_types, &record.models];
    let is_bad = |text: &String| text.chars().count() > MAX_NAME || text.chars().any(char::is_control);
    if lists.iter().any(|list| list.len() > MAX_NAMES)
        || texts.into_iter().flatten().chain(lists.into_iter().flatten()).any(is_bad)
    {
        return Err(HubError::Params(format!(
            "the node's record: a text must be at most {MAX_NAME} characters, a list {MAX_NAMES} texts"
        )));
    }
    let record = serde_json::to_value(record).map_err(|error| HubError::Params(error.to_string()))?;
    if record.to_string().len() > MAX_NODE {
        return Err(HubError::Params(format!("the node's record is larger than {MAX_NODE} bytes")));
    }
    Ok(record)
}

/// A node of the directory and its server: napt's nodes have one port, for users and nodes.
pub(super) fn of_directory(record: &NodeRecord) -> Option<(HubNode, HubServer)> {
    let node = &record.node;
    let url = Url::parse(&node.url).ok()?;
    let (protocol, servers_speak) = if url.scheme() == "https" { ("https", "wss") } else { ("http", "ws") };
    let port = url.port_or_known_default()?;
    let said = json!({
        "ip": url.host_str()?,
        "name": node.name,
        "user_communication_protocol": protocol,
        "user_communication_port": port,
        "node_communication_protocol": servers_speak,
        "num_node_communication_servers": 1,
        "provider_types": node.provider_types,
        "models": node.models,
        "docker_jobs": false,
        "routing_type": "direct",
        "routing_url": null,
        "num_gpus": 0,
        "arch": node.arch,
        "os": node.os,
        "ram": 0,
        "vram": 0,
    });
    let server = HubServer {
        id: node.id.replacen("node:", "server:", 1),
        node: node.id.clone(),
        protocol: servers_speak.to_owned(),
        port,
    };
    Some((HubNode { id: node.id.clone(), owner: node.owner.clone(), record: said }, server))
}

/// Whether a text by which somebody looks for a node means this one: its address, with or without port, or its name.
pub(super) fn is_at(node: &HubNode, wanted: &str) -> bool {
    let HubNode { record, .. } = node;
    let (Some(ip), port) = (record["ip"].as_str(), &record["user_communication_port"]) else { return false };
    ip == wanted || record["name"] == wanted || format!("{ip}:{port}") == wanted
}

/// The ids of servers by their node's.
pub(super) fn by_node(servers: &[HubServer]) -> HashMap<&str, Vec<&str>> {
    let mut by_node = HashMap::<_, Vec<_>>::new();
    for server in servers {
        by_node.entry(server.node.as_str()).or_default().push(server.id.as_str());
    }
    by_node
}

/// A node as Naptha's clients read it, by the names of SDK 1.x and of 0.2. Owner and key are not what it says of itself,
/// the servers are those there are.
pub(super) fn node(node: &HubNode, servers: &HashMap<&str, Vec<&str>>) -> Value {
    let HubNode { id, owner, record } = node;
    let own = servers.get(id.as_str()).map_or(&[][..], Vec::as_slice);
    let mut record = record.clone();
    if let Some(record) = record.as_object_mut() {
        record.insert("id".to_owned(), json!(id));
        record.insert("owner".to_owned(), json!(owner));
        record.insert("public_key".to_owned(), json!(id.strip_prefix("node:").unwrap_or(id)));
        record.insert("servers".to_owned(), json!(own));
        for (name, old) in [
            ("node_communication_protocol", "server_type"),
            ("user_communication_port", "http_port"),
            ("num_node_communication_servers", "num_servers"),
        ] {
            record.insert(old.to_owned(), record[name].clone());
        }
    }
    record
}

/// A node's server. SDKs read the protocol by other names than nodes do.
pub(super) fn server(server: &HubServer) -> Value {
    let HubServer { id, node, protocol, port } = server;
    json!({
        "id": id,
        "communication_protocol": protocol,
        "node_communication_protocol": protocol,
        "server_type": protocol,
        "port": port,
        "node_id": node,
    })
}

/// What a client says of a server of its node.
pub(super) fn server_record(id: String, node: &str, given: &Map<String, Value>) -> Result<HubServer, HubError> {
    let text = |key: &str| given.get(key).and_then(Value::as_str);
    if let Some(other) = text("node_id").filter(|said| *said != node) {
        return Err(HubError::NotOwner(other.chars().take(160).collect()));
    }
    let protocol = text("communication_protocol").or_else(|| text("node_communication_protocol"));
    let protocol = protocol
        .filter(|protocol| PROTOCOLS.contains(protocol))
        .ok_or_else(|| HubError::Params(format!("`communication_protocol` must be one of {}", PROTOCOLS.join(", "))))?;
    let port = given.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let port = port.filter(|port| *port > 0).ok_or_else(|| HubError::Params("`port` must be a port".to_owned()))?;
    Ok(HubServer { id, node: node.to_owned(), protocol: protocol.to_owned(), port })
}
