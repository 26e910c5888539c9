//! `docs/security.md` names every attack and every test that it speaks of, and no others.

use std::{collections::BTreeSet, path::Path};

const PAGE: &str = "docs/security.md";

#[test]
fn the_page_names_all_attacks_and_what_it_names_is_there() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).expect("a page");
    let attacks: BTreeSet<&str> = super::all().iter().map(|attack| attack.name).collect();
    assert!(attacks.len() >= 60, "{} attacks", attacks.len());
    let tests = crate::naptha_page::tests();
    let mut named = BTreeSet::new();
    let mut rows = 0;
    let mut is_threats = false;
    for line in page.lines() {
        is_threats = line.starts_with("| threat |") || is_threats && line.starts_with('|');
        if !is_threats || line.starts_with("| threat |") || line.starts_with("| --- ") {
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, mechanism, seen] = cells[..] else { panic!("three cells: {line}") };
        rows += 1;
        assert!(!mechanism.is_empty(), "no mechanism: {line}");
        let names: Vec<&str> = seen.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows it: {line}");
        for name in names {
            assert!(attacks.contains(name) || tests.contains_key(name), "there is no `{name}`: {line}");
            named.insert(name);
        }
    }
    assert!(rows > 20, "{rows} rows");
    let missing: Vec<_> = attacks.difference(&named).collect();
    assert!(missing.is_empty(), "{PAGE} does not say what stops {missing:?}");
}
