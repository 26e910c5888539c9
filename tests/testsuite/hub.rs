//! Naptha's hub protocol, frame by frame: what its clients send, and what they must not get.

use std::{path::Path, time::Duration};

use napt::{
    identity::SecretKey,
    registry::{Limits, Rate},
};
use napt_registry_client::ClientError;
use semver::Version;
use serde_json::{Value, json};
use snapbox::{Data, assert_data_eq};

use crate::support::{
    modules,
    registry::{TestRegistry, limits},
    websocket::{BINARY, Frame, PING, Socket, TEXT},
};

/// A connection of somebody who has signed up.
struct Person {
    socket: Socket,
    key: SecretKey,
}

pub(super) fn connect(registry: &TestRegistry) -> Socket {
    Socket::open(registry.url.authority(), "/rpc", "").expect("a hub")
}

pub(super) fn call(socket: &mut Socket, method: &str, params: &Value) -> Value {
    let reply = socket.ask(&json!({ "id": "x", "method": method, "params": params }).to_string());
    assert_eq!(reply["id"], "x", "{reply}");
    reply
}

/// Why a call is refused.
#[track_caller]
pub(super) fn refused(reply: &Value) -> String {
    assert!(reply["error"]["code"].is_i64(), "{reply}");
    reply["error"]["message"].as_str().expect("a message").to_owned()
}

pub(super) fn sign_up(registry: &TestRegistry, name: &str, key: &SecretKey) -> (Socket, Value) {
    let mut socket = connect(registry);
    let params = json!([{ "username": name, "password": "secret", "public_key": key.public().to_string() }]);
    let reply = call(&mut socket, "signup", &params);
    (socket, reply)
}

impl Person {
    fn new(registry: &TestRegistry, name: &str) -> Self {
        let key = SecretKey::generate();
        let (socket, reply) = sign_up(registry, name, &key);
        assert!(reply["result"].is_string(), "{reply}");
        Person { socket, key }
    }

    fn user(&self) -> String {
        self.key.public().user_id()
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        call(&mut self.socket, method, &params)
    }

    #[track_caller]
    fn result(&mut self, method: &str, params: Value) -> Value {
        let reply = self.call(method, params);
        assert!(reply["error"].is_null(), "{reply}");
        reply["result"].clone()
    }

    /// The rows of a query's first statement.
    #[track_caller]
    fn rows(&mut self, sql: &str, variables: Value) -> Vec<Value> {
        let result = self.result("query", json!([sql, variables]));
        assert_eq!(result[0]["status"], "OK");
        result[0]["result"].as_array().expect("rows").clone()
    }

    #[track_caller]
    fn refused(&mut self, method: &str, params: Value) -> String {
        refused(&self.call(method, params))
    }
}

fn pointer(url: &str) -> Value {
    json!({ "description": "d", "parameters": "p", "module_url": url, "module_version": "v0.1" })
}

#[test]
fn a_session_with_every_frame() {
    let registry = TestRegistry::start();
    let key: SecretKey = "11".repeat(32).parse().expect("a key");
    let public = key.public().to_string();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hub/session.txt");
    let mut socket = connect(&registry);
    let mut transcript = String::new();
    for request in std::fs::read_to_string(&path).expect("a fixture").lines() {
        let Some(request) = request.strip_prefix("> ") else { continue };
        let mut reply = socket.ask(&request.replace("{PK}", &public));
        if reply["result"].as_str().is_some_and(|token| token.starts_with("ey")) {
            reply["result"] = json!("{TOKEN}");
        }
        let mut reply = reply.to_string().replace(&public, "{PK}").replace(registry.url.as_str(), "{URL}/");
        while let Some(at) = reply.find("server:").filter(|at| !reply[*at..].starts_with("server:{")) {
            // Twenty random digits.
            reply.replace_range(at + 7..at + 27, "{ID}");
        }
        transcript.push_str(&format!("> {request}\n< {reply}\n"));
    }
    assert_data_eq!(transcript, Data::read_from(&path, None).raw());
}

