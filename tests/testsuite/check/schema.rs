//! `napt schema`: what editors complete and check with says the same as `napt check`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use napt::check::{Options, Schema, check};
use serde_json::Value;
use snapbox::{Data, assert_data_eq};

use super::Module;
use crate::support::Sandbox;

fn validator(schema: Schema) -> jsonschema::Validator {
    jsonschema::draft7::new(&schema.value()).expect("a schema of draft 7")
}

/// The schema of a file of that name.
fn schema_of(path: &Path) -> Option<Schema> {
    let name = path.file_name().and_then(|name| name.to_str())?;
    Schema::ALL.into_iter().find(|schema| schema.describes().contains(&name))
}

fn parsed(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("a file");
    match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("json") => serde_json::from_str(&text).expect("JSON"),
        _ => toml::from_str(&text).expect("TOML"),
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn the_schemas_are_those_of_the_book() {
    for schema in Schema::ALL {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas").join(schema.file());
        assert_data_eq!(schema.text(), Data::read_from(&path, None).raw());
    }
}

#[test]
fn every_schema_is_one_and_describes_every_key() {
    fn keys(value: &Value, path: &str, missing: &mut Vec<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (key, property) in properties {
                let described = property == &Value::Bool(true) || property.get("description").is_some();
                if !described {
                    missing.push(format!("{path}/{key}"));
                }
            }
        }
        for (key, child) in value.as_object().into_iter().flatten() {
            keys(child, &format!("{path}/{key}"), missing);
        }
    }
    for schema in Schema::ALL {
        let value = schema.value();
        assert!(jsonschema::draft7::meta::is_valid(&value), "{}", schema.name());
        assert_eq!(value["$schema"], "http://json-schema.org/draft-07/schema#");
        let mut missing = Vec::new();
        keys(&value, "", &mut missing);
        assert_eq!(missing, [""; 0], "{}", schema.name());
    }
}

#[test]
fn what_the_templates_make_is_valid_and_names_its_schema() {
    for template in [
        &["orchestrator"][..],
        &["orchestrator", "--bare"],
        &["agent"],
        &["tool"],
        &["kb"],
        &["memory"],
        &["environment"],
        &["persona"],
    ] {
        let sandbox = Sandbox::new();
        sandbox.napt(&[&["new"], template, &["fresh", "--yes"]].concat()).expect(0);
        let root = sandbox.work().join("fresh");
        let mut seen = 0;
        for path in files(&root).iter().filter(|path| !path.starts_with(root.join(".napt"))) {
            let Some(schema) = schema_of(path) else { continue };
            let errors: Vec<String> =
                validator(schema).iter_errors(&parsed(path)).map(|error| error.to_string()).collect();
            assert_eq!(errors, [""; 0], "{}", path.display());
            seen += 1;
            let text = fs::read_to_string(path).expect("a file");
            if schema == Schema::Manifest {
                // The way that Taplo finds it, relative to the file.
                let named = text.lines().next().and_then(|line| line.strip_prefix("#:schema ")).expect("a schema");
                let named = path.parent().expect("a folder").join(named);
                assert_eq!(fs::read_to_string(&named).expect("a schema"), schema.text(), "{}", named.display());
            }
        }
        assert!(seen >= 1, "{template:?}: {seen}");
        // The way that editors find those of files that cannot say so.
        let settings = parsed(&root.join(".vscode/settings.json"));
        for entry in settings["json.schemas"].as_array().expect("a list") {
            let schema = root.join(entry["url"].as_str().expect("a URL"));
            let schema = schema_of_schema(&schema);
            let names: Vec<&str> = entry["fileMatch"]
                .as_array()
                .expect("patterns")
                .iter()
                .filter_map(|pattern| pattern.as_str()?.strip_prefix("**/configs/"))
                .collect();
            assert_eq!(names, schema.describes());
        }
        // No package carries them.
        sandbox.napt(&["check", "fresh"]).expect(0);
        let listed = sandbox.napt(&["-C", "fresh", "package", "--list"]).expect(0).stdout;
        assert!(!listed.contains("schemas/") && !listed.contains("lock.json"), "{listed}");
    }
}

