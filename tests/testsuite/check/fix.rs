//! `napt check --fix`: what each rule mends, and what it leaves alone.

use std::fs;

use super::Module;
use crate::support::{Sandbox, git};

/// Mends it, which ends with `code`: one part of `path` becomes another and nothing else changes, and doing so again
/// changes nothing more.
#[track_caller]
fn mends(m: &Module, code: i32, rule: &str, path: &str, before: &str, after: &str) {
    let text = m.read(path);
    assert!(text.contains(before), "`{before}` is in {path}\n{text}");
    let ran = m.check(&["--fix", "--allow-dirty"]).expect(code);
    assert!(
        ran.stderr.contains(&format!("Fixed `{path}`: ")) && ran.stderr.contains(&format!("({rule})\n")),
        "{}",
        ran.stderr
    );
    let expected = text.replacen(before, after, 1);
    snapbox::assert_data_eq!(m.read(path), snapbox::Data::text(&expected).raw());
    let ran = m.check(&["--fix", "--allow-dirty"]).expect(code);
    assert!(!ran.stderr.contains("Fixed"), "{}", ran.stderr);
    assert_eq!(m.read(path), expected);
}

/// The rule finds something, and nothing is changed.
#[track_caller]
fn leaves(m: &Module, rule: &str, path: &str) {
    let text = m.read(path);
    let ran = m.check(&["--fix", "--allow-dirty"]);
    assert!(ran.stderr.contains(&format!("[{rule}]")) && !ran.stderr.contains("Fixed"), "{}", ran.stderr);
    assert_eq!(m.read(path), text);
}

const DEPLOYMENT: &str = "debate/configs/deployment.json";
const LLM_CONFIGS: &str = "debate/configs/llm_configs.json";

#[test]
fn config_shape() {
    let m = Module::good();
    m.edit(DEPLOYMENT, "\"max_rounds\": 2", "\"max_rounds\":  \"5\"");
    mends(&m, 0, "config-shape", DEPLOYMENT, "\"max_rounds\":  \"5\"", "\"max_rounds\":  5");
    let m = Module::good();
    m.edit(LLM_CONFIGS, "\"openai\"", "\"OpenAI\"");
    mends(&m, 0, "config-shape", LLM_CONFIGS, "\"OpenAI\"", "\"openai\"");
    for text in ["\"many\"", "\"05\"", "\"-1\"", "[5]"] {
        let m = Module::good();
        m.edit(DEPLOYMENT, "\"max_rounds\": 2", &format!("\"max_rounds\": {text}"));
        if text == "\"-1\"" {
            mends(&m, 3, "config-shape", DEPLOYMENT, "\"-1\"", "-1");
        } else {
            leaves(&m, "config-shape", DEPLOYMENT);
        }
    }
}

#[test]
fn invalid_json() {
    let m = Module::good();
    m.edit(DEPLOYMENT, "[\n    {\n", "// all\n[\n    /* the\n       only one */\n    {\n");
    m.edit(DEPLOYMENT, "\"max_rounds\": 2\n", "\"max_rounds\": 2, // enough\n");
    let text = m.read(DEPLOYMENT);
    m.check(&["--fix", "--allow-dirty"]).expect(0);
    let expected =
        text.replace("// all\n", "").replace("    /* the\n       only one */\n", "").replace(", // enough", "");
    assert_eq!(m.read(DEPLOYMENT), expected);
    let m = Module::good();
    m.edit(DEPLOYMENT, "\"max_rounds\": 2", "\"max_rounds\": 1, \"max_rounds\": 2");
    leaves(&m, "invalid-json", DEPLOYMENT);
}

#[test]
fn invalid_requirement() {
    let m = Module::good();
    m.edit("napt.toml", "\"^1\"", "\">=1 <2\" # any");
    mends(&m, 0, "invalid-requirement", "napt.toml", "\">=1 <2\" # any", "\">=1, <2\" # any");
    let m = Module::good();
    m.edit("napt.toml", "\"^1\"", "\"one two\"");
    leaves(&m, "invalid-requirement", "napt.toml");
}

#[test]
fn invalid_version() {
    for (before, after) in [("v0.1.0", "0.1.0"), ("1", "1.0.0"), ("1.2", "1.2.0"), ("1.2.3+build", "1.2.3")] {
        let m = Module::good();
        m.edit("napt.toml", "\"0.1.0\"", &format!("'{before}' # the first"));
        mends(&m, 0, "invalid-version", "napt.toml", &format!("'{before}'"), &format!("\"{after}\""));
    }
    let m = Module::good();
    m.edit("napt.toml", "\"0.1.0\"", "\"first\"");
    leaves(&m, "invalid-version", "napt.toml");
}