// Naptha's defects: C1, C2, C6, C12
#[test]
fn records_belong_to_who_made_them() {
    let registry = TestRegistry::start();
    let (mut ada, mut bob) = (Person::new(&registry, "ada"), Person::new(&registry, "bob"));
    let mut record = pointer("https://git.example/ada");
    record["author"] = json!(bob.user());
    let made = ada.result("create", json!(["agent:simple", record]));
    assert_eq!(made["author"], ada.user());

    // A name is one record's: not a second one's by another id, nor in another spelling, nor by an archive.
    record["name"] = json!("simple");
    assert!(bob.refused("create", json!(["agent:aaa", record])).contains("`name` must be `aaa`"));
    assert!(bob.refused("create", json!(["agent:simple", pointer("u")])).contains("exists already"));
    record["id"] = json!("agent:simple");
    assert!(bob.refused("create", json!(["agent", record])).contains("exists already"));
    assert!(bob.refused("create", json!(["tool", record])).contains("`id` must begin with `tool:`"));
    let token = registry.sign_up(&bob.key).token;
    let folder = tempfile::tempdir().expect("a folder");
    let (archive, sha256) = modules::archive(folder.path(), "agent:simple", "1.0.0", "{}");
    let version = Version::new(1, 0, 0);
    let publish = |token: &str| {
        registry.block_on(registry.client(Some(token)).publish("agent", "simple", &version, &archive, &sha256))
    };
    let refusal = publish(&token).expect_err("another's name");
    assert!(matches!(refusal, ClientError::Status { status: 403, .. }), "{refusal}");

    // Bob's key has proved itself now, and his password account has not.
    let mut bob = Person::new(&registry, "robert");
    assert!(bob.refused("update", json!(["agent:simple", pointer("u")])).contains("belongs to another user"));
    assert!(bob.refused("delete", json!(["agent:simple"])).contains("belongs to another user"));
    assert!(ada.refused("update", json!(["agent", pointer("u")])).contains("name one record"));
    assert!(ada.refused("delete", json!(["agent"])).contains("name one record"));
    assert!(ada.refused("update", json!(["agent:nothing", pointer("u")])).contains("there is no `agent:nothing`"));
    assert!(ada.refused("create", json!(["user:x", { "username": "x" }])).contains("`signup`"));
    assert!(ada.refused("update", json!([format!("user:{}", bob.key.public()), {}])).contains("`signup`"));

    // Without a sign-in there is nothing to change.
    let mut nobody = connect(&registry);
    for (method, params) in [
        ("create", json!(["agent:other", pointer("u")])),
        ("update", json!(["agent:simple", pointer("u")])),
        ("delete", json!(["agent:simple"])),
        ("query", json!(["SELECT * FROM api_secrets;"])),
    ] {
        assert_eq!(refused(&call(&mut nobody, method, &params)), "sign in first");
    }
    let kept = ada.rows("SELECT * FROM agent;", json!({}));
    assert_eq!(kept.len(), 1);
    assert_eq!((&kept[0]["module_url"], &kept[0]["author"]), (&json!("https://git.example/ada"), &json!(ada.user())));

    // By its owner's archive it becomes a module; what has versions cannot be made to point elsewhere, or deleted.
    let token = registry.sign_up(&ada.key).token;
    publish(&token).expect("her name");
    let mut ada = confirmed(&registry, "ada", ada.key, &token);
    let found = ada.rows("SELECT * FROM agent WHERE id=$module_name;", json!({ "module_name": "agent:simple" }));
    assert_eq!(found[0]["module_version"], "1.0.0");
    assert!(found[0]["module_url"].as_str().expect("a URL").ends_with("/api/v1/modules/agent/simple/1.0.0/download"));
    for (method, params) in [("update", json!(["agent:simple", pointer("u")])), ("delete", json!(["agent:simple"]))] {
        let refusal = ada.refused(method, params);
        assert!(refusal.contains("has versions in this registry") && refusal.contains("`napt yank`"), "{refusal}");
    }
    let details = registry.block_on(registry.client(None).module("agent", "simple")).expect("an answer");
    assert_eq!(details.expect("a module").summary.source, None);
}

