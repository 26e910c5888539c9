//! Before a revision goes live, each of its modules is really imported.

use serde_json::json;

use crate::support::{
    modules::{ANY_INPUTS, CALL, Python},
    node::TestNode,
};

const GOOD: &str = "def run(module_run):\n    return 'good'\n";

/// Deploys what does not import over what does; gives stderr.
#[track_caller]
fn refused(node: &TestNode, broken: &Python<'_>) -> String {
    let good = Python { more: broken.more, ..Python::new(broken.id, GOOD) };
    node.deploy(&good);
    let user = node.user();
    let before = node.napt(&["status", "--message-format", "json"]).expect(0).json()["data"]["deployments"].clone();
    broken.write(&node.sandbox);
    let (_, name) = broken.id.split_once(':').expect("type:name");
    let ran = node.napt(&["deploy", name, "--no-verify"]).expect(1);
    let after = node.napt(&["status", "--message-format", "json"]).expect(0).json()["data"]["deployments"].clone();
    assert_eq!(before, after, "the old revision stays live");
    assert_eq!(user.run(broken.id, json!({})).result.as_deref(), Some("good"), "and answers");
    ran.stderr
}

#[test]
fn a_missing_import_keeps_the_old_revision_and_says_what_to_add() {
    let node = TestNode::start(&[]);
    let code = "import os\n\nimport no_such_package.part\n\n\ndef run(module_run):\n    return 'new'\n";
    let shown = refused(&node, &Python::new("agent:voice", code));
    assert!(
        shown
            .contains("`agent:voice 0.1.0` cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"),
        "{shown}"
    );
    assert!(shown.contains("File \"voice/run.py\", line 3, in <module>"), "{shown}");
    assert!(shown.contains("import no_such_package.part"), "{shown}");
    assert!(shown.contains("add what provides `no_such_package` to `dependencies` in `pyproject.toml`"), "{shown}");
    assert!(!shown.contains("runner") && !shown.contains("<frozen") && !shown.contains("<string>"), "{shown}");
    assert!(!shown.contains(&*node.data().to_string_lossy()), "no paths of the node: {shown}");

    let shown = refused(&node, &Python::new("agent:inner", "from inner import elsewhere\nfrom inner.no import it\n"));
    assert!(shown.contains("cannot import name 'elsewhere'"), "{shown}");
    let shown = refused(&node, &Python::new("agent:own", "from own.no import it\n"));
    assert!(shown.contains("the package `own` has no module `own.no`"), "{shown}");
}

#[test]
fn whatever_keeps_a_module_from_running_keeps_it_from_going_live() {
    let node = TestNode::start(&[]);
    let more = "[limits]\ntimeout = \"3s\"\nmemory = \"128MiB\"\n";
    let no_schema = Python { schemas: "", more, ..Python::new("agent:voice", GOOD) };
    let broken_schema = Python { schemas: "1 / 0\n", more, ..Python::new("agent:voice", GOOD) };
    for (module, expected) in [
        (no_schema, "`voice.schemas` has no class `InputSchema`"),
        (broken_schema, "ZeroDivisionError"),
        (Python { more, ..Python::new("agent:voice", "") }, "`voice.run` has no function `run`"),
        (Python { more, ..Python::new("agent:voice", "run = 3\n") }, "`voice.run` has no function `run`"),
        (Python { more, ..Python::new("agent:voice", "def run(:\n") }, "File \"voice/run.py\", line 1"),
        (Python { more, ..Python::new("agent:voice", "import sys\nsys.exit(3)\n") }, "sys.exit(3)"),
        (Python { more, ..Python::new("agent:voice", "import os\nos._exit(3)\n") }, "exited with code 3"),
        (Python { more, ..Python::new("agent:voice", "x = 'x' * (1 << 30)\n") }, "memory limit of 128"),
        (Python { more, ..Python::new("agent:voice", "while True:\n    pass\n") }, "time limit of 3 s reached"),
    ] {
        let shown = refused(&node, &module);
        assert!(shown.contains("`agent:voice 0.1.0` cannot be imported: ") && shown.contains(expected), "{shown}");
    }
    assert_eq!(node.scratch().len(), 0, "nothing is left");
}

// Naptha's defects: C14
#[test]
fn an_import_sees_what_a_run_sees_and_shows_no_secret() {
    let node = TestNode::start(&[]);
    // Reads the node's variables while it is imported.
    let calling = format!("{CALL}\ndef run(module_run):\n    return 'good'\n");
    node.deploy(&Python::new("agent:calling", &calling));
    let code = "import os\nraise RuntimeError(os.environ['NAPT_RUN_TOKEN'] + ' napt_' + '0a' * 24)\n";
    let shown = refused(&node, &Python::new("agent:voice", code));
    assert!(shown.contains("RuntimeError: ") && shown.contains(".local:…") && shown.contains("napt_…"), "{shown}");
    // What failed is not called, and its causes are shown.
    let chained =
        "try:\n    import no_such_package\nexcept ImportError as error:\n    raise RuntimeError('first') from error\n";
    let shown = refused(&node, &Python { schemas: ANY_INPUTS, ..Python::new("agent:voice", chained) });
    assert!(shown.contains("which led to:") && shown.contains("RuntimeError: first"), "{shown}");
    let failure = node.napt(&["deploy", "voice", "--no-verify", "--message-format", "json"]).expect(1).json();
    assert_eq!(failure["error"]["kind"], "failed");
}

#[test]
fn a_module_on_a_peer_is_imported_there() {
    let (first, second) = TestNode::pair();
    let port = second.url.rsplit_once(':').expect("a port").1;
    let deployment = format!(
        "[{{\"name\": \"choir\", \"module\": {{\"name\": \"choir\"}}, \"agent_deployments\": [{{\"name\": \"voice\", \
         \"module\": {{\"name\": \"voice\"}}, \"node\": {{\"ip\": \"127.0.0.1\", \"user_communication_port\": {port}}}}}]}}]"
    );
    let more = "[dependencies]\n\"agent:voice\" = { path = \"../voice\" }\n";
    let choir = Python { more, ..Python::new("orchestrator:choir", GOOD) };
    choir.write(&first.sandbox);
    first.sandbox.write("choir/choir/configs/deployment.json", deployment);
    Python::new("agent:voice", GOOD).write(&first.sandbox);
    let ran = first.napt(&["deploy", "choir", "--no-verify"]).expect(0);
    assert!(ran.stderr.contains(&format!("agent:voice 0.1.0 on {}", second.url)), "{}", ran.stderr);
    Python::new("agent:voice", "import no_such_package\n").write(&first.sandbox);
    let ran = first.napt(&["deploy", "choir", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("`agent:voice 0.1.0` cannot be imported: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("add what provides `no_such_package`"), "{}", ran.stderr);
}
