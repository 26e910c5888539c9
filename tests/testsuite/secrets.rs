//! Users' secrets: from stdin, files and Naptha's own `deploy-secrets` to the runs that they are for, and nowhere else.

mod sdk;

use std::{path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use napt::identity::{Jwks, SecretKey};
use serde_json::{Value, json};

use crate::support::{
    Ran, Sandbox,
    canary::files,
    http::{Answer, send, signed},
    modules::{CALL, Python, write_python},
    node::{TestNode, cache},
    python::{self, expect_success},
    registry::TestRegistry,
    wait_for,
};

/// Gives the digests of the variables that it is asked for, and says them aloud in several ways.
const TELLER: &str = r#"
import base64, hashlib, json, os, sys


def run(module_run):
    found = {}
    for name in module_run["inputs"]["names"]:
        value = os.environ.get(name)
        found[name] = value and hashlib.sha256(value.encode()).hexdigest()
        print("it is", value, base64.b64encode((value or "").encode()).decode(), flush=True)
        print(json.dumps({name: value}), file=sys.stderr, flush=True)
    if module_run["inputs"].get("return"):
        return dict(os.environ)
    if module_run["inputs"].get("fail"):
        raise ValueError(os.environ["SEARCH_KEY"])
    return found
"#;

/// Has the teller tell.
const CALLER: &str = "
def run(module_run):
    return call('agent:teller', module_run['inputs'])['result']
";

fn digest(text: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text))
}

struct Scene {
    node: TestNode,
}

impl Scene {
    /// A node with the modules above, one of which calls the other.
    fn new(flags: &[&str]) -> Self {
        let mut sandbox = Sandbox::new();
        sandbox.set("NAPT_CACHE_DIR", &cache());
        let node = TestNode::start_in(sandbox, flags);
        deploy(&node);
        Scene { node }
    }

    /// A command with something on stdin.
    fn napt_with(&self, arguments: &[&str], stdin: &str) -> Ran {
        let path = self.node.sandbox.home().join("stdin");
        std::fs::write(&path, stdin).expect("a file");
        let mut command = self.node.sandbox.command(arguments);
        let ran = self.node.sandbox.run(command.stdin(std::fs::File::open(&path).expect("a file")));
        std::fs::remove_file(path).expect("a file");
        ran
    }

    fn set(&self, name: &str, value: &str, more: &[&str]) {
        self.napt_with(&[&["secret", "set", name], more].concat(), value).expect(0);
    }

    /// What a module tells of variables.
    fn told(&self, module: &str, names: &[&str]) -> Value {
        let run = self.node.user().run(module, json!({ "names": names }));
        told(&run.result.unwrap_or_else(|| panic!("{:?}", run.error)))
    }