/// The same user, after setting the password with a proved key.
fn confirmed(registry: &TestRegistry, name: &str, key: SecretKey, token: &str) -> Person {
    let wanted = napt_registry_client::PasswordRequest { username: name.to_owned(), password: "proved".to_owned() };
    registry.block_on(registry.client(Some(token)).set_password(&wanted)).expect("an account");
    let mut person = Person { socket: connect(registry), key };
    person.result("signin", json!([{ "username": name, "password": "proved" }]));
    person
}

#[test]
fn pointers_are_seen_by_search_and_details() {
    let registry = TestRegistry::start();
    let mut ada = Person::new(&registry, "ada");
    ada.result("create", json!(["kb:wiki", pointer("https://git.example/wiki")]));
    let client = registry.client(None);
    let found = registry.block_on(client.search("wiki", Some("kb"), 1)).expect("a page");
    let source = found.items[0].source.clone().expect("a source");
    assert_eq!((source.url.as_str(), source.version.as_str()), ("https://git.example/wiki", "v0.1"));
    assert_eq!(found.items[0].version, Version::new(0, 1, 0));
    let details = registry.block_on(client.module("kb", "wiki")).expect("an answer").expect("a module");
    assert_eq!((details.owners, details.versions.len()), (vec![ada.user()], 0));
    assert_eq!(registry.index("kb:wiki"), None);
    ada.result("delete", json!(["kb:wiki"]));
    assert!(registry.block_on(client.module("kb", "wiki")).expect("an answer").is_none());
}

#[test]
fn what_a_record_may_hold() {
    let registry = TestRegistry::start();
    let mut ada = Person::new(&registry, "ada");
    let mut refused = |key: &str, value: Value| {
        let mut record = pointer("https://git.example/x");
        record[key] = value;
        ada.refused("create", json!(["agent:x", record]))
    };
    for (key, value) in [
        ("description", json!("x".repeat(2001))),
        ("description", json!(1)),
        ("description", json!("a\u{1b}[31m")),
        ("parameters", json!("é".repeat(10_001))),
        ("module_url", json!("")),
        ("module_url", json!("--upload-pack=touch x")),
        ("module_url", json!("x".repeat(2001))),
        ("module_version", json!("-v")),
        ("module_version", json!("v1 x")),
        ("module_entrypoint", json!("../../etc/passwd")),
        ("module_entrypoint", json!("/etc/passwd")),
        ("module_type", json!("tool")),
        ("name", json!("y")),
        ("id", json!("agent:y")),
    ] {
        assert!(refused(key, value).contains(&format!("`{key}` must")), "{key}");
    }
    for id in ["agent:", "agent:A", "agent:x'; DROP TABLE modules", "agent:../x", "thing:x", "nothing", ":", ""] {
        ada.refused("create", json!([id, pointer("u")]));
    }
    assert_eq!(ada.rows("SELECT * FROM agent;", json!({})), Vec::<Value>::new());
}

