//! Calls: what users, modules and peers ask for, brought to the node that it is for.

use std::sync::Arc;

use jiff::Timestamp;
use reqwest::{Method, header::HeaderValue};
use serde_json::Value;

use super::{
    super::store::StoredRun,
    Core, NodeError, Target,
    access::Caller,
    demand::{Demand, Found, may_renew},
    peers::{Lines, Peer},
    runs::{ActiveRun, NewRun, Origin, Waiting},
    secrets::RunSecrets,
};
use crate::{
    config::Deployment,
    module::{ModuleId, ModuleType},
    report::{Relayed, Reporter},
    wire::{
        DeployEvent, DeployRequest, DeploymentView, Envelope, EventPayload, ModulePin, RunInput, RunRecord, RunRequest,
        SecretRow, SignedEnvelope,
    },
};

/// The longest line of a peer that deploys: a whole deployment.
const MAX_DEPLOY_LINE: u64 = 16 << 20;

/// What a node says about a call beside its inputs; signed, as a part of the path.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(in crate::node) struct ForwardQuery {
    /// What the caller's part is called there.
    deployment: String,
    /// Its revision.
    revision: u64,
    /// How deep calls are nested already, over all nodes.
    depth: u32,
}

/// The module type that a call names; a wrong one is told with the right ones.
pub(in crate::node) fn runnable(text: &str) -> Result<ModuleType, NodeError> {
    text.parse::<ModuleType>().ok().filter(|kind| kind.is_runnable()).ok_or_else(|| NodeError::NotFound {
        what: format!("Invalid module type: {text}"),
        hint: Some("the types are orchestrator, agent, tool, kb, memory, environment".to_owned()),
    })
}

/// Which module a run input is for.
fn module_of(module_type: ModuleType, deployment: &Deployment) -> Result<ModuleId, NodeError> {
    let name = deployment
        .module
        .as_ref()
        .and_then(|module| module.name.as_deref())
        .ok_or_else(|| NodeError::Invalid("the deployment does not name its module".to_owned()))?;
    let bare = name.split_once(':').map_or(name, |(_, bare)| bare);
    let name = bare.parse().map_err(|error: crate::module::NameError| NodeError::Invalid(error.to_string()))?;
    Ok(ModuleId { module_type, name })
}

impl Core {
    /// A run asked for on napt's own API.
    pub(in crate::node) async fn run(
        self: &Arc<Self>,
        caller: &Caller,
        request: RunRequest,
    ) -> Result<Arc<StoredRun>, NodeError> {
        let origin = self.origin(caller)?;
        let consumer = caller.consumer(None)?;
        self.remember(&consumer).await?;
        let new = NewRun {
            module: request.module,
            inputs: request.inputs,
            consumer,
            signature: String::new(),
            given: request.deployment,
            origin,
            on_demand: false,
            secrets: RunSecrets::default(),
        };
        self.let_go(self.submit(new).await?).await
    }

    /// A run asked for by one of Naptha's doors on this very node, held until its end: it is cancelled when the caller
    /// drops it.
    async fn call_local(
        self: &Arc<Self>,
        caller: &Caller,
        module_type: ModuleType,
        input: RunInput,
        secrets: Vec<SecretRow>,
    ) -> Result<Waiting, NodeError> {
        let origin = self.origin(caller)?;
        if origin.is_some() && !secrets.is_empty() {
            return Err(NodeError::Invalid("secrets go with a user's run; a module's calls get them too".to_owned()));
        }
        let consumer = caller.consumer(origin.is_none().then_some(input.consumer_id.as_str()))?;
        if origin.is_none() {
            // A module signs with its delegate key instead, and its address is the proof.
            self.check_consumer_signature(&consumer, input.signature.as_deref())?;
        }
        self.remember(&consumer).await?;
        let secrets = self.secrets_with_run(&consumer, secrets).await?;
        self.submit(NewRun {
            module: module_of(module_type, &input.deployment)?,
            inputs: input.inputs,
            consumer,
            signature: input.signature.unwrap_or_default(),
            given: Some(input.deployment),
            origin,
            on_demand: true,
            secrets,
        })
        .await
    }

