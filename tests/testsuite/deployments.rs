//! Deployments: revisions, rollback, removal, drain, dry runs, and what a restart finds.

use std::{collections::BTreeSet, path::Path};

use napt::wire::{RunStatus, RunView};
use serde_json::{Value, json};

use crate::support::{
    Ran, Sandbox,
    gate::{Gate, IS_OPEN},
    modules::{self, CALL, Python},
    node::{TestNode, User, cache},
    processes::{soon, working_in},
    registry::TestRegistry,
};

fn answering(answer: &str) -> String {
    format!("def run(module_run):\n    return '{answer}'\n")
}

/// Writes a module that answers with a word, and deploys it.
#[track_caller]
fn deploy(node: &TestNode, id: &str, answer: &str) -> Ran {
    node.deploy(&Python::new(id, &answering(answer)))
}

#[track_caller]
fn answer(user: &User, id: &str) -> String {
    let run = user.run(id, json!({}));
    run.result.unwrap_or_else(|| panic!("{:?}", run.error))
}

/// The revisions of a deployment, newest first.
#[track_caller]
fn history(node: &TestNode, name: &str) -> Vec<Value> {
    let status = node.napt(&["status", name, "--message-format", "json"]).expect(0).json();
    status["data"]["revisions"].as_array().expect("revisions").clone()
}

/// Their numbers, and which of them is live.
#[track_caller]
fn numbers(node: &TestNode, name: &str) -> Vec<(u64, bool)> {
    let of = |revision: &Value| (revision["revision"].as_u64().expect("a number"), revision["live"] == true);
    history(node, name).iter().map(of).collect()
}

#[test]
fn a_revision_can_be_deployed_again_and_all_are_remembered() {
    let node = TestNode::start(&[]);
    let user = node.user();
    let ran = deploy(&node, "agent:voice", "one");
    assert!(ran.stdout.contains("Deployed agent:voice 0.1.0 as `voice`, revision 1"), "{}", ran.stdout);
    let ran = deploy(&node, "agent:voice", "one");
    assert!(
        ran.stdout.contains("revision 1, is live already") && ran.stdout.contains("nothing has changed"),
        "{ran:?}"
    );
    assert!(!ran.stderr.contains("Uploading"), "what the node has is not sent: {}", ran.stderr);
    let ran = node.napt(&["rollback", "voice"]).expect(1);
    assert!(ran.stderr.contains("`voice` has no revision before the live one"), "{}", ran.stderr);
    deploy(&node, "agent:voice", "two");
    deploy(&node, "agent:voice", "three");
    assert_eq!(answer(&user, "agent:voice"), "three");

    let ran = node.napt(&["rollback", "voice"]).expect(0);
    assert!(ran.stdout.contains("revision 4") && ran.stdout.contains("rollback of 2"), "{}", ran.stdout);
    assert!(!ran.stderr.contains("Packaging") && !ran.stderr.contains("Uploading"), "{}", ran.stderr);
    assert_eq!(answer(&user, "agent:voice"), "two");
    let ran = node.napt(&["rollback", "voice", "2"]).expect(0);
    assert!(ran.stdout.contains("revision 4, is live already"), "its content is live: {}", ran.stdout);
    node.napt(&["rollback", "voice", "1"]).expect(0);
    assert_eq!(answer(&user, "agent:voice"), "one");

    assert_eq!(numbers(&node, "voice"), [(5, true), (4, false), (3, false), (2, false), (1, false)]);
    let shown = node.napt(&["status", "voice"]).expect(0).stdout;
    let first = shown.lines().next().expect("a line");
    assert!(first.contains("   5  live") && first.contains("agent:voice 0.1.0, rollback of 1"), "{shown}");
    let all = history(&node, "voice");
    assert_eq!(all[0]["modules"], all[4]["modules"], "the very same archives");
    assert!(shown.contains(&all[0]["modules"][0]["sha256"].as_str().expect("a digest")[..12]), "{shown}");
    assert_eq!(all[0]["owner"], node.operator());

    let ran = node.napt(&["rollback", "voice", "9"]).expect(1);
    assert!(ran.stderr.contains("`voice` has no revision 9") && ran.stderr.contains("5, 4, 3, 2, 1"), "{}", ran.stderr);
    let ran = node.napt(&["rollback", "voiec"]).expect(1);
    assert!(ran.stderr.contains("there is no deployment `voiec`") && ran.stderr.contains("did you mean `voice`?"));
    let ran = node.napt(&["status", "nothing"]).expect(1);
    assert!(ran.stderr.contains("its deployments are voice"), "{}", ran.stderr);
}

