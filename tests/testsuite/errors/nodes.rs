//! What goes wrong on a node, and between it and a client.

use std::time::Duration;

use napt::{
    client::ClientError, config::ConfigError, dev::DevError, node::NodeError, package::PackageError,
    registry::RegistryError, report::Failure, resolve::ResolveError,
};

use super::{disk, path, problem, room, transport};

fn url() -> url::Url {
    "http://127.0.0.1:7001/".parse().expect("a URL")
}

room! { client:
    ClientError [Failure::from] {
        ClientError::Unreachable { .. } => ClientError::Unreachable { url: url(), error: transport() },
        ClientError::Refused { .. } => ClientError::Refused {
            url: url(),
            problem: problem(404, "`agent:a` is not deployed here", Some("deploy it with `napt deploy`")),
            retry_after: None,
        },
        ClientError::Failed { .. } => {
            ClientError::Failed { url: url(), status: 503, retry_after: Some(Duration::from_secs(7)) }
        },
        ClientError::Timeout { .. } => ClientError::Timeout { url: url() },
        ClientError::Broken { .. } => ClientError::Broken { url: url() },
        ClientError::Garbage { .. } => ClientError::Garbage { url: url(), what: "it sends HTML".to_owned() },
        ClientError::AmbiguousRun { .. } => ClientError::AmbiguousRun {
            given: "0196".to_owned(),
            ids: (0..7).map(|number| format!("0196f0c2a1b27c3d8e4f5a6b7c8d9e0{number}")).collect(),
        },
        ClientError::Package(_) => ClientError::Package(PackageError::SelfCheck),
        ClientError::Config(_) => ClientError::Config(ConfigError::Cycle("orchestrator:o".to_owned())),
        ClientError::Resolve(_) => ClientError::Resolve(ResolveError::NoLock),
        ClientError::Io(_) => ClientError::Io(disk()),
    }
}

room! { node:
    NodeError [Failure::from] {
        NodeError::Unauthorised(_) => NodeError::Unauthorised("this call needs a signature or a token".to_owned()),
        NodeError::Forbidden(_) => NodeError::Forbidden("the run belongs to another user".to_owned()),
        NodeError::NotFound { .. } => NodeError::NotFound {
            what: "there is no deployment `chater` here".to_owned(),
            hint: Some("did you mean `chatter`?".to_owned()),
        },
        NodeError::Invalid(_) => NodeError::Invalid("`limit` is not a number".to_owned()),
        NodeError::Config(_) => NodeError::Config(ConfigError::Cycle("orchestrator:o".to_owned())),
        NodeError::TooLarge(_) => NodeError::TooLarge("the inputs have more than 16 MiB".to_owned()),
        NodeError::Conflict(_) => NodeError::Conflict("the deployment `a` belongs to another user".to_owned()),
        NodeError::Install { .. } => NodeError::Install {
            module: "agent:a 0.1.0".to_owned(),
            reason: "there is no version 0.1.0 of it".to_owned(),
        },
        NodeError::NotReady { .. } => NodeError::NotReady {
            module: "agent:a 0.1.0".to_owned(),
            error: "ModuleNotFoundError: No module named 'numpy'".to_owned(),
            traceback: "  File \"a/run.py\", line 1\n    import numpy".to_owned(),
            hint: Some("add it to `dependencies` in `pyproject.toml`".to_owned()),
        },
        NodeError::Listen { .. } => NodeError::Listen {
            address: ([127, 0, 0, 1], 7001).into(),
            reason: std::io::Error::new(std::io::ErrorKind::AddrInUse, "Address already in use (os error 98)"),
        },
        NodeError::NoSandbox(_) => NodeError::NoSandbox(vec!["system calls are not filtered".to_owned()]),
        NodeError::InUse(_) => NodeError::InUse(path("/srv/node")),
        NodeError::Stopping => NodeError::Stopping,
        NodeError::NotListed { .. } => NodeError::NotListed {
            name: "one.example".to_owned(),
            problem: problem(409, "the node name `one.example` belongs to another owner", Some("choose another name")),
        },
        NodeError::Unfinished(_) => NodeError::Unfinished("`agent:a` is being installed".to_owned()),
        NodeError::Elsewhere { .. } => NodeError::Elsewhere { url: "http://two.example:7001/".to_owned() },
        NodeError::Several(_) => NodeError::Several(vec![
            NodeError::Invalid("the model `gpt` is not configured".to_owned()),
            NodeError::NotFound { what: "there is no peer `node2`".to_owned(), hint: None },
        ]),
        NodeError::Upstream(_) => NodeError::Upstream("the model provider answered 500".to_owned()),
        NodeError::Full { .. } => {
            NodeError::Full { what: "store a run", source: std::io::Error::other("No space left on device").into() }
        },
        NodeError::Peer { .. } => NodeError::Peer {
            url: url(),
            did: "refused the deployment",
            problem: problem(403, "the user is not admitted", Some("ask its operator")),
        },
        NodeError::Internal { .. } => {
            NodeError::Internal { what: "store a run", source: std::io::Error::other("database is locked").into() }
        },
    }
}

room! { dev:
    DevError [Failure::from] {
        DevError::Running { .. } => DevError::Running { session: None },
        DevError::Registry(_) => DevError::Registry(RegistryError::Locked(path("/srv/napt"))),
        DevError::Node(_) => DevError::Node(NodeError::InUse(path("/srv/node"))),
        DevError::Io(_) => DevError::Io(disk()),
    }
}