    /// The same for a caller that does not wait.
    pub(in crate::node) async fn run_naptha(
        self: &Arc<Self>,
        caller: &Caller,
        module_type: ModuleType,
        input: RunInput,
        secrets: Vec<SecretRow>,
    ) -> Result<Arc<StoredRun>, NodeError> {
        self.let_go(self.call_local(caller, module_type, input, secrets).await?).await
    }

    /// A module's or user's call, brought to the node that its address means; the record of the ended run.
    pub(in crate::node) async fn call(
        self: &Arc<Self>,
        caller: &Caller,
        module_type: ModuleType,
        input: RunInput,
    ) -> Result<RunRecord, NodeError> {
        if let Caller::Run { run, target: Target::Peer(short), .. } = caller {
            let parent = self.active(run).ok_or_else(|| NodeError::Unauthorised("the run has ended".to_owned()))?;
            let peer = self.peers.peer(short).await?;
            return Box::pin(self.forward_run(&parent, &peer, module_type, input)).await;
        }
        let waiting = self.accept_call(caller, module_type, input).await?;
        self.answer_of(caller, &waiting).await
    }

    /// Accepts a call as a run on this very node, which is cancelled when the caller drops it.
    pub(super) async fn accept_call(
        self: &Arc<Self>,
        caller: &Caller,
        module_type: ModuleType,
        input: RunInput,
    ) -> Result<Waiting, NodeError> {
        // On the heap, until it is accepted: thousands may wait for their ends.
        Box::pin(self.call_local(caller, module_type, input, Vec::new())).await
    }

    /// Waits for the end of a call's run: its record.
    pub(super) async fn answer_of(&self, caller: &Caller, waiting: &Waiting) -> Result<RunRecord, NodeError> {
        let ended = self.wait(waiting.run()).await?;
        self.record_for(caller, &ended)
    }

    /// A run as Naptha's clients read it, with addresses that suit the reader.
    pub(in crate::node) fn record_for(&self, caller: &Caller, run: &StoredRun) -> Result<RunRecord, NodeError> {
        let deployment = self.deployment_for(caller, run.deployment.clone())?;
        Ok(RunRecord::of(&run.view, deployment, run.signature.clone()))
    }

    /// A stored deployment with addresses that suit the reader: a run gets its own credential in them.
    pub(in crate::node) fn deployment_for(&self, caller: &Caller, stored: Value) -> Result<Value, NodeError> {
        let mut deployment: Deployment =
            serde_json::from_value(stored).map_err(NodeError::internal("read a stored deployment"))?;
        match caller {
            Caller::Run { run, .. } => {
                let secret = self.active(run).map(|run| run.secret.clone()).unwrap_or_default();
                self.addresses.for_run(&mut deployment, run, &secret);
            }
            Caller::User(_) | Caller::Open => {
                self.addresses.for_client(&mut deployment, &|short| self.peers.answered(short));
            }
        }
        serde_json::to_value(deployment).map_err(NodeError::internal("write a deployment"))
    }

    /// Naptha's `create`: the resolved deployment of a module. For a user it is installed unless it is here, at its newest
    /// version; a run may only name what its own deployment holds.
    pub(in crate::node) async fn create(
        self: &Arc<Self>,
        caller: &Caller,
        module_type: ModuleType,
        given: Deployment,
    ) -> Result<Value, NodeError> {
        let module = module_of(module_type, &given)?;
        let deployment = match caller {
            Caller::Run { run, .. } => {
                let run = self.active(run).ok_or_else(|| NodeError::Unauthorised("the run has ended".to_owned()))?;
                self.resolve_for_run(&module, &given, run.modules()?, false).await?
            }
            Caller::User(_) | Caller::Open => self.create_for(module, caller.consumer(None)?, given).await?,
        };
        let stored = serde_json::to_value(&deployment).map_err(NodeError::internal("write a deployment"))?;
        self.deployment_for(caller, stored)
    }

