//! Reports, and the levels of the command line.

use std::fs;

use serde_json::Value;

use super::Module;
use crate::support::Sandbox;

#[test]
fn several_reports_are_written_in_one_run() {
    let m = Module::good();
    m.edit("debate/configs/deployment.json", "\"max_rounds\"", "\"max_round\"");
    let ran = m.check(&[
        "--report",
        "sarif=out.sarif",
        "--report",
        "json=out.json",
        "--report=human=out.txt",
        "--report",
        "github",
    ]);
    let ran = ran.expect(3);
    assert!(ran.stdout.starts_with("::error file=debate/configs/deployment.json,line=8,"), "{}", ran.stdout);
    assert!(ran.stderr.starts_with("error: 1 error, 0 warnings in 1 module\n"), "{}", ran.stderr);
    let sarif: Value = serde_json::from_str(&m.read("out.sarif")).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "unknown-key");
    let json: Value = serde_json::from_str(&m.read("out.json")).expect("JSON");
    let enveloped = m.check(&["--message-format", "json"]).expect(3).json();
    assert_eq!(json["diagnostics"], enveloped["data"]["diagnostics"]);
    let human = m.read("out.txt");
    assert!(human.starts_with("error[unknown-key]: unknown key `max_round`\n"), "{human}");
    assert!(human.ends_with("1 error, 0 warnings in 1 module\n") && !human.contains('\u{1b}'), "{human}");
    // Nothing is left beside them, and a later report takes their place.
    assert!(
        !fs::read_dir(m.sandbox.work())
            .expect("a folder")
            .any(|entry| { entry.expect("an entry").file_name().to_string_lossy().starts_with(".napt-") })
    );
    m.edit("debate/configs/deployment.json", "\"max_round\"", "\"max_rounds\"");
    m.check(&["--report", "sarif=out.sarif"]).expect(0);
    let sarif: Value = serde_json::from_str(&m.read("out.sarif")).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"], serde_json::json!([]));
}

#[test]
fn one_report_goes_to_stdout() {
    let m = Module::good();
    m.remove("README.md");
    let ran = m.check(&["--report", "sarif"]).expect(0);
    assert_eq!(ran.json()["version"], "2.1.0");
    assert!(!ran.stderr.contains("missing-readme"), "{}", ran.stderr);
    for arguments in [
        &["--report", "sarif", "--report", "github"][..],
        &["--report", "json", "--message-format", "json"],
        &["--report", "sarif", "--message-format", "github"],
    ] {
        let ran = m.check(arguments).expect(2);
        assert!(ran.stdout.is_empty() || ran.stdout.starts_with('{'), "{}", ran.stdout);
        assert!((ran.stdout + &ran.stderr).contains("only one report can go to stdout"));
    }
    let ran = m.check(&["--report", "sarfi=x"]).expect(2);
    assert!(ran.stderr.contains("did you mean `sarif`?"), "{}", ran.stderr);
    let ran = m.check(&["--report", "sarif="]).expect(2);
    assert!(ran.stderr.contains("a file's name"), "{}", ran.stderr);
    let ran = m.check(&["--report", "sarif=no/such/folder.sarif"]).expect(1);
    assert!(ran.stderr.contains("cannot write"), "{}", ran.stderr);
}

/// What the schema of SARIF 2.1.0 asks of what napt writes: required keys, allowed values, indices that fit.
fn assert_is_sarif(log: &Value) {
    let only = |value: &Value, keys: &[&str]| {
        for key in value.as_object().expect("an object").keys() {
            assert!(keys.contains(&key.as_str()), "`{key}` in {value}");
        }
    };
    only(log, &["$schema", "version", "runs"]);
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    only(run, &["tool", "invocations", "columnKind", "results", "originalUriBaseIds"]);
    assert!(["utf16CodeUnits", "unicodeCodePoints"].contains(&run["columnKind"].as_str().expect("text")));
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let base = run["originalUriBaseIds"]["SRCROOT"]["uri"].as_str().expect("a URI");
    assert!(base.starts_with("file:///") && base.ends_with('/'), "{base}");
    let driver = &run["tool"]["driver"];
    only(driver, &["name", "semanticVersion", "rules"]);
    let rules = driver["rules"].as_array().expect("rules");
    for rule in rules {
        only(rule, &["id", "shortDescription", "fullDescription", "help", "defaultConfiguration"]);
        for text in [&rule["id"], &rule["shortDescription"]["text"], &rule["help"]["text"], &rule["help"]["markdown"]] {
            assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{rule}");
        }
        let level = rule["defaultConfiguration"]["level"].as_str().expect("a level");
        assert!(["none", "note", "warning", "error"].contains(&level));
    }
    let region = |region: &Value| {
        let number = |key: &str| region[key].as_u64();
        assert!(number("startLine").is_some_and(|line| line >= 1), "{region}");
        if let (Some(start), Some(end)) = (number("startColumn"), number("endColumn")) {
            assert!(start >= 1 && (number("startLine"), start) <= (number("endLine"), end), "{region}");
        }
    };
    let artifact = |artifact: &Value| {
        let uri = artifact["uri"].as_str().expect("a URI");
        assert!(!uri.starts_with('/') && !uri.contains([' ', ':', '\\']) && !uri.is_empty(), "{uri}");
        assert!(uri.is_ascii(), "{uri}");
        assert_eq!(artifact["uriBaseId"], "SRCROOT");
    };
    for result in run["results"].as_array().expect("results") {
        only(result, &["ruleId", "ruleIndex", "level", "message", "locations", "relatedLocations", "fixes"]);
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("a small one");
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["warning", "error"].contains(&result["level"].as_str().expect("a level")));
        assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
        for location in
            [&result["locations"], &result["relatedLocations"]].into_iter().filter_map(Value::as_array).flatten()
        {
            region(&location["physicalLocation"]["region"]);
            artifact(&location["physicalLocation"]["artifactLocation"]);
        }
        for change in result["fixes"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|fix| fix["artifactChanges"].as_array().expect("changes"))
        {
            artifact(&change["artifactLocation"]);
            region(&change["replacements"][0]["deletedRegion"]);
        }
    }
}

