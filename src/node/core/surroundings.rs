//! What a module's process is given: a folder, a credential, an environment, and what its function is called with.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{
        runtime::{Calls, Code, Execution, Network, Place, PythonModule, RunFrame, Scratch},
        store::StoredRun,
    },
    Core, NodeError,
    runs::ActiveRun,
};
use crate::{
    config::Deployment,
    identity::{Secret, SecretKey},
    module::{HostPattern, Isolation, Manifest},
    wire::naptha_time,
};

/// What a module's process has around it.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// The run's id.
    id: String,
    /// Its credential's secret part.
    secret: String,
    env: HashMap<String, String>,
    /// The values of its user's secrets.
    values: Vec<Secret>,
    scratch: Scratch,
}

impl Surroundings {
    /// The same with a user's secrets as variables.
    pub(super) fn with_secrets(mut self, secrets: BTreeMap<String, Secret>) -> Self {
        for (name, value) in secrets {
            self.env.entry(name).or_insert_with(|| value.reveal().to_owned());
            self.values.push(value);
        }
        self
    }
}

impl Core {
    /// A scratch folder in this place with a delegate key, and the environment that a process with this credential gets.
    pub(super) async fn surroundings(
        &self,
        place: &Arc<Place>,
        id: &str,
        secret: &str,
        manifest: &Manifest,
    ) -> Result<Surroundings, NodeError> {
        let (run, place) = (id.to_owned(), place.clone());
        let made = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
            let delegate = SecretKey::generate_hex();
            Ok((place.scratch(&run, &delegate)?, delegate))
        });
        let failed = NodeError::internal("make a scratch folder");
        let (scratch, delegate) = made.await.map_err(NodeError::internal("make a scratch folder"))?.map_err(failed)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let credential = format!("{id}.local:{secret}");
        let mut env = HashMap::from([
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), text(scratch.path())),
            ("TMPDIR".to_owned(), text(scratch.path())),
            ("PRIVATE_KEY".to_owned(), delegate),
            ("PRIVATE_KEY_FULL_PATH".to_owned(), text(&scratch.key())),
            ("NAPT_RUN_ID".to_owned(), id.to_owned()),
            ("NAPT_RUN_TOKEN".to_owned(), credential.clone()),
            (
                "NAPT_NODE_URL".to_owned(),
                format!("http://{credential}@{}:{}", self.addresses.module_host(), self.addresses.port()),
            ),
        ]);
        env.extend(self.way_out(&credential, manifest));
        Ok(Surroundings { id: id.to_owned(), secret: secret.to_owned(), env, values: Vec::new(), scratch })
    }

    /// The variables by which HTTP clients find the node's proxy; none for a module that reaches nothing.
    fn way_out(&self, credential: &str, manifest: &Manifest) -> Vec<(String, String)> {
        let hosts = &manifest.permissions.hosts;
        if hosts.is_empty() {
            return Vec::new();
        }
        let proxy = format!("http://{credential}@127.0.0.1:{}", self.egress_port);
        let mut direct = format!("127.0.0.1,{}", self.addresses.module_host());
        // What a module itself serves, unless that name is for something else.
        if !hosts.iter().any(HostPattern::is_localhost) {
            direct.push_str(",localhost");
        }
        let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, &proxy));
        let all = names.into_iter().chain([("NO_PROXY", &direct)]);
        // Some clients know them in capitals, others not.
        all.flat_map(|(name, value)| [name.to_owned(), name.to_lowercase()].map(|name| (name, value.clone()))).collect()
    }

    /// A module's process in its surroundings. Without a `module_run` it is only imported.
    pub(super) fn execution(
        &self,
        manifest: &Manifest,
        code: &Code,
        surroundings: &Surroundings,
        depth: u32,
        module_run: Option<Value>,
        calls: Option<Arc<dyn Calls>>,
    ) -> Execution {
        let caps = self.options.caps.within(&manifest.limits);
        // The group of a shared interpreter has the node's caps.
        let is_shared = self.options.allow_shared
            && manifest.limits.isolation == Isolation::Shared
            && matches!(code, Code::Python(_));
        let limits = caps.of_process(self.cgroups.as_deref().filter(|_| !is_shared));
        let (scratch, output, env) = (surroundings.scratch.path().to_owned(), caps.output, surroundings.env.clone());
        let network = Network { module: manifest.id.clone(), hosts: manifest.permissions.hosts.clone() };
        let frame = match code {
            Code::Python(PythonModule { root, folder, package, entry, component, .. }) => RunFrame {
                root: root.clone(),
                folder: folder.clone(),
                module: format!("{package}.{entry}"),
                function: entry.clone(),
                schemas: format!("{package}.schemas"),
                component: component.clone(),
                limits,
                scratch,
                output,
                network,
                env,
                module_run,
            },
            // What is imported from where concerns Python only.
            Code::Rust(module) => RunFrame {
                root: module.root.clone(),
                folder: module.root.clone(),
                module: module.binary.clone(),
                function: String::new(),
                schemas: String::new(),
                component: Value::Null,
                limits,
                scratch,
                output,
                network,
                env,
                module_run,
            },
        };
        Execution {
            run: surroundings.id.clone(),
            frame,
            caps,
            depth,
            secret: surroundings.secret.clone(),
            calls,
            starting: self.starting.clone(),
            values: surroundings.values.clone(),
        }
    }

    /// What the module's function gets, as Naptha's node gives it.
    pub(super) fn module_run(
        &self,
        run: &ActiveRun,
        stored: &StoredRun,
        started: Timestamp,
    ) -> Result<Value, NodeError> {
        let mut deployment: Deployment = serde_json::from_value(stored.deployment.clone())
            .map_err(NodeError::internal("read a stored deployment"))?;
        self.addresses.for_run(&mut deployment, &run.id, &run.secret);
        Ok(json!({
            "id": run.id,
            "consumer_id": run.consumer,
            "inputs": stored.view.inputs,
            "deployment": deployment,
            "orchestrator_runs": [],
            "status": "running",
            "error": false,
            "results": [],
            "error_message": null,
            "created_time": naptha_time(stored.view.created),
            "start_processing_time": naptha_time(started),
            "completed_time": null,
            "duration": null,
            "input_schema_ipfs_hash": null,
            "signature": stored.signature,
        }))
    }
}
