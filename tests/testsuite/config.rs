//! `napt config`: settings, where they are from, and the files that keep them.

use std::os::unix::fs::PermissionsExt;

use snapbox::{Data, assert_data_eq, str};

use crate::support::{Sandbox, modules};

/// What `napt config` says of a setting: its value and where it is from.
fn shown(sandbox: &Sandbox, key: &str) -> String {
    let list = sandbox.napt(&["config", "-C", "deep/er"]).expect(0).stdout;
    let line = list.lines().find(|line| line.trim_start().starts_with(&format!("{key} "))).expect("a line");
    let home = sandbox.home().display().to_string();
    let work = sandbox.work().display().to_string();
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ").replace(&home, "HOME").replace(&work, "WORK")
}

#[test]
fn every_layer_is_named_and_goes_before_the_next() {
    let mut sandbox = Sandbox::new();
    sandbox.write("deep/er/file", "");
    assert_eq!(shown(&sandbox, "node"), "http://127.0.0.1:7001 from the default");
    sandbox.napt(&["config", "set", "node", "http://a.example"]).expect(0);
    assert_eq!(shown(&sandbox, "node"), "http://a.example from `HOME/napt/config/config.toml:1`");
    sandbox.write(".napt/config.toml", "# of all\n\nnode = \"http://b.example\"\n");
    assert_eq!(shown(&sandbox, "node"), "http://b.example from `WORK/.napt/config.toml:3`");
    sandbox.write("deep/.napt/config.toml", "node = \"http://c.example\"\n");
    assert_eq!(shown(&sandbox, "node"), "http://c.example from `WORK/deep/.napt/config.toml:1`");
    sandbox.set("NODE_URL", "http://d.example");
    assert_eq!(shown(&sandbox, "node"), "http://d.example from the environment variable `NODE_URL`");
    sandbox.set("NAPT_NODE", "http://e.example");
    assert_eq!(shown(&sandbox, "node"), "http://e.example from the environment variable `NAPT_NODE`");
    assert_eq!(shown(&sandbox, "registry"), "http://127.0.0.1:7080 from the default");
    assert_eq!(shown(&sandbox, "cache"), "HOME/napt/cache from the environment variable `NAPT_HOME`");

    let get = sandbox.napt(&["config", "get", "node"]).expect(0);
    assert_eq!(get.stdout, "http://e.example\n");
    let json = sandbox.napt(&["config", "get", "registry", "--message-format", "json"]).expect(0).json();
    let expected = serde_json::json!({
        "key": "registry", "value": "http://127.0.0.1:7080", "source": { "kind": "default" },
    });
    assert_eq!(json["data"]["setting"], expected);
}

