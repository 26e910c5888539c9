//! The pages of reference are made from the code, or compared with it. `SNAPSHOTS=overwrite` writes what is made.

use std::{collections::BTreeSet, fmt::Write, path::Path};

use napt::{check::Schema, report::Kind};
use serde_json::Value;
use snapbox::{Data, assert_data_eq};

use crate::support::{Sandbox, console};

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares a page with what it should be.
fn assert_page(path: &str, text: String) {
    assert_data_eq!(text, Data::read_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path), None).raw());
}

/// Compares the parts of a page that are made, each between `<!-- made: NAME -->` and `<!-- end -->`.
fn assert_parts(path: &str, parts: &[(&str, String)]) {
    let mut text = file(path);
    let marks = text.matches("<!-- made: ").count();
    assert_eq!(marks, parts.len(), "the made parts of {path}");
    for (name, part) in parts {
        let (before, rest) = text
            .split_once(&format!("<!-- made: {name} -->\n"))
            .unwrap_or_else(|| panic!("{path} has no part `{name}`"));
        let (_, after) = rest.split_once("<!-- end -->").expect("its end");
        text = format!("{before}<!-- made: {name} -->\n\n{}\n\n<!-- end -->{after}", part.trim_end());
    }
    assert_page(path, text);
}

/// The words of every command, also of those within commands.
fn commands() -> Vec<Vec<String>> {
    fn collect(command: &clap::Command, words: &[String], found: &mut Vec<Vec<String>>) {
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let words = [words, &[inner.get_name().to_owned()]].concat();
            found.push(words.clone());
            collect(inner, &words, found);
        }
    }
    let mut found = Vec::new();
    collect(&napt::cli::command(), &[], &mut found);
    found
}

/// A help text without what every command has.
fn own(help: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut is_left_out = false;
    for line in help.lines().map(str::trim_end) {
        if !line.is_empty() && !line.starts_with(' ') {
            is_left_out = line == "Global options:";
        } else if line.starts_with("  -h, --help") || line.starts_with("  -V, --version") {
            is_left_out = true;
        }
        if !is_left_out {
            lines.push(line);
        }
    }
    // A heading that nothing is left of.
    lines.join("\n").replace("\n\nOptions:\nExamples:", "\n\nExamples:").trim_end().to_owned()
}

#[test]
fn every_command_has_help_with_examples_and_is_in_the_book() {
    let sandbox = Sandbox::new();
    let mut text = String::from(
        "# Commands\n\nWhat `--help` says; made from it. Every command also has `-h`, `--help`, `-V`, `--version` and the \
         global options, which stand at\n[`napt`](#napt) alone.\n",
    );
    let help = |arguments: &[&str]| {
        let ran = sandbox.napt(arguments).expect(0);
        let (_, examples) = ran.stdout.split_once("\nExamples:\n").expect("examples");
        assert!(console::understands(examples) > 0 || arguments.contains(&"completions"), "{arguments:?}\n{examples}");
        assert_eq!(ran.stderr, "");
        ran.stdout
    };
    let main = help(&["--help"]);
    assert!(!main.contains("More:"), "a command is in no group of src/cli/help.rs\n{main}");
    let lines: Vec<&str> = main.lines().map(str::trim_end).collect();
    text += &format!("\n## napt\n\n```text\n{}\n```\n", lines.join("\n"));
    for words in commands() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let help = own(&help(&[words.as_slice(), &["--help"]].concat()));
        text += &format!("\n#{} napt {}\n\n```text\n{help}\n```\n", "#".repeat(words.len()), words.join(" "));
    }
    assert_page("docs/commands.md", text);
}

/// Where the configuration page has the tables that others refer to.
const SECTIONS: [(&str, &str); 7] = [
    ("Deployment", "a-deployment"),
    ("NodeEntry", "node"),
    ("ModuleEntry", "module"),
    ("DeploymentConfig", "config"),
    ("LlmConfig", "a-language-model"),
    ("StorageConfig", "storage_config"),
    ("DataGenerationConfig", "data_generation_config"),
];

