//! Every door of a node, with every credential that it must refuse, and what a module may do with its own.

use base64::{Engine, engine::general_purpose::STANDARD};
use napt::identity::SecretKey;
use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    http::{Answer, send, signed, signed_at},
    modules::write_python,
    node::{TestNode, cache},
    wait_for,
};

/// Hands its credential to the test through its user's storage, and waits to be cancelled.
const HOLDER: &str = r#"
import base64, json, os, time, urllib.parse, urllib.request


def post(body):
    head = {"Authorization": "Basic " + base64.b64encode(os.environ["NAPT_RUN_TOKEN"].encode()).decode()}
    form = urllib.parse.urlencode({"data": json.dumps(body)}).encode()
    url = "http://" + os.environ["NAPT_NODE_URL"].rsplit("@")[1] + "/storage/db/create/held"
    urllib.request.urlopen(urllib.request.Request(url, form, head)).read()


def run(module_run):
    if not module_run["inputs"].get("hold"):
        return "done"
    post({"schema": {"run": {"type": "text"}, "token": {"type": "text"}}})
    post({"data": {"run": os.environ["NAPT_RUN_ID"], "token": os.environ["NAPT_RUN_TOKEN"]}})
    time.sleep(600)
"#;

struct Scene {
    node: TestNode,
}

/// A door: method, path and a body that it would act upon.
type Door = (&'static str, String, String);

impl Scene {
    fn new(flags: &[&str]) -> Self {
        let node = TestNode::start(flags);
        write_python(&node.sandbox, "holder", "agent:holder", HOLDER, "");
        node.napt(&["deploy", "holder", "--no-verify"]).expect(0);
        Scene { node }
    }

    /// A request without credentials but those given.
    fn send(&self, (method, path, body): &Door, headers: &[(&str, &str)]) -> Answer {
        let mut headers = headers.to_vec();
        if path.starts_with("/ws/") {
            headers.extend([
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ]);
        }
        send(method, &format!("{}{path}", self.node.url), &headers, body)
    }

    /// A request that the operator signs.
    fn mine(&self, door: &Door) -> Answer {
        let header = self.signed(&self.node.key(), door);
        self.send(door, &[("authorization", &header)])
    }

    fn signed(&self, key: &SecretKey, (method, path, body): &Door) -> String {
        signed(key, method, &format!("{}{path}", self.node.url), body)
    }

    fn run(&self) -> String {
        let ran = self.node.napt(&["run", "agent:holder", "--message-format", "json"]).expect(0);
        ran.json()["data"]["run"]["id"].as_str().expect("an id").to_owned()
    }

    /// Starts a run that waits; its id and its credential.
    fn hold(&self) -> (String, String) {
        let started = self.node.napt(&["run", "agent:holder", "-p", "hold=true", "--detach"]).expect(0);
        let id = started.stdout.trim().to_owned();
        let token = wait_for("the run's credential", || {
            let rows = self.mine(&door("GET", "/storage/db/read/held", ""));
            let rows = if rows.status == 200 { rows.json() } else { return None };
            let row = rows.as_array()?.iter().find(|row| row["run"] == id)?.clone();
            Some(row["token"].as_str().expect("text").to_owned())
        });
        (id, token)
    }

    fn cancel(&self, id: &str) {
        self.node.napt(&["cancel", id]).expect(0);
        wait_for("the run's end", || {
            let run = self.mine(&door("GET", &format!("/v1/runs/{id}"), "")).json();
            (!run["finished"].is_null()).then_some(())
        });
    }

    /// All that a refused request might have changed.
    fn state(&self) -> Value {
        let tables = ["held", "t"].map(|table| self.mine(&door("GET", &format!("/storage/db/read/{table}"), "")).text);
        let archives = std::fs::read_dir(self.node.data().join("archives")).expect("a folder").count();
        json!([
            self.mine(&door("GET", "/v1/runs?all=true", "")).json(),
            self.mine(&door("GET", "/v1/deployments", "")).json(),
            tables,
            archives,
        ])
    }
}

fn door(method: &'static str, path: &str, body: &str) -> Door {
    (method, path.to_owned(), body.to_owned())
}

fn basic(credential: &str) -> String {
    let (user, secret) = credential.split_once(':').unwrap_or((credential, ""));
    format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")))
}

fn form(data: &Value) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair("data", &data.to_string()).finish()
}

