//! The directory of nodes. A node puts itself there with its own key, and its owner's signature says whose it is. The
//! record goes when the node stops saying that it is there.

use std::net::IpAddr;

use jiff::SignedDuration;
use napt_registry_client::{NodeAnnounced, NodeAnnouncement, NodeRecord, node_owner_text};
use url::Url;

use super::{Registry, rate, refusal::Refusal, store::Announced};
use crate::identity::{PublicKey, RequestSignature, body_digest};

/// How long a record stays after its node was last heard of: three heartbeats.
const LIFE: SignedDuration = SignedDuration::from_secs(90);

/// A signed call of a node, or of its owner.
pub(super) struct NodeCall<'a> {
    pub(super) address: IpAddr,
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) authorization: Option<&'a str>,
    pub(super) body: &'a [u8],
}

impl Registry {
    /// The nodes that are there.
    pub(super) async fn nodes(&self) -> Result<Vec<NodeRecord>, Refusal> {
        Ok(self.store.nodes(self.now() - LIFE).await?)
    }

    /// Puts a node into the directory, or keeps it there.
    pub(super) async fn announce(&self, id: &str, call: NodeCall<'_>) -> Result<NodeAnnounced, Refusal> {
        let now = self.now();
        let signer = self.signer(&call).await?;
        let node: NodeAnnouncement =
            serde_json::from_slice(call.body).map_err(|error| Refusal::Request(error.to_string()))?;
        if node.id != id {
            return Err(Refusal::Request("`id` is not the one in the URL".to_owned()));
        }
        if signer.node_id() != id {
            return Err(Refusal::NotTheNode(id.to_owned()));
        }
        check(&node)?;
        let owner = PublicKey::from_id(&node.owner).map_err(|error| Refusal::Request(format!("`owner`: {error}")))?;
        let text = node_owner_text(&node.id, &node.name, &node.url);
        if !node.owner.starts_with("user:") || owner.verify(text.as_bytes(), &node.owner_signature).is_err() {
            return Err(Refusal::NotItsOwner);
        }
        let name = node.name.clone();
        match self.store.put_node(&NodeRecord { node, seen: now }, now - LIFE).await? {
            Announced::Done => Ok(NodeAnnounced { expires: now + LIFE }),
            Announced::NameTaken => Err(Refusal::NodeName(name)),
            Announced::NameInUse { id } => Err(Refusal::NodeNameInUse { name, id }),
            Announced::OtherOwner => Err(Refusal::NodeOwner(id.to_owned())),
            Announced::Full => Err(Refusal::ManyNodes),
        }
    }

    /// Takes a node out, for itself or its owner. One that is not there is out already.
    pub(super) async fn withdraw(&self, id: &str, call: NodeCall<'_>) -> Result<bool, Refusal> {
        let signer = self.signer(&call).await?;
        let owner = self.nodes().await?.into_iter().find(|record| record.node.id == id).map(|record| record.node.owner);
        if signer.node_id() != id && owner != Some(signer.user_id()) {
            return Err(Refusal::NotTheNode(id.to_owned()));
        }
        Ok(self.store.remove_node(id).await?)
    }

    /// Whose key signed a call. Nodes that are there have a bucket each, so that no stranger at the same address can silence
    /// them; all other calls are charged to the address.
    async fn signer(&self, call: &NodeCall<'_>) -> Result<PublicKey, Refusal> {
        let signature = self.verified(call).or_else(|refusal| self.take_of_address(call).and(Err(refusal)))?;
        let (id, now) = (signature.key.node_id(), self.now());
        if self.store.has_node(&id, now - LIFE).await? {
            self.heartbeats.take(id, now).map_err(Refusal::TooMany)?;
        } else {
            self.take_of_address(call)?;
        }
        // Only now: what is remembered for minutes must not be more than is allowed.
        if !self.nonces.is_new(&signature.nonce, now.as_second()) {
            return Err(Refusal::NodeSignature("the signed request was sent before".to_owned()));
        }
        Ok(signature.key)
    }

    fn take_of_address(&self, call: &NodeCall<'_>) -> Result<(), Refusal> {
        self.announcements.take(rate::client(call.address), self.now()).map_err(Refusal::TooMany)
    }

    fn verified(&self, call: &NodeCall<'_>) -> Result<RequestSignature, Refusal> {
        let refused = |error: &dyn std::fmt::Display| Refusal::NodeSignature(error.to_string());
        let header = call.authorization.ok_or_else(|| refused(&"the request is not signed"))?;
        let signature: RequestSignature = header.parse().map_err(|error| refused(&error))?;
        let (digest, now) = (body_digest(call.body), self.now().as_second());
        let holds = |host: &String| signature.verify(call.method, host, call.target, &digest, now);
        // Of the names that the registry has, the client signs the one that it dials.
        if !self.hosts.iter().any(|host| holds(host).is_ok()) {
            let why = self.hosts.first().and_then(|host| holds(host).err());
            return Err(refused(&why.map_or_else(String::new, |error| error.to_string())));
        }
        Ok(signature)
    }
}

/// What a record may hold: it is shown to everybody, and names decide where calls go.
fn check(node: &NodeAnnouncement) -> Result<(), Refusal> {
    let refuse = |what: &str| Err(Refusal::Request(what.to_owned()));
    let label = |label: &str| {
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && label.len() <= 63 && label.chars().all(fine)
    };
    if node.name.len() > 253 || !node.name.split('.').all(label) {
        return refuse("`name` must be as a host's: lower-case letters, digits and `-`, in parts with `.` between");
    }
    // These mean something else wherever a deployment names a node.
    if node.name == "localhost" || node.name == "local" || node.name.parse::<IpAddr>().is_ok() {
        return refuse("`name` must not be `localhost`, `local` or an address");
    }
    let url = Url::parse(&node.url).ok().filter(|url| {
        let plain = url.username().is_empty() && url.password().is_none() && url.path() == "/";
        plain && url.has_host() && url.query().is_none() && url.fragment().is_none()
    });
    if node.url.len() > 300 || !url.is_some_and(|url| matches!(url.scheme(), "http" | "https")) {
        return refuse("`url` must be `http://` or `https://` with a host, and no user or path");
    }
    let short = |texts: &[String], count: usize| {
        texts.len() <= count && texts.iter().all(|text| text.len() <= 200 && !text.chars().any(char::is_control))
    };
    let words = [node.arch.clone(), node.os.clone(), node.version.clone()];
    if !short(&node.models, 100) || !short(&node.provider_types, 16) || !short(&words, 3) {
        return refuse("`models`, `provider_types`, `arch`, `os` and `version` must be short texts");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_urls_mean_what_they_say() {
        let node = |name: &str, url: &str| NodeAnnouncement {
            id: String::new(),
            owner: String::new(),
            name: name.to_owned(),
            url: url.to_owned(),
            models: Vec::new(),
            provider_types: Vec::new(),
            arch: String::new(),
            os: String::new(),
            version: String::new(),
            owner_signature: String::new(),
        };
        for name in ["one", "node-2.example.org"] {
            check(&node(name, "http://127.0.0.2:7001")).expect(name);
        }
        for name in ["", "Node", "a b", "localhost", "local", "10.0.0.1", "a..b", "a:1", "a/b", "é"] {
            assert!(check(&node(name, "http://h")).is_err(), "{name}");
        }
        for url in ["h", "ftp://h", "http://u@h", "http://u:p@h", "http://h/path", "http://h/?q", "http://"] {
            assert!(check(&node("one", url)).is_err(), "{url}");
        }
    }
}
