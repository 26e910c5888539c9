//! Users' secrets: sealed on the way here, sealed at rest, opened for the runs that they are for and for nobody else.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::{Caller, Core, NodeError, access::ANONYMOUS, runs::ActiveRun};
use crate::{
    files,
    identity::{Jwks, SealingKey, Secret, StorageKey, random_hex, read_private},
    module::ModuleId,
    node::store::StoredSecret,
    wire::{NewSecret, SecretRow, SecretView},
};

/// Bounds for each user on a node.
const MAX_VALUE: usize = 1 << 20;
const MAX_SECRETS: usize = 256;
const MAX_BYTES: usize = 16 << 20;
const MAX_NODES: usize = 32;

/// The longest name.
const MAX_NAME: usize = 128;

/// Variables that a run has from its node, or by which programs are told what to load.
const RESERVED: [&str; 6] = ["PATH", "HOME", "TMPDIR", "LANG", "PRIVATE_KEY", "PRIVATE_KEY_FULL_PATH"];
const RESERVED_PREFIXES: [&str; 3] = ["NAPT_", "LD_", "PYTHON"];

/// The scope of what all runs of a user get.
const EVERYWHERE: &str = "";

/// The keys, made when they are first needed.
#[derive(Debug)]
struct Keys {
    sealing: SealingKey,
    storage: StorageKey,
}

/// The node's keys for secrets.
#[derive(Debug)]
pub(super) struct Secrets {
    folder: PathBuf,
    keys: OnceCell<Arc<Keys>>,
}

/// What came with a run.
#[derive(Debug, Default)]
pub(super) struct RunSecrets {
    opened: Vec<(String, Secret)>,
    /// Names of those that only another node can open.
    pub(super) foreign: Vec<String>,
}

impl RunSecrets {
    pub(super) fn is_empty(&self) -> bool {
        self.opened.is_empty()
    }
}

impl Secrets {
    pub(super) fn new(folder: PathBuf) -> Self {
        Secrets { folder, keys: OnceCell::new() }
    }

    async fn keys(&self) -> Result<Arc<Keys>, NodeError> {
        let keys = self.keys.get_or_try_init(async || {
            let folder = self.folder.clone();
            let made = tokio::task::spawn_blocking(move || {
                let sealing = key_file(folder.join("transport.pem"), SealingKey::generate_pem)?;
                let storage = key_file(folder.join("storage.key"), || random_hex(32))?;
                anyhow::Ok(Keys { sealing: SealingKey::from_pem(&sealing)?, storage: StorageKey::from_hex(&storage)? })
            });
            let failed = NodeError::internal("read its keys for secrets");
            made.await.map_err(NodeError::internal("make its keys for secrets"))?.map(Arc::new).map_err(failed)
        });
        keys.await.cloned()
    }
}

/// What a file holds that only its owner may read; it is made when it is not there.
fn key_file(path: PathBuf, make: impl FnOnce() -> String) -> anyhow::Result<String> {
    if !path.try_exists()? {
        files::create_private(&path, make().as_bytes())?;
    }
    Ok(read_private(&path)?)
}

/// Where a value belongs: at another place it cannot be opened.
fn place(user: &str, scope: &str, name: &str) -> String {
    format!("{user}\n{scope}\n{name}")
}

fn scope_of(module: Option<&ModuleId>) -> String {
    module.map_or(EVERYWHERE.to_owned(), ToString::to_string)
}

fn check_name(name: &str) -> Result<(), NodeError> {
    let invalid = |what: &str| Err(NodeError::Invalid(format!("`{name}` cannot be the name of a secret: {what}")));
    let is_name = name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(NodeError::Invalid(format!(
            "a secret's name is that of a variable: letters, digits and `_`, at most {MAX_NAME} of them, no digit first"
        )));
    }
    if RESERVED.contains(&name) {
        return invalid("a run has a variable of that name from its node");
    }
    if let Some(prefix) = RESERVED_PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
        return invalid(&format!("variables that begin with `{prefix}` are not the user's"));
    }
    Ok(())
}

/// A value as a variable can hold it. It is not repeated.
fn checked(name: &str, value: Vec<u8>) -> Result<Secret, NodeError> {
    check_name(name)?;
    if value.len() > MAX_VALUE {
        return Err(NodeError::TooLarge(format!("the secret `{name}` is larger than {} MiB", MAX_VALUE >> 20)));
    }
    match String::from_utf8(value) {
        Ok(text) if !text.contains('\0') => Ok(Secret::new(text)),
        _ => Err(NodeError::Invalid(format!("the secret `{name}` is no text that a variable can hold"))),
    }
}