    async fn create_for(
        self: &Arc<Self>,
        module: ModuleId,
        user: String,
        given: Deployment,
    ) -> Result<Deployment, NodeError> {
        let found = self.find(&module, &user, Some(given.clone()), true).await?;
        // The node of the whole is this one, whatever its client calls it.
        let given = Deployment { node: None, ..given };
        let demand = match found {
            Found::Live(view, deployment) if !may_renew(&view, &module, &user) => return Ok(*deployment),
            Found::Live(..) => {
                Demand { module: module.clone(), owner: user, base: None, given: Deployment::default(), newest: true }
            }
            Found::Missing(demand) => *demand,
        };
        let view = self.fulfil_within(demand, self.options.create_within).await?;
        self.resolve_for_run(&module, &given, &view, true).await
    }

    fn origin(&self, caller: &Caller) -> Result<Option<Origin>, NodeError> {
        match caller {
            Caller::Run { target: Target::Peer(_), .. } => Err(NodeError::Invalid(
                "a module's run on another node goes over the WebSocket door (`/ws/TYPE/run/ID`)".to_owned(),
            )),
            Caller::Run { run, .. } => {
                let run = self.active(run).ok_or_else(|| NodeError::Unauthorised("the run has ended".to_owned()))?;
                Ok(Some(Origin::Local(run)))
            }
            Caller::User(_) | Caller::Open => Ok(None),
        }
    }

    async fn remember(&self, consumer: &str) -> Result<(), NodeError> {
        let known = self.store.knows_user(consumer).await.map_err(NodeError::internal("look up a user"))?;
        if known {
            return Ok(());
        }
        self.store.put_user(consumer).await.map_err(NodeError::internal("register a user"))
    }

    fn envelope(
        &self,
        peer: &Peer,
        path: &str,
        body: &[u8],
        consumer: &str,
        root: &str,
        parent: &str,
    ) -> SignedEnvelope {
        let now = Timestamp::now().as_second();
        Envelope::sign(&self.key, &peer.id, path, body, consumer, root, parent, now)
    }

    /// Judges a peer's envelope before the body is read: that the body has the envelope's digest is left to the caller.
    pub(in crate::node) async fn open_envelope(
        &self,
        signed: &SignedEnvelope,
        path: &str,
    ) -> Result<Envelope, NodeError> {
        let envelope = signed.open(&self.id, path, Timestamp::now().as_second());
        let envelope = envelope.map_err(|error| NodeError::Unauthorised(error.to_string()))?;
        if !self.peers.trusts(&envelope.from).await {
            return Err(NodeError::Forbidden(format!("`{}` is not a peer of this node", envelope.from)));
        }
        if !self.access.nonce_is_new(&envelope.nonce) {
            return Err(NodeError::Unauthorised("the forwarded call was sent before".to_owned()));
        }
        Ok(envelope)
    }

    /// Runs a module for a peer's run.
    pub(in crate::node) async fn run_forwarded(
        self: &Arc<Self>,
        envelope: Envelope,
        module_type: ModuleType,
        query: ForwardQuery,
        input: RunInput,
    ) -> Result<Waiting, NodeError> {
        self.remember(&envelope.consumer).await?;
        let part = self.store.revision(&query.deployment, query.revision).await;
        let part = part.map_err(NodeError::internal("read its deployments"))?;
        let is_theirs = |part: &DeploymentView| part.name.ends_with(&super::parts::suffix(&envelope.from));
        let part = part.filter(is_theirs).ok_or_else(|| NodeError::NotFound {
            what: format!("`{}` revision {} is not on this node", query.deployment, query.revision),
            hint: Some("deploy again from the node that calls: it has its peers deploy what they lack".to_owned()),
        })?;
        self.submit(NewRun {
            module: module_of(module_type, &input.deployment)?,
            inputs: input.inputs,
            consumer: envelope.consumer,
            signature: input.signature.unwrap_or_default(),
            given: Some(input.deployment),
            secrets: RunSecrets::default(),
            origin: Some(Origin::Forwarded {
                from: envelope.from,
                root: envelope.root,
                parent: envelope.parent,
                part: Arc::new(part),
                depth: query.depth,
            }),
            on_demand: false,
        })
        .await
    }

