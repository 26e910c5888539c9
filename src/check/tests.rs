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