impl Core {
    /// The public key that secrets for this node are sealed with.
    pub(in crate::node) async fn jwks(&self) -> Result<Jwks, NodeError> {
        Ok(Jwks { keys: vec![self.secrets.keys().await?.sealing.jwk().clone()] })
    }

    /// Opens rows of Naptha's, which are all one user's; apart, the names of those that only another node can open.
    async fn open_rows(&self, user: &str, rows: Vec<SecretRow>) -> Result<RunSecrets, NodeError> {
        if rows.iter().any(|row| row.user() != user) {
            return Err(NodeError::Forbidden("the request has secrets of another user".to_owned()));
        }
        if rows.len() > MAX_SECRETS {
            return Err(NodeError::TooLarge(format!("the request has more than {MAX_SECRETS} secrets")));
        }
        if rows.is_empty() {
            return Ok(RunSecrets::default());
        }
        let keys = self.secrets.keys().await?;
        // Each takes a millisecond.
        let opening = tokio::task::spawn_blocking(move || {
            let mut found = RunSecrets::default();
            for SecretRow { key_name, secret_value, .. } in rows {
                let opened = match STANDARD.decode(&secret_value) {
                    Ok(sealed) => keys.sealing.open_oaep(&sealed),
                    Err(_) => keys.sealing.open(&secret_value),
                };
                match opened {
                    Ok(value) => found.opened.push((key_name.clone(), checked(&key_name, value)?)),
                    Err(_) => found.foreign.push(key_name),
                }
            }
            Ok(found)
        });
        opening.await.map_err(NodeError::internal("open secrets"))?
    }

    /// Seals values for the store.
    async fn sealed(
        &self,
        user: &str,
        scope: &str,
        nodes: &[String],
        values: Vec<(String, Secret)>,
    ) -> Result<Vec<StoredSecret>, NodeError> {
        let keys = self.secrets.keys().await?;
        let updated = Timestamp::now();
        let seal = |(name, value): (String, Secret)| StoredSecret {
            value: keys.storage.seal(&place(user, scope, &name), value.reveal().as_bytes()),
            scope: scope.to_owned(),
            name,
            nodes: nodes.to_owned(),
            updated,
        };
        Ok(values.into_iter().map(seal).collect())
    }

    /// Keeps secrets of a user, within bounds; gives how many were written.
    async fn keep(&self, user: &str, new: Vec<StoredSecret>, replace: bool) -> Result<u64, NodeError> {
        let there = self.store.secrets(user).await.map_err(NodeError::internal("read secrets"))?;
        let all: BTreeMap<(&str, &str), usize> = there
            .iter()
            .chain(&new)
            .map(|secret| ((secret.scope.as_str(), secret.name.as_str()), secret.value.len()))
            .collect();
        if all.len() > MAX_SECRETS || all.values().sum::<usize>() > MAX_BYTES {
            return Err(NodeError::TooLarge(format!(
                "a user has at most {MAX_SECRETS} secrets of {} MiB together on a node",
                MAX_BYTES >> 20
            )));
        }
        self.store.put_secrets(user, new, replace).await.map_err(NodeError::internal("keep secrets"))
    }

    /// Keeps a secret, sealed for this node.
    pub(in crate::node) async fn put_secret(&self, user: &str, new: NewSecret) -> Result<(), NodeError> {
        check_name(&new.name)?;
        let is_node = |id: &String| id.starts_with("node:") && crate::identity::PublicKey::from_id(id).is_ok();
        if new.nodes.len() > MAX_NODES || !new.nodes.iter().all(is_node) {
            return Err(NodeError::Invalid(format!("`nodes` is a list of at most {MAX_NODES} nodes' ids")));
        }
        let opened = self.secrets.keys().await?.sealing.open(&new.sealed);
        let value = opened
            .map_err(|error| NodeError::Invalid(format!("the secret `{}` cannot be opened: {error}", new.name)))?;
        let values = vec![(new.name.clone(), checked(&new.name, value)?)];
        let sealed = self.sealed(user, &scope_of(new.module.as_ref()), &new.nodes, values).await?;
        self.keep(user, sealed, true).await.map(|_| ())
    }