/// What may stand there, as the schema has it.
fn type_of(property: &Value, schema: &Value) -> String {
    let choices = |list: &Value| {
        let types: Vec<String> = list
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| type_of(one, schema))
            .filter(|one| one != "null")
            .collect();
        types.join(" or ")
    };
    if let Some(name) = property["$ref"].as_str() {
        let name = name.rsplit('/').next().expect("a name");
        let definition = &schema["definitions"][name];
        return match definition["type"].as_str() {
            Some("object") => format!("[object](#{})", SECTIONS.iter().find(|one| one.0 == name).expect("a section").1),
            _ => type_of(definition, schema),
        };
    }
    if property["allOf"].is_array() {
        return choices(&property["allOf"]);
    }
    if property["anyOf"].is_array() {
        return choices(&property["anyOf"]);
    }
    if let Some(words) = property["oneOf"].as_array() {
        let words = words.iter().map(|word| format!("`{}`", word["const"].as_str().expect("a word")));
        return words.collect::<Vec<_>>().join(", ");
    }
    if let Some(words) = property["enum"].as_array() {
        let words = words.iter().map(|word| format!("`{}`", word.as_str().expect("a word")));
        return words.collect::<Vec<_>>().join(", ");
    }
    let one = |name: &str| match name {
        "array" => format!("list of {}", plural(&type_of(&property["items"], schema))),
        "string" => "text".to_owned(),
        "object" => "object".to_owned(),
        name => name.to_owned(),
    };
    match &property["type"] {
        Value::String(name) => one(name),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null").map(one);
            names.collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    }
}

fn plural(what: &str) -> String {
    match what.split_once("[object]") {
        Some((_, link)) => format!("[objects]{link}"),
        None => format!("{what}s"),
    }
}

/// A table of the keys of one of a schema's definitions; those of Naptha's records that napt does not read are left out.
fn keys(schema: &Value, definition: &str) -> String {
    let object = &schema["definitions"][definition];
    let needed: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut rows = Vec::new();
    for (key, property) in object["properties"].as_object().expect("properties") {
        let Some(meaning) = property["description"].as_str() else { continue };
        let default = match &property["default"] {
            _ if needed.contains(&key.as_str()) => "needed".to_owned(),
            Value::Null => String::new(),
            Value::String(text) => format!("`{text}`"),
            value => format!("`{value}`"),
        };
        let example = match &property["examples"][0] {
            Value::Null => String::new(),
            value => format!(" Example: `{value}`."),
        };
        let meaning = format!("{}{example}", meaning.replace('\n', " "));
        rows.push([format!("`{key}`"), type_of(property, schema), default, meaning]);
    }
    let has_defaults = rows.iter().any(|row| !row[2].is_empty());
    let head = ["key", "type", "default", "meaning"].map(str::to_owned);
    let mut table = String::new();
    for row in [vec![head, ["---"; 4].map(str::to_owned)], rows].concat() {
        let cells = row.iter().enumerate().filter(|(at, _)| has_defaults || *at != 2).map(|(_, cell)| cell.as_str());
        writeln!(table, "| {} |", cells.collect::<Vec<_>>().join(" | ")).expect("a string");
    }
    table
}

/// The words of a choice, with what each means.
fn words(schema: &Value, definition: &str) -> String {
    let mut list = String::new();
    for word in schema["definitions"][definition]["oneOf"].as_array().expect("words") {
        let meaning = word["description"].as_str().expect("a description");
        writeln!(list, "- `{}`: {meaning}", word["const"].as_str().expect("a word")).expect("a string");
    }
    list
}