#[test]
fn manifest_shape() {
    let m = Module::good();
    m.edit("napt.toml", "version =", "keywords = \"talk\" # more to come\\nversion =");
    mends(&m, 0, "manifest-shape", "napt.toml", "keywords = \"talk\" #", "keywords = [\"talk\"] #");
    let m = Module::good();
    m.edit("napt.toml", "type = \"orchestrator\"", "type = \"Orchestrator\"");
    mends(&m, 0, "manifest-shape", "napt.toml", "Orchestrator", "orchestrator");
    let m = Module::good();
    m.edit("napt.toml", "type = \"orchestrator\"", "type = \"orchestrater\"");
    leaves(&m, "manifest-shape", "napt.toml");
}

#[test]
fn module_mismatch() {
    let m = Module::good();
    m.edit(DEPLOYMENT, "{\"name\": \"debate\"}", "{\"name\": \"old\"}");
    mends(&m, 0, "module-mismatch", DEPLOYMENT, "{\"name\": \"old\"}", "{\"name\": \"debate\"}");
    let m = Module::good();
    m.edit(DEPLOYMENT, "{\"name\": \"debate\"}", "{\"name\": \"agent:debate\"}");
    mends(&m, 0, "module-mismatch", DEPLOYMENT, "agent:debate", "orchestrator:debate");
    let m = Module::good();
    m.edit(DEPLOYMENT, "{\"name\": \"debate\"}", "{\"name\": \"chatter\"}");
    leaves(&m, "module-mismatch", DEPLOYMENT);
}

#[test]
fn node_address() {
    let m = Module::good();
    m.edit(DEPLOYMENT, "{\"ip\": \"localhost\"}", "{}");
    mends(&m, 0, "node-address", DEPLOYMENT, "\"node\": {},\n        \"config\"", "\"config\"");
    let m = Module::good();
    m.edit("debate/configs/kb_deployments.json", ", \"node\": {\"name\": \"node.example.org\"}", ", \"node\": {}");
    mends(&m, 0, "node-address", "debate/configs/kb_deployments.json", ", \"node\": {}", "");
    let m = Module::good();
    m.edit(DEPLOYMENT, "{\"ip\": \"localhost\"}", "{\"user_communication_port\": 7001}");
    leaves(&m, "node-address", DEPLOYMENT);
}

#[test]
fn old_storage_config() {
    let old = "\"storage_type\": \"db\",\n            \"max_rounds\": 2,\n            \"path\": \"turns\",\n            \
               \"schema\": {\n                \"id\": {}\n            }";
    let new = "\"storage_config\": {\n                \"storage_type\": \"db\",\n                \"path\": \"turns\",\n                \
               \"storage_schema\": {\n                    \"id\": {}\n                }\n            },\n            \"max_rounds\": 2";
    let m = Module::good();
    m.edit(DEPLOYMENT, "\"max_rounds\": 2", old);
    mends(&m, 0, "old-storage-config", DEPLOYMENT, old, new);
    let m = Module::good();
    let line = "\"options\": {}, \"path\": \"turns\", \"storage_type\": \"db\", \"max_rounds\": 2";
    m.edit(DEPLOYMENT, "\"max_rounds\": 2", line);
    let new = "\"storage_config\": {\"options\": {}, \"path\": \"turns\", \"storage_type\": \"db\"}, \"max_rounds\": 2";
    m.edit("napt.toml", "version =", "sdk = \"1.0.5\"\\nversion =");
    mends(&m, 0, "old-storage-config", DEPLOYMENT, line, new);
    // The SDK that the module is written for wants them where they are.
    let m = Module::good();
    m.edit(DEPLOYMENT, "\"max_rounds\": 2", line);
    m.edit("pyproject.toml", "~=1.0.5", "==0.2.2");
    leaves(&m, "old-storage-config", DEPLOYMENT);
    // Without a type there is no storage.
    let m = Module::good();
    m.edit(DEPLOYMENT, "\"max_rounds\": 2", "\"path\": \"turns\"");
    leaves(&m, "old-storage-config", DEPLOYMENT);
}