// Naptha's defects: C5
#[test]
fn a_node_is_registered_by_its_own_key_only() {
    let registry = TestRegistry::start();
    let (mut ada, mut bob) = (Person::new(&registry, "ada"), Person::new(&registry, "bob"));
    let node = |ip: &str| {
        json!({
            "ip": ip, "user_communication_protocol": "http", "user_communication_port": 7001,
            "node_communication_protocol": "ws", "models": [],
        })
    };
    let (of_ada, of_bob) = (ada.key.public().node_id(), bob.key.public().node_id());
    let server = json!({ "communication_protocol": "ws", "port": 7002, "node_id": of_ada });
    ada.result("create", json!([of_ada, node("ada.example")]));
    let made = ada.result("create", json!(["server", server]));
    let id = made[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(made[0]["node_communication_protocol"], "ws");

    for (method, params) in [
        ("create", json!([of_ada, node("bob.example")])),
        ("update", json!([of_ada, node("bob.example")])),
        ("delete", json!([of_ada])),
        ("create", json!(["server", server])),
        ("create", json!([id, { "communication_protocol": "ws", "port": 1, "node_id": of_bob }])),
        ("update", json!([id, { "communication_protocol": "ws", "port": 1, "node_id": of_bob }])),
        ("delete", json!([id])),
    ] {
        let refusal = bob.refused(method, params);
        assert!(refusal.contains("belongs to another user") || refusal.contains("exists already"), "{refusal}");
    }
    for (key, value) in
        [("models", json!("__import__('os')")), ("user_communication_port", json!(70_000)), ("ip", json!("a\nb"))]
    {
        let mut record = node("ada.example");
        record[key] = value;
        ada.refused("update", json!([of_ada, record]));
    }
    for server in [json!({ "communication_protocol": "gopher", "port": 1 }), json!({ "communication_protocol": "ws" })]
    {
        ada.refused("create", json!(["server", server]));
    }
    // Two nodes at one address.
    bob.result("create", json!([of_bob, node("ada.example")]));
    let found = bob.rows("SELECT * FROM node WHERE ip=$node_ip;", json!({ "node_ip": "ada.example" }));
    assert_eq!(found.len(), 2);
    let ours = found.iter().find(|node| node["id"] == of_ada).expect("a node");
    assert_eq!((&ours["servers"], &ours["owner"]), (&json!([id]), &json!(ada.user())));
    ada.result("update", json!([of_ada, node("moved.example")]));
    assert_eq!(ada.result("select", json!([of_ada]))["ip"], "moved.example");
    assert_eq!(ada.result("delete", json!([of_ada]))["id"], of_ada);
    assert_eq!(ada.result("select", json!([id])), Value::Null);
}

// Naptha's defects: D4, D5
#[test]
fn secrets_are_their_users_own() {
    let registry = TestRegistry::start();
    let (mut ada, mut bob) = (Person::new(&registry, "ada"), Person::new(&registry, "bob"));
    let insert = "BEGIN TRANSACTION;\nINSERT INTO api_secrets $records;\nCOMMIT TRANSACTION;";
    let update = "BEGIN TRANSACTION;\nUPDATE api_secrets SET secret_value = $secret_value_0 WHERE user_id = $user_id_0 \
                  AND key_name = $key_name_0;\nCOMMIT TRANSACTION;";
    let record =
        |user: &str, name: &str, value: &str| json!({ "user_id": user, "key_name": name, "secret_value": value });
    let (of_ada, of_bob) = (ada.user(), bob.user());
    ada.rows(insert, json!({ "records": [record(&of_ada, "KEY", "1"), record(&of_ada, "OTHER", "2")] }));
    let list = "SELECT * FROM api_secrets;";
    assert_eq!(bob.rows(list, json!({})), Vec::<Value>::new());

    // The first is his own, the second is not: none is stored.
    let both = json!({ "records": [record(&of_bob, "KEY", "x"), record(&of_ada, "NEW", "x")] });
    assert!(bob.refused("query", json!([insert, both])).contains("belongs to another user"));
    let foreign = json!({ "secret_value_0": "x", "user_id_0": of_ada, "key_name_0": "KEY" });
    assert!(bob.refused("query", json!([update, foreign])).contains("belongs to another user"));
    assert_eq!(bob.rows(list, json!({})), Vec::<Value>::new());

    // One value a name, whatever the client believes to be there; all of a transaction or nothing.
    let again = json!({ "records": [record(&of_ada, "NEW", "x"), record(&of_ada, "KEY", "3")] });
    assert!(ada.refused("query", json!([insert, again])).contains("exists already"));
    ada.rows(update, json!({ "secret_value_0": "4", "user_id_0": of_ada, "key_name_0": "KEY" }));
    let missing = json!({ "secret_value_0": "4", "user_id_0": of_ada, "key_name_0": "NOTHING" });
    assert!(ada.refused("query", json!([update, missing])).contains("there is no"));
    let kept: Vec<_> = ada
        .rows(list, json!({}))
        .iter()
        .map(|row| (row["key_name"].as_str().expect("text").to_owned(), row["secret_value"].clone()))
        .collect();
    assert_eq!(kept, [("KEY".to_owned(), json!("4")), ("OTHER".to_owned(), json!("2"))]);

    let large = json!({ "records": [record(&of_ada, "LARGE", &"x".repeat(65_537))] });
    assert!(ada.refused("query", json!([insert, large])).contains("at most 65536 bytes"));
    let full: Vec<_> = (0..7).map(|number| record(&of_ada, &format!("F{number}"), &"x".repeat(65_000))).collect();
    assert!(ada.refused("query", json!([insert, { "records": full }])).contains("as many secrets"));
    assert_eq!(ada.rows(list, json!({})).len(), 2);
}

#[test]
fn only_known_queries_are_answered() {
    let registry = TestRegistry::start();
    let mut ada = Person::new(&registry, "ada");
    for sql in [
        "",
        "SELECT * FROM",
        "SELECT * FROM user;",
        "SELECT * FROM tokens;",
        "SELECT password FROM user;",
        "SELECT * FROM agent; DELETE agent;",
        "SELECT * FROM agent WHERE true;",
        "SELECT * FROM agent WHERE id=$module_name OR true;",
        "select * from agent;",
        "DELETE agent;",
        "REMOVE TABLE agent;",
        "INSERT INTO api_secrets $records;",
        "BEGIN TRANSACTION;\nDELETE api_secrets;\nCOMMIT TRANSACTION;",
        "BEGIN TRANSACTION;\nINSERT INTO user $records;\nCOMMIT TRANSACTION;",
        "BEGIN TRANSACTION;\nINSERT INTO api_secrets $records;",
        "DEFINE USER root ON ROOT PASSWORD 'x';",
    ] {
        assert!(ada.refused("query", json!([sql, { "records": [] }])).contains("no queries of one's own"), "{sql}");
    }
    for method in
        ["", "live", "kill", "let", "invalidate", "authenticate", "merge", "patch", "insert", "run", "version"]
    {
        assert!(ada.refused(method, json!([])).contains("there is no method"), "{method}");
    }
    // Texts stay texts.
    let sql = "x' OR '1'='1";
    assert_eq!(ada.rows("SELECT * FROM user WHERE username = $username LIMIT 1", json!({ "username": sql })).len(), 0);
    assert_eq!(
        ada.rows("SELECT * FROM user WHERE public_key = $public_key LIMIT 1", json!({ "public_key": sql })).len(),
        0
    );
    assert_eq!(ada.rows("SELECT * FROM agent WHERE id=$module_name;", json!({ "module_name": sql })).len(), 0);
    assert_eq!(
        ada.rows("SELECT * FROM agent WHERE name = $module_name LIMIT 1;", json!({ "module_name": sql })).len(),
        0
    );
    assert_eq!(ada.rows("SELECT * FROM node WHERE ip=$node_ip;", json!({ "node_ip": sql })).len(), 0);
    let record = json!({ "description": sql, "parameters": "'; DROP TABLE modules; --", "module_url": "x'" });
    assert_eq!(ada.result("create", json!(["agent:quotes", record]))["description"], sql);
    // Variables of another kind, and none.
    for variables in [json!({}), json!({ "username": 1 }), json!({ "username": { "$ne": null } }), json!([])] {
        ada.refused("query", json!(["SELECT * FROM user WHERE username = $username LIMIT 1", variables]));
    }
    for params in [json!([]), json!([1]), json!(["agent:x", 1]), json!([{}]), json!([null, null])] {
        for method in ["signup", "signin", "create", "update", "query"] {
            ada.refused(method, params.clone());
        }
    }
}

#[test]
fn frames_that_are_none() {
    let registry = TestRegistry::start();
    let mut socket = connect(&registry);
    for text in [
        "",
        "x",
        "[]",
        "1",
        "{}",
        "{\"id\":\"1\"}",
        "{\"method\":1}",
        &"[".repeat(5000),
        "{\"method\":\"use\",\"params\":{}}",
    ] {
        let reply = socket.ask(text);
        assert_eq!((&reply["id"], &reply["error"]["code"]), (&Value::Null, &json!(-32700)), "{text}");
    }
    // An id is sent back, whatever becomes of its request; what is no id is not.
    for (id, expected) in [
        (json!("1"), json!("1")),
        (json!(7), json!(7)),
        (json!({ "a": 1 }), Value::Null),
        (json!("x".repeat(200)), Value::Null),
    ] {
        let reply = socket.ask(&json!({ "id": id, "method": "nothing" }).to_string());
        assert_eq!(reply["id"], expected);
    }
    // Several at once are answered in their order, and pings between them.
    for number in 0..20 {
        socket.send(TEXT, json!({ "id": number, "method": "use", "params": [] }).to_string().as_bytes());
    }
    socket.send(PING, b"still there?");
    for number in 0..20 {
        assert_eq!(socket.receive(), Frame::Text(format!("{{\"id\":{number},\"result\":null}}")));
    }
    assert_eq!(socket.receive(), Frame::Pong(b"still there?".to_vec()));

    socket.send(BINARY, b"{}");
    assert_eq!(socket.receive(), Frame::Close(1003, "requests are JSON text".to_owned()));
    let mut socket = connect(&registry);
    socket.send(TEXT, &vec![b' '; (1 << 20) + 1]);
    assert!(matches!(socket.receive(), Frame::Close(1009, _) | Frame::Gone));
    let mut socket = connect(&registry);
    socket.send(TEXT, b"\xff\xfe");
    assert!(matches!(socket.receive(), Frame::Close(..) | Frame::Gone));

    let authority = registry.url.authority();
    let page = Socket::open(authority, "/rpc", "Origin: https://page.example\r\n").err().expect("a refusal");
    assert!(page.starts_with("HTTP/1.1 400") && page.contains("web pages cannot use the hub"), "{page}");
    let plain = crate::support::http::send("GET", registry.url.join("rpc").expect("a URL").as_str(), &[], "");
    assert_eq!(plain.status, 400);
    assert!(plain.text.contains("set `HUB_URL`"), "{}", plain.text);
}

#[test]
fn silence_and_the_end_close_a_connection() {
    let mut limits = crate::support::registry::limits();
    limits.hub_idle = std::time::Duration::from_millis(200);
    let registry = TestRegistry::with_limits(limits);
    assert_eq!(connect(&registry).receive(), Frame::Close(1001, "nothing was sent for too long".to_owned()));

    let mut registry = TestRegistry::start();
    let mut socket = connect(&registry);
    assert_eq!(call(&mut socket, "use", &json!([]))["result"], Value::Null);
    registry.stop();
    assert_eq!(socket.receive(), Frame::Close(1001, "the registry stops".to_owned()));
}

#[test]
fn requests_and_connections_have_an_end() {
    let hub_requests = Rate { burst: 3, refill: Duration::from_secs(1) };
    let registry = TestRegistry::with_limits(Limits { hub_requests, ..limits() });
    let mut socket = connect(&registry);
    for _ in 0..3 {
        assert!(call(&mut socket, "use", &json!([]))["error"].is_null());
    }
    assert!(refused(&call(&mut socket, "use", &json!([]))).contains("too many attempts"));
    let mut other = connect(&registry);
    assert!(call(&mut other, "use", &json!([]))["error"].is_null(), "another connection has its own");
    registry.advance(jiff::SignedDuration::from_secs(1));
    assert!(call(&mut socket, "use", &json!([]))["error"].is_null());

    let open = || Socket::open(registry.url.authority(), "/rpc", "");
    let _held: Vec<_> = (2..128).map(|_| open().expect("room")).collect();
    let full = open().err().expect("a refusal");
    assert!(full.starts_with("HTTP/1.1 503") && full.contains("from this address"), "{full}");
}

#[test]
fn changes_have_a_rate_and_an_unproved_key_few_modules() {
    let registry = TestRegistry::start();
    let mut ada = Person::new(&registry, "ada");
    let create =
        |person: &mut Person, number: i32| person.call("create", json!([format!("agent:m{number}"), pointer("u")]));
    let refused = (0..100).find(|number| !create(&mut ada, *number)["error"].is_null());
    assert_eq!(refused, Some(20));
    assert!(
        ada.refused("create", json!(["agent:more", pointer("u")])).contains("`napt login --username NAME` proves it")
    );
    ada.result("delete", json!(["agent:m7"]));
    ada.result("create", json!(["agent:more", pointer("u")]));

    let hub_writes = Rate { burst: 3, refill: Duration::from_secs(1) };
    let registry = TestRegistry::with_limits(Limits { hub_writes, ..limits() });
    let mut ada = Person::new(&registry, "ada");
    ada.result("create", json!(["agent:x", pointer("u")]));
    ada.result("update", json!(["agent:x", pointer("v")]));
    ada.result("delete", json!(["agent:x"]));
    let insert = "BEGIN TRANSACTION;\nINSERT INTO api_secrets $records;\nCOMMIT TRANSACTION;";
    for (method, params) in [
        ("create", json!(["agent:x", pointer("u")])),
        ("update", json!(["agent:x", pointer("u")])),
        ("delete", json!(["agent:x"])),
        ("query", json!([insert, { "records": [] }])),
    ] {
        assert!(ada.refused(method, params).contains("too many attempts"), "{method}");
    }
    ada.rows("SELECT * FROM agent;", json!({}));
    registry.advance(jiff::SignedDuration::from_secs(1));
    ada.result("create", json!(["agent:x", pointer("u")]));
}

// Naptha's defects: G13
#[test]
fn a_long_list_is_whole_and_fits_a_frame() {
    let registry = TestRegistry::start();
    let key = SecretKey::generate();
    let token = registry.sign_up(&key).token;
    let mut ada = confirmed(&registry, "ada", key, &token);
    for number in 0..900 {
        let mut record = pointer(&format!("https://git.example/{}/{number}", "x".repeat(100)));
        // One closing tag that closes nothing, and the client would show no list at all.
        record["description"] = json!(format!("[/bold] {}", "é".repeat(600)));
        record["parameters"] = json!("p".repeat(600));
        ada.result("create", json!([format!("agent:m{number}"), record]));
    }
    ada.socket
        .send(TEXT, json!({ "id": "1", "method": "query", "params": ["SELECT * FROM agent;"] }).to_string().as_bytes());
    let Frame::Text(text) = ada.socket.receive() else { panic!("no reply") };
    assert!(text.len() < 1 << 20, "{}", text.len());
    let reply: Value = serde_json::from_str(&text).expect("JSON");
    let rows = reply["result"][0]["result"].as_array().expect("rows");
    assert_eq!(rows.len(), 900);
    assert!(rows.iter().all(|row| row["description"].as_str().expect("text").starts_with("[ /bold] é")));
    // One alone has all of its texts.
    let whole = ada.result("select", json!(["agent:m1"]));
    assert_eq!(whole["parameters"].as_str().expect("text").len(), 600);
    // There is an end to what one user may have.
    let left = (900..1001).find(|number| {
        let reply = ada.call("create", json!([format!("agent:m{number}"), pointer("u")]));
        reply["error"]["message"].as_str().is_some_and(|message| message.contains("as many modules"))
    });
    assert_eq!(left, Some(1000));
}