#[test]
fn the_manifest_page_has_every_key() {
    let schema = Schema::Manifest.value();
    let mut sections = String::from("| section | meaning |\n| --- | --- |\n");
    for (key, property) in schema["properties"].as_object().expect("properties") {
        let meaning = property["description"].as_str().expect("a description");
        writeln!(sections, "| [`[{key}]`](#{key}) | {meaning} |").expect("a string");
    }
    assert_parts(
        "docs/manifest.md",
        &[
            ("sections", sections),
            ("module", keys(&schema, "ModuleTable")),
            ("types", words(&schema, "ModuleType")),
            ("runtimes", words(&schema, "Runtime")),
            ("dependencies", keys(&schema, "DependencyTable")),
            ("limits", keys(&schema, "LimitsTable")),
            ("isolation", words(&schema, "Isolation")),
            ("permissions", keys(&schema, "PermissionsTable")),
            ("lints", words(&schema, "LintLevel")),
            ("workspace", keys(&schema, "WorkspaceTable")),
        ],
    );
}

#[test]
fn the_configuration_page_has_every_key() {
    let schema = Schema::Deployments.value();
    let mut files = String::new();
    for kind in [Schema::Deployments, Schema::LlmConfigs] {
        for name in kind.describes() {
            writeln!(files, "- `{name}`").expect("a string");
        }
    }
    assert_parts(
        "docs/configuration.md",
        &[
            ("files", files),
            ("deployment", keys(&schema, "Deployment")),
            ("node", keys(&schema, "NodeEntry")),
            ("module", keys(&schema, "ModuleEntry")),
            ("config", keys(&schema, "DeploymentConfig")),
            ("llm_config", keys(&schema, "LlmConfig")),
            ("storage_config", keys(&schema, "StorageConfig")),
            ("data_generation_config", keys(&schema, "DataGenerationConfig")),
        ],
    );
}

#[test]
fn the_book_has_every_exit_code() {
    let mut table = String::from("| code | kind | when |\n| --- | --- | --- |\n");
    table += "| 0 | - | it is done; also when the reader of the output has gone, as in `napt runs \\| head -0` |\n";
    for kind in Kind::ALL {
        let name = serde_json::to_value(kind).expect("JSON");
        let (code, name) = (kind.exit_code(), name.as_str().expect("a name"));
        writeln!(table, "| {code} | `{name}` | {} |", kind.meaning()).expect("a string");
    }
    assert_parts("docs/exit-codes.md", &[("codes", table)]);
}