#[test]
fn a_rollback_fetches_what_is_gone_and_goes_live_only_when_it_is_ready() {
    let registry = TestRegistry::start();
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let mut node = TestNode::start_in(sandbox, &[]);
    node.napt(&["login"]).expect(0);
    let user = node.user();
    let gate = Gate::new();
    let code = format!("{IS_OPEN}\nif is_open({:?}):\n    import no_such_package\n{}", gate.name(), answering("old"));
    Python::new("agent:voice", &code).write(&node.sandbox);
    node.napt(&["publish", "-C", "voice", "--no-verify"]).expect(0);
    node.napt(&["deploy", "agent:voice"]).expect(0);
    deploy(&node, "agent:voice", "new");

    node.kill();
    for folder in ["archives", "modules"] {
        std::fs::remove_dir_all(node.data().join(folder)).expect("a folder");
    }
    node.restart();
    gate.open();
    let ran = node.napt(&["rollback", "voice"]).expect(1);
    assert!(ran.stderr.contains("Fetching") && ran.stderr.contains("cannot be imported"), "{}", ran.stderr);
    assert_eq!(numbers(&node, "voice"), [(2, true), (1, false)]);
    gate.close();
    node.napt(&["rollback", "voice", "--dry-run"]).expect(0);
    assert_eq!(numbers(&node, "voice"), [(2, true), (1, false)]);
    node.napt(&["rollback", "voice"]).expect(0);
    assert_eq!(answer(&user, "agent:voice"), "old");
}

#[test]
fn a_removed_deployment_takes_no_runs_and_can_come_back() {
    let node = TestNode::start(&[]);
    let user = node.user();
    deploy(&node, "agent:voice", "one");
    let ran = node.napt(&["undeploy", "voice"]).expect(0);
    assert!(ran.stdout.contains("Removed `voice`"), "{}", ran.stdout);
    assert_eq!(
        user.try_start("agent:voice", json!({})).expect_err("refused").to_string(),
        "`agent:voice` is not deployed on this node"
    );
    let status = node.napt(&["status", "--message-format", "json"]).expect(0).json();
    assert_eq!(status["data"]["deployments"], json!([]));
    soon("no process is left", || working_in(&node.data()).is_empty());
    let shown = node.napt(&["status", "voice"]).expect(0).stdout;
    assert!(shown.starts_with("   2  removed"), "{shown}");
    let ran = node.napt(&["undeploy", "voice"]).expect(1);
    assert!(ran.stderr.contains("there is no deployment `voice`"), "{}", ran.stderr);
    let ran = node.napt(&["rollback", "voice", "2"]).expect(1);
    assert!(ran.stderr.contains("no revision 2 to go back to"), "{}", ran.stderr);

    node.napt(&["rollback", "voice"]).expect(0);
    assert_eq!(answer(&user, "agent:voice"), "one");
    assert_eq!(numbers(&node, "voice"), [(3, true), (2, false), (1, false)]);
}

/// An orchestrator that calls its agent when the gate is opened, and answers with its own word and that of the agent.
fn choir(node: &TestNode, word: &str) {
    let more = "[dependencies]\n\"agent:voice\" = { path = \"../voice\" }\n";
    let code = format!(
        "{CALL}\nimport sys, time\n\ndef run(module_run):\n    print('waiting', flush=True)\n    \
         while not os.path.exists(os.path.join(sys.prefix, module_run['inputs']['gate'])):\n        time.sleep(0.02)\n    \
         return '{word} ' + call('agent:voice', {{}})['result']\n"
    );
    Python { more, ..Python::new("orchestrator:choir", &code) }.write(&node.sandbox);
    Python::new("agent:voice", &answering(word)).write(&node.sandbox);
    node.napt(&["deploy", "choir", "--no-verify"]).expect(0);
}