#[test]
fn undeclared_dependency() {
    let sandbox = Sandbox::new();
    sandbox.napt(&["new", "orchestrator", "debate", "--yes"]).expect(0);
    let manifest = sandbox.work().join("debate/modules/debate/napt.toml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let line = "\"kb:debate_kb\" = { path = \"../debate_kb\", version = \"0.1.0\" }\n";
    assert!(text.contains(line), "{text}");
    fs::write(&manifest, text.replace(line, "")).expect("a file");
    let ran = sandbox.napt(&["check", "debate", "--fix", "--allow-dirty"]).expect(0);
    assert!(ran.stderr.contains("(undeclared-dependency)"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&manifest).expect("a manifest"), text);
    // The whole table is new, in a member on its own.
    let start = text.find("[dependencies]").expect("a table");
    let end = text.find("[limits]").expect("a table");
    fs::write(&manifest, [&text[..start], &text[end..]].concat()).expect("a file");
    sandbox.napt(&["check", "debate/modules/debate", "--fix", "--allow-dirty"]).expect(0);
    let mended = fs::read_to_string(&manifest).expect("a manifest");
    assert!(mended.contains(&format!("[dependencies]\n{}", &text[start + 15..end].trim_end())), "{mended}");
    // A module that is nowhere near may be any version.
    let m = Module::good();
    m.edit("napt.toml", "\"agent:chatter\" = \"^0.1\"\n", "");
    leaves(&m, "undeclared-dependency", "napt.toml");
}

#[test]
fn unknown_key() {
    let m = Module::good();
    m.edit("napt.toml", "version =", "verison   =");
    mends(&m, 0, "unknown-key", "napt.toml", "verison   =", "version   =");
    let m = Module::good();
    m.edit(DEPLOYMENT, "\"max_rounds\"", "\"max_round\"");
    mends(&m, 0, "unknown-key", DEPLOYMENT, "\"max_round\"", "\"max_rounds\"");
    // The right one is there too; two letters are wrong; the value is not one for that key.
    for (path, from, to) in [
        (DEPLOYMENT, "\"max_rounds\": 2", "\"max_rounds\": 2, \"max_round\": 3"),
        (LLM_CONFIGS, "\"max_tokens\"", "\"mx_tokes\""),
    ] {
        let m = Module::good();
        m.edit(path, from, to);
        leaves(&m, "unknown-key", path);
    }
}

#[test]
fn unknown_lint() {
    let m = Module::good();
    m.append("napt.toml", "[lints]\nunused-dependancy = \"allow\" # for now\n");
    mends(&m, 0, "unknown-lint", "napt.toml", "unused-dependancy", "unused-dependency");
    let m = Module::good();
    m.append("napt.toml", "[lints]\nunused-dependencies = \"allow\"\n");
    leaves(&m, "unknown-lint", "napt.toml");
}

#[test]
fn a_mistyped_module_costs_no_dependency() {
    let m = Module::good();
    let configs = "debate/configs/agent_deployments.json";
    m.edit(configs, "\"name\": \"chatter\"", "\"name\": \"chater\"");
    m.edit(configs, "\"name\": \"agent:chatter\"", "\"name\": \"chater\"");
    leaves(&m, "unused-dependency", "napt.toml");
    let told = m.told(3);
    assert!(told.contains("`agent:chater` is not in `[dependencies]`"), "{told}");
    assert!(told.contains("did you mean `agent:chatter`?"), "{told}");
}

#[test]
fn mistyped_node() {
    let m = Module::good();
    m.edit(DEPLOYMENT, "{\"ip\": \"localhost\"}", "{\"ip\": \"localhost\", \"user_comunication_port\" : 7002}");
    mends(&m, 0, "node-address", DEPLOYMENT, "\"user_comunication_port\"", "\"user_communication_port\"");
}

#[test]
fn unused_dependency() {
    let m = Module::good();
    m.edit("napt.toml", "\"kb:facts\"", "\"tool:search\" = { version = \"^1\" }  # soon\\n\"kb:facts\"");
    mends(&m, 0, "unused-dependency", "napt.toml", "\"tool:search\" = { version = \"^1\" }  # soon\n", "");
    let m = Module::good();
    m.append("napt.toml", "[dependencies.\"tool:search\"]\nversion = \"^1\"\n");
    mends(&m, 0, "unused-dependency", "napt.toml", "\n[dependencies.\"tool:search\"]\nversion = \"^1\"\n", "");
}

#[test]
fn what_would_add_errors_is_left_alone() {
    let m = Module::good();
    // As `module` it would be the wrong one twice.
    m.edit(DEPLOYMENT, "\"module\": {\"name\": \"debate\"}", "\"modul\": {\"nmae\": 1, \"nam\": {}}");
    let before = m.check(&["--message-format", "json"]).expect(3).json();
    let after = m.check(&["--message-format", "json", "--fix", "--allow-dirty"]).expect(3).json();
    assert!(after["data"]["errors"].as_u64() <= before["data"]["errors"].as_u64(), "{before:#}{after:#}");
    assert!(m.read(DEPLOYMENT).contains("\"modul\""), "{}", m.read(DEPLOYMENT));
}

#[test]
fn what_git_does_not_have_is_not_changed() {
    let m = Module::good();
    m.edit("napt.toml", "version =", "verison =");
    let text = m.read("napt.toml");
    let ran = m.check(&["--fix"]).expect(1);
    assert!(ran.stderr.contains("is in no git repository") && ran.stderr.contains("`--allow-dirty`"), "{}", ran.stderr);
    let root = m.sandbox.work();
    git(&root, &["init", "-q"]);
    let ran = m.check(&["--fix"]).expect(1);
    assert!(ran.stderr.contains("uncommitted changes: `README.md`, `debate/`, `napt.toml`"), "{}", ran.stderr);
    assert_eq!(m.read("napt.toml"), text);
    git(&root, &["add", "."]);
    m.check(&["--fix"]).expect(1);
    git(&root, &["commit", "-q", "-m", "first"]);
    let ran = m.check(&["--fix"]).expect(0);
    assert!(ran.stderr.contains("Fixed `napt.toml`: unknown key `verison` (unknown-key)"), "{}", ran.stderr);
    // There is nothing more to change, so it does not matter that they are not committed.
    m.check(&["--fix"]).expect(0);
    m.remove("README.md");
    m.append("napt.toml", "[lints]\nunknown-lintt = \"allow\"\n");
    m.check(&["--fix"]).expect(1);
    m.check(&["--fix", "--allow-dirty"]).expect(0);
}

#[test]
fn what_a_link_leads_to_elsewhere_is_not_changed() {
    let m = Module::good();
    let outside = m.sandbox.home().join("theirs.json");
    let text = m.read(LLM_CONFIGS).replace("\"openai\"", "\"OpenAI\"");
    fs::write(&outside, &text).expect("a file");
    m.remove(LLM_CONFIGS);
    std::os::unix::fs::symlink(&outside, m.sandbox.work().join(LLM_CONFIGS)).expect("a link");
    leaves(&m, "config-shape", LLM_CONFIGS);
    assert_eq!(fs::read_to_string(&outside).expect("a file"), text);
}

#[test]
fn a_change_that_fails_half_way_is_taken_back() {
    let m = Module::good();
    m.edit(LLM_CONFIGS, "\"openai\"", "\"OpenAI\"");
    m.edit(DEPLOYMENT, "\"max_rounds\": 2", "\"max_rounds\": \"5\"");
    m.edit("napt.toml", "\"^1\"", "\">=1 <2\"");
    let texts = [LLM_CONFIGS, DEPLOYMENT, "napt.toml"].map(|path| m.read(path));
    // The manifest is written last: nothing can be made in its folder.
    let folder = m.sandbox.work();
    let mode = |mode| fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(mode));
    mode(0o555).expect("ours");
    let is_root = fs::write(folder.join("probe"), "").is_ok();
    let ran = m.check(&["--fix", "--allow-dirty"]);
    mode(0o755).expect("ours");
    // Nothing is forbidden to root.
    if !is_root {
        assert!(ran.expect(1).stderr.contains("cannot write `"));
        assert_eq!([LLM_CONFIGS, DEPLOYMENT, "napt.toml"].map(|path| m.read(path)), texts);
    }
}

