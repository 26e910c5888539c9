//! One connection: who is signed in, and what each request does.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    frames::{self, HubError, Request, Table, Thing},
    queries::{self, Query, Statement, UserSecret},
    records,
};
use crate::{
    identity::random_hex,
    module::ModuleId,
    registry::{
        Registry,
        rate::{self, Buckets},
        refusal::Refusal,
        store::{AccountKey, Changed, HubAccount, HubNode, HubSecret, HubServer},
    },
};

/// The longest name of a secret, and the longest secret, in bytes.
const MAX_KEY_NAME: usize = 256;
const MAX_SECRET: usize = 64 << 10;

/// One connection.
pub(super) struct Session {
    registry: Arc<Registry>,
    address: IpAddr,
    account: Option<HubAccount>,
    requests: Buckets<()>,
}

impl Session {
    pub(super) fn new(registry: Arc<Registry>, address: IpAddr) -> Self {
        let requests = Buckets::new(registry.limits.hub_requests);
        Session { registry, address, account: None, requests }
    }

    /// The reply to a frame.
    pub(super) async fn answer(&mut self, text: &str) -> String {
        let request = match frames::read(text) {
            Ok(request) => request,
            Err(reply) => return reply,
        };
        let result = self.call(&request).await;
        if let Err(HubError::Registry(Refusal::Internal(error))) = &result {
            tracing::error!(%error, "the hub failed");
        }
        frames::reply(&request.id(), result)
    }

    async fn call(&mut self, request: &Request) -> Result<Value, HubError> {
        let params = &request.params;
        self.requests.take((), self.registry.now()).map_err(Refusal::TooMany)?;
        match request.method.as_str() {
            // There is one database here.
            "use" => Ok(Value::Null),
            "signup" => {
                self.account = None;
                let account = self.registry.hub_sign_up(self.address, frames::object(params, 0)?).await?;
                self.signed_in(account)
            }
            "signin" => {
                self.account = None;
                let account = self.registry.hub_sign_in(self.address, frames::object(params, 0)?).await?;
                self.signed_in(account)
            }
            "select" => self.select(frames::thing(frames::text(params, 0)?)?).await,
            "create" => self.create(frames::text(params, 0)?, frames::object(params, 1)?).await,
            "update" => self.update(frames::thing(frames::text(params, 0)?)?, frames::object(params, 1)?).await,
            "delete" => self.delete(frames::thing(frames::text(params, 0)?)?).await,
            "query" => {
                let none = Map::new();
                let variables = if params.len() > 1 { frames::object(params, 1)? } else { &none };
                let results = self.query(queries::parse(frames::text(params, 0)?, variables)?).await?;
                let result = |result| json!({ "result": result, "status": "OK", "time": "0ns" });
                Ok(results.into_iter().map(result).collect())
            }
            method => Err(HubError::Method(method.chars().take(40).collect())),
        }
    }

    fn signed_in(&mut self, account: HubAccount) -> Result<Value, HubError> {
        let token = self.registry.hub_token(&account.user)?;
        self.account = Some(account);
        Ok(Value::String(token))
    }

    /// The signed-in user's id, if the password that was given is still the account's and still good for something.
    async fn user(&self) -> Result<String, HubError> {
        let known = self.account.as_ref().ok_or(HubError::NotSignedIn)?;
        match self.registry.store.hub_account(AccountKey::User(&known.user)).await? {
            Some(account) if account.password != known.password => Err(HubError::SignedOut),
            Some(account) if !account.is_trusted() => Err(HubError::Unconfirmed(account.username)),
            Some(account) => Ok(account.user),
            None => Err(HubError::SignedOut),
        }
    }

    /// The same for a change, of which a client has so many.
    async fn writer(&self) -> Result<String, HubError> {
        let user = self.user().await?;
        self.registry.hub_writes.take(rate::client(self.address), self.registry.now()).map_err(Refusal::TooMany)?;
        Ok(user)
    }

    async fn select(&self, thing: Thing) -> Result<Value, HubError> {
        let store = &self.registry.store;
        Ok(match thing {
            Thing::Module(id) => self.module(&id).await?,
            Thing::User(user) => {
                let account = store.hub_account(AccountKey::User(&user)).await?;
                account.map_or(Value::Null, |account| records::user(&account))
            }
            Thing::Node(id) => {
                let (nodes, servers) = self.network().await?;
                let servers = records::by_node(&servers);
                nodes.iter().find(|node| node.id == id).map_or(Value::Null, |node| records::node(node, &servers))
            }
            Thing::Server(id) => {
                let (_, servers) = self.network().await?;
                servers.iter().find(|server| server.id == id).map_or(Value::Null, records::server)
            }
        })
    }