#[test]
fn a_run_ends_with_the_revision_that_it_began_with() {
    let node = TestNode::start(&[]);
    let user = node.user();
    choir(&node, "old");
    let gate = Gate::new();
    let inputs = json!({ "gate": gate.name() });
    let run = user.start("orchestrator:choir", inputs.clone());
    user.line(&run.id, "waiting");
    choir(&node, "new");

    let status = node.napt(&["status"]).expect(0).stdout;
    assert!(status.contains("revision 2") && status.contains("draining: 1 run"), "{status}");
    let shown = node.napt(&["status", "choir"]).expect(0).stdout;
    assert!(shown.contains("   2  live") && shown.contains("   1  draining: 1 run"), "{shown}");
    gate.open();
    let ended = user.ended(&run.id);
    assert_eq!(ended.result.as_deref(), Some("old old"), "its late child too: {:?}", ended.error);
    let ended = user.run("orchestrator:choir", inputs);
    assert_eq!(ended.result.as_deref(), Some("new new"), "{:?}", ended.error);
    assert!(!node.napt(&["status"]).expect(0).stdout.contains("draining"));
}

#[test]
fn a_run_on_two_nodes_ends_with_the_revision_that_it_began_with() {
    let (first, second) = TestNode::pair();
    let user = first.user();
    let deploy = |word: &str| {
        let name = format!("{}/", second.url);
        let more = "[dependencies]\n\"agent:voice\" = { path = \"../voice\" }\n";
        let code = format!(
            "from naptha_sdk.modules.agent import Agent\nfrom naptha_sdk.schemas import AgentRunInput, OrchestratorRunInput\n\
             import asyncio, os, sys\n\nasync def run(module_run):\n    print('waiting', flush=True)\n    \
             while not os.path.exists(os.path.join(sys.prefix, module_run['inputs']['gate'])):\n        await asyncio.sleep(0.02)\n    \
             module_run = OrchestratorRunInput(**module_run)\n    agent = Agent()\n    \
             deployment = module_run.deployment.agent_deployments[0]\n    await agent.create(deployment=deployment)\n    \
             run = await agent.run(AgentRunInput(consumer_id=module_run.consumer_id, inputs={{}}, deployment=deployment, signature=''))\n    \
             return '{word} ' + run.results[-1]\n"
        );
        let requirements = &["naptha-sdk==1.0.5"];
        Python { more, requirements, ..Python::new("orchestrator:choir", &code) }.write(&first.sandbox);
        let files = json!([{ "name": "choir", "module": { "name": "choir" }, "agent_deployments": [
            { "name": "voice", "module": { "name": "voice" }, "node": { "name": name } } ] }]);
        first.sandbox.write("choir/choir/configs/deployment.json", files.to_string());
        Python::new("agent:voice", &answering(word)).write(&first.sandbox);
        first.napt(&["deploy", "choir", "--no-verify"]).expect(0)
    };
    deploy("old");
    let gate = Gate::new();
    let run = user.start("orchestrator:choir", json!({ "gate": gate.name() }));
    user.line(&run.id, "waiting");
    deploy("new");
    gate.open();
    let ended = user.ended(&run.id);
    assert_eq!(ended.result.as_deref(), Some("old old"), "{:?}", ended.error);
    let ended = user.run("orchestrator:choir", json!({ "gate": gate.name() }));
    assert_eq!(ended.result.as_deref(), Some("new new"), "{:?}", ended.error);

    // Its part goes with it, and comes back with it.
    let parts = || {
        let json = second.napt(&["status", "--message-format", "json"]).expect(0).json();
        json["data"]["deployments"].as_array().expect("deployments").len()
    };
    assert_eq!(parts(), 1);
    first.napt(&["undeploy", "choir"]).expect(0);
    assert_eq!(parts(), 0);
    first.napt(&["rollback", "choir", "1"]).expect(0);
    let ended = user.run("orchestrator:choir", json!({ "gate": gate.name() }));
    assert_eq!(ended.result.as_deref(), Some("old old"), "{:?}", ended.error);
}