#[test]
fn sarif_is_as_its_schema_says() {
    let m = super::bad();
    m.remove("README.md");
    m.write(
        "debate/configs/kb_deployments.json",
        "[{\"name\": \"kb_1\", \"module\": {\"name\": \"agent:fäcts\"}, \"nmae\": \"ü\"}]",
    );
    let ran = m.check(&["--report", "sarif"]).expect(3);
    let sarif = ran.json();
    assert_is_sarif(&sarif);
    assert!(sarif["runs"][0]["results"].as_array().expect("results").len() >= 7, "{sarif}");
    assert_is_sarif(&Module::good().check(&["--report", "sarif"]).expect(0).json());
}

#[test]
fn sarif_paths_are_those_of_the_repository_and_quoted() {
    let sandbox = Sandbox::new();
    sandbox.write(".git/HEAD", "ref: refs/heads/main\n");
    sandbox.write("a b/c:d/é/napt.toml", "[module]\ntype = \"persona\"\nname = \"x\"\nversion = \"1.0\"\n");
    let sarif = sandbox.napt(&["check", "a b/c:d/é", "--report", "sarif"]).expect(3).json();
    assert_is_sarif(&sarif);
    let location = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], "a%20b/c%3Ad/%C3%A9/napt.toml");
    let region = &location["region"];
    assert_eq!((&region["startLine"], &region["startColumn"]), (&1.into(), &2.into()), "{sarif:#}");
}

#[test]
fn a_secret_is_in_no_report() {
    let m = Module::good();
    // Put together here, so that no scanner takes this file for a leak.
    let key = ["sk-", "proj-Zx81Qm22Lw93Er44Ty55"].concat();
    m.edit(
        "debate/configs/llm_configs.json",
        "\"max_tokens\": 100",
        &format!("\"max_tokens\": \"{key}\", \"optoins\": {{\"api_key\": \"correct horse battery\"}}"),
    );
    m.append("napt.toml", &format!("[limits]\ntimeout = \"{key}\"\n"));
    for format in ["human", "json", "sarif", "github"] {
        let ran = m.check(&["--report", &format!("{format}=out")]).expect(3);
        let text = m.read("out") + &ran.stderr;
        assert!(!text.contains("Zx81") && !text.contains("correct horse"), "{format}: {text}");
    }
}

#[test]
fn levels_are_set_on_the_command_line() {
    let m = Module::good();
    m.remove("README.md");
    let is = |arguments: &[&str], code: i32, level: &str| {
        let told = m.check(arguments).expect(code).stderr;
        assert_eq!(told.contains(&format!("{level}[missing-readme]")), !level.is_empty(), "{arguments:?}\n{told}");
        assert_eq!(told.contains("[missing-readme]"), !level.is_empty(), "{arguments:?}\n{told}");
    };
    is(&[], 0, "warning");
    is(&["-D", "missing-readme"], 3, "error");
    is(&["-D", "warnings"], 3, "error");
    is(&["-D", "warnings", "-W", "missing-readme"], 0, "warning");
    is(&["-D", "warnings", "-A", "missing-readme"], 0, "");
    m.append("napt.toml", "[lints]\nmissing-readme = \"deny\"\n");
    is(&[], 3, "error");
    is(&["--warn", "missing-readme"], 0, "warning");
    is(&["--allow", "missing-readme"], 0, "");
    let ran = m.check(&["-A", "missing-readem"]).expect(2);
    assert!(ran.stderr.contains("did you mean `missing-readme`?"), "{}", ran.stderr);
    let ran = m.check(&["-A", "missing-readme", "-D", "missing-readme"]).expect(2);
    assert!(ran.stderr.contains("is given two levels"), "{}", ran.stderr);
}

#[test]
fn a_members_levels_win_over_the_workspaces() {
    let sandbox = Sandbox::new();
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"*\"]\n[lints]\nmissing-readme = \"deny\"\n");
    for (name, lints) in
        [("a", ""), ("b", "[lints]\nmissing-readme = \"allow\"\n"), ("c", "[lints]\nmissing-readme = \"warn\"\n")]
    {
        let module = "[module]\ntype = \"persona\"\nversion = \"0.1.0\"\nentrypoint = \"a.json\"\n";
        let manifest = format!("{module}name = \"{name}\"\n{lints}");
        sandbox.write(format!("{name}/a.json"), "{}");
        sandbox.write(format!("{name}/napt.toml"), manifest);
    }
    let ran = sandbox.napt(&["check", "--message-format", "json"]).expect(3).json();
    let found: Vec<(&str, &str)> = ran["data"]["diagnostics"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|found| (found["file"].as_str().expect("a file"), found["level"].as_str().expect("a level")))
        .collect();
    assert_eq!(found, [("a/napt.toml", "error"), ("c/napt.toml", "warning")]);
    // A member on its own has the workspace's levels too.
    sandbox.napt(&["check", "a"]).expect(3);
    sandbox.napt(&["check", "b"]).expect(0);
    sandbox.napt(&["check", "c"]).expect(0);
}