    fn ask(&self, method: &str, path: &str, body: &Value, key: &SecretKey) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let url = format!("{}{path}", self.node.url);
        send(method, &url, &[("authorization", &signed(key, method, &url, &body))], &body)
    }

    fn key(&self) -> Jwks {
        serde_json::from_str(&send("GET", &format!("{}/.well-known/jwks.json", self.node.url), &[], "").text)
            .expect("keys")
    }

    /// No file of the node's, and nothing that it logged or tells, has one of these texts.
    #[track_caller]
    fn has_nowhere(&self, secrets: &[&str]) {
        let data = files(&self.node.sandbox.home(), &[""]);
        assert!(data.iter().any(|path| path.ends_with("secrets/storage.key")), "{data:?}");
        for path in data {
            holds_none(&path, secrets);
        }
        for run in self.node.user().runtime.block_on(self.node.user().client.runs(true, 1000)).expect("runs") {
            let shown = self.node.napt(&["logs", &run.id, "--all", "--message-format", "json"]).expect(0).stdout;
            let shown = shown + &self.node.napt(&["status", &run.id, "--message-format", "json"]).expect(0).stdout;
            for secret in secrets {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}

fn deploy(node: &TestNode) {
    node.sandbox.write("napt.toml", "[workspace]\nmembers = [\"m/*\"]\n");
    let more = "[dependencies]\n\"agent:teller\" = { path = \"../teller\", version = \"0.1\" }\n";
    write_python(&node.sandbox, "m/caller", "orchestrator:caller", &format!("{CALL}\n{CALLER}"), more);
    write_python(&node.sandbox, "m/teller", "agent:teller", TELLER, "");
    node.napt(&["deploy", "-m", "orchestrator:caller", "--no-verify"]).expect(0);
}

/// A result, also one that a module passes on as text.
fn told(result: &str) -> Value {
    match serde_json::from_str(result).expect("JSON") {
        Value::String(inner) => told(&inner),
        value => value,
    }
}

#[track_caller]
fn holds_none(path: &Path, secrets: &[&str]) {
    let bytes = std::fs::read(path).unwrap_or_default();
    for secret in secrets {
        let encoded = STANDARD.encode(secret);
        for text in [*secret, encoded.trim_end_matches('=')] {
            let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "`{}` holds a secret", path.display());
        }
    }
}

// Naptha's defects: D2, D3, D9, B7
#[test]
fn a_secret_reaches_the_runs_that_it_is_for_and_is_seen_nowhere_else() {
    let mut scene = Scene::new(&[]);
    let (general, special) = ("canary-of-search-0001", "canary-for-the-teller \"é\"");
    scene.set("SEARCH_KEY", general, &[]);
    scene.set("MAIL_TOKEN", special, &["--module", "agent:teller"]);
    scene.set("OTHER_KEY", "canary-of-others-0001", &["--module", "tool:none"]);
    let long: String = (0..16_384).map(|number: u32| digest(&number.to_string())).collect();
    assert_eq!(long.len(), 1 << 20);
    scene.set("LONG", &long, &[]);
    let names = ["SEARCH_KEY", "MAIL_TOKEN", "OTHER_KEY", "LONG", "NAPT_PROVIDER_KEY"];
    let expected = json!({
        "SEARCH_KEY": digest(general), "MAIL_TOKEN": digest(special), "OTHER_KEY": null, "LONG": digest(&long),
        "NAPT_PROVIDER_KEY": null,
    });
    for module in ["agent:teller", "orchestrator:caller"] {
        assert_eq!(scene.told(module, &names), expected, "{module}");
    }
    // In a result or an error it is masked.
    let user = scene.node.user();
    let returned =
        user.run("agent:teller", json!({ "names": ["SEARCH_KEY"], "return": true })).result.expect("a result");
    assert!(returned.contains("\"SEARCH_KEY\": \"…\""), "{}", &returned[..200]);
    let failed = user.run("agent:teller", json!({ "names": [], "fail": true }));
    assert_eq!(failed.error.as_deref().map(|error| error.contains('…')), Some(true), "{failed:?}");
    let block = &long[long.len() / 2..][..32];
    scene.has_nowhere(&[general, special, "canary-of-others-0001", block]);

    // The nearest counts, a new value replaces the old one, and all of it is there after a restart.
    scene.set("SEARCH_KEY", "canary-of-search-0002", &["--module", "agent:teller"]);
    scene.set("MAIL_TOKEN", "canary-for-all-0002", &[]);
    scene.node.kill();
    scene.node.restart();
    let found = scene.told("orchestrator:caller", &["SEARCH_KEY", "MAIL_TOKEN"]);
    assert_eq!(found, json!({ "SEARCH_KEY": digest("canary-of-search-0002"), "MAIL_TOKEN": digest(special) }));
    scene.node.napt(&["secret", "remove", "SEARCH_KEY", "--module", "agent:teller"]).expect(0);
    assert_eq!(scene.told("agent:teller", &["SEARCH_KEY"]), json!({ "SEARCH_KEY": digest(general) }));
    let listed = scene.node.napt(&["secret", "list"]).expect(0).stdout;
    let lines = [
        "LONG        all runs",
        "MAIL_TOKEN  all runs",
        "MAIL_TOKEN  agent:teller",
        "OTHER_KEY   tool:none",
        "SEARCH_KEY  all runs",
    ];
    assert_eq!(listed.lines().collect::<Vec<_>>(), lines);
    scene.node.kill();
    assert!(scene.node.fsck().is_empty());
}

// Naptha's defects: D7
#[test]
fn the_keys_are_for_their_owner_alone_and_the_public_half_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let mut scene = Scene::new(&[]);
    let key = scene.key();
    let jwk = &key.keys[0];
    assert_eq!((jwk.kty.as_str(), jwk.purpose.as_str(), jwk.e.as_str()), ("RSA", "enc", "AQAB"));
    let folder = scene.node.data().join("secrets");
    for name in ["transport.pem", "storage.key"] {
        let mode = std::fs::metadata(folder.join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    scene.node.kill();
    scene.node.restart();
    assert_eq!(scene.key().keys, key.keys, "the same after a restart");
}

#[test]
fn a_user_has_their_own_secrets_and_no_others() {
    let other = SecretKey::generate();
    let other_user = other.public().user_id();
    let scene = Scene::new(&["--user", &other_user]);
    scene.set("SEARCH_KEY", "canary-of-operator-01", &[]);
    let sealed = scene.key().keys[0].seal(b"canary-of-another-01").expect("sealed");
    let new = json!({ "name": "SEARCH_KEY", "sealed": sealed });
    assert_eq!(scene.ask("PUT", "/v1/secrets", &new, &other).status, 204);
    assert_eq!(scene.told("agent:teller", &["SEARCH_KEY"]), json!({ "SEARCH_KEY": digest("canary-of-operator-01") }));
    let run = json!({ "module": "agent:teller", "inputs": { "names": ["SEARCH_KEY"] } });
    let run = scene.ask("POST", "/v1/runs", &run, &other).json()["id"].as_str().expect("an id").to_owned();
    let ended = wait_for("the run's end", || {
        let run = scene.ask("GET", &format!("/v1/runs/{run}"), &Value::Null, &other).json();
        (!run["finished"].is_null()).then_some(run)
    });
    assert_eq!(
        told(ended["result"].as_str().expect("a result")),
        json!({ "SEARCH_KEY": digest("canary-of-another-01") })
    );
    let listed = scene.ask("GET", "/v1/secrets", &Value::Null, &other).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(scene.ask("DELETE", "/v1/secrets/SEARCH_KEY", &Value::Null, &other).status, 204);
    assert_eq!(scene.ask("DELETE", "/v1/secrets/SEARCH_KEY", &Value::Null, &other).status, 404);
    assert!(scene.node.napt(&["secret", "list"]).expect(0).stdout.contains("SEARCH_KEY"), "the operator's stays");
}

#[test]
fn what_another_user_has_deployed_answers_and_gets_none() {
    let other = SecretKey::generate();
    let scene = Scene::new(&["--user", &other.public().user_id()]);
    scene.set("SEARCH_KEY", "canary-of-operator-02", &[]);
    let own = scene.ask("GET", "/v1/deployments", &Value::Null, &scene.node.key()).json();
    let own = own.as_array().expect("a list");
    let modules: Vec<&Value> = own.iter().flat_map(|own| own["modules"].as_array().expect("pins")).collect();
    let teller = modules.iter().find(|pin| pin["id"] == "agent:teller").expect("its pin");
    let theirs = json!({ "name": "theirs", "root": "agent:teller", "modules": [teller] });
    assert!(scene.ask("POST", "/v1/deployments", &theirs, &other).text.contains("\"kind\":\"ready\""));
    let names = &["SEARCH_KEY"];
    assert_eq!(
        scene.told("agent:teller", names),
        json!({ "SEARCH_KEY": digest("canary-of-operator-02") }),
        "their own"
    );
    for own in own {
        scene.node.napt(&["undeploy", own["name"].as_str().expect("a name")]).expect(0);
    }
    assert_eq!(scene.told("agent:teller", names), json!({ "SEARCH_KEY": null }), "another's code");
}

// Naptha's defects: A14
#[test]
fn what_is_no_secret_of_the_callers_is_refused() {
    let scene = Scene::new(&[]);
    let key = scene.node.key();
    let jwk = scene.key().keys[0].clone();
    let foreign = Scene::new(&[]).key().keys[0].clone();
    let seal = |value: &[u8]| jwk.seal(value).expect("sealed");
    for (status, name, sealed) in [
        (422, "SEARCH_KEY", foreign.seal(b"canary-hush-hush").expect("sealed")),
        (422, "SEARCH_KEY", "canary-hush-hush".to_owned()),
        (422, "SEARCH_KEY", seal(b"canary\0hush-hush")),
        (422, "SEARCH_KEY", seal(b"\xffcanary-hush-hush")),
        (413, "SEARCH_KEY", seal(&[b'x'; (1 << 20) + 1])),
        (422, "", seal(b"x")),
        (422, "A=B", seal(b"x")),
        (422, "1A", seal(b"x")),
        (422, &"A".repeat(129), seal(b"x")),
        (422, "PATH", seal(b"x")),
        (422, "PRIVATE_KEY", seal(b"x")),
        (422, "NAPT_RUN_TOKEN", seal(b"x")),
        (422, "LD_PRELOAD", seal(b"x")),
        (422, "PYTHONPATH", seal(b"x")),
    ] {
        let answer = scene.ask("PUT", "/v1/secrets", &json!({ "name": name, "sealed": sealed }), &key);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(!answer.text.contains("hush"), "{answer:?}");
    }
    let sealed = seal(b"x");
    let nodes = json!({ "name": "A", "sealed": sealed, "nodes": ["http://h"] });
    assert_eq!(scene.ask("PUT", "/v1/secrets", &nodes, &key).status, 422);
    let new = json!({ "name": "A", "sealed": sealed });
    let stranger = scene.ask("PUT", "/v1/secrets", &new, &SecretKey::generate());
    assert_eq!(stranger.status, 403);
    for (method, path, body) in [
        ("GET", "/v1/secrets", String::new()),
        ("PUT", "/v1/secrets", new.to_string()),
        ("DELETE", "/v1/secrets/A", String::new()),
        ("POST", "/user/secret/create", json!({ "secrets": [] }).to_string()),
    ] {
        assert_eq!(send(method, &format!("{}{path}", scene.node.url), &[], &body).status, 401, "{method} {path}");
    }
    for number in 0..256 {
        let new = json!({ "name": format!("A{number}"), "sealed": sealed });
        assert_eq!(scene.ask("PUT", "/v1/secrets", &new, &key).status, 204);
    }
    assert_eq!(scene.ask("PUT", "/v1/secrets", &json!({ "name": "B", "sealed": sealed }), &key).status, 413);
    assert_eq!(scene.ask("PUT", "/v1/secrets", &json!({ "name": "A0", "sealed": sealed }), &key).status, 204);
}

#[test]
fn a_module_cannot_read_or_change_secrets() {
    let code = format!(
        "{CALL}\nimport urllib.error\n\ndef run(module_run):\n    found = []\n    \
         for path, body in (('/v1/secrets', None), ('/user/secret/create', {{'secrets': []}})):\n        \
         try:\n            ask(path, body)\n        except urllib.error.HTTPError as error:\n            \
         found.append(error.code)\n    return found\n"
    );
    let node = TestNode::start(&[]);
    node.deploy(&Python::new("agent:curious", &code));
    let run = node.user().run("agent:curious", json!({}));
    assert_eq!(run.result.as_deref(), Some("[403, 403]"), "{run:?}");
}

// Naptha's defects: D8
#[test]
fn values_come_from_stdin_the_environment_or_a_file_and_never_from_an_argument() {
    let mut scene = Scene::new(&[]);
    scene.node.sandbox.set("FROM_ENV", "canary-from-env-01");
    scene.node.sandbox.write("values.env", "# these\nexport FROM_FILE='canary from file'\nALSO=canary-also-0001\n");
    scene.node.napt(&["secret", "set", "FROM_ENV", "--from-env"]).expect(0);
    scene.node.napt(&["secret", "set", "FROM_FILE", "ALSO", "--from-env-file", "values.env"]).expect(0);
    scene.set("FROM_STDIN", "canary-line-1\ncanary-line-2\n", &[]);
    let expected = json!({
        "FROM_ENV": digest("canary-from-env-01"), "FROM_FILE": digest("canary from file"),
        "ALSO": digest("canary-also-0001"), "FROM_STDIN": digest("canary-line-1\ncanary-line-2"),
    });
    assert_eq!(scene.told("agent:teller", &["FROM_ENV", "FROM_FILE", "ALSO", "FROM_STDIN"]), expected);
    for (arguments, told) in [
        (&["secret", "set", "NONE", "--from-env"][..], "no variable `NONE`"),
        (&["secret", "set", "ALSOO", "--from-env-file", "values.env"], "did you mean `ALSO`?"),
        (&["secret", "set", "ONE", "TWO"], "several are named"),
        (&["secret", "set", "ONE"], "is empty"),
        (&["secret", "set", "ONE=canary", "--from-env"], "no variable"),
    ] {
        let ran = scene.node.napt(arguments).expect(2);
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
    let missing = scene.node.napt(&["secret", "remove", "NONE"]).expect(1);
    assert!(missing.stderr.contains("yours are `ALSO`, `FROM_ENV`"), "{}", missing.stderr);
}

// Naptha's defects: D1
#[test]
fn secrets_that_come_with_a_run_are_for_it_and_those_below_it() {
    let mut scene = Scene::new(&[]);
    let foreign = Scene::new(&[]);
    let key = scene.node.key();
    let url = scene.with_token();
    let run = |values: Value, more: Value| {
        let mut step = json!({ "do": "run", "names": ["WITH_IT"], "values": values });
        step.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        step
    };
    let value = json!({ "WITH_IT": "canary-with-the-run-1" });
    let found = scene.sdk(
        &url,
        &key,
        &json!([
            run(value, json!({})),
            run(json!({}), json!({})),
            // Such as the SDK sends along with every run, whichever node they are for.
            run(json!({ "WITH_IT": "canary-of-elsewhere-1" }), json!({ "sealed_for": foreign.node.url })),
            run(json!({ "WITH_IT": "canary" }), json!({ "user": SecretKey::generate().public().user_id() })),
        ]),
    );
    assert_eq!(found[0], json!({ "WITH_IT": digest("canary-with-the-run-1") }));
    assert_eq!(found[1..3], [json!({ "WITH_IT": null }), json!({ "WITH_IT": null })]);
    assert!(found[3].as_str().expect("text").contains("another user"), "{}", found[3]);
    assert!(scene.node.napt(&["secret", "list"]).expect(0).stdout.is_empty(), "nothing stays");

    // One whose turn comes after a restart has them still, and what it calls has too.
    let sealed = scene.key().keys[0].seal(b"canary-with-the-run-2").expect("sealed");
    let user = scene.node.operator();
    let input = json!({
        "orchestrator_run_input": {
            "consumer_id": user, "inputs": { "names": ["WITH_IT"] }, "signature": key.sign_consumer(&user),
            "deployment": { "node": { "ip": "localhost" }, "module": { "name": "caller" } },
        },
        "secrets": [{ "user_id": user, "secret_value": sealed, "key_name": "WITH_IT" }],
    });
    let started = scene.ask("POST", "/orchestrator/run", &input, &key).json();
    scene.node.kill();
    scene.node.restart();
    let run = scene.node.user().ended(started["id"].as_str().expect("an id"));
    let told = run.result.as_deref().map(told);
    // Had it begun already, it ended with the node.
    assert!(
        told == Some(json!({ "WITH_IT": digest("canary-with-the-run-2") }))
            || run.error.as_deref() == Some("node restarted"),
        "{run:?}"
    );
    scene.has_nowhere(&["canary-with-the-run", "canary-of-elsewhere"]);
}

// Naptha's defects: D1, D2
#[test]
fn another_node_gives_a_call_only_what_the_user_has_allowed_the_calling_one() {
    let (first, second) = TestNode::pair();
    first.sandbox.write("napt.toml", "[workspace]\nmembers = [\"m/*\"]\n");
    let caller = r#"
from naptha_sdk.modules.agent import Agent
from naptha_sdk.schemas import AgentRunInput, OrchestratorRunInput


async def run(module_run):
    me = OrchestratorRunInput(**module_run)
    call = AgentRunInput(
        consumer_id=me.consumer_id, inputs=me.inputs, deployment=me.deployment.agent_deployments[0], signature="x"
    )
    return (await Agent().run(call)).results[0]
"#;
    let more = "[dependencies]\n\"agent:teller\" = { path = \"../teller\", version = \"0.1\" }\n";
    write_python(&first.sandbox, "m/far", "orchestrator:far", caller, more);
    crate::support::modules::with_sdk(&first.sandbox, "m/far", "far");
    write_python(&first.sandbox, "m/teller", "agent:teller", TELLER, "");
    let deployment =
        json!([{ "module": { "name": "far" }, "name": "far", "agent_deployments": [{ "name": "teller" }] }]);
    first.sandbox.write("m/far/far/configs/deployment.json", deployment.to_string());
    let teller = json!([{ "node": { "name": second.url }, "module": { "name": "teller" }, "name": "teller" }]);
    first.sandbox.write("m/far/far/configs/agent_deployments.json", teller.to_string());
    first.napt(&["deploy", "-m", "orchestrator:far", "--no-verify"]).expect(0);
    first
        .sandbox
        .write("values.env", "HERE=canary-of-here-0001\nTHERE=canary-of-there-001\nALLOWED=canary-allowed-0001\n");
    let set = |names: &[&str], more: &[&str]| {
        first.napt(&[&["secret", "set", "--from-env-file", "values.env"], names, more].concat()).expect(0);
    };
    set(&["HERE"], &[]);
    set(&["THERE"], &["--node", &second.url]);
    set(&["ALLOWED"], &["--node", &second.url, "--allow-node", &first.url]);
    let run = first.user().run("orchestrator:far", json!({ "names": ["HERE", "THERE", "ALLOWED"] }));
    let expected = json!({ "HERE": null, "THERE": null, "ALLOWED": digest("canary-allowed-0001") });
    assert_eq!(told(&run.result.unwrap_or_else(|| panic!("{:?}", run.error))), expected);
    assert!(!second.log().contains("canary-"));
}

#[test]
fn a_deploy_warns_of_variables_that_no_secret_sets() {
    let node = TestNode::start(&[]);
    Python::new("agent:searcher", "def run(module_run):\n    return 'x'\n").write(&node.sandbox);
    let config = json!({ "system_prompt": { "search_key": "${SEARCH_KEY}" } });
    let deployment = json!([{ "module": { "name": "searcher" }, "name": "searcher", "config": config }]);
    node.sandbox.write("searcher/searcher/configs/deployment.json", deployment.to_string());
    let deploy = || node.napt(&["deploy", "searcher"]).expect(0).stderr;
    let told = deploy();
    assert!(told.contains("warning[missing-variable]: `SEARCH_KEY` is not set"), "{told}");
    assert!(told.contains("`napt secret set`"), "{told}");
    node.sandbox.write("values.env", "SEARCH_KEY=canary-of-search-0001\n");
    node.napt(&["secret", "set", "SEARCH_KEY", "--from-env-file", "values.env"]).expect(0);
    let told = deploy();
    assert!(!told.contains("missing-variable"), "{told}");
}
