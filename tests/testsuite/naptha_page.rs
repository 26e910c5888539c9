//! `docs/naptha.md` is true: every defect of Naptha's has a row, with the tests that name it, and every test of the table
//! of the SDK's surface is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use snapbox::{Data, assert_data_eq};

const PAGE: &str = "docs/naptha.md";

/// How a comment begins that stands right above a test and names what of Naptha's it shows to be right here.
const MARK: &str = "// Naptha's defects: ";

/// The groups of defects and how many each has.
const GROUPS: [(char, usize); 6] = [('A', 14), ('B', 8), ('C', 14), ('D', 10), ('E', 8), ('F', 13)];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            found.push(path);
        }
    }
}

/// The room of tests that a file is, as test runners print it.
fn room(file: &Path) -> String {
    let below = |folder: &str| file.strip_prefix(root().join(folder)).ok();
    let path = below("tests/testsuite").or_else(|| below("src")).expect("a source").with_extension("");
    let path = path.to_str().expect("UTF-8").replace('/', "::");
    path.strip_suffix("::mod").map(str::to_owned).unwrap_or(path)
}

/// Every test by name, with the defects that it names.
pub fn tests() -> BTreeMap<String, Vec<String>> {
    let mut files = Vec::new();
    sources(&root().join("tests/testsuite"), &mut files);
    sources(&root().join("src"), &mut files);
    let mut tests = BTreeMap::new();
    for file in files {
        let mut room = room(&file);
        let text = std::fs::read_to_string(&file).expect("a source");
        let (mut marked, mut is_test) = (Vec::new(), false);
        for line in text.lines().map(str::trim) {
            if let Some(ids) = line.strip_prefix(MARK) {
                marked = ids.split(", ").map(str::to_owned).collect();
            } else if line == "mod tests {" {
                room += "::tests";
            } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some(name) = line.split("fn ").nth(1).and_then(|rest| rest.split('(').next())
                && is_test
            {
                tests.insert(format!("{room}::{name}"), std::mem::take(&mut marked));
                is_test = false;
            } else if !line.starts_with("#[") && !line.starts_with("//") {
                assert!(marked.is_empty(), "{room}: {marked:?} do not stand above a test");
            }
        }
    }
    tests
}

/// The cells of a row of a table.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split(" | ").map(str::trim).collect()
}

#[test]
fn every_defect_has_a_row_with_the_tests_that_name_it() {
    let page = std::fs::read_to_string(root().join(PAGE)).expect("a page");
    let tests = tests();
    let mut left: BTreeSet<String> =
        GROUPS.iter().flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}{number}"))).collect();
    let mut named: BTreeSet<&String> = tests.values().flatten().collect();
    let mut text = String::new();
    let mut open = Vec::new();
    for line in page.lines() {
        let row = cells(line);
        let id = row.first().copied().unwrap_or_default();
        let is_row = id.len() > 1
            && id.starts_with(|c: char| ('A'..='G').contains(&c))
            && id[1..].bytes().all(|byte| byte.is_ascii_digit());
        if !is_row {
            text += &format!("{line}\n");
            continue;
        }
        assert!(left.remove(id) || id.starts_with('G'), "{id} has two rows, or is none");
        named.retain(|name| *name != id);
        let shown: Vec<String> = tests
            .iter()
            .filter(|(_, ids)| ids.iter().any(|of| of == id))
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        // What is nobody's to test says why.
        if shown.is_empty() && !row[1].starts_with("Does not concern napt") {
            open.push(id);
        }
        text +=
            &format!("| {id} | {} | {} |\n", row[1], if shown.is_empty() { "–".to_owned() } else { shown.join(", ") });
    }
    assert!(left.is_empty(), "{left:?} have no row");
    assert!(named.is_empty(), "tests name {named:?}, which have no row in {PAGE}");
    assert_data_eq!(text, Data::read_from(&root().join(PAGE), None).raw());
    assert!(
        open.is_empty(),
        "no test names {open:?}: write `{MARK}ID` right above those that show that ours does right"
    );
}

#[test]
fn every_row_of_the_sdks_surface_has_a_test_that_is_there() {
    let page = std::fs::read_to_string(root().join(PAGE)).expect("a page");
    let (_, surface) = page.split_once("## The whole SDK").expect("a section");
    let surface = surface.split("\n## ").next().expect("its rows");
    let tests = tests();
    let mut count = 0;
    for line in surface.lines().filter(|line| line.starts_with("| `")) {
        let row = cells(line);
        let [_, works, names] = row[..] else { panic!("three cells: {line}") };
        assert!(!works.is_empty() && !works.contains("open"), "{line}");
        let mut found = 0;
        for name in names.split('`').skip(1).step_by(2) {
            assert!(tests.contains_key(name), "there is no test `{name}`: {line}");
            found += 1;
        }
        // What never leaves the SDK cannot be right or wrong here.
        assert!(found > 0 || works.starts_with("no: "), "no test: {line}");
        count += 1;
    }
    assert!(count > 60, "{count} rows");
}
