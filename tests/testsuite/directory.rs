//! The registry's directory of nodes: who may be in it, under which name, and for how long.

use std::time::Duration;

use jiff::SignedDuration;
use napt::{
    identity::{RequestSignature, SecretKey, body_digest},
    registry::{Limits, Rate},
};
use napt_registry_client::{ClientError, NodeAnnouncement, node_owner_text};

use crate::support::{
    node::{TestNode, cache},
    registry::{TestRegistry, limits},
};

/// A node's keys and what it says of itself.
struct Node {
    key: SecretKey,
    said: NodeAnnouncement,
}

fn announcement(key: &SecretKey, owner: &SecretKey, name: &str) -> NodeAnnouncement {
    let (id, url) = (key.public().node_id(), format!("http://{name}:7001"));
    NodeAnnouncement {
        owner_signature: owner.sign(node_owner_text(&id, name, &url).as_bytes()),
        owner: owner.public().user_id(),
        name: name.to_owned(),
        id,
        url,
        models: vec!["napt/echo".to_owned()],
        provider_types: vec!["models".to_owned()],
        arch: "x86_64".to_owned(),
        os: "linux".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

impl Node {
    fn new(owner: &SecretKey, name: &str) -> Self {
        let key = SecretKey::generate();
        let said = announcement(&key, owner, name);
        Node { key, said }
    }

    /// The status that it is answered with; its record signed with `key`.
    fn announced_by(&self, registry: &TestRegistry, key: &SecretKey) -> u16 {
        let sign = signer(registry, key);
        status(registry.block_on(registry.client(None).announce_node(&self.said, sign)))
    }

    fn announced(&self, registry: &TestRegistry) -> u16 {
        self.announced_by(registry, &self.key)
    }

    fn removed_by(&self, registry: &TestRegistry, key: &SecretKey) -> u16 {
        let sign = signer(registry, key);
        status(registry.block_on(registry.client(None).remove_node(&self.said.id, sign)))
    }
}

fn signer(registry: &TestRegistry, key: &SecretKey) -> impl Fn(&str, &str, &str, &[u8]) -> String {
    let (key, now) = (key.clone(), registry.now().as_second());
    move |method, host, target, body| {
        RequestSignature::sign(&key, method, host, target, &body_digest(body), now).to_string()
    }
}

fn status<T>(answer: Result<T, ClientError>) -> u16 {
    match answer {
        Ok(_) => 200,
        Err(ClientError::Status { status, .. }) => status,
        Err(error) => panic!("{error}"),
    }
}

fn names(registry: &TestRegistry) -> Vec<String> {
    let nodes = registry.block_on(registry.client(None).nodes()).expect("a list");
    nodes.into_iter().map(|record| record.node.name).collect()
}

// Naptha's defects: C5
#[test]
fn a_record_is_its_nodes_and_a_name_its_owners() {
    let registry = TestRegistry::start();
    let (owner, stranger) = (SecretKey::generate(), SecretKey::generate());
    let one = Node::new(&owner, "one.example");
    assert_eq!(one.announced(&registry), 200);
    assert_eq!(one.announced(&registry), 200, "again is a heartbeat");
    assert_eq!(names(&registry), ["one.example"]);

    // Somebody else's key, with whatever record.
    for key in [&stranger, &owner] {
        assert_eq!(one.announced_by(&registry, key), 403);
    }
    let taken = Node { key: one.key.clone(), said: announcement(&one.key, &stranger, "one.example") };
    assert_eq!(taken.announced(&registry), 403, "it is another owner's");
    let mut claimed = Node::new(&stranger, "two.example");
    claimed.said.owner = owner.public().user_id();
    assert_eq!(claimed.announced(&registry), 403, "the owner did not sign it");
    let mut moved = Node { key: one.key.clone(), said: one.said.clone() };
    moved.said.url = "http://evil.example".to_owned();
    assert_eq!(moved.announced(&registry), 403, "the owner did not sign this place");
    assert_eq!(Node::new(&stranger, "one.example").announced(&registry), 409, "the name is another's");
    assert_eq!(Node::new(&owner, "one.example").announced(&registry), 409, "it is in use");
    for name in ["localhost", "10.0.0.1", "One.example", "a b", ""] {
        assert_eq!(Node::new(&owner, name).announced(&registry), 400, "{name}");
    }
    for key in [&stranger, &claimed.key] {
        assert_eq!(one.removed_by(&registry, key), 403);
    }
    assert_eq!(names(&registry), ["one.example"], "what is refused has no effect");

    // Its name stays its owner's when it goes.
    assert_eq!(one.removed_by(&registry, &one.key), 200);
    assert_eq!(names(&registry), [""; 0]);
    assert_eq!(Node::new(&stranger, "one.example").announced(&registry), 409);
    let again = Node::new(&owner, "one.example");
    assert_eq!(again.announced(&registry), 200);
    assert_eq!(again.removed_by(&registry, &owner), 200, "its owner may take it out");
}

#[test]
fn a_record_goes_without_heartbeats_and_a_signature_is_good_once() {
    let registry = TestRegistry::start();
    let owner = SecretKey::generate();
    let (one, two) = (Node::new(&owner, "one.example"), Node::new(&owner, "two.example"));
    assert_eq!((one.announced(&registry), two.announced(&registry)), (200, 200));
    registry.advance(SignedDuration::from_secs(60));
    assert_eq!(two.announced(&registry), 200);
    registry.advance(SignedDuration::from_secs(60));
    assert_eq!(names(&registry), ["two.example"]);
    assert_eq!(Node::new(&owner, "one.example").announced(&registry), 200, "its name is free for its owner");

    // The same request once more, after the node has gone.
    let body = serde_json::to_vec(&two.said).expect("JSON");
    let host = registry.client(None).host();
    let path = format!("/api/v1/nodes/{}", two.said.id);
    let header = signer(&registry, &two.key)("PUT", &host, &path, &body);
    let text = String::from_utf8(body).expect("text");
    let url = format!("http://{host}{path}");
    let send = |text: &str| crate::support::http::send("PUT", &url, &[("authorization", &header)], text).status;
    assert_eq!(send(&text.replace("napt/echo", "napt/other")), 401, "another body");
    assert_eq!(send(&text), 200);
    assert_eq!(two.removed_by(&registry, &two.key), 200);
    assert_eq!(send(&text), 401, "sent before");
    registry.advance(SignedDuration::from_secs(1000));
    assert_eq!(send(&text), 401, "too old");
    assert_eq!(crate::support::http::send("PUT", &url, &[], &text).status, 401, "not signed");
    assert_eq!(names(&registry), [""; 0]);
}

#[test]
fn an_owner_has_so_many_names() {
    let rate = Rate { burst: 1000, refill: Duration::from_secs(1) };
    let registry = TestRegistry::with_limits(Limits { heartbeats: rate, ..limits() });
    let owner = SecretKey::generate();
    let key = SecretKey::generate();
    let named = |name: &str| Node { said: announcement(&key, &owner, name), key: key.clone() }.announced(&registry);
    let refused = (0..201).find(|number| named(&format!("n{number}.example")) == 409);
    assert_eq!(refused, Some(200));
    assert_eq!(named("n7.example"), 200, "one of those it has");
    assert_eq!(Node::new(&SecretKey::generate(), "n200.example").announced(&registry), 200, "for another it is free");
}

#[test]
fn strangers_at_the_same_address_do_not_silence_a_node() {
    let registry = TestRegistry::with_limits(Limits {
        announcements: Rate { burst: 3, refill: Duration::from_secs(60) },
        heartbeats: Rate { burst: 3, refill: Duration::from_secs(60) },
        ..limits()
    });
    let owner = SecretKey::generate();
    let one = Node::new(&owner, "one.example");
    assert_eq!(one.announced(&registry), 200);
    // Signed by nobody, and by keys of no node.
    let url = registry.url.join(&format!("api/v1/nodes/{}", one.said.id)).expect("a URL");
    let unsigned = || crate::support::http::send("PUT", url.as_str(), &[], "").status;
    assert_eq!((unsigned(), one.announced_by(&registry, &SecretKey::generate())), (401, 403));
    assert_eq!((unsigned(), one.announced_by(&registry, &SecretKey::generate())), (429, 429));
    assert_eq!(one.removed_by(&registry, &SecretKey::generate()), 429);
    assert_eq!(Node::new(&owner, "two.example").announced(&registry), 429, "a new one waits");
    assert_eq!([(); 4].map(|()| one.announced(&registry)), [200, 200, 200, 429], "it has an allowance of its own");
    registry.advance(SignedDuration::from_secs(60));
    assert_eq!(one.announced(&registry), 200);
}

#[test]
fn a_node_is_listed_while_it_runs() {
    let registry = TestRegistry::start();
    let start = |flags: &[&str]| {
        let mut sandbox = registry.sandbox();
        sandbox.set("NAPT_CACHE_DIR", &cache());
        TestNode::start_in(sandbox, flags)
    };
    let mut one = start(&["--name", "one.example"]);
    let other = start(&[]);
    let listed = other.napt(&["nodes"]).expect(0);
    let owner = &one.operator()[..13];
    assert!(listed.stdout.starts_with(&format!("one.example  {}  {owner}…  ", one.url)), "{}", listed.stdout);
    assert_eq!(listed.stdout.lines().count(), 1);
    let json = other.napt(&["nodes", "--message-format", "json"]).expect(0).json();
    let record = &json["data"]["nodes"][0];
    assert_eq!((&record["id"], &record["owner"]), (&one.node_key().public().node_id().into(), &one.operator().into()));

    // A name that is taken is told at once, and the node does not start.
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let refused = sandbox.napt(&["node", "--listen", "127.0.0.1:0", "--name", "one.example"]).expect(6);
    assert!(refused.stderr.contains("`one.example` belongs to another owner"), "{}", refused.stderr);
    let refused = sandbox.napt(&["node", "--listen", "0.0.0.0:0", "--name", "two.example"]).expect(2);
    assert!(refused.stderr.contains("`--url`"), "{}", refused.stderr);

    one.signal("TERM");
    assert_eq!(one.ended(), Some(0));
    let listed = other.napt(&["nodes"]).expect(0);
    assert!(listed.stdout.is_empty() && listed.stderr.contains("No nodes are in the directory"), "{listed:?}");
}
