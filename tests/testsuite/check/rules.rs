//! What every rule has: tests that show it, an example that is true, a page in the book.

use std::fs;

use napt::check::{Options, Part, RULES, Rule, check};
use snapbox::assert_data_eq;

use crate::support::Sandbox;

/// The tests of rules, one function or more for each.
const TESTS: [&str; 5] = [
    include_str!("code.rs"),
    include_str!("configs.rs"),
    include_str!("dependencies.rs"),
    include_str!("environment.rs"),
    include_str!("manifest.rs"),
];

/// The body of the test function of that name.
fn body(name: &str) -> Option<&'static str> {
    let start = format!("#[test]\nfn {name}() {{\n");
    let rest = TESTS.iter().find_map(|file| file.split_once(&start))?.1;
    rest.split_once("\n}\n").map(|(body, _)| body)
}

#[test]
fn every_rule_has_a_hit_with_its_place_and_a_near_miss() {
    let mut lacking = Vec::new();
    for rule in RULES {
        let name = rule.name.replace('-', "_");
        let Some(body) = body(&name) else {
            lacking.push(format!("there is no test `{name}`"));
            continue;
        };
        let is_shown = ["error", "warning"].iter().any(|level| body.contains(&format!("\n{level}[{}]: ", rule.name)));
        if !is_shown || !body.contains("--> ") {
            lacking.push(format!("`{name}` does not show what the rule finds, and where"));
        }
        let near_miss = body.split_once("Module::good()").and_then(|(_, rest)| rest.split_once(".passes();"));
        if !near_miss.is_some_and(|(changes, _)| changes.contains("m.") && !changes.contains("told(")) {
            lacking.push(format!("`{name}` has no near miss"));
        }
    }
    assert_eq!(lacking, [""; 0]);
}

/// A module in which nothing is wrong, for examples to lie over.
const BASE: [(&str, &str); 6] = [
    ("napt.toml", "[module]\ntype = \"orchestrator\"\nname = \"debate\"\nversion = \"0.1.0\"\n"),
    (
        "pyproject.toml",
        "[project]\nname = \"debate\"\nversion = \"0.1.0\"\nrequires-python = \">=3.10\"\n\
         dependencies = [\"naptha-sdk~=1.0.5\"]\n",
    ),
    ("README.md", "# debate\n"),
    ("debate/run.py", "async def run(module_run: dict):\n    return \"done\"\n"),
    ("debate/schemas.py", "class InputSchema:\n    pass\n"),
    ("debate/configs/deployment.json", "[{\"name\": \"deployment_1\"}]\n"),
];

/// The names of the rules that find something, errors first.
fn found(rule: &Rule, parts: &[Part]) -> (Vec<&'static str>, usize) {
    let sandbox = Sandbox::new();
    for (path, text) in BASE {
        sandbox.write(format!("debate/{path}"), text);
    }
    for part in parts {
        match part {
            Part::File(path, text) => {
                sandbox.write(format!("debate/{path}"), format!("{text}\n"));
            }
            Part::Without(path) => fs::remove_file(sandbox.work().join("debate").join(path)).expect("a file"),
        }
    }
    let report = check(&sandbox.work().join("debate"), &Options::default()).expect("a report");
    assert!(
        !report.diagnostics.iter().any(|found| found.rule == rule.name && !found.fix.is_empty()) || rule.fix.is_some()
    );
    (report.diagnostics.iter().map(|found| found.rule).collect(), report.errors())
}

#[test]
fn every_example_is_true() {
    let (base, _) = found(RULES[0], &[]);
    assert_eq!(base, [""; 0]);
    for rule in RULES {
        let (bad, _) = found(rule, rule.example.bad);
        assert!(bad.contains(&rule.name), "{}: the bad example shows {bad:?}", rule.name);
        let (good, errors) = found(rule, rule.example.good);
        assert!(!good.contains(&rule.name) && errors == 0, "{}: the good example shows {good:?}", rule.name);
    }
}

#[test]
fn what_a_rule_says_about_its_fix_is_true() {
    let makes_fixes: Vec<&str> = RULES.iter().filter(|rule| rule.fix.is_some()).map(|rule| rule.name).collect();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/check/rules");
    for rule in RULES {
        let text = fs::read_to_string(format!("{source}/{}.rs", rule.name.replace('-', "_"))).expect("a rule's file");
        assert_eq!(text.contains(".fix("), makes_fixes.contains(&rule.name), "{}", rule.name);
        let tests = include_str!("fix.rs");
        let is_tested = tests.contains(&format!("fn {}()", rule.name.replace('-', "_")));
        assert_eq!(is_tested, makes_fixes.contains(&rule.name), "a test of the fix of {}", rule.name);
    }
}

#[test]
fn the_book_lists_every_rule() {
    let mut book = String::from(
        "# Rules of `napt check`\n\nMade from the rules themselves; `napt explain RULE` says the same. Each rule has a level: \
         `deny` is an error and fails\nthe check, `warn` is a warning, `allow` is silent. [Checking](check.md) says how to set \
         them.\n\n| rule | level | `--fix` | finds |\n| --- | --- | --- | --- |\n",
    );
    for rule in RULES {
        let fix = if rule.fix.is_some() { "yes" } else { "" };
        book += &format!("| [`{0}`](#{0}) | {1} | {fix} | {2} |\n", rule.name, rule.level_name(), rule.summary);
    }
    for rule in RULES {
        book += &format!("\n## {}\n\n{}", rule.name, rule.page());
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md");
    assert_data_eq!(book, snapbox::Data::read_from(path.as_ref(), None).raw());
}

#[test]
fn rules_explain_themselves() {
    let sandbox = Sandbox::new();
    let listed = sandbox.napt(&["explain"]).expect(0).stdout;
    for rule in RULES {
        assert!(listed.lines().any(|line| line.starts_with(rule.name) && line.ends_with(rule.summary)), "{listed}");
        assert!(sandbox.napt(&["explain", rule.name]).expect(0).stdout.contains(rule.page().trim_end()));
    }
    let ran = sandbox.napt(&["explain", "unknown-keys"]).expect(2);
    assert_eq!(ran.stderr, "error: there is no rule `unknown-keys`\n\nhint: did you mean `unknown-key`?\n");
    let ran = sandbox.napt(&["explain", "zzz"]).expect(2);
    assert!(ran.stderr.contains("`napt explain` lists all rules"), "{}", ran.stderr);
    let json = sandbox.napt(&["explain", "max-rounds", "--message-format", "json"]).expect(0).json();
    assert_eq!(json["data"]["bad"][0]["path"], "debate/configs/deployment.json");
    assert_eq!((&json["data"]["level"], &json["data"]["fix"]), (&"deny".into(), &serde_json::Value::Null));
}