    /// Naptha's `deploy-secrets`: rows that the user has sealed for this node, and signed for as Naptha's clients do.
    pub(in crate::node) async fn put_rows(
        &self,
        caller: &Caller,
        signature: Option<&str>,
        replace: bool,
        rows: Vec<SecretRow>,
    ) -> Result<&'static str, NodeError> {
        let user = rows.first().map(|row| row.user().to_owned()).unwrap_or_default();
        self.check_consumer_signature(&user, signature)?;
        caller.consumer(Some(&user))?;
        let RunSecrets { opened, foreign } = self.open_rows(&user, rows).await?;
        if !foreign.is_empty() {
            return Err(NodeError::Invalid(format!(
                "Operation failed: `{}` cannot be opened, since it is sealed for another node",
                foreign.join("`, `")
            )));
        }
        let sealed = self.sealed(&user, EVERYWHERE, &[], opened).await?;
        let written = self.keep(&user, sealed, replace).await?;
        Ok(if written > 0 { "Records updated successfully" } else { "Records already exist" })
    }

    /// The names of a user's secrets.
    pub(in crate::node) async fn secrets(&self, user: &str) -> Result<Vec<SecretView>, NodeError> {
        let stored = self.store.secrets(user).await.map_err(NodeError::internal("read secrets"))?;
        let shown = stored.into_iter().filter(|secret| !secret.scope.starts_with("run:"));
        Ok(shown
            .map(|secret| SecretView {
                module: secret.scope.parse().ok(),
                name: secret.name,
                nodes: secret.nodes,
                updated: secret.updated,
            })
            .collect())
    }

    /// Forgets a secret.
    pub(in crate::node) async fn remove_secret(
        &self,
        user: &str,
        module: Option<&ModuleId>,
        name: &str,
    ) -> Result<(), NodeError> {
        let removed = self.store.remove_secret(user, &scope_of(module), name).await;
        if removed.map_err(NodeError::internal("forget a secret"))? {
            return Ok(());
        }
        let known = self.secrets(user).await?;
        let known: Vec<String> = known.iter().map(|secret| format!("`{}`", secret.name)).collect();
        let of = module.map(|module| format!(" for `{module}`")).unwrap_or_default();
        Err(NodeError::NotFound {
            what: format!("there is no secret `{name}`{of}"),
            hint: Some(match known.as_slice() {
                [] => "you have none on this node".to_owned(),
                known => format!("yours are {}; one of a module needs `--module`", known.join(", ")),
            }),
        })
    }

    /// Opens what came with a run; it is for this run and those that it calls for on this node.
    pub(super) async fn secrets_with_run(&self, user: &str, rows: Vec<SecretRow>) -> Result<RunSecrets, NodeError> {
        self.open_rows(user, rows).await
    }

    /// Keeps what came with a run until its end, which may come after a restart.
    pub(super) async fn keep_for_run(&self, user: &str, root: &str, secrets: RunSecrets) -> Result<(), NodeError> {
        let sealed = self.sealed(user, &format!("run:{root}"), &[], secrets.opened).await?;
        self.store.put_secrets(user, sealed, true).await.map(|_| ()).map_err(NodeError::internal("keep secrets"))
    }

    /// Forgets what came with a tree of runs; `None`: with all trees that have ended.
    pub(super) async fn forget_secrets_of_runs(&self, root: Option<&str>) {
        if let Err(error) = self.store.remove_secrets_of_runs(root).await {
            tracing::error!(
                error = format!("{error:#}"),
                "failed to forget the secrets of a run; trying at the next start"
            );
        }
    }

    /// The variables that a run of this module gets. A tree that came from another node gets only what the user has
    /// allowed that node: its word that the user calls is no proof. What another user has deployed gets none, since its
    /// code is that user's choice; the operator's is everybody's.
    pub(super) async fn secrets_of_run(
        &self,
        run: &ActiveRun,
        module: &ModuleId,
    ) -> Result<BTreeMap<String, Secret>, NodeError> {
        let owner = &run.modules()?.owner;
        let is_trusted = *owner == run.consumer || self.is_operator(owner) || *owner == ANONYMOUS;
        if !is_trusted {
            return Ok(BTreeMap::new());
        }
        let (of_module, of_tree) = (module.to_string(), format!("run:{}", run.root));
        let stored = self.store.secrets_of(&run.consumer, [EVERYWHERE, &of_module, &of_tree]).await;
        let mut stored = stored.map_err(NodeError::internal("read secrets"))?;
        if let Some(node) = &run.via {
            stored.retain(|secret| secret.scope != of_tree && secret.nodes.contains(node));
        }
        if stored.is_empty() {
            return Ok(BTreeMap::new());
        }
        // What is said for the nearest counts: for the tree, for the module, for all.
        stored.sort_by_key(|secret| (secret.scope == of_tree, secret.scope == of_module));
        let keys = self.secrets.keys().await?;
        let open = |secret: StoredSecret| {
            let place = place(&run.consumer, &secret.scope, &secret.name);
            let value = keys.storage.open(&place, &secret.value).ok().and_then(|value| String::from_utf8(value).ok());
            let value = value.ok_or_else(|| {
                NodeError::Invalid(format!("the secret `{}` cannot be read any more; set it again", secret.name))
            })?;
            Ok((secret.name, Secret::new(value)))
        };
        stored.into_iter().map(open).collect()
    }
}