fn input(consumer: &str, signature: &str) -> Value {
    json!({
        "consumer_id": consumer, "inputs": { "word": "hush-hush" }, "signature": signature,
        "deployment": { "node": { "ip": "localhost" }, "module": { "name": "holder" } },
    })
}

/// Every door that asks for a credential, with a request that it would carry out for the operator.
fn doors(key: &SecretKey, run: &str) -> Vec<Door> {
    let user = key.public().user_id();
    let public = json!({ "public_key": key.public().to_string() }).to_string();
    let input = input(&user, &key.sign_consumer(&user));
    let chat = json!({ "model": "napt/echo", "messages": [{ "role": "user", "content": "x" }] }).to_string();
    let row = form(&json!({ "data": { "run": "changed" } }));
    let condition = "condition=%7B%22token%22%3A%22x%22%7D";
    vec![
        door("POST", "/agent/create", &input["deployment"].to_string()),
        door("POST", "/agent/run", &json!({ "agent_run_input": input }).to_string()),
        door("POST", "/agent/check", &json!({ "id": run }).to_string()),
        door("POST", "/user/check", &public),
        door("POST", "/user/register", &public),
        door("GET", "/inference/models", ""),
        door("POST", "/inference/chat/completions", &chat),
        door("POST", "/inference/completions", "{\"model\":\"napt/echo\",\"prompt\":\"x\"}"),
        door("POST", "/inference/embeddings", "{\"model\":\"napt/echo\",\"input\":\"x\"}"),
        door("POST", "/user/secret/create", "{\"secrets\":[]}"),
        door("GET", "/v1/secrets", ""),
        door("PUT", "/v1/secrets", "{\"name\":\"A\",\"sealed\":\"hush-hush\"}"),
        door("DELETE", "/v1/secrets/A", ""),
        door("POST", "/storage/db/create/t", &form(&json!({ "schema": { "a": { "type": "text" } } }))),
        door("POST", "/storage/db/create/held", &row),
        door("GET", "/storage/db/read/held", ""),
        door("GET", "/storage/db/list/held", ""),
        door("PUT", &format!("/storage/db/update/held?{condition}"), &row),
        door("DELETE", &format!("/storage/db/delete/held?{condition}"), ""),
        door("POST", "/storage/db/search/held", "{\"query\":\"x\"}"),
        door("POST", "/storage/fs/create/d", "x"),
        door("GET", "/storage/fs/read/d", ""),
        door("GET", "/storage/fs/list/", ""),
        door("PUT", "/storage/fs/update/d", ""),
        door("DELETE", "/storage/fs/delete/d", ""),
        door("POST", "/storage/fs/search/d", "{\"query\":\"x\"}"),
        door("POST", "/storage/ipfs/create/d", "x"),
        door("GET", "/storage/ipfs/read/d", ""),
        door("GET", "/storage/ipfs/list/", ""),
        door("DELETE", "/storage/ipfs/delete/d", ""),
        door("GET", "/ws/agent/run/1", ""),
        door("GET", "/ws/user/check/1", ""),
        door("GET", "/ws/user/register/1", ""),
        door("GET", "/v1/runs", ""),
        door("POST", "/v1/runs", "{\"module\":\"agent:holder\"}"),
        door("GET", &format!("/v1/runs/{run}"), ""),
        door("GET", &format!("/v1/runs/{run}/events"), ""),
        door("POST", &format!("/v1/runs/{run}/cancel"), ""),
        door("GET", "/v1/deployments", ""),
        door("POST", "/v1/deployments", "{\"root\":\"agent:holder\",\"modules\":[]}"),
        door("GET", &format!("/v1/archives/{}", "0".repeat(64)), ""),
        door("PUT", &format!("/v1/archives/{}", "0".repeat(64)), "x"),
        door("POST", "/v1/tokens", "{\"name\":\"t\",\"expires_in\":60}"),
        door("DELETE", "/v1/tokens", ""),
    ]
}