#[test]
fn a_module_that_joins_a_workspace_names_the_schema_that_is_there() {
    let sandbox = Sandbox::new();
    sandbox.napt(&["new", "orchestrator", "fresh", "--yes"]).expect(0);
    sandbox.napt(&["-C", "fresh", "new", "agent", "taster", "--in", ".", "--yes"]).expect(0);
    let folder = sandbox.work().join("fresh/modules/taster");
    let text = fs::read_to_string(folder.join("napt.toml")).expect("a manifest");
    let named = text.lines().next().and_then(|line| line.strip_prefix("#:schema ")).expect("a schema");
    assert!(folder.join(named).is_file(), "{text}");
    fs::remove_dir_all(sandbox.work().join("fresh/.napt/schemas")).expect("a folder");
    sandbox.napt(&["-C", "fresh", "new", "agent", "drinker", "--in", ".", "--yes"]).expect(0);
    let text = fs::read_to_string(sandbox.work().join("fresh/modules/drinker/napt.toml")).expect("a manifest");
    assert!(text.starts_with("[module]\n"), "{text}");
}

fn schema_of_schema(path: &Path) -> Schema {
    let text = fs::read_to_string(path).expect("a schema");
    Schema::ALL.into_iter().find(|schema| schema.text() == text).expect("one of ours")
}

/// Changes of the good module: whatever is an error of shape to the check is one to the schema, and nothing else is.
const CHANGES: [(&str, &str, &str); 36] = [
    ("napt.toml", "version =", "verison ="),
    ("napt.toml", "[module]", "[modul]"),
    ("napt.toml", "[module]", "[module.x]"),
    ("napt.toml", "\"orchestrator\"", "\"orchestrater\""),
    ("napt.toml", "\"orchestrator\"", "1"),
    ("napt.toml", "type = \"orchestrator\"", ""),
    ("napt.toml", "version =", "keywords = \"a\"\\nversion ="),
    ("napt.toml", "version =", "keywords = [1]\\nversion ="),
    ("napt.toml", "version =", "publish = false\\nversion ="),
    ("napt.toml", "version =", "publish = [\"a\"]\\nversion ="),
    ("napt.toml", "version =", "publish = 1\\nversion ="),
    ("napt.toml", "version =", "runtime = \"ruby\"\\nversion ="),
    ("napt.toml", "\"^1\"", "{ version = \"^1\" }"),
    ("napt.toml", "\"^1\"", "{ verison = \"^1\" }"),
    ("napt.toml", "\"^1\"", "1"),
    ("napt.toml", "[dependencies]", "[limits]\\nisolation = \"shared\"\\n[dependencies]"),
    ("napt.toml", "[dependencies]", "[limits]\\nisolation = \"none\"\\n[dependencies]"),
    ("napt.toml", "[dependencies]", "[lints]\\nmissing-readme = \"allow\"\\n[dependencies]"),
    ("napt.toml", "[dependencies]", "[lints]\\nmissing-readme = \"off\"\\n[dependencies]"),
    ("napt.toml", "[dependencies]", "[lints]\\nof-another-version = \"allow\"\\n[dependencies]"),
    ("napt.toml", "[dependencies]", "[workspace]\\n[dependencies]"),
    ("debate/configs/deployment.json", "\"max_rounds\": 2", "\"max_rounds\": \"2\""),
    ("debate/configs/deployment.json", "\"max_rounds\": 2", "\"max_rounds\": -2"),
    ("debate/configs/deployment.json", "\"max_rounds\": 2", "\"max_rounds\": 4294967296"),
    ("debate/configs/deployment.json", "\"max_rounds\": 2", "\"max_rounds\": 4294967295"),
    ("debate/configs/deployment.json", "\"max_rounds\": 2", "\"max_rounds\": 2, \"persona_module\": {\"a\": 1}"),
    ("debate/configs/deployment.json", "\"max_rounds\": 2", "\"max_rounds\": 2, \"storage_config\": {\"path\": \"a\"}"),
    ("debate/configs/deployment.json", "\"max_rounds\": 2", "\"max_rouns\": 2"),
    ("debate/configs/deployment.json", "\"node\": {", "\"node\": {\"owner\": \"me\", "),
    ("debate/configs/deployment.json", "\"node\": {", "\"node\": {\"user_communication_port\": 70000, "),
    ("debate/configs/deployment.json", "\"module\": {", "\"module\": {\"module_version\": \"1\", "),
    ("debate/configs/deployment.json", "\"module\": {", "\"module\": {\"verison\": \"1\", "),
    ("debate/configs/deployment.json", "[{\"name\": \"kb_1\"}]", "{\"name\": \"kb_1\"}"),
    ("debate/configs/llm_configs.json", "\"openai\"", "\"opnai\""),
    ("debate/configs/llm_configs.json", "\"max_tokens\": 100", "\"max_tokens\": 1.5"),
    ("debate/configs/llm_configs.json", "\"max_tokens\": 100", "\"zzz\": 1"),
];