#[test]
fn a_dry_run_finds_all_that_is_wrong_and_changes_nothing() {
    let node = TestNode::start(&[]);
    let user = node.user();
    let more = "[dependencies]\n\"agent:voice\" = { path = \"../voice\" }\n";
    let choir = |code: &str, files: &Value| {
        Python { more, ..Python::new("orchestrator:choir", code) }.write(&node.sandbox);
        node.sandbox.write("choir/choir/configs/deployment.json", files.to_string());
    };
    let good = json!([{ "name": "choir", "module": { "name": "choir" },
        "config": { "llm_config": { "model": "napt/echo", "api_key": "of-nobody" } } }]);
    choir(&answering("good"), &good);
    Python::new("agent:voice", &answering("good")).write(&node.sandbox);
    let dry = ["deploy", "choir", "--no-verify", "--dry-run"];
    let ran = node.napt(&dry).expect(0);
    assert!(ran.stdout.contains("Would deploy orchestrator:choir 0.1.0 as `choir`, revision 1"), "{}", ran.stdout);
    assert!(!node.sandbox.work().join("choir/napt.lock").exists());
    let nothing = node.napt(&["status", "--message-format", "json"]).expect(0).json();
    assert_eq!(nothing["data"]["deployments"], json!([]));
    user.try_start("orchestrator:choir", json!({})).expect_err("it is not deployed");
    soon("no process is left", || working_in(&node.data()).is_empty());

    let merged = node.napt(&[&dry[..], &["--show-merged"]].concat()).expect(0);
    assert_eq!(merged.json()["config"]["llm_config"], json!({ "model": "napt/echo", "api_key": "…" }));
    assert!(merged.stderr.contains("Would deploy"), "{}", merged.stderr);
    node.napt(&["deploy", "choir", "--show-merged"]).expect(2);

    node.napt(&["deploy", "choir", "--no-verify"]).expect(0);
    let ran = node.napt(&dry).expect(0);
    assert!(ran.stdout.contains("nothing would change"), "{}", ran.stdout);
    let before = history(&node, "choir");
    let bad = json!([{ "name": "choir", "module": { "name": "choir" }, "agent_deployments": [
        { "name": "voice", "module": { "name": "voice" }, "node": { "name": "http://127.0.0.1:1" } } ] }]);
    choir("import no_such_package\n", &bad);
    Python::new("agent:voice", "def run(:\n").write(&node.sandbox);
    let ran = node.napt(&[&dry[..], &["--message-format", "json"]].concat()).expect(3);
    let failure = ran.json();
    let problems = failure["data"]["problems"].as_array().expect("problems").clone();
    let text = |index: usize| problems[index]["detail"].as_str().expect("a text");
    assert_eq!(problems.len(), 3, "{failure:#}");
    assert!(text(0).contains("node `http://127.0.0.1:1` is not known"), "{}", text(0));
    assert!(text(1).contains("orchestrator:choir 0.1.0` cannot be imported: ModuleNotFoundError"), "{}", text(1));
    assert!(text(2).contains("agent:voice 0.1.0` cannot be imported: SyntaxError"), "{}", text(2));
    assert_eq!(failure["error"]["kind"], "check");
    let hints = failure["error"]["hints"].to_string();
    assert!(hints.contains("napt node --peer") && hints.contains("pyproject.toml"), "{hints}");
    // A deploy says the same, and fails.
    let ran = node.napt(&["deploy", "choir", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("3 problems") && ran.stderr.contains("SyntaxError"), "{}", ran.stderr);
    // With the check, both are told.
    let ran = node.napt(&["deploy", "choir", "--dry-run"]).expect(3);
    assert!(
        ran.stderr.contains("error[missing-entry-function]") && ran.stderr.contains("no_such_package"),
        "{}",
        ran.stderr
    );
    assert_eq!(history(&node, "choir"), before);
    assert_eq!(answer(&user, "orchestrator:choir"), "good");
}

#[test]
fn deploys_of_one_name_take_turns() {
    let node = TestNode::start(&[]);
    for index in 0..10 {
        let folder = format!("v{index}/voice");
        let module = Python::new("agent:voice", "");
        module.write(&node.sandbox);
        std::fs::create_dir_all(node.sandbox.work().join(format!("v{index}"))).expect("a folder");
        std::fs::rename(node.sandbox.work().join("voice"), node.sandbox.work().join(&folder)).expect("moved");
        // Five different ones, each twice.
        node.sandbox.write(format!("{folder}/voice/run.py"), answering(&format!("v{}", index / 2)));
    }
    let deploys: Vec<_> = (0..10)
        .map(|index| {
            let mut command = node.sandbox.command(&["deploy", &format!("v{index}/voice"), "--no-verify"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().expect("napt starts")
        })
        .collect();
    for deploy in deploys {
        let output = deploy.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let all = history(&node, "voice");
    assert!((5..=10).contains(&all.len()), "{}", all.len());
    let numbers: Vec<u64> = all.iter().rev().map(|revision| revision["revision"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    assert!(all.windows(2).all(|pair| pair[0]["modules"] != pair[1]["modules"]), "each changes something");
    assert_eq!(all.iter().filter(|revision| revision["live"] == true).count(), 1);
}

#[test]
fn another_users_deployment_is_not_touched() {
    let mut other = Sandbox::new();
    let key = napt::identity::CredentialStore::new(other.home().join("napt").join("config")).key_or_create();
    let id = key.expect("a key").public().user_id();
    let node = TestNode::start(&["--user", &id]);
    other.set("NAPT_NODE", &node.url);
    deploy(&node, "agent:voice", "one");
    deploy(&node, "agent:voice", "two");
    // It is listed, but how it is configured is its owner's.
    let [own, theirs] = [&node.sandbox, &other].map(|user| {
        ["status", "status voice"].map(|command| {
            let words: Vec<&str> = command.split(' ').chain(["--message-format", "json"]).collect();
            let json = user.napt(&words).expect(0).json()["data"].clone();
            json.get("revisions").unwrap_or(&json["deployments"])[0].clone()
        })
    });
    for (own, theirs) in own.iter().zip(&theirs) {
        assert_eq!(own["modules"], theirs["modules"]);
        assert_eq!(own["deployment"]["module"]["name"], "voice", "{own:#}");
        assert!(theirs["deployment"]["module"].is_null(), "{theirs:#}");
    }
    modules::write(&other, "voice", "agent:voice", "9.0.0", "");
    for arguments in [&["deploy", "voice", "--no-verify"][..], &["rollback", "voice"], &["undeploy", "voice"]] {
        let ran = other.napt(arguments).expect(5);
        assert!(ran.stderr.contains("the deployment `voice` is another user's"), "{}", ran.stderr);
    }
    assert_eq!(answer(&node.user(), "agent:voice"), "two");
}

#[test]
fn a_deploy_that_dies_half_way_leaves_the_old_revision() {
    let mut node = TestNode::start(&[]);
    deploy(&node, "agent:voice", "one");
    // Its import never ends.
    Python::new("agent:voice", "open('/proc/self/comm', 'w').write('stuck')\nwhile True:\n    pass\n")
        .write(&node.sandbox);
    let mut deploying = node.sandbox.command(&["deploy", "voice", "--no-verify"]).spawn().expect("napt starts");
    soon("it is being imported", || node.scratch().len() == 1);
    node.kill();
    assert_eq!(deploying.wait().expect("it ends").code(), Some(4));
    node.restart();
    assert_eq!(numbers(&node, "voice"), [(1, true)]);
    assert_eq!(answer(&node.user(), "agent:voice"), "one");
    deploy(&node, "agent:voice", "two");
    assert_eq!(numbers(&node, "voice"), [(2, true), (1, false)]);
}

#[test]
fn a_node_that_is_told_to_end_lets_runs_end_first() {
    let mut node = TestNode::start(&["--grace", "60", "--max-runs", "1"]);
    let user = node.user();
    choir(&node, "old");
    let gate = Gate::new();
    let run = user.start("orchestrator:choir", json!({ "gate": gate.name() }));
    user.line(&run.id, "waiting");
    let waiting = user.start("orchestrator:choir", json!({ "gate": gate.name() }));
    node.signal("TERM");
    soon("it accepts no more runs", || match user.try_start("agent:voice", json!({})) {
        Err(error) => error.to_string() == "the node is stopping and accepts no new runs",
        Ok(_) => false,
    });
    gate.open();
    assert_eq!(node.ended(), Some(0));
    node.restart();
    let view: RunView = user.view(&run.id);
    assert_eq!(view.result.as_deref(), Some("old old"), "with what it called for later: {:?}", view.error);
    assert_eq!(user.ended(&waiting.id).status, RunStatus::Completed, "what had waited runs now");
}

#[test]
fn a_run_that_outlasts_the_grace_time_says_so() {
    let mut node = TestNode::start(&["--grace", "1"]);
    let user = node.user();
    choir(&node, "old");
    let run = user.start("orchestrator:choir", json!({ "gate": "/nowhere" }));
    user.line(&run.id, "waiting");
    node.signal("TERM");
    assert_eq!(node.ended(), Some(0));
    node.restart();
    let view = user.view(&run.id);
    assert_eq!((view.status, view.error.as_deref()), (RunStatus::Error, Some("the node was stopped")));

    // A second signal does not wait.
    let mut node = TestNode::start(&["--grace", "3600"]);
    let user = node.user();
    choir(&node, "old");
    let run = user.start("orchestrator:choir", json!({ "gate": "/nowhere" }));
    user.line(&run.id, "waiting");
    node.signal("INT");
    soon("it is stopping", || node.log().contains("Stopping the node; 1 run may take 3600 s to end"));
    node.signal("INT");
    assert_eq!(node.ended(), Some(0));
    node.restart();
    assert_eq!(user.view(&run.id).error.as_deref(), Some("the node was stopped"));
}

/// The names of what is in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect()
}

/// The archives of revisions.
fn digests(revisions: &[Value]) -> BTreeSet<String> {
    let of = |revision: &Value| revision["modules"][0]["sha256"].as_str().expect("a digest").to_owned();
    revisions.iter().map(of).collect()
}

#[test]
fn twenty_revisions_can_be_gone_back_to_and_what_older_ones_were_made_of_goes() {
    // It is looked after often.
    let mut node = TestNode::start(&["--keep-warm", "0"]);
    for number in 1..=22 {
        deploy(&node, "agent:voice", &number.to_string());
    }
    let all = history(&node, "voice");
    assert_eq!(all.len(), 22);
    let (archives, modules) = (node.data().join("archives"), node.data().join("modules"));
    let files = |digests: BTreeSet<String>| digests.into_iter().map(|digest| format!("{digest}.napt")).collect();
    let kept: BTreeSet<String> = files(digests(&all[..20]));
    soon("older archives are gone", || names(&archives) == kept && names(&modules) == digests(&all[..20]));
    node.napt(&["rollback", "voice", "3"]).expect(0);
    assert_eq!(answer(&node.user(), "agent:voice"), "3");
    let ran = node.napt(&["rollback", "voice", "2"]);
    assert!(ran.code != Some(0) && ran.stderr.contains("agent:voice 0.1.0"), "{ran:?}");
    assert_eq!(answer(&node.user(), "agent:voice"), "3");
    // What was removed is new again.
    deploy(&node, "agent:voice", "1");
    assert_eq!(answer(&node.user(), "agent:voice"), "1");
    node.kill();
    assert_eq!(node.fsck(), Vec::<String>::new());
}

#[test]
fn a_parent_shows_what_is_live_and_what_its_runs_have_begun_with() {
    let node = TestNode::start(&["--keep-warm", "4"]);
    let gate = Gate::new();
    let code = format!(
        "{IS_OPEN}\nimport time\n\ndef run(module_run):\n    print('begun', flush=True)\n    \
         while not is_open({:?}):\n        time.sleep(0.01)\n    from voice.words import WORD\n    return WORD\n",
        gate.name()
    );
    let deploy = |word: &str| {
        node.sandbox.write("voice/voice/words.py", format!("WORD = '{word}'\n"));
        node.deploy(&Python::new("agent:voice", &code));
        digests(&history(&node, "voice")[..1]).pop_first().expect("a digest")
    };
    let shown = || {
        let parents = names(&node.data().join("views"));
        parents.iter().flat_map(|parent| names(&node.data().join("views").join(parent))).collect::<Vec<_>>()
    };
    let sorted = |mut digests: Vec<String>| {
        digests.sort();
        digests
    };
    let user = node.user();
    let first = deploy("one");
    let run = user.start("agent:voice", json!({}));
    user.line(&run.id, "begun");
    deploy("two");
    let third = deploy("three");
    soon("the second is gone", || sorted(shown()) == sorted(vec![first.clone(), third.clone()]));
    gate.open();
    assert_eq!(user.ended(&run.id).result.as_deref(), Some("one"));
    soon("the first is gone", || shown() == [third.clone()]);
    assert_eq!(answer(&user, "agent:voice"), "three");
}