// Naptha's defects: A1, A3, A10, A11
#[test]
fn every_door_refuses_every_credential_that_does_not_hold() {
    let scene = Scene::new(&[]);
    let key = scene.node.key();
    let short_lived = scene.node.token(1);
    let (ended, ended_token) = scene.hold();
    scene.cancel(&ended);
    let (live, live_token) = scene.hold();
    let secret = live_token.split_once(':').expect("a secret").1;
    let ended_secret = ended_token.split_once(':').expect("a secret").1;
    let doors = doors(&key, &live);
    let expired = format!("Bearer {short_lived}");
    wait_for("the token's end", || (scene.send(&doors[5], &[("authorization", &expired)]).status == 401).then_some(()));
    let before = scene.state();
    let now = jiff::Timestamp::now().as_second();
    let stranger = SecretKey::generate();

    for door in &doors {
        let (method, path, body) = door;
        let url = format!("{}{path}", scene.node.url);
        let sign = |method: &str, url: &str, body: &str| signed(&key, method, url, body);
        let ahead = url.replacen("http://", "http://other.", 1);
        let unknown = format!("napt_{}", "0".repeat(48));
        let mut altered = sign(method, &url, body);
        altered.pop();
        for (what, status, header) in [
            ("no credential", 401, String::new()),
            ("none of Naptha's", 401, "Bearer None".to_owned()),
            ("an unknown scheme", 401, "Digest x".to_owned()),
            ("a bare word", 401, "napt".to_owned()),
            ("no token", 401, "Bearer x".to_owned()),
            ("an unknown token", 401, format!("Bearer {unknown}")),
            ("an unknown token in the URL", 401, basic(&unknown)),
            ("an expired token", 401, expired.clone()),
            ("no base64", 401, "Basic ?".to_owned()),
            ("no pair", 401, format!("Basic {}", STANDARD.encode("user"))),
            ("a password", 401, basic("admin:admin")),
            ("no run", 401, basic(&format!("nothing.local:{secret}"))),
            ("an ended run", 401, basic(&ended_token)),
            ("a wrong secret", 401, basic(&format!("{live}.local:{}", "0".repeat(32)))),
            ("no secret", 401, basic(&format!("{live}.local:"))),
            ("another run's secret", 401, basic(&format!("{live}.local:{ended_secret}"))),
            ("an unknown target", 401, basic(&format!("{live}.0123456789abcdef:{secret}"))),
            ("no target", 401, basic(&format!("{live}:{secret}"))),
            ("half a signature", 401, "Napt key=1,time=2".to_owned()),
            ("an altered signature", 401, altered),
            ("another body", 401, sign(method, &url, &format!("{body} "))),
            ("another path", 401, sign(method, &format!("{url}x"), body)),
            ("another method", 401, sign("PATCH", &url, body)),
            ("another host", 401, sign(method, &ahead, body)),
            ("an old signature", 401, signed_at(&key, method, &url, body, now - 400)),
            ("an early signature", 401, signed_at(&key, method, &url, body, now + 400)),
            ("a stranger's signature", 403, signed(&stranger, method, &url, body)),
        ] {
            let headers: &[(&str, &str)] = if header.is_empty() { &[] } else { &[("authorization", &header)] };
            let answer = scene.send(door, headers);
            assert_eq!(answer.status, status, "{method} {path} with {what}: {answer:?}");
            assert_eq!(answer.json()["status"], status, "problem JSON");
            assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
            assert!(!answer.text.contains("hush-hush") && !answer.text.contains(secret), "{answer:?}");
        }
    }
    assert_eq!(scene.state(), before, "what is refused is not done");
}

// Naptha's defects: A5
#[test]
fn a_signed_request_is_good_once() {
    let scene = Scene::new(&[]);
    let door = door("POST", "/v1/runs", "{\"module\":\"agent:holder\"}");
    let header = scene.signed(&scene.node.key(), &door);
    let statuses = [0; 3].map(|_| scene.send(&door, &[("authorization", &header)]).status);
    assert_eq!(statuses, [201, 401, 401]);
}

#[test]
fn a_token_makes_no_token() {
    let scene = Scene::new(&[]);
    let made =
        scene.node.napt(&["token", "new", "--name", "ci", "--expires", "1h", "--message-format", "json"]).expect(0);
    let token = made.json()["data"]["token"].as_str().expect("a token").to_owned();
    assert_eq!(made.json()["data"]["url"], scene.node.url.replacen("http://", &format!("http://{token}@"), 1));
    for header in [format!("Bearer {token}"), basic(&token)] {
        assert_eq!(scene.send(&door("GET", "/v1/runs", ""), &[("authorization", &header)]).status, 200);
        let another = door("POST", "/v1/tokens", "{\"name\":\"t\",\"expires_in\":99999}");
        assert_eq!(scene.send(&another, &[("authorization", &header)]).status, 403);
    }
    // Printed alone, so that a script can take it; and refused when it makes no sense.
    let printed = scene.node.napt(&["token", "new"]).expect(0);
    assert!(printed.stdout.starts_with("napt_") && printed.stdout.trim().len() == 53, "{}", printed.stdout);
    assert!(!printed.stderr.contains('…'), "what to do with it is not taken for a secret: {}", printed.stderr);
    for bad in ["0", "400d", "1w", "soon", "-1h"] {
        scene.node.napt(&["token", "new", &format!("--expires={bad}")]).expect(2);
    }
    // Only its hash is kept.
    let database = std::fs::read(scene.node.data().join("node.sqlite-wal")).expect("a file");
    assert!(!database.windows(token.len()).any(|window| window == token.as_bytes()));
}

