//! `napt exec`: a user's program against a node and a registry.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::Stdio,
};

use serde_json::json;

use crate::support::{Ran, Sandbox, modules::Python, node::TestNode, python};

/// Says what it finds in its environment; the credential backwards, since nothing may show it.
const LOOK: &str = "\
import json, os, sys
names = ['NODE_URL', 'HUB_URL', 'PRIVATE_KEY', 'PYTHONPATH', 'MINE']
print(json.dumps({'env': {name: (os.environ.get(name) or '')[::-1] for name in names}, 'args': sys.argv[1:], 'path': sys.path}))
sys.exit(int(sys.argv[1]))
";

const ECHO: &str = "def run(module_run):\n    return module_run['inputs']\n";

/// A node with a venv that has the SDK, where programs are called.
fn scene() -> TestNode {
    TestNode::start(&[])
}

fn sdk() -> &'static str {
    python::with_sdk().to_str().expect("UTF-8")
}

/// What a token of `napt exec` may still do.
fn is_alive(token: &str, node: &TestNode) -> bool {
    let sandbox = Sandbox::new();
    let mut url: url::Url = node.url.parse().expect("a URL");
    url.set_username(token).expect("a host");
    let ran = sandbox.napt(&["runs", "--node", url.as_str()]);
    assert!(matches!(ran.code, Some(0 | 5)), "{ran:?}");
    ran.code == Some(0)
}

#[test]
fn a_program_gets_its_node_hub_and_key_and_gives_its_exit_code() {
    let mut node = scene();
    node.sandbox.set("MINE", "kept");
    node.sandbox.set("NAPT_REGISTRY", "https://registry.example");
    let script = node.sandbox.write("look.py", LOOK);
    let script = script.to_str().expect("UTF-8");
    for code in [0, 7] {
        let ran = node.napt(&["exec", "--", sdk(), script, &code.to_string(), "--node", "x"]).expect(code);
        assert_eq!(ran.stderr, "");
        let said = ran.json();
        let variable = |name: &str| said["env"][name].as_str().expect("text").chars().rev().collect::<String>();
        assert_eq!(said["args"], json!([code.to_string(), "--node", "x"]));
        assert_eq!((variable("MINE").as_str(), variable("HUB_URL").as_str()), ("kept", "wss://registry.example/rpc"));
        assert!(variable("NODE_URL").ends_with(node.address()), "{said}");
        let url: url::Url = variable("NODE_URL").parse().expect("a URL");
        assert!(url.username().starts_with("napt_") && !is_alive(url.username(), &node), "it ends with the program");
        let key = std::fs::read_to_string(variable("PRIVATE_KEY")).expect("a key");
        assert_eq!(key.trim(), node.key().to_hex());
    }
    // Programs that read napt's result get it alone; what the program prints is beside it.
    let ran = node.napt(&["exec", "--message-format", "json", "--", sdk(), script, "7"]).expect(7);
    assert_eq!((&ran.json()["ok"], &ran.json()["data"]["code"]), (&json!(false), &json!(7)), "{}", ran.stdout);
    assert!(ran.stderr.contains("HUB_URL"));
    let ran = node.napt(&["exec", "--", "no-such-program"]).expect(2);
    assert!(ran.stderr.contains("cannot start `no-such-program`"), "{}", ran.stderr);
}

#[test]
fn a_token_that_was_given_is_not_ended_and_none_is_shown() {
    let node = scene();
    let token = node.token(600);
    let script = node.sandbox.write("look.py", "import os; print(os.environ['NODE_URL'].count('@'))");
    let url = format!("http://{token}@{}", node.address());
    let ran = node.napt(&["exec", "--node", &url, sdk(), script.to_str().expect("UTF-8")]).expect(0);
    assert_eq!(ran.stdout, "1\n");
    assert!(is_alive(&token, &node));
}