#[test]
fn the_book_has_every_environment_variable() {
    let source = file("src/context/environment.rs");
    // Names are the only texts of capital letters in that file.
    let is_name = |text: &&str| {
        text.len() > 1
            && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            && text.starts_with(char::is_alphabetic)
    };
    let read: BTreeSet<&str> = source.split('"').skip(1).step_by(2).filter(is_name).collect();
    let page = file("docs/environment.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split('`').next());
    let listed: BTreeSet<&str> = rows.map(|name| name.trim_end_matches('*')).collect();
    assert!(read.contains("NAPT_HOME") && read.contains("UV_"), "{read:?}");
    assert_eq!(listed, read);
}

/// The cells of the tables of a page, each without its bars.
fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// What stands between backticks.
fn codes(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_book_has_every_setting_and_its_default() {
    let listed = Sandbox::new().napt(&["config", "--message-format", "json"]).expect(0).json();
    let settings = listed["data"]["settings"].as_array().expect("settings");
    let text = |value: &Value| value.as_str().map(|text| format!("`{text}`"));
    let expected: Vec<_> = settings.iter().map(|one| (text(&one["key"]), text(&one["value"]))).collect();
    let page = file("docs/settings.md");
    let found: Vec<_> = rows(&page)
        .skip(1)
        .map(|row| (Some(row[0].to_owned()), Some(row[4].to_owned()).filter(|default| default.starts_with('`'))))
        .collect();
    assert!(expected.len() > 3, "{listed}");
    assert_eq!(BTreeSet::from_iter(found), BTreeSet::from_iter(expected));
}

#[test]
fn the_book_has_every_kind_of_damage() {
    let page = file("docs/operations.md");
    let (_, rest) = page.split_once("### Of a registry").expect("a section");
    let (of_registry, rest) = rest.split_once("### Of a node").expect("a section");
    let (of_node, _) = rest.split_once("### When there is").expect("a section");
    for (section, sources) in
        [(of_registry, vec!["src/registry/fsck.rs"]), (of_node, vec!["src/node/fsck.rs", "src/node/store/inspect.rs"])]
    {
        let told: BTreeSet<String> = sources
            .into_iter()
            .flat_map(|path| {
                let source = file(path);
                let calls = source.split("problem(").skip(1).chain(source.split("note(").skip(1));
                let kinds = calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next());
                kinds.map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        let in_tables: BTreeSet<String> = rows(section).flat_map(|row| codes(row[0])).collect();
        let (_, notes) = section.split_once("\nNotes: ").expect("the notes");
        let in_notes = codes(notes).into_iter().filter(|code| told.contains(code)).collect();
        assert_eq!(&in_tables | &in_notes, told);
    }
}

#[test]
fn the_book_has_every_refusal_of_a_registry() {
    let source = file("src/registry/refusal.rs");
    let told: BTreeSet<(String, String)> = source
        .split('(')
        .filter_map(|tuple| {
            let (status, rest) = tuple.split_once(", \"")?;
            status.parse::<u16>().ok()?;
            Some((status.to_owned(), rest.split('"').next()?.to_owned()))
        })
        .collect();
    let page = file("docs/registry.md");
    let (_, table) = page.split_once("| status | `type` ends in |").expect("a table");
    let listed: BTreeSet<(String, String)> = rows(table)
        .flat_map(|row| {
            // A row of two kinds has two statuses.
            let statuses: Vec<&str> = row[0].split(", ").collect();
            let kinds = row[1].split(", ").map(|kind| kind.trim_matches('`').to_owned()).enumerate();
            kinds.map(|(at, kind)| (statuses[at.min(statuses.len() - 1)].to_owned(), kind)).collect::<Vec<_>>()
        })
        .collect();
    assert!(told.len() > 15, "{told:?}");
    assert_eq!(listed, told);
}

#[test]
fn the_json_page_has_every_command_and_every_event_of_dev() {
    let page = file("docs/json.md");
    let (events, data) = page.split_once("## What is in `data`").expect("a section");
    let listed: BTreeSet<String> = rows(data).skip(1).flat_map(|row| codes(row[0])).collect();
    let all = commands().into_iter().filter(|words| words.len() == 1).flatten();
    assert_eq!(listed, all.collect());

    let (_, events) = events.split_once("| event |").expect("a table");
    let listed: BTreeSet<String> = rows(events).flat_map(|row| codes(row[0])).collect();
    let source = file("src/cli/dev.rs");
    // Each is what an arm gives.
    let names = source.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next());
    let told: BTreeSet<String> = names.map(str::to_owned).collect();
    // The text before the table has the first one.
    assert_eq!(&listed | &["listening".to_owned()].into(), told);
}

#[test]
fn the_page_on_templates_has_every_choice() {
    let page = file("docs/templates.md");
    let (_, table) = page.split_once("| type | what it makes |").expect("a table");
    let (table, _) = table.split_once("\n\n").expect("its end");
    let mut listed = Vec::new();
    for row in rows(table) {
        let name = row[0].trim_matches('`').replace(" --bare", "_bare").replace(" --lang ", "_");
        let template: toml::Value = toml::from_str(&file(&format!("templates/{name}/template.toml"))).expect("TOML");
        let variables = template["variables"].as_array().expect("variables");
        let names = variables.iter().map(|variable| variable["name"].as_str().expect("a name").to_owned());
        let own: BTreeSet<String> = names.filter(|name| !["description", "author"].contains(&name.as_str())).collect();
        assert_eq!(row.get(2).map(|cell| codes(cell)).unwrap_or_default(), own, "{name}");
        listed.push(name);
    }
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("templates")).expect("a folder");
    let names = folders.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let all: BTreeSet<String> = names.filter(|name| name != "shared").collect();
    assert_eq!(BTreeSet::from_iter(listed), all);
}