    async fn forward_run(
        &self,
        parent: &ActiveRun,
        peer: &Peer,
        module_type: ModuleType,
        mut input: RunInput,
    ) -> Result<RunRecord, NodeError> {
        let module = module_of(module_type, &input.deployment)?;
        let modules = parent.modules()?;
        let parts = &modules.parts;
        let part = parts.iter().find(|part| part.module == module && part.node == peer.id);
        let part = part.ok_or_else(|| NodeError::NotFound {
            what: format!("the deployment `{}` has no `{module}` on the node `{}`", modules.name, peer.url),
            hint: Some(
                "name that node when you start the run, or place it there in the deployment's files and deploy again"
                    .to_owned(),
            ),
        })?;
        // Addresses and their credentials are this node's own business.
        input.deployment.for_each_node(&mut |node| *node = None);
        input.extra.clear();
        input.consumer_id.clone_from(&parent.consumer);
        let body = serde_json::to_vec(&input).map_err(NodeError::internal("write a call"))?;
        let name: String = url::form_urlencoded::byte_serialize(part.name.as_bytes()).collect();
        let (revision, depth) = (part.revision, parent.depth + 1);
        let path = format!("/v1/forward/run/{module_type}?deployment={name}&revision={revision}&depth={depth}");
        let envelope = self.envelope(peer, &path, &body, &parent.consumer, &parent.root, &parent.id);
        let response = tokio::select! {
            response = self.peers.send(peer, Method::POST, &path, &envelope, body) => response?,
            () = parent.cancel.cancelled() => return Err(NodeError::Upstream("the calling run has ended".to_owned())),
        };
        let lost = |what: &str| NodeError::Upstream(format!("node `{}` {what}", peer.url));
        // One JSON line when the run is accepted, empty lines while it goes on, one when it has ended.
        let mut lines = Lines::new(response, self.options.caps.result.saturating_mul(4));
        loop {
            let line = tokio::select! {
                line = lines.next() => line.map_err(lost)?,
                () = parent.cancel.cancelled() => return Err(lost("was told that the calling run has ended")),
            };
            let Some(line) = line else { return Err(lost("went away before the run ended")) };
            let message: Value = serde_json::from_slice(&line).map_err(|_| lost("answered what is not JSON"))?;
            if let Some(run) = message.get("accepted").and_then(Value::as_str) {
                let payload = EventPayload::Call { run: run.to_owned(), module: module.clone(), node: peer.id.clone() };
                self.record(parent, vec![(Timestamp::now(), payload)]).await;
            } else if let Some(record) = message.get("record") {
                let mut record: RunRecord =
                    serde_json::from_value(record.clone()).map_err(|_| lost("answered what is not a run"))?;
                let caller =
                    Caller::Run { run: parent.id.clone(), consumer: parent.consumer.clone(), target: peer.target() };
                let mut deployment: Deployment =
                    serde_json::from_value(record.deployment).map_err(|_| lost("answered what is not a deployment"))?;
                deployment.for_each_node(&mut |node| {
                    *node = Some(super::addresses::stored(&peer.target()));
                });
                let stored = serde_json::to_value(deployment).map_err(NodeError::internal("write a deployment"))?;
                record.deployment = self.deployment_for(&caller, stored)?;
                return Ok(record);
            } else if let Some(problem) = message.pointer("/problem/detail").and_then(Value::as_str) {
                return Err(lost(&format!("could not see the run through: {problem}")));
            } else {
                return Err(lost("answered what is not a run"));
            }
        }
    }

    /// Gives a peer the archive of a module, unless it has it.
    pub(super) async fn give_archive(&self, peer: &Peer, pin: &ModulePin, owner: &str) -> Result<(), NodeError> {
        let path = format!("/v1/forward/archives/{}", pin.sha256);
        let envelope = self.envelope(peer, &path, b"", owner, "", "");
        match self.peers.send(peer, Method::GET, &path, &envelope, Vec::new()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.status() == 404 => {}
            Err(error) => return Err(error),
        }
        let body = self.installs.read_archive(&pin.sha256).await?;
        let envelope = self.envelope(peer, &path, &body, owner, "", "");
        self.peers.send(peer, Method::PUT, &path, &envelope, body).await.map(|_| ())
    }

