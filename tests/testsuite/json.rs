//! The envelope of `docs/json.md`, on every command.

use std::{collections::BTreeSet, io::Read, process::Stdio};

use serde_json::Value;

use crate::support::{Sandbox, node::TestNode, registry::TestRegistry};

/// Runs a command, and looks at its envelope.
fn envelope(sandbox: &Sandbox, arguments: &[&str], code: i32) -> Value {
    // Of `exec` the end is another program's.
    let at = if arguments[0] == "exec" { 1 } else { arguments.len() };
    let all = [&arguments[..at], &["--message-format", "json", "--quiet"], &arguments[at..]].concat();
    let ran = sandbox.napt(&all).expect(code);
    assert_eq!(ran.stdout.lines().count(), 1, "one line: {}", ran.stdout);
    assert_eq!(ran.stderr, "");
    let json = ran.json();
    check(&json, arguments[0], code == 0);
    json
}

/// Its form, and on success the keys of its data, which are those of the book.
fn check(json: &Value, command: &str, ok: bool) {
    assert_eq!((&json["format"], &json["command"], &json["ok"]), (&1.into(), &command.into(), &ok.into()), "{json}");
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    if ok {
        assert!(json.get("error").is_none(), "{json}");
        let found: Vec<String> = keys(&json["data"]).into_iter().collect();
        let page = include_str!("../../docs/json.md");
        let row =
            page.lines().find(|line| line.starts_with(&format!("| `{command}` |"))).expect("a row in docs/json.md");
        let documented = row.splitn(3, '|').nth(2).expect("keys").split(';').any(|part| {
            let part = part.rsplit(':').next().expect("a part");
            let mut names: Vec<&str> = part.split('`').skip(1).step_by(2).collect();
            names.sort_unstable();
            names == found
        });
        assert!(documented, "{command} has {found:?}; the book: {row}");
    } else {
        assert_eq!(keys(&json["error"]), ["causes", "hints", "kind", "message"].map(str::to_owned).into());
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        let are_texts = |value: &Value| value.as_array().is_some_and(|all| all.iter().all(is_text));
        let error = &json["error"];
        assert!(is_text(&error["message"]) && are_texts(&error["causes"]) && are_texts(&error["hints"]), "{json}");
    }
}