    async fn module(&self, id: &ModuleId) -> Result<Value, HubError> {
        let module = self.registry.store.hub_module(id).await?;
        Ok(module.map_or(Value::Null, |module| records::module(&module, &self.registry.hub.base)))
    }

    /// Makes a record: its id is in `target`, or in `record` when `target` is a table, which gives a list.
    async fn create(&self, target: &str, record: &Map<String, Value>) -> Result<Value, HubError> {
        if target.contains(':') {
            return self.put(frames::thing(target)?, record, true).await;
        }
        let thing = match (frames::table(target)?, record.get("id").and_then(Value::as_str)) {
            (Table::Servers, None) => Thing::Server(format!("server:{}", random_hex(10))),
            (_, None) => return Err(HubError::NoId(target.to_owned())),
            (_, Some(id)) if id.split_once(':').is_some_and(|(table, _)| table == target) => frames::thing(id)?,
            (_, Some(_)) => return Err(HubError::Params(format!("`id` must begin with `{target}:`"))),
        };
        Ok(json!([self.put(thing, record, true).await?]))
    }

    async fn update(&self, thing: Thing, record: &Map<String, Value>) -> Result<Value, HubError> {
        self.put(thing, record, false).await
    }

    /// Makes or changes a record of the signed-in user, whoever the record says it is of.
    async fn put(&self, thing: Thing, record: &Map<String, Value>, is_new: bool) -> Result<Value, HubError> {
        let user = self.writer().await?;
        let (store, now) = (&self.registry.store, self.registry.now());
        match thing {
            Thing::Module(id) => {
                let pointer = records::pointer(id.clone(), record)?;
                let changed = store.put_pointer(&pointer, &user, is_new, now).await?;
                HubError::of(changed, &id.to_string(), "modules")?;
                tracing::info!(module = %id, user, "pointed at {}", pointer.url);
                self.module(&id).await
            }
            Thing::Node(id) => {
                own(&id, &node_of(&user))?;
                let changed = store.put_hub_node(&user, &records::node_record(record)?, is_new).await?;
                HubError::of(changed, &id, "nodes")?;
                self.select(Thing::Node(id)).await
            }
            Thing::Server(id) => {
                let server = records::server_record(id.clone(), &node_of(&user), record)?;
                HubError::of(store.put_hub_server(&server, &user, is_new).await?, &id, "servers")?;
                Ok(records::server(&server))
            }
            Thing::User(_) => Err(HubError::Params("accounts are made by `signup` only".to_owned())),
        }
    }

    /// Removes a record of the signed-in user and gives it back; null when there is none.
    async fn delete(&self, thing: Thing) -> Result<Value, HubError> {
        let user = self.writer().await?;
        let (store, now) = (&self.registry.store, self.registry.now());
        let (id, record, changed) = match thing {
            Thing::Module(id) => {
                let record = self.module(&id).await?;
                (id.to_string(), record, store.remove_pointer(&id, &user, now).await?)
            }
            Thing::Node(id) => {
                own(&id, &node_of(&user))?;
                let record = self.select(Thing::Node(id.clone())).await?;
                (id, record, store.remove_hub_node(&user).await?)
            }
            Thing::Server(id) => {
                let record = self.select(Thing::Server(id.clone())).await?;
                let changed = store.remove_hub_server(&id, &user).await?;
                (id, record, changed)
            }
            Thing::User(_) => return Err(HubError::Params("accounts are not deleted".to_owned())),
        };
        match changed {
            Changed::Missing => Ok(Value::Null),
            changed => HubError::of(changed, &id, "").map(|()| record),
        }
    }

    /// One result a statement.
    async fn query(&self, query: Query) -> Result<Vec<Value>, HubError> {
        let store = &self.registry.store;
        let rows = match query {
            Query::UserByName(name) => {
                let account = store.hub_account(AccountKey::Username(&name)).await?;
                account.iter().map(records::user).collect()
            }
            Query::UserByKey(key) => {
                let user = format!("user:{}", key.to_ascii_lowercase());
                let account = store.hub_account(AccountKey::User(&user)).await?;
                account.iter().map(records::user).collect()
            }
            Query::Nodes => self.nodes(|_| true).await?,
            Query::NodesAt(ip) => self.nodes(|node| records::is_at(node, &ip)).await?,
            Query::Servers => {
                let (_, servers) = self.network().await?;
                records::list(servers.iter().map(records::server).collect())
            }
            Query::ServerByName => json!([]),
            Query::Modules(module_type) => {
                let modules = store.hub_modules(module_type).await?;
                let base = &self.registry.hub.base;
                records::list(modules.iter().map(|module| records::module(module, base)).collect())
            }
            Query::ModuleById(module_type, id) => match id.parse::<ModuleId>() {
                Ok(id) if id.module_type == module_type => self.found(&id).await?,
                _ => json!([]),
            },
            Query::ModuleByName(module_type, name) => match name.parse() {
                Ok(name) => self.found(&ModuleId { module_type, name }).await?,
                Err(_) => json!([]),
            },
            Query::Secrets => {
                let user = self.user().await?;
                let secrets = store.hub_secrets(&user).await?;
                secrets.iter().map(|secret| secret_record(&user, secret)).collect()
            }
            Query::ChangeSecrets(statements) => return self.change_secrets(statements).await,
        };
        Ok(vec![rows])
    }