#[test]
fn signals_reach_the_program() {
    let node = scene();
    // Ctrl-C is for it to handle; napt waits for what it makes of that.
    let script = node.sandbox.write(
        "wait.py",
        "import signal, sys, time\n\
         signal.signal(signal.SIGINT, lambda *_: sys.exit(5))\n\
         print('ready', flush=True)\n\
         time.sleep(600)\n",
    );
    let script = script.to_str().expect("UTF-8");
    for (signal, whole_group, code) in [("INT", true, 5), ("TERM", false, 128 + 15)] {
        let mut command = node.sandbox.command(&["exec", "--", sdk(), script]);
        let mut napt = command.stdout(Stdio::piped()).process_group(0).spawn().expect("napt starts");
        let mut line = String::new();
        BufReader::new(napt.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let id = if whole_group { format!("-{}", napt.id()) } else { napt.id().to_string() };
        let sent = std::process::Command::new("kill").args([&format!("-{signal}"), "--", &id]).status();
        assert!(sent.expect("kill").success());
        assert_eq!(napt.wait().expect("it ends").code(), Some(code), "{signal}");
    }
}

#[test]
fn the_shims_go_before_other_paths_and_hide_nothing() {
    let mut node = scene();
    node.sandbox.write("mine/sitecustomize.py", "import builtins; builtins.MINE = 'loaded'\n");
    let mine = node.sandbox.work().join("mine");
    node.sandbox.set("PYTHONPATH", mine.to_str().expect("UTF-8"));
    node.sandbox.write(".env", "NODE_URL=http://elsewhere.example\nPRIVATE_KEY=\nOTHER=read\n");
    let script = node.sandbox.write(
        "look.py",
        "import os, sys, sitecustomize\n\
         from dotenv import load_dotenv\n\
         load_dotenv('.env', override=True)\n\
         assert 'elsewhere' not in os.environ['NODE_URL'], os.environ['NODE_URL']\n\
         assert os.environ['PRIVATE_KEY'] and os.environ['OTHER'] == 'read'\n\
         assert 'naptha_sdk' not in sys.modules\n\
         print(MINE, sitecustomize.__file__)\n",
    );
    let ran = node.napt(&["exec", sdk(), script.to_str().expect("UTF-8")]).expect(0);
    assert_eq!(ran.stdout, format!("loaded {}\n", mine.join("sitecustomize.py").display()));
}

/// Runs a script with the SDK by `napt exec`.
fn sdk_script(node: &TestNode, path: &str, text: &str) -> Ran {
    let script = node.sandbox.write(path, text);
    node.napt(&["exec", "--", sdk(), script.to_str().expect("UTF-8")])
}

// Naptha's defects: D10
#[test]
fn the_sdk_reaches_its_node_without_showing_the_credential() {
    let node = scene();
    node.deploy(&Python::new("agent:worker", ECHO));
    let ran = sdk_script(
        &node,
        "clients.py",
        "import asyncio, os\n\
         from naptha_sdk.client.naptha import Naptha\n\
         from naptha_sdk.client.node import NodeClient, UserClient\n\
         from naptha_sdk.modules.agent import Agent\n\
         from naptha_sdk.schemas import AgentDeployment, AgentRunInput, NodeConfigUser\n\
         from naptha_sdk.user import sign_consumer_id\n\
         async def main():\n\
         \x20   naptha = Naptha()\n\
         \x20   me = naptha.user.id\n\
         \x20   for node in [naptha.node.node, {'name': 'localhost'}, NodeConfigUser(ip='localhost')]:\n\
         \x20       user = {'public_key': me.removeprefix('user:')}\n\
         \x20       print(await UserClient(node).check_user(user), await NodeClient(node).check_user(user))\n\
         \x20       given = AgentDeployment(node=node, module={'name': 'worker'})\n\
         \x20       await Agent().create(given)\n\
         \x20       call = AgentRunInput(consumer_id=me, inputs={'big': 'x' * 2000000}, deployment=given,\n\
         \x20           signature=sign_consumer_id(me, os.environ['PRIVATE_KEY']))\n\
         \x20       run = await Agent().call_agent_func(call)\n\
         \x20       print('RUN', run.status, len(run.results[0]))\n\
         \x20       run = await UserClient(node).run_agent(call)\n\
         \x20   models = await naptha.inference_client.list_models()\n\
         \x20   print('MODELS', [model['id'] for model in models['data']])\n\
         asyncio.run(main())\n",
    )
    .expect(0);
    assert_eq!(ran.stdout.matches("RUN completed 2000011").count(), 3, "{:.2000}", ran.stdout);
    assert!(ran.stdout.contains("MODELS ['napt/echo'"), "{:.2000}", ran.stdout);
    assert!(
        !ran.stdout.contains("napt_") && !ran.stderr.contains("napt_"),
        "the SDK shows where it calls: {:.2000}",
        ran.stderr
    );
}