#[test]
fn the_schemas_and_the_check_agree() {
    let mut bad = 0;
    for (path, from, to) in CHANGES {
        let m = Module::good();
        m.edit(path, from, to);
        let file = m.sandbox.work().join(path);
        let report = check(&m.sandbox.work(), &Options::default()).expect("a report");
        let of_shape = report.diagnostics.iter().any(|found| {
            ["config-shape", "manifest-shape", "unknown-key"].contains(&found.rule)
                && found.place.file.path.ends_with(path)
        });
        let valid = validator(schema_of(&file).expect("a schema")).is_valid(&parsed(&file));
        assert_eq!(
            valid,
            !of_shape,
            "{path}: {to}\n{:?}",
            report.diagnostics.iter().map(|d| &d.message).collect::<Vec<_>>()
        );
        bad += usize::from(of_shape);
    }
    assert!(bad > 20 && bad < CHANGES.len(), "{bad}");
}

#[test]
fn a_lock_file_is_valid() {
    let id: napt::module::ModuleId = "agent:chat".parse().expect("an id");
    let module = |registry: Option<&str>| napt::resolve::LockedModule {
        id: id.clone(),
        version: "1.2.3".parse().expect("a version"),
        registry: registry.map(str::to_owned),
        git: None,
        sha256: registry.map(|_| "5f".repeat(32)),
        dependencies: vec![id.clone()],
    };
    let lock =
        napt::resolve::Lock { format: 1, modules: vec![module(None), module(Some("https://registry.example/"))] };
    let mut value: Value = toml::from_str(&toml::to_string(&lock).expect("TOML")).expect("TOML");
    assert!(validator(Schema::Lock).is_valid(&value), "{value:#}");
    value["module"][0]["verison"] = "1.2.3".into();
    assert!(!validator(Schema::Lock).is_valid(&value));
}

#[test]
fn schemas_are_printed_and_written() {
    let sandbox = Sandbox::new();
    for (name, schema) in [
        ("manifest", Schema::Manifest),
        ("napt.toml", Schema::Manifest),
        ("deployment", Schema::Deployments),
        ("agent_deployments", Schema::Deployments),
        ("kb_deployments.json", Schema::Deployments),
        ("llm_configs", Schema::LlmConfigs),
        ("napt.lock", Schema::Lock),
    ] {
        assert_eq!(sandbox.napt(&["schema", name]).expect(0).stdout, schema.text(), "{name}");
    }
    let json = sandbox.napt(&["schema", "lock", "--message-format", "json"]).expect(0).json();
    assert_eq!(json["data"]["schema"], Schema::Lock.value());
    sandbox.napt(&["schema", "--out", "a/schemas"]).expect(0);
    for schema in Schema::ALL {
        let path = sandbox.work().join("a/schemas").join(schema.file());
        assert_eq!(fs::read_to_string(path).expect("a schema"), schema.text());
    }
    let ran = sandbox.napt(&["schema", "manifset"]).expect(2);
    assert!(ran.stderr.contains("'manifest'"), "{}", ran.stderr);
    sandbox.napt(&["schema"]).expect(2);
    sandbox.napt(&["schema", "lock", "--out", "x"]).expect(2);
}