    /// Has a peer deploy a part of a deployment, which may take minutes: one JSON line a step, empty ones between.
    pub(super) async fn forward_deploy(
        &self,
        peer: &Peer,
        request: &DeployRequest,
        owner: &str,
        reporter: &dyn Reporter,
    ) -> Result<DeploymentView, NodeError> {
        let path = "/v1/forward/deploy";
        let body = serde_json::to_vec(request).map_err(NodeError::internal("write a deployment"))?;
        let envelope = self.envelope(peer, path, &body, owner, "", "");
        let response = self.peers.send(peer, Method::POST, path, &envelope, body).await?;
        let lost = |what: &str| NodeError::Upstream(format!("node `{}` {what}", peer.url));
        let mut lines = Lines::new(response, MAX_DEPLOY_LINE);
        let mut progress = Relayed::default();
        while let Some(line) = lines.next().await.map_err(lost)? {
            match serde_json::from_slice(&line).map_err(|_| lost("answered what is not a deployment"))? {
                DeployEvent::Step { verb, what } => reporter.step(&verb, &format!("{what} on {}", peer.url)),
                DeployEvent::Progress { number, verb, done, total } => {
                    progress.tell(reporter, number, &verb, done, total);
                }
                DeployEvent::Unknown => {}
                DeployEvent::Ready { deployment, .. } => return Ok(*deployment),
                DeployEvent::Failed { problem } => {
                    return Err(NodeError::Peer {
                        url: peer.url.clone(),
                        did: "did not deploy",
                        problem: problem.into(),
                    });
                }
            }
        }
        Err(lost("went away while it deployed; deploy again: what is done already is not done twice"))
    }

    /// Has a peer remove a part of a deployment.
    pub(super) async fn forward_undeploy(&self, peer: &Peer, name: &str, owner: &str) -> Result<(), NodeError> {
        let path: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let path = format!("/v1/forward/deployments/{path}");
        let envelope = self.envelope(peer, &path, b"", owner, "", "");
        self.peers.send(peer, Method::DELETE, &path, &envelope, Vec::new()).await.map(|_| ())
    }

    /// Brings a module's call of storage or inference to the peer that its address means.
    pub(in crate::node) async fn forward_request(
        &self,
        (run, short): (&str, &str),
        (method, target): (Method, &str),
        body: Vec<u8>,
    ) -> Result<reqwest::Response, NodeError> {
        let run = self.active(run).ok_or_else(|| NodeError::Unauthorised("the run has ended".to_owned()))?;
        let peer = self.peers.peer(short).await?;
        let path = format!("/v1/forward{target}");
        let envelope = self.envelope(&peer, &path, &body, &run.consumer, &run.root, &run.id);
        // A model may think for longer than any other answer takes.
        self.peers.request(self.inference.http(), &peer, method, &path, &envelope, body).await
    }

    /// Brings a module's upload, which is in a file meanwhile, to the peer that its address means.
    pub(in crate::node) async fn forward_upload(
        &self,
        (run, short): (&str, &str),
        (method, target): (Method, &str),
        kind: Option<&HeaderValue>,
        (file, digest): (tokio::fs::File, String),
    ) -> Result<reqwest::Response, NodeError> {
        let run = self.active(run).ok_or_else(|| NodeError::Unauthorised("the run has ended".to_owned()))?;
        let peer = self.peers.peer(short).await?;
        let path = format!("/v1/forward{target}");
        let now = Timestamp::now().as_second();
        let envelope =
            Envelope::sign_digest(&self.key, &peer.id, &path, digest, &run.consumer, &run.root, &run.id, now);
        self.peers.upload(&peer, method, &path, &envelope, kind, file).await
    }
}