#[test]
fn secrets_are_never_shown_and_kept_in_a_private_file_alone() {
    let mut sandbox = Sandbox::new();
    modules::write(&sandbox, ".", "persona:ada", "0.1.0", "");
    sandbox.write("deep/er/file", "");
    let path = sandbox.home().join("napt/config/config.toml");
    let mode = || std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777;

    sandbox.napt(&["config", "set", "node", "http://a.example"]).expect(0);
    assert_eq!(mode(), 0o600);
    let ran = sandbox.napt(&["config", "set", "provider-key", "canary-of-the-provider"]).expect(0);
    assert!(ran.stderr.contains("your shell's history"), "{}", ran.stderr);
    assert_eq!(shown(&sandbox, "provider-key"), "(set) from `HOME/napt/config/config.toml:2`");
    assert_eq!(sandbox.napt(&["config", "get", "provider-key"]).expect(0).stdout, "(set)\n");
    let everything = sandbox.napt(&["config", "--message-format", "json", "-v"]).expect(0);
    assert!(!format!("{everything:?}").contains("canary"), "{everything:?}");

    let ran = sandbox.napt(&["config", "set", "provider-key", "canary", "--workspace"]).expect(2);
    assert!(
        ran.stderr.contains("`provider-key` is a secret, and `") && ran.stderr.contains("--user"),
        "{}",
        ran.stderr
    );
    assert!(!sandbox.work().join(".napt/config.toml").exists());
    sandbox.write(".napt/config.toml", "provider-key = \"canary\"\n");
    let ran = sandbox.napt(&["config"]).expect(2);
    assert!(ran.stderr.contains("is in a checkout") && !ran.stderr.contains("canary"), "{}", ran.stderr);
    std::fs::remove_file(sandbox.work().join(".napt/config.toml")).expect("it was there");

    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("it is ours");
    let ran = sandbox.napt(&["config"]).expect(5);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
error: `[..]/config.toml` holds secrets, and its mode 0640 lets others read it

hint: `chmod 600 [..]/config.toml`; if others may have read it, make new secrets too

"#]]
    );
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("it is ours");

    // Nor when the file cannot be read.
    let good = std::fs::read(&path).expect("a file");
    for bad in
        ["provider-key = canary-without-quotes\n", "provider-key = \"canary\nnode = 1", "provider-key = [\"canary"]
    {
        std::fs::write(&path, bad).expect("it is ours");
        for arguments in [&["config"][..], &["config", "set", "node", "http://b.example"]] {
            let ran = sandbox.napt(arguments).expect(2);
            assert!(ran.stderr.contains("config.toml:1`: ") && !ran.stderr.contains("canary"), "{}", ran.stderr);
        }
    }
    std::fs::write(&path, good).expect("it is ours");

    assert_eq!(shown(&sandbox, "token"), "(not set)");
    sandbox.set("NAPT_TOKEN", "napt_canary");
    assert_eq!(shown(&sandbox, "token"), "(set) from the environment variable `NAPT_TOKEN`");
    sandbox.set("NAPT_PROVIDER_KEY", "canary");
    assert_eq!(shown(&sandbox, "provider-key"), "(set) from the environment variable `NAPT_PROVIDER_KEY`");
    let ran = sandbox.napt(&["config", "set", "token", "napt_canary"]).expect(2);
    assert!(ran.stderr.contains("napt login") && !ran.stderr.contains("canary"), "{}", ran.stderr);
}