    async fn found(&self, id: &ModuleId) -> Result<Value, HubError> {
        let module = self.module(id).await?;
        Ok(if module.is_null() { json!([]) } else { json!([module]) })
    }

    async fn nodes(&self, wanted: impl Fn(&HubNode) -> bool) -> Result<Value, HubError> {
        let (nodes, servers) = self.network().await?;
        let servers = records::by_node(&servers);
        let nodes = nodes.iter().filter(|node| wanted(node));
        Ok(records::list(nodes.map(|node| records::node(node, &servers)).collect()))
    }

    /// All nodes and servers: those of the directory, which have proved who they are, then those registered here.
    async fn network(&self) -> Result<(Vec<HubNode>, Vec<HubServer>), HubError> {
        let directory = self.registry.nodes().await?;
        let (mut nodes, mut servers): (Vec<_>, Vec<_>) = directory.iter().filter_map(records::of_directory).unzip();
        let proved: HashSet<String> = nodes.iter().map(|node| node.id.clone()).collect();
        let store = &self.registry.store;
        nodes.extend(store.hub_nodes().await?.into_iter().filter(|node| !proved.contains(&node.id)));
        servers.extend(store.hub_servers().await?.into_iter().filter(|server| !proved.contains(&server.node)));
        Ok((nodes, servers))
    }

    /// All statements of a transaction over the user's own secrets, or none.
    async fn change_secrets(&self, statements: Vec<Statement>) -> Result<Vec<Value>, HubError> {
        let user = self.writer().await?;
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        let mut results = Vec::new();
        for statement in statements {
            let (secrets, to) = match statement {
                Statement::Insert(secrets) => (secrets, &mut new),
                Statement::Update(secret) => (vec![secret], &mut changed),
            };
            let mut rows = Vec::new();
            for UserSecret { user: of, secret } in secrets {
                own(&of, &user)?;
                checked_secret(&secret)?;
                rows.push(secret_record(&user, &secret));
                to.push(secret);
            }
            results.push(Value::Array(rows));
        }
        match self.registry.store.change_hub_secrets(&user, &new, &changed).await? {
            Changed::Done => Ok(results),
            Changed::Exists => Err(HubError::Exists("a secret of this name".to_owned())),
            Changed::TooMany => Err(HubError::TooMany("secrets")),
            _ => Err(HubError::Missing("secret of this name".to_owned())),
        }
    }
}

fn own(owner: &str, user: &str) -> Result<(), HubError> {
    if owner == user { Ok(()) } else { Err(HubError::NotOwner(owner.chars().take(160).collect())) }
}

/// The node that a user may register: the one with the user's key.
fn node_of(user: &str) -> String {
    user.replacen("user:", "node:", 1)
}

fn secret_record(user: &str, secret: &HubSecret) -> Value {
    // A record's id: there is one of a user and a name.
    let id = format!("api_secrets:{}", &hex::encode(Sha256::digest(format!("{user} {}", secret.key_name)))[..20]);
    json!({ "id": id, "user_id": user, "key_name": secret.key_name, "secret_value": secret.value })
}

fn checked_secret(secret: &HubSecret) -> Result<(), HubError> {
    let HubSecret { key_name, value } = secret;
    if key_name.is_empty() || key_name.len() > MAX_KEY_NAME || key_name.chars().any(char::is_control) {
        return Err(HubError::Params(format!(
            "`key_name` must be 1 to {MAX_KEY_NAME} bytes, none a control character"
        )));
    }
    if value.len() > MAX_SECRET || value.chars().any(|c| c.is_control() && c != '\n' && c != '\r' && c != '\t') {
        return Err(HubError::Params(format!("`secret_value` must be at most {MAX_SECRET} bytes of text")));
    }
    Ok(())
}
