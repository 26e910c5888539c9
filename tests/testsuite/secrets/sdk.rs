//! Secrets by Naptha's own SDK and command.

use super::*;

impl Scene {
    /// Does steps with the real SDK, as a user with a key.
    pub(super) fn sdk(&self, url: &str, key: &SecretKey, steps: &Value) -> Vec<Value> {
        let script = self.node.sandbox.home().join("script.py");
        std::fs::write(&script, SDK).expect("a file");
        let mut command = Command::new(python::with_sdk());
        command.arg(script).args([url, &key.to_hex(), &steps.to_string()]).current_dir(self.node.sandbox.work());
        let output = expect_success(&mut command);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
    }

    /// The node's URL with a token of its operator's.
    pub(super) fn with_token(&self) -> String {
        self.node.url.replacen("http://", &format!("http://{}@", self.node.token(60)), 1)
    }
}

/// What `naptha deploy-secrets` does once it is signed in, and a run with rows beside it.
const SDK: &str = r#"
import asyncio, json, sys

import httpx
from naptha_sdk.client.node import UserClient
from naptha_sdk.schemas import AgentDeployment, AgentRunInput
from naptha_sdk.secrets import create_secret, verify_and_reconstruct_rsa_key
from naptha_sdk.user import get_public_key, sign_consumer_id
from naptha_sdk.utils import url_to_node

url, key, steps = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
user = "user:" + get_public_key(key)
node = url_to_node(url)
found = []


def rsa(base=url):
    return verify_and_reconstruct_rsa_key(httpx.get(base + "/.well-known/jwks.json").json())


async def main():
    client = UserClient(node)
    if not (await client.check_user({"public_key": get_public_key(key)}))["is_registered"]:
        await client.register_user({"public_key": get_public_key(key)})
    for step in steps:
        rows = create_secret(step.get("values", {}), step.get("user", user), rsa(step.get("sealed_for", url)))
        try:
            if step["do"] == "deploy":
                signature = step.get("signature") or sign_consumer_id(user, key)
                found.append(await client._send_request(
                    "POST", url + "/user/secret/create", {"existing_secrets": [], "secrets": rows + step.get("more", [])},
                    {"signature": signature, "is_update": step.get("override", False)},
                ))
            else:
                deployment = AgentDeployment(node=node, module={"id": "agent:teller", "name": "teller", "module_type": "agent"})
                run = await client.run_agent_and_poll(AgentRunInput(
                    consumer_id=user, inputs={"names": step["names"]}, deployment=deployment,
                    signature=sign_consumer_id(user, key),
                ), rows)
                found.append(json.loads(run.results[0]) if run.results else run.error_message)
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")


asyncio.run(main())
print("\n" + json.dumps(found))
"#;

// Naptha's defects: D3, D4, D5, D6
#[test]
fn the_real_sdk_deploys_secrets_for_its_user_and_nobody_else() {
    let scene = Scene::new(&["--open"]);
    let (key, other) = (SecretKey::generate(), SecretKey::generate());
    let other_user = other.public().user_id();
    let other_row = json!({ "user_id": format!("<record>{other_user}"), "secret_value": "AAAA", "key_name": "X" });
    let deploy = |values: Value, more: Value| {
        let mut step = json!({ "do": "deploy", "values": values });
        step.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        step
    };
    let foreign = Scene::new(&[]);
    let found = scene.sdk(&scene.node.url, &key, &json!([
        deploy(json!({ "SEARCH_KEY": "canary-of-the-sdk-01" }), json!({})),
        deploy(json!({ "SEARCH_KEY": "canary-of-the-sdk-02" }), json!({})),
        { "do": "run", "names": ["SEARCH_KEY"] },
        deploy(json!({ "SEARCH_KEY": "canary-of-the-sdk-03", "MORE": "canary-of-the-sdk-04" }), json!({ "override": true })),
        { "do": "run", "names": ["SEARCH_KEY", "MORE"] },
        deploy(json!({}), json!({})),
        deploy(json!({ "STOLEN": "canary" }), json!({ "user": other_user })),
        deploy(json!({ "STOLEN": "canary" }), json!({ "more": [other_row] })),
        deploy(json!({ "STOLEN": "canary" }), json!({ "signature": other.sign_consumer(&other_user) })),
        deploy(json!({ "STOLEN": "canary" }), json!({ "signature": "garbage" })),
        deploy(json!({ "STOLEN": "canary" }), json!({ "sealed_for": foreign.node.url })),
        deploy(json!({ "PATH": "canary" }), json!({})),
        { "do": "run", "names": ["STOLEN"] },
    ]));
    let expected = [
        json!("Records updated successfully"),
        json!("Records already exist"),
        json!({ "SEARCH_KEY": digest("canary-of-the-sdk-01") }),
        json!("Records updated successfully"),
        json!({ "SEARCH_KEY": digest("canary-of-the-sdk-03"), "MORE": digest("canary-of-the-sdk-04") }),
    ];
    assert_eq!(found[..5], expected);
    for (step, status) in
        [(5, "400 Bad Request"), (6, "401"), (7, "403"), (8, "401"), (9, "401"), (10, "422"), (11, "422")]
    {
        assert!(found[step].as_str().expect("text").contains(status), "{step}: {}", found[step]);
    }
    assert_eq!(found[12], json!({ "STOLEN": null }));
    scene.has_nowhere(&["canary-of-the-sdk"]);
}