#[test]
fn a_file_keeps_its_form_when_a_setting_changes() {
    let sandbox = Sandbox::new();
    modules::write(&sandbox, ".", "persona:ada", "0.1.0", "");
    sandbox
        .write(".napt/config.toml", "# ours\nnode = 'http://a.example'   # the old one\n\n# colour\ncolor=\"never\"\n");
    sandbox.napt(&["config", "set", "node", "http://b.example", "--workspace"]).expect(0);
    sandbox.napt(&["config", "set", "registry", "http://r.example", "--workspace"]).expect(0);
    assert_data_eq!(
        std::fs::read_to_string(sandbox.work().join(".napt/config.toml")).expect("a file"),
        str![[r#"
# ours
node = "http://b.example"   # the old one

# colour
color="never"
registry = "http://r.example"

"#]]
    );
    let ran = sandbox.napt(&["config", "set", "node", "http://c.example", "--user"]).expect(0);
    assert!(ran.stderr.contains("warning: it has no effect here, since `"), "{}", ran.stderr);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_to_do() {
    let sandbox = Sandbox::new();
    let ran = sandbox.napt(&["config", "get", "regsitry"]).expect(2);
    assert_eq!(ran.stderr, "error: there is no setting `regsitry`\n\nhint: did you mean `registry`?\n");
    let ran = sandbox.napt(&["config", "set", "nothing", "x"]).expect(2);
    assert!(ran.stderr.contains("hint: the settings are registry, node, color, provider-key"), "{}", ran.stderr);
    let ran = sandbox.napt(&["config", "set", "color", "alwys"]).expect(2);
    assert!(
        ran.stderr.contains("is not `auto`, `always` or `never`\n\nhint: did you mean `always`?"),
        "{}",
        ran.stderr
    );
    sandbox.napt(&["config", "set", "node", "ftp://x"]).expect(2);
    let ran = sandbox.napt(&["config", "set", "provider-key"]).expect(2);
    assert!(ran.stderr.contains("error: the `provider-key` from"), "{}", ran.stderr);
    let ran = sandbox.napt(&["config", "set", "node", "http://a.example", "--workspace"]).expect(1);
    assert!(ran.stderr.contains("there is no `napt.toml`"), "{}", ran.stderr);
    assert!(!sandbox.home().join("napt/config/config.toml").exists(), "nothing was written");

    for (text, problem) in [
        ("\nnod = \"http://a.example\"\n", ":2` has\n\nhint: did you mean `node`?"),
        ("node = 7001\n", ":1` is not a text"),
        ("color = \"auto\"\nnode = \n", ".napt/config.toml:2`: "),
        ("node = \"7001\"\n", ".napt/config.toml:1` is not the URL of a node"),
    ] {
        sandbox.write(".napt/config.toml", text);
        let ran = sandbox.napt(&["config"]).expect(2);
        assert!(ran.stderr.contains(problem), "{}", ran.stderr);
    }
}

#[test]
fn registries_with_a_name_are_listed() {
    let sandbox = Sandbox::new();
    sandbox.write(".napt/config.toml", "[registries.internal]\nurl = \"https://registry.example\"\n");
    let list = sandbox.napt(&["config"]).expect(0).stdout;
    let (_, rest) = list.split_once("registries:\n  internal      https://registry.example/  from `").expect("a line");
    assert!(rest.lines().next().is_some_and(|line| line.contains(".napt/config.toml")), "{list}");
}

#[test]
fn colour_may_be_a_setting() {
    let mut sandbox = Sandbox::new();
    modules::write(&sandbox, ".", "persona:ada", "0.1.0", "");
    let is_coloured = |sandbox: &Sandbox| sandbox.napt(&["package"]).expect(0).stderr.contains('\x1b');
    sandbox.napt(&["config", "set", "color", "always"]).expect(0);
    assert!(is_coloured(&sandbox));
    sandbox.set("NO_COLOR", "1");
    assert!(!is_coloured(&sandbox), "the environment goes before a file");
}

#[test]
fn the_schema_says_what_is_read_and_new_files_of_workspaces_name_it() {
    let sandbox = Sandbox::new();
    sandbox.write("napt.toml", "[workspace]\nmembers = []\n");
    let printed = sandbox.napt(&["schema", "config"]).expect(0).stdout;
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schemas/config.json");
    assert_data_eq!(&printed, Data::read_from(book.as_ref(), None).raw());
    let schema = jsonschema::draft7::new(&serde_json::from_str(&printed).expect("JSON")).expect("a schema");

    sandbox.napt(&["config", "set", "node", "http://n.example", "--workspace"]).expect(0);
    let path = sandbox.work().join(".napt/config.toml");
    let text = std::fs::read_to_string(&path).expect("a file");
    assert_eq!(text, "#:schema schemas/config.json\nnode = \"http://n.example\"\n");
    let beside = std::fs::read_to_string(sandbox.work().join(".napt/schemas/config.json")).expect("a schema");
    assert_eq!(beside, printed);
    // One that is there gets no such line.
    sandbox.write(".napt/config.toml", "node = \"http://n.example\" # mine\n");
    sandbox.napt(&["config", "set", "color", "never", "--workspace"]).expect(0);
    let text = std::fs::read_to_string(&path).expect("a file");
    assert_eq!(text, "node = \"http://n.example\" # mine\ncolor = \"never\"\n");

    // Both judge alike.
    for (text, is_good) in [
        ("registry = \"internal\"\n[registries.internal]\nurl = \"http://r.example\"\n", true),
        ("node = \"http://n.example\"\ncolor = \"always\"\n", true),
        ("regstry = \"http://r.example\"\n", false),
        ("node = 7001\n", false),
        ("color = \"pink\"\n", false),
        ("[registries.internal]\nuri = \"http://r.example\"\n", false),
    ] {
        sandbox.write(".napt/config.toml", text);
        let value: serde_json::Value = toml::from_str(text).expect("TOML");
        assert_eq!(schema.is_valid(&value), is_good, "{text}");
        assert_eq!(sandbox.napt(&["config"]).code == Some(0), is_good, "{text}");
    }
}