// Naptha's defects: A10
#[test]
fn a_module_may_see_its_own_tree_and_nothing_else_of_its_user() {
    let scene = Scene::new(&[]);
    let other = scene.run();
    let (own, token) = scene.hold();
    let header = basic(&token);
    let ask = |door: Door| scene.send(&door, &[("authorization", &header)]);
    let module = "{\"module\":\"agent:holder\"}";
    let child = ask(door("POST", "/v1/runs", module));
    assert_eq!((child.status, &child.json()["parent"]), (201, &json!(own)), "its run is its child");
    let child = child.json()["id"].as_str().expect("an id").to_owned();
    let check = |id: &str| door("POST", "/agent/check", &json!({ "id": id }).to_string());
    let archive = format!("/v1/archives/{}", "0".repeat(64));
    let stranger = SecretKey::generate().public();
    let register = json!({ "public_key": stranger.to_string() }).to_string();
    for (expected, door) in [
        (200, door("GET", &format!("/v1/runs/{own}"), "")),
        (200, door("GET", &format!("/v1/runs/{child}"), "")),
        (200, door("GET", &format!("/v1/runs/{child}/events?follow=false"), "")),
        (200, check(&own)),
        (200, check(&child)),
        (404, door("GET", &format!("/v1/runs/{other}"), "")),
        (404, door("GET", &format!("/v1/runs/{other}/events"), "")),
        (404, door("POST", &format!("/v1/runs/{other}/cancel"), "")),
        (404, check(&other)),
        (403, door("GET", "/v1/runs", "")),
        (403, door("GET", &format!("/v1/runs?root={own}"), "")),
        (403, door("GET", "/v1/deployments", "")),
        (403, door("POST", "/v1/deployments", "{\"root\":\"agent:holder\",\"modules\":[]}")),
        (403, door("GET", &archive, "")),
        (403, door("PUT", &archive, "x")),
        (403, door("GET", "/v1/secrets", "")),
        (403, door("PUT", "/v1/secrets", "{\"name\":\"A\",\"sealed\":\"x\"}")),
        (403, door("DELETE", "/v1/secrets/A", "")),
        (403, door("POST", "/user/secret/create", "{\"secrets\":[]}")),
        (403, door("POST", "/v1/tokens", "{\"name\":\"t\",\"expires_in\":60}")),
        (403, door("DELETE", "/v1/tokens", "")),
        (401, door("GET", &format!("/v1/forward/archives/{}", "0".repeat(64)), "")),
        (200, door("POST", "/user/register", &register)),
    ] {
        let answer = ask(door.clone());
        assert_eq!(answer.status, expected, "{door:?}: {answer:?}");
    }
    // What it registers is nobody.
    assert_eq!(scene.mine(&door("POST", "/user/check", &register)).json()["is_registered"], false);
    scene.cancel(&own);
    assert_eq!(ask(door("GET", "/inference/models", "")).status, 401, "the credential dies with the run");
}

