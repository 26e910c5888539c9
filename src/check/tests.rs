//! Whatever the files hold, a check ends with a report that can be shown.

use proptest::prelude::*;

use super::*;

const DEPLOYMENT: &str = r#"[{"name": "é", "module": {"name": "m"}, "config": {"llm_config": {"config_name": "ü"}}, "agent_deployments": [{"name": "a"}, {}]}]"#;
const MANIFEST: &str =
    "[module]\ntype = \"agent\"\nname = \"m\"\nversion = \"1.0\"\n[dependencies]\n\"kb:ß\" = \"^\"\n";
const CODE: &str = "@d\nasync def run(module_run: 'é', /, *, x=1, **k):\n    return f\"{x!r}\"\n";

/// A good text of which a part is replaced by bytes that parsers stumble over.
fn spoilt(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![
        proptest::sample::select(vec![
            "\"", "[", "]", "{", "}", ",", ":", "'", "#", "\n", "\u{feff}", "é", "\0", "(", "=", "..", "sk-"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    (0..=text.len(), 0..20usize, prop::collection::vec(bytes, 0..3)).prop_map(move |(at, length, parts)| {
        let mut spoilt = text.as_bytes().to_vec();
        let end = (at + length).min(spoilt.len());
        spoilt.splice(at..end, parts.concat());
        spoilt
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_breaks_the_check(
        manifest in spoilt(MANIFEST),
        deployment in spoilt(DEPLOYMENT),
        code in spoilt(CODE),
        pyproject in spoilt("[project]\nname = 'm'\nrequires-python = '>=3.13'\ndependencies = ['naptha-sdk']\n"),
    ) {
        let folder = tempfile::TempDir::new().expect("a folder");
        fs_err::create_dir_all(folder.path().join("m/configs")).expect("folders");
        for (path, bytes) in [
            ("napt.toml", &manifest),
            ("pyproject.toml", &pyproject),
            ("m/run.py", &code),
            ("m/configs/deployment.json", &deployment),
            ("m/configs/llm_configs.json", &deployment),
        ] {
            fs_err::write(folder.path().join(path), bytes).expect("a file");
        }
        let report = check(folder.path(), &Options::default()).expect("a report");
        prop_assert!(!report.diagnostics.is_empty());
        render::human(&report.diagnostics, &report.root);
        render::github(&report.diagnostics, &report.root);
        render::json(&report, &report.root);
    }
}

/// Faults that `--fix` mends, faults that it does not, and changes that are none. Each is a part of a file and what comes
/// in its place; what an earlier one has taken away stays as it is.
const FAULTS: [(&str, &str, &str); 22] = [
    ("napt.toml", "\"1.0\"", "\"v1.0.0+x\""),
    ("napt.toml", "version =", "verison ="),
    ("napt.toml", "[module]", "[modul]"),
    ("napt.toml", "type = \"agent\"", "type = \"Agent\"\nkeywords = \"a\""),
    ("napt.toml", "\"kb:ß\" = \"^\"", "\"kb:facts\" = \">=1 <2\""),
    ("napt.toml", "[dependencies]", "[dependancies]"),
    ("napt.toml", "[dependencies]", "[lints]\nmissing-readm = \"deny\"\n[dependencies]"),
    ("napt.toml", "\"^\"", "{ version = \"1\" }"),
    ("m/configs/deployment.json", "{\"name\": \"a\"}", "{\"name\": \"a\",}, // é"),
    (
        "m/configs/deployment.json",
        "\"config\": {",
        "\"config\": {\"storage_type\": \"db\", \"schema\": {}, \"path\": \"é\", ",
    ),
    ("m/configs/deployment.json", "\"config\": {", "\"config\": {\"storage_type\": \"db\", "),
    ("m/configs/deployment.json", "\"config\": {", "\"config\": {\"max_rounds\": \"3\", "),
    ("m/configs/deployment.json", "\"config\": {", "\"config\": {\"max_rouds\": [], "),
    ("m/configs/deployment.json", "\"config\"", "\"confg\""),
    ("m/configs/deployment.json", "\"module\": {\"name\": \"m\"}", "\"node\": {}, \"module\": {\"name\": \"old\"}"),
    ("m/configs/deployment.json", "\"module\"", "\"modul\""),
    ("m/configs/deployment.json", "{}", "{\"node\": {}}"),
    ("m/configs/deployment.json", "{}", "{\"module\": {\"name\": \"other\"}}"),
    ("m/configs/deployment.json", "\"agent_deployments\"", "\"agent_deployment\""),
    ("m/configs/deployment.json", "[{", "[/* x */ {"),
    ("pyproject.toml", "naptha-sdk", "naptha-sdk~=1.0.5"),
    ("m/run.py", "module_run", "inputs"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_fixed_project_has_no_more_errors_and_nothing_more_to_fix(
        faults in prop::collection::vec(proptest::sample::select(FAULTS.to_vec()), 0..8),
        broken in prop::option::of(spoilt(DEPLOYMENT)),
    ) {
        let folder = tempfile::TempDir::new().expect("a folder");
        fs_err::create_dir_all(folder.path().join("m/configs")).expect("folders");
        let pyproject = "[project]\nname = 'm'\nversion = '1.0'\ndependencies = ['naptha-sdk']\n";
        for (path, text) in [
            ("napt.toml", MANIFEST),
            ("pyproject.toml", pyproject),
            ("m/run.py", CODE),
            ("m/configs/deployment.json", DEPLOYMENT),
        ] {
            let mut text = text.to_owned();
            for (_, from, to) in faults.iter().filter(|(of, ..)| *of == path) {
                text = text.replacen(from, to, 1);
            }
            fs_err::write(folder.path().join(path), text).expect("a file");
        }
        if let Some(broken) = broken {
            fs_err::write(folder.path().join("m/configs/kb_deployments.json"), broken).expect("a file");
        }
        let before = check(folder.path(), &Options::default()).expect("a report");
        let fixed = fix(folder.path(), &Options::default(), true).expect("a report");
        prop_assert!(fixed.report.errors() <= before.errors(), "{:?}", fixed.mended);
        prop_assert!(fixed.mended.is_empty() == (before.fixable() == 0) || fixed.report.fixable() > 0);
        let again = fix(folder.path(), &Options::default(), true).expect("a report");
        prop_assert_eq!(again.mended, vec![]);
    }
}
