//! `napt create` and `napt run` with Naptha's lists of modules and nodes, and the search of each type by name.

use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    modules::{Python, write},
    node::TestNode,
    registry::TestRegistry,
};

/// Says what it has been given.
const LOOK: &str = "\
def run(module_run):
    deployment = module_run['deployment']
    def look(sub):
        persona = ((sub.get('config') or {}).get('system_prompt') or {}).get('persona')
        return [sub['module']['name'], sub['node']['ip'].split('.')[1].split(':')[0], persona]
    return {
        'agents': [look(sub) for sub in deployment['agent_deployments']],
        'kbs': [look(sub) for sub in deployment['kb_deployments']],
        'rounds': (deployment.get('config') or {}).get('max_rounds'),
    }
";

const ECHO: &str = "def run(module_run):\n    return 'hm'\n";

/// A registry with an orchestrator that has one agent, two more agents, a knowledge base and a persona.
fn published(sandbox: &Sandbox) {
    sandbox.napt(&["login"]).expect(0);
    let needs = Python { more: "[dependencies]\n\"agent:first\" = \"*\"\n", ..Python::new("orchestrator:chat", LOOK) };
    let modules =
        [Python::new("agent:first", ECHO), Python::new("agent:second", ECHO), Python::new("kb:notes", ECHO), needs];
    for module in modules {
        module.write(sandbox);
    }
    let configs = "chat/chat/configs";
    let deployment = json!([{ "name": "chat", "module": { "name": "chat" }, "config": { "max_rounds": 5 },
        "agent_deployments": [{ "name": "one" }] }]);
    sandbox.write(format!("{configs}/deployment.json"), deployment.to_string());
    let agents = json!([{ "name": "one", "module": { "name": "first" } }]);
    sandbox.write(format!("{configs}/agent_deployments.json"), agents.to_string());
    write(sandbox, "ada", "persona:ada", "0.1.0", "");
    sandbox.write("ada/data.json", "{\"name\": \"Ada\"}");
    for folder in ["first", "second", "notes", "ada", "chat"] {
        sandbox.napt(&["publish", "--no-verify", "-C", folder]).expect(0);
    }
}

fn scene() -> (TestRegistry, TestNode, TestNode) {
    let registry = TestRegistry::start();
    let (mut first, second) = TestNode::pair_with(&["--registry", registry.url.as_str()]);
    first.sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    published(&first.sandbox);
    (registry, first, second)
}

fn result(node: &TestNode, arguments: &[&str]) -> Value {
    let all = [&["run", "orchestrator:chat"], arguments, &["--message-format", "json"]].concat();
    let ran = node.napt(&all).expect(0).json();
    serde_json::from_str(ran["data"]["run"]["result"].as_str().expect("a result")).expect("JSON")
}

// Naptha's defects: F1
#[test]
fn modules_and_nodes_are_lists_as_in_naptha() {
    let (_registry, node, second) = scene();
    let there = &second.node_key().public().to_string()[..16];
    let ada = json!({ "name": "Ada" });

    // Nothing named: as in the module's own files.
    let made = node.napt(&["create", "orchestrator:chat"]).expect(0);
    assert!(made.stdout.contains("Deployed orchestrator:chat 0.1.0 as `chat`, revision 1"), "{}", made.stdout);
    assert_eq!(result(&node, &[]), json!({ "agents": [["first", "local", null]], "kbs": [], "rounds": 5 }));
    let again = node.napt(&["create", "orchestrator:chat"]).expect(0);
    assert!(again.stdout.contains("is live already"), "{}", again.stdout);

    // Naptha's spellings and napt's; the last node is for all that follow.
    let nodes = format!("localhost, {}", second.url);
    node.napt(&[
        "create",
        "orchestrator:chat",
        "--agent_modules",
        "agent:second, first,agent:second",
        "--agent_nodes",
        &nodes,
        "--kb_modules",
        "kb:notes",
        "--kb-nodes",
        &second.url,
        "--persona_modules",
        "ada",
        "--config",
        "max_rounds=2",
    ])
    .expect(0);
    let expected = json!({
        "agents": [["second", "local", ada], ["first", there, null], ["second", there, null]],
        "kbs": [["notes", there, null]], "rounds": 2,
    });
    assert_eq!(result(&node, &[]), expected);

    // A run has as many agents as it has nodes, and its own settings.
    let run = result(&node, &["--agent_nodes", "localhost", "-c", "{\"max_rounds\": 9}"]);
    assert_eq!((&run["agents"], &run["rounds"]), (&json!([["second", "local", ada]]), &json!(9)));
    let run = result(&node, &["-n", &format!("localhost,{}", second.url), "--kb_nodes", "localhost"]);
    assert_eq!(run["agents"], json!([["second", "local", ada], ["first", there, null]]));
    assert_eq!(run["kbs"], json!([["notes", "local", null]]));
}

// Naptha's defects: C13
#[test]
fn an_agent_has_one_persona_and_a_bare_name_is_an_agent() {
    let registry = TestRegistry::start();
    let mut node = TestNode::start(&["--registry", registry.url.as_str()]);
    node.sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    published(&node.sandbox);
    let made = node.napt(&["create", "second", "--persona_modules", "persona:ada", "--name", "clever"]).expect(0);
    assert!(made.stdout.contains("agent:second 0.1.0 as `clever`"), "{}", made.stdout);
    node.napt(&["run", "second"]).expect(0);
}

#[test]
fn lists_that_do_not_fit_are_told() {
    let registry = TestRegistry::start();
    let mut node = TestNode::start(&[]);
    node.sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    for (arguments, code, said) in [
        (&["--agent_modules", "a,b", "--agent_nodes", "x,y,z"][..], 2, "`--agent-nodes` has 3 nodes for 2 modules"),
        (&["--agent_modules", "kb:a"], 2, "it is not of the type `agent`"),
        (&["--agent_modules", "a,,b"], 2, "invalid value ''"),
        (&["--kb_nodes", "x,"], 2, "an element of the list is empty"),
        (&["--agent_modules", "a", "--persona_modules", "p,q"], 2, "`--persona-modules` has 2 personas for 1 module"),
        (&["--config", "max_rounds=many"], 2, "the value of `--config` is not as expected"),
        (&["--config", "max_rounds"], 2, "`max_rounds` is not `key=value`"),
        (&["--agent_module", "a"], 2, "--agent-modules"),
        (&["--agent_modules", "nobody"], 1, "orchestrator:chat"),
    ] {
        let ran = node.napt(&[&["create", "orchestrator:chat"], arguments].concat()).expect(code);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
    let ran = node.napt(&["create", "agent:a", "--persona_modules", "p,q"]).expect(2);
    assert!(ran.stderr.contains("2 personas for 1 module"), "{}", ran.stderr);
    let ran = node.napt(&["run", "orchestrator:chat", "-c", "max_round=1"]).expect(1);
    assert!(ran.stderr.contains("`max_round` in `--config` is no key of a deployment"), "{}", ran.stderr);
}

#[test]
fn each_type_has_a_search_of_its_own() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    published(&sandbox);
    for (command, found) in [
        ("agents", &["agent:first", "agent:second"][..]),
        ("kbs", &["kb:notes"]),
        ("orchestrators", &["orchestrator:chat"]),
        ("personas", &["persona:ada"]),
        ("tools", &[]),
        ("memories", &[]),
        ("environments", &[]),
    ] {
        let listed = sandbox.napt(&[command]).expect(0);
        let names: Vec<&str> = listed.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, found, "{command}");
    }
    assert_eq!(sandbox.napt(&["agents", "second"]).expect(0).stdout.lines().count(), 1);
}