#[test]
fn every_command_has_the_envelope() {
    let registry = TestRegistry::start();
    let mut node = TestNode::start(&["--registry", registry.url.as_str()]);
    node.sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    let sandbox = &node.sandbox;
    let mut seen = BTreeSet::new();
    let mut call = |arguments: &[&str], code: i32| {
        seen.insert((arguments[0].to_owned(), code == 0));
        envelope(sandbox, arguments, code)
    };

    call(&["new", "orchestrator", "debate", "--yes"], 0);
    call(&["new", "orchestrator", "debate", "--yes"], 6);
    sandbox.write("old/old_agent/run.py", "");
    call(&["init", "old"], 0);
    call(&["init", "old"], 6);
    call(&["check", "debate"], 0);
    call(&["check", "nowhere"], 2);
    call(&["explain"], 0);
    call(&["explain", "unknown-key"], 0);
    call(&["explain", "nothing"], 2);
    call(&["schema", "manifest"], 0);
    call(&["schema", "--out", "schemas"], 0);
    call(&["schema", "--out", "debate/napt.toml"], 1);
    call(&["package"], 1);
    call(&["package", "--list", "-C", "debate"], 0);
    call(&["package", "-C", "debate"], 0);
    call(&["publish", "--workspace", "-C", "debate"], 5);
    call(&["login"], 0);
    call(&["login", "--registry", "nonsense"], 2);
    call(&["login", "--username", "ada"], 2);
    call(&["publish", "--workspace", "-C", "debate"], 0);
    call(&["search", "debate"], 0);
    call(&["search", "--offline"], 4);
    call(&["nodes"], 0);
    call(&["nodes", "--offline"], 4);
    for command in ["agents", "tools", "kbs", "memories", "personas", "orchestrators", "environments"] {
        call(&[command], 0);
        call(&[command, "--offline"], 4);
    }
    call(&["nodes"], 0);
    call(&["nodes", "--offline"], 4);
    call(&["info", "orchestrator:debate"], 0);
    call(&["info", "orchestrator:nothing"], 1);
    call(&["yank", "agent:debate_agent@0.1.0", "--reason", "x"], 0);
    call(&["yank", "agent:debate_agent@0.1.0", "--undo"], 0);
    call(&["yank", "agent:nothing@0.1.0", "--undo"], 1);
    sandbox.write("x/napt.toml", "[module]\ntype = \"persona\"\nname = \"x\"\nversion = \"0.1.0\"\n");
    call(&["add", "orchestrator:debate", "-C", "x"], 0);
    call(&["add", "orchestrator:nothing", "-C", "x"], 1);
    call(&["fetch", "-C", "x"], 0);
    call(&["fetch", "--locked"], 1);
    call(&["update", "-C", "x"], 0);
    call(&["update", "nothing", "-C", "x"], 2);
    call(&["tree", "-C", "x"], 0);
    call(&["tree", "nothing", "-C", "x"], 2);
    call(&["remove", "orchestrator:debate", "-C", "x"], 0);
    call(&["remove", "orchestrator:debate", "-C", "x"], 2);
    call(&["deploy", "nowhere"], 2);
    call(&["deploy", "debate"], 0);
    call(&["deploy", "debate", "--dry-run", "--show-merged"], 0);
    call(&["create", "orchestrator:debate"], 0);
    call(&["create", "orchestrator:nothing"], 1);
    call(&["exec", "--", "true"], 0);
    call(&["exec", "--", "false"], 1);
    call(&["rollback", "debate"], 1);
    call(&["undeploy", "debate"], 0);
    call(&["undeploy", "debate"], 1);
    call(&["rollback", "debate"], 0);
    call(&["status", "debate"], 0);
    call(&["run", "orchestrator:nothing"], 1);
    let run = call(&["run", "orchestrator:debate", "-p", "prompt=really"], 0);
    let id = run["data"]["run"]["id"].as_str().expect("an id");
    call(&["runs"], 0);
    call(&["status"], 0);
    call(&["status", id], 0);
    call(&["status", "none"], 1);
    call(&["logs", id], 0);
    call(&["logs", "none"], 1);
    call(&["cancel", id], 0);
    call(&["cancel", "none"], 1);
    call(&["storage", "db", "list"], 0);
    call(&["storage", "db", "read", "nothing"], 1);
    call(&["logout"], 0);
    call(&["logout", "--registry", "nonsense"], 2);
    call(&["runs", "--node", "http://127.0.0.1:1"], 4);
    call(&["token", "new"], 0);
    call(&["token", "new", "--node", "http://127.0.0.1:1"], 4);
    call(&["inference", "models"], 0);
    call(&["inference", "chat", "two words"], 0);
    call(&["inference", "chat", "--model", "none"], 1);
    call(&["inference", "embed", "two words"], 0);
    call(&["secret", "list"], 0);
    sandbox.write("values.env", "A_KEY=a value of it\n");
    call(&["secret", "set", "A_KEY", "--from-env-file", "values.env"], 0);
    call(&["secret", "set", "A_KEY"], 2);
    call(&["secret", "remove", "A_KEY"], 0);
    call(&["secret", "remove", "A_KEY"], 1);
    call(&["config"], 0);
    call(&["config", "get", "registry"], 0);
    call(&["config", "set", "color", "never"], 0);
    call(&["config", "get", "colr"], 2);
    call(&["completions", "zsh"], 0);
    call(&["man"], 0);
    call(&["man", "--out", "pages"], 0);
    sandbox.write("file", "");
    call(&["man", "--out", "file"], 1);
    call(&["quickstart", "file"], 1);
    call(&["quickstart", "tour"], 0);

    // Servers have an error here, and their success below.
    call(&["registry", "--listen", registry.url.authority()], 4);
    call(&["node", "--registry", "nonsense"], 2);
    call(&["registry", "fsck", "--data", "nowhere"], 2);
    call(&["dev", "nowhere"], 2);
    for (server, flags) in [
        ("registry", &["--listen", "127.0.0.1:0"][..]),
        ("node", &["--listen", "127.0.0.1:0"]),
        ("dev", &["--node-port", "0", "--registry-port", "0"]),
    ] {
        seen.insert((server.to_owned(), true));
        serve(server, flags);
    }
    node.kill();
    envelope(&node.sandbox, &["node", "fsck"], 0);
    envelope(&node.sandbox, &["status"], 4);
    node.restart();
    envelope(&node.sandbox, &["status"], 0);
    assert!(!node.log().contains("panicked"), "{}", node.log());

    // All that can be wrong with it is on its line.
    let ran = node.sandbox.napt(&["completions", "none", "--message-format", "json"]).expect(2).json();
    check(&ran, "napt", false);
    seen.insert(("completions".to_owned(), false));

    for command in napt::cli::command().get_subcommands() {
        for ok in [true, false] {
            assert!(seen.contains(&(command.get_name().to_owned(), ok)), "{} with {ok}", command.get_name());
        }
    }
}

/// A server's first line, its last one, and nothing else.
fn serve(command: &str, flags: &[&str]) {
    let sandbox = Sandbox::new();
    sandbox.write("napt.toml", "[module]\ntype = \"tool\"\nname = \"a\"\nversion = \"0.1.0\"\nruntime = \"data\"\n");
    let mut server = sandbox.command(&[&[command, "--message-format", "json", "--quiet"], flags].concat());
    let mut process = server.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("napt starts");
    let mut stdout = std::io::BufReader::new(process.stdout.take().expect("a pipe"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("a line");
    let event: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&event["format"], &event["event"]), (&1.into(), &"listening".into()));
    let id = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it is there");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("text");
    let mut said = String::new();
    process.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert_eq!(process.wait().expect("it ends").code(), Some(0), "{rest}{said}");
    assert_eq!(said, "", "{command} is quiet");
    // Of `napt dev` there are more events.
    let (events, last): (Vec<Value>, Vec<Value>) = rest
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .partition(|line: &Value| line.get("event").is_some());
    assert_eq!((events.is_empty(), last.len()), (command != "dev", 1), "{rest}");
    check(&last[0], command, true);
}