#[test]
fn what_was_fixed_is_data() {
    let m = Module::good();
    m.edit("napt.toml", "version =", "verison =");
    let ran = m.check(&[]).expect(3);
    assert!(ran.stderr.contains("hint: `napt check --fix` can mend 1 of them"), "{}", ran.stderr);
    let ran = m.check(&["--fix", "--allow-dirty", "--message-format", "json"]).expect(0).json();
    let expected =
        serde_json::json!([{"file": "napt.toml", "rule": "unknown-key", "message": "unknown key `verison`"}]);
    assert_eq!((&ran["data"]["fixed"], &ran["data"]["errors"]), (&expected, &0.into()));
    let ran = m.check(&["--allow-dirty"]).expect(2);
    assert!(ran.stderr.contains("--fix"), "{}", ran.stderr);
}

#[cfg(unix)]
#[test]
fn a_file_keeps_its_mode_and_its_line_ends() {
    use std::os::unix::fs::PermissionsExt;
    let m = Module::good();
    let good = m.read("napt.toml").replace('\n', "\r\n");
    let spoilt = good.replace("version =", "verison =").replace("\"kb:facts\"", "\"tool:x\" = \"^1\"\r\n\"kb:facts\"");
    m.write("napt.toml", &spoilt);
    let path = m.sandbox.work().join("napt.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
    m.check(&["--fix", "--allow-dirty"]).expect(0);
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o640);
    assert_eq!(m.read("napt.toml"), good);
}