/// The SDK's own command, in a folder that may have a `.env`, and what is typed when it asks.
fn naptha(registry: &TestRegistry, node: &TestNode, key: &SecretKey, arguments: &[&str], typed: &str) -> String {
    let hub = registry.url.join("rpc").expect("a URL").to_string().replacen("http", "ws", 1);
    let mut command = Command::new(python::with_sdk().with_file_name("naptha"));
    command.args(arguments).current_dir(node.sandbox.work()).env_clear().env("HOME", node.sandbox.home());
    command.env("HUB_URL", hub).env("HUB_USERNAME", "ada").env("HUB_PASSWORD", "pass word 1!");
    command.env("PRIVATE_KEY", key.to_hex()).env("NODE_URL", &node.url);
    let file = node.sandbox.home().join("typed");
    std::fs::write(&file, typed).expect("a file");
    command.stdin(std::fs::File::open(&file).expect("it was written"));
    std::fs::remove_file(file).expect("it is open");
    let output = expect_success(&mut command);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

// Naptha's defects: D6
#[test]
fn the_real_command_deploys_secrets_and_runs_with_them() {
    let registry = TestRegistry::start();
    let scene = Scene::new(&["--open"]);
    let key = SecretKey::generate();
    let typing = |arguments: &[&str], typed: &str| naptha(&registry, &scene.node, &key, arguments, typed);
    let naptha = |arguments: &[&str]| typing(arguments, "");
    assert!(naptha(&["signup"]).contains("Sign up successful"));
    let run = ["run", "agent:teller", "-p", r#"{"names": ["CLI_KEY"]}"#];
    for (value, flags, told, given) in [
        ("canary-by-command-1", &["-e"][..], "Records updated successfully", "canary-by-command-1"),
        ("canary-by-command-2", &["-e"], "Records already exist", "canary-by-command-1"),
        ("canary-by-command-3", &["-e", "-o"], "Records updated successfully", "canary-by-command-3"),
    ] {
        scene.node.sandbox.write(".env", format!("CLI_KEY={value}\nHUB_PASSWORD=not sent\n"));
        let said = naptha(&[&["deploy-secrets"], flags].concat());
        assert!(said.contains(told), "{said}");
        let said = naptha(&run);
        assert!(said.contains(&digest(given)) && !said.contains(given), "{said}");
    }
    std::fs::remove_file(scene.node.sandbox.work().join(".env")).expect("a file");
    // Without `-e` it asks for one.
    let said = typing(&["deploy-secrets"], "TYPED_KEY\ncanary-by-command-4\n");
    assert!(said.contains("Enter the value for TYPED_KEY") && said.contains("Records updated successfully"), "{said}");
    let said = naptha(&["run", "agent:teller", "-p", r#"{"names": ["TYPED_KEY"]}"#]);
    assert!(said.contains(&digest("canary-by-command-4")), "{said}");
    scene.has_nowhere(&["canary-by-command", "not sent"]);
}