// Naptha's defects: A14
#[test]
fn errors_do_not_repeat_what_was_sent() {
    let scene = Scene::new(&[]);
    let secret = "hush-hush";
    for door in [
        door("POST", "/agent/run", &json!({ "agent_run_input": secret }).to_string()),
        door("POST", "/agent/run", &json!({ "agent_run_input": { "consumer_id": 1, "inputs": secret } }).to_string()),
        door("POST", "/agent/create", &json!({ "agent_deployments": secret }).to_string()),
        door("POST", "/agent/create", &json!({ "config": { "llm_config": { "client": secret } } }).to_string()),
        door("POST", "/agent/check", &json!(secret).to_string()),
        door("POST", "/agent/check", &format!("{{\"id\": {secret}")),
        door("POST", "/v1/runs", &json!({ "module": "agent:holder", "inputs": secret }).to_string()),
        door("POST", "/v1/tokens", &json!({ "name": "x", "expires_in": secret }).to_string()),
        door("POST", "/inference/chat/completions", &json!({ "model": "napt/echo", "messages": secret }).to_string()),
        door("POST", "/user/secret/create", &json!({ "secrets": [{ "key_name": secret }] }).to_string()),
        door("POST", "/agent/run", &json!({ "agent_run_input": {}, "secrets": secret }).to_string()),
        door("PUT", "/v1/secrets", &json!({ "name": "A", "sealed": secret }).to_string()),
        door("POST", "/storage/db/create/t", &form(&json!(secret))),
        door("GET", &format!("/storage/db/read/t?options=%22{secret}%22"), ""),
        door("DELETE", &format!("/storage/db/delete/t?condition=%22{secret}%22"), ""),
    ] {
        let answer = scene.mine(&door);
        assert_eq!(answer.status, 422, "{door:?}: {answer:?}");
        assert!(!answer.text.contains(secret), "{door:?}: {answer:?}");
    }
    assert!(!scene.node.log().contains(secret));
}

#[test]
fn digests_lead_nowhere_else() {
    let scene = Scene::new(&[]);
    let pin = |sha256: &str| json!({ "id": "agent:holder", "version": "0.1.0", "sha256": sha256 });
    for bad in ["", "..%2f..%2fnode", "../modules", &"A".repeat(64), &"0".repeat(63)] {
        let answer = scene.mine(&door("GET", &format!("/v1/archives/{bad}"), ""));
        assert_eq!(answer.status, 404, "{bad}: {answer:?}");
        let wanted = json!({ "root": "agent:holder", "name": "d", "modules": [pin(bad)] });
        let answer = scene.mine(&door("POST", "/v1/deployments", &wanted.to_string()));
        assert!(answer.text.contains("\"failed\"") && answer.text.contains("hex digits"), "{bad}: {answer:?}");
    }
}

// Naptha's defects: A12
#[test]
fn an_open_node_is_open_to_this_machine_and_to_naptha_only() {
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let refused = sandbox.napt(&["node", "--open", "--listen", "0.0.0.0:0"]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("loopback"), "{}", refused.stderr);

    let scene = Scene::new(&["--open"]);
    let key = SecretKey::generate();
    let user = key.public().user_id();
    let models = door("GET", "/inference/models", "");
    let wrong = basic("admin:admin");
    let stranger = scene.signed(&key, &models);
    let port = scene.node.address().rsplit_once(':').expect("a port").1;
    let (rebound, local) = (format!("evil.example:{port}"), format!("localhost:{port}"));
    for (what, status, headers) in [
        ("nothing", 200, vec![]),
        ("Naptha's none", 200, vec![("authorization", "Bearer None")]),
        ("a local name", 200, vec![("host", local.as_str())]),
        ("a web page", 401, vec![("origin", "https://evil.example")]),
        ("a sandboxed page", 401, vec![("origin", "null")]),
        ("a name that leads here", 401, vec![("host", rebound.as_str())]),
        ("a wrong credential", 401, vec![("authorization", wrong.as_str())]),
        ("a stranger's signature", 403, vec![("authorization", stranger.as_str())]),
    ] {
        assert_eq!(scene.send(&models, &headers).status, status, "{what}");
    }
    // Naptha's own flow; a signature is asked for, and is the consumer's.
    let run = |signature: &str| {
        scene.send(&door("POST", "/agent/run", &json!({ "agent_run_input": input(&user, signature) }).to_string()), &[])
    };
    let accepted = run(&key.sign_consumer(&user));
    assert_eq!((accepted.status, &accepted.json()["consumer_id"]), (200, &json!(user)), "{accepted:?}");
    for bad in [SecretKey::generate().sign_consumer(&user), "garbage".to_owned(), String::new()] {
        assert_eq!(run(&bad).status, 401);
    }
    // napt's own API is as closed as ever: a module that leaves its credential out is on this machine too.
    for door in doors(&key, accepted.json()["id"].as_str().expect("an id")) {
        if door.1.starts_with("/v1/") {
            let answer = scene.send(&door, &[]);
            assert_eq!(answer.status, 401, "{door:?}: {answer:?}");
        }
    }
}
