//! What a Python project needs, as PEP 508 requirements: from `[project]`, translated from Poetry's table, or from the
//! files of older setuptools. The translation is the one of `docs/adopt.md`.

use std::path::Path;

use toml::{Table, Value};

use super::{
    locks::PythonLock,
    poetry::{of_poetry, release, specifier},
    setuptools::{Requires, Setuptools, read},
};

/// The SDK's name on the package index.
const SDK: &str = "naptha-sdk";

/// The SDK that modules get which take it from git without saying which: the one that Naptha's modules of 2025 fit.
pub const SDK_VERSION: &str = "1.0.5";

/// Why a dependency cannot be installed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the dependency `{name}` {reason}")]
pub struct RequirementError {
    /// The dependency.
    pub name: String,
    /// What is wrong with it, and what to write instead.
    pub reason: String,
}

/// What is installed for a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonNeeds {
    /// What it asks for, sorted.
    pub requirements: Vec<String>,
    /// Which versions that is, where the project has a lock file.
    pub lock: Option<PythonLock>,
    /// Which interpreters it runs on, as a PEP 440 specifier; nothing when it does not say.
    pub python: String,
}

impl PythonNeeds {
    /// Whether it runs on this version of Python, of numbers alone.
    pub fn runs_on(&self, version: &str) -> bool {
        let parts = |text: &str| release(text).unwrap_or_default();
        let version = parts(version);
        self.python.split(',').map(str::trim).filter(|clause| !clause.is_empty()).all(|clause| {
            let at = clause.find(|c: char| !"<>=!~".contains(c)).unwrap_or(clause.len());
            let (operator, bound) = clause.split_at(at);
            let bound = parts(bound.trim().trim_end_matches(".*"));
            let is_wild = clause.ends_with(".*");
            let starts = |count: usize| version.iter().take(count).eq(bound.iter().take(count));
            let order = || {
                let longest = version.len().max(bound.len());
                let padded = |numbers: &[u64]| {
                    let mut numbers = numbers.to_vec();
                    numbers.resize(longest, 0);
                    numbers
                };
                padded(&version).cmp(&padded(&bound))
            };
            match operator {
                ">=" => order().is_ge(),
                "<=" => order().is_le(),
                ">" => order().is_gt(),
                "<" => order().is_lt(),
                "==" | "===" if is_wild => starts(bound.len()),
                "==" | "===" => order().is_eq(),
                "!=" if is_wild => !starts(bound.len()),
                "!=" => order().is_ne(),
                "~=" => order().is_ge() && starts(bound.len().saturating_sub(1)),
                // What is not understood excludes nothing.
                _ => true,
            }
        })
    }
}

/// Which interpreters a project names: in `[project]`, or in Poetry's words.
fn python_of(pyproject: &Table) -> String {
    let project = pyproject.get("project").and_then(|project| project.get("requires-python")).and_then(Value::as_str);
    let poetry = || {
        let poetry = pyproject.get("tool")?.get("poetry")?.get("dependencies")?.get("python")?.as_str()?;
        specifier("python", poetry).ok()
    };
    project.map(str::to_owned).or_else(poetry).unwrap_or_default()
}

/// Why it is not known what a project needs.
#[derive(Debug, thiserror::Error)]
pub enum PythonNeedsError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It says something that cannot be installed, or nothing that can be read.
    #[error("cannot read `{file}`: {reason}")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

/// What the project in a folder needs: what its `pyproject.toml` lists; without that what `setup.cfg` and `setup.py` say,
/// and without those `requirements.txt`. `sdk` is the version for an SDK that is taken from git.
pub fn python_needs(root: &Path, sdk: Option<&str>) -> Result<PythonNeeds, PythonNeedsError> {
    let path = root.join("pyproject.toml");
    let text = if path.is_file() { fs_err::read_to_string(&path)? } else { String::new() };
    let failed = |file: &str, reason: String| PythonNeedsError::File { file: file.to_owned(), reason };
    let table: Table = toml::from_str(&text).map_err(|error| failed("pyproject.toml", error.to_string()))?;
    let mut requirements =
        python_requirements(&table, sdk).map_err(|error| failed("pyproject.toml", error.to_string()))?;
    if requirements.is_empty() && is_said_elsewhere(&table) {
        let (file, lines) = elsewhere(root, &table).map_err(|(file, reason)| failed(&file, reason))?;
        let read = |line: &String| of_project(line, sdk).map_err(|error| failed(&file, error.to_string()));
        requirements = lines.iter().map(read).collect::<Result<_, _>>()?;
        requirements.sort();
        requirements.dedup();
    }
    let lock = PythonLock::read(root, &requirements);
    Ok(PythonNeeds { requirements, lock, python: python_of(&table) })
}

/// Whether a `pyproject.toml` leaves its dependencies to other files.
fn is_said_elsewhere(pyproject: &Table) -> bool {
    let poetry = pyproject.get("tool").and_then(|tools| tools.get("poetry"));
    match pyproject.get("project").and_then(Value::as_table) {
        None => poetry.is_none(),
        Some(project) => {
            let dynamic = project.get("dynamic").and_then(Value::as_array);
            dynamic.into_iter().flatten().any(|field| field.as_str() == Some("dependencies"))
        }
    }
}

/// The lines of the file that lists dependencies instead, and its name.
fn elsewhere(root: &Path, pyproject: &Table) -> Result<(String, Vec<String>), (String, String)> {
    let get = |table: &Table, keys: &[&str]| {
        let mut keys = keys.iter();
        let first = table.get(*keys.next()?).cloned()?;
        keys.try_fold(first, |value, key| value.get(*key).cloned())
    };
    let listed = get(pyproject, &["tool", "setuptools", "dynamic", "dependencies", "file"]);
    let listed: Vec<String> = match listed {
        Some(Value::String(file)) => vec![file],
        Some(Value::Array(files)) => files.iter().filter_map(|file| file.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    if let Some(file) = listed.first() {
        let mut lines = Vec::new();
        for file in &listed {
            let is_inside = Path::new(file).components().all(|part| matches!(part, std::path::Component::Normal(_)));
            let text = if is_inside { read(root, file) } else { None };
            let text = text.ok_or_else(|| (file.clone(), "there is no such file in the project".to_owned()))?;
            lines.extend(requirement_lines(&text).map_err(|reason| (file.clone(), reason))?);
        }
        return Ok((file.clone(), lines));
    }
    let file = "requirements.txt";
    let requirements = || match read(root, file) {
        Some(text) => requirement_lines(&text).map(Some).map_err(|reason| (file.to_owned(), reason)),
        None => Ok(None),
    };
    match Setuptools::read(root).map(|said| said.requires) {
        Some(Requires::Listed(lines)) => Ok(("setup.py".to_owned(), lines)),
        Some(Requires::Computed) => match requirements()? {
            Some(lines) => Ok((file.to_owned(), lines)),
            None => {
                let reason = "it computes `install_requires`, and is not run to learn it; list the packages in it, or in \
                              `pyproject.toml`";
                Err(("setup.py".to_owned(), reason.to_owned()))
            }
        },
        Some(Requires::Unsaid) | None => Ok((file.to_owned(), requirements()?.unwrap_or_default())),
    }
}

/// The requirements of a `requirements.txt`, without digests and without what is said to the installer.
fn requirement_lines(text: &str) -> Result<Vec<String>, String> {
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut lines = Vec::new();
    for line in joined.lines() {
        let line = line.split_once(" #").map_or(line, |(line, _)| line);
        let line = line.split_once("--hash=").map_or(line, |(line, _)| line).trim();
        if line.starts_with("-r") || line.starts_with("--requirement") {
            return Err(format!("it includes another file with `{line}`; list the packages in it"));
        }
        if !line.is_empty() && !line.starts_with(['#', '-']) {
            lines.push(line.to_owned());
        }
    }
    Ok(lines)
}

/// A package's name as the package index has it: the part of a requirement before versions and extras.
pub(super) fn name_of(requirement: &str) -> String {
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    let name = requirement[..end.unwrap_or(requirement.len())].to_lowercase();
    name.split(['.', '_', '-']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// The requirements of a `pyproject.toml`, sorted. `sdk` is `[module] sdk`: the version for an SDK that is taken from git.
pub fn python_requirements(pyproject: &Table, sdk: Option<&str>) -> Result<Vec<String>, RequirementError> {
    let project = pyproject.get("project").and_then(Value::as_table);
    let poetry = pyproject.get("tool").and_then(|tools| tools.get("poetry")).and_then(Value::as_table);
    let listed = project.and_then(|project| project.get("dependencies")).and_then(Value::as_array);
    let mut requirements = match (listed, poetry.and_then(|poetry| poetry.get("dependencies"))) {
        (None, Some(Value::Table(dependencies))) => of_poetry(dependencies, sdk)?,
        (listed, _) => {
            let uv = pyproject.get("tool").and_then(|tools| tools.get("uv")).and_then(|uv| uv.get("sources"));
            // As in Poetry 2, where its own table says where the packages of `[project]` are from.
            let poetry = poetry.and_then(|poetry| poetry.get("dependencies"));
            let sources: Vec<&Table> = [uv, poetry].into_iter().flatten().filter_map(Value::as_table).collect();
            let texts = listed.into_iter().flatten().filter_map(Value::as_str);
            texts.map(|text| of_source(text, &sources, sdk)).collect::<Result<_, _>>()?
        }
    };
    requirements.sort();
    requirements.dedup();
    Ok(requirements)
}

pub(super) fn error(name: &str, reason: impl Into<String>) -> RequirementError {
    RequirementError { name: name.to_owned(), reason: reason.into() }
}

/// A requirement of `[project]` that may be from another place than the index, as tables besides say.
fn of_source(text: &str, sources: &[&Table], sdk: Option<&str>) -> Result<String, RequirementError> {
    let name = name_of(text.trim());
    let entries = sources.iter().flat_map(|table| table.iter());
    let source = entries.filter(|(key, _)| name_of(key) == name).find_map(|(_, value)| value.as_table());
    let Some(source) = source else { return of_project(text, sdk) };
    let key = ["git", "path", "url", "workspace", "index", "source"].into_iter().find(|key| source.contains_key(*key));
    match key {
        None => of_project(text, sdk),
        Some("git") if is_sdk(&name) => Ok(sdk_requirement(sdk, source.get("tag").and_then(Value::as_str))),
        Some(key) => Err(error(
            &name,
            format!("is taken from a `{key}`, which a node does not install from; give a version of the package index"),
        )),
    }
}

/// One line of `[project] dependencies`, which is a requirement already.
fn of_project(text: &str, sdk: Option<&str>) -> Result<String, RequirementError> {
    // A requirement is a value, never an option of the installer.
    if text.trim_start().starts_with('-') || text.contains(char::is_control) {
        return Err(error(text.trim(), "is not a requirement"));
    }
    match text.split_once('@') {
        Some((name, url)) if is_sdk(name) && url.trim_start().starts_with("git+") => {
            let reference = url.trim().rsplit_once('/').and_then(|(_, end)| end.split_once('@')).map(|(_, tag)| tag);
            Ok(sdk_requirement(sdk, reference))
        }
        Some((name, url)) if is_name(name) && !url.trim_start().starts_with("https://") => Err(error(
            name.trim(),
            "is taken from another place than the package index, by a URL that is not `https://`",
        )),
        _ => Ok(text.trim().to_owned()),
    }
}

/// Whether this is all before the `@` of a requirement, a name with extras, and not part of a marker.
fn is_name(text: &str) -> bool {
    text.trim().chars().all(|c| c.is_ascii_alphanumeric() || "._-[], ".contains(c))
}

pub(super) fn is_sdk(name: &str) -> bool {
    name.trim().to_lowercase().replace('_', "-") == SDK
}

/// The SDK of the index that stands for one of git: what the manifest says, else the tag, else the one that fits most.
pub(super) fn sdk_requirement(sdk: Option<&str>, tag: Option<&str>) -> String {
    let is_version = |text: &&str| text.contains('.') && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    match sdk {
        Some(text) if text.starts_with(|c: char| "<>=!~".contains(c)) => format!("{SDK}{text}"),
        Some(version) => format!("{SDK}=={version}"),
        None => {
            let tag = tag.map(|tag| tag.trim_start_matches('v')).filter(is_version);
            format!("{SDK}=={}", tag.unwrap_or(SDK_VERSION))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::poetry::caret, *};

    fn of(text: &str) -> Result<Vec<String>, String> {
        python_requirements(&text.parse().expect("TOML"), None).map_err(|error| error.to_string())
    }

    fn poetry(dependency: &str) -> Result<Vec<String>, String> {
        of(&format!("[tool.poetry.dependencies]\npython = \"^3.10\"\n{dependency}\n"))
    }

    /// The table of `docs/adopt.md`.
    #[test]
    fn the_books_table_is_what_is_done() {
        let page = include_str!("../../docs/adopt.md");
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.strip_suffix("` |"))
            .map(|row| row.split("` | `").collect())
            .filter(|row: &Vec<&str>| row.len() == 2 && row[0].contains(" = "))
            .collect();
        assert!(rows.len() > 15, "{rows:?}");
        for row in rows {
            assert_eq!(poetry(row[0]), Ok(vec![row[1].to_owned()]), "{}", row[0]);
        }
    }

    #[test]
    fn ranges_are_translated() {
        for (constraint, expected) in [
            ("^1.2.3", "x>=1.2.3,<2.0.0"),
            ("^1.2", "x>=1.2,<2.0"),
            ("^1", "x>=1,<2"),
            ("^0.2.3", "x>=0.2.3,<0.3.0"),
            ("^0.0.3", "x>=0.0.3,<0.0.4"),
            ("^0.0", "x>=0.0,<0.1"),
            ("^0", "x>=0,<1"),
            ("^1.0.0rc1", "x>=1.0.0rc1,<2.0.0"),
            ("~1.2.3", "x>=1.2.3,<1.3.0"),
            ("~1.2", "x>=1.2,<1.3"),
            ("~1", "x>=1,<2"),
            ("~=1.4", "x~=1.4"),
            ("*", "x"),
            ("1.*", "x==1.*"),
            ("1.2.*", "x==1.2.*"),
            ("!=1.2.*", "x!=1.2.*"),
            ("1.2.3", "x==1.2.3"),
            ("==1.2.3", "x==1.2.3"),
            ("=1.2.3", "x==1.2.3"),
            (">=1.2,<2.0", "x>=1.2,<2.0"),
            (">= 1.2, < 2.0", "x>=1.2,<2.0"),
            (">=1.2 <2.0 !=1.5", "x>=1.2,<2.0,!=1.5"),
            ("^2.0,!=2.3.1", "x>=2.0,<3.0,!=2.3.1"),
        ] {
            assert_eq!(poetry(&format!("x = \"{constraint}\"")), Ok(vec![expected.to_owned()]), "{constraint}");
        }
    }

    #[test]
    fn tables_lists_and_groups_are_translated() {
        for (dependency, expected) in [
            (r#"x = {version = "^1.0", optional = true}"#, &[][..]),
            (r#"x = {version = "*", extras = ["a", "b"]}"#, &["x[a,b]"]),
            (
                r#"x = {version = "^1.0", python = ">=3.11", platform = "linux"}"#,
                &["x>=1.0,<2.0; python_version >= \"3.11\" and sys_platform == \"linux\""],
            ),
            (
                r#"x = {version = "1.0", python = "~3.10.2", markers = "os_name == 'nt' or extra == 'a'"}"#,
                &["x==1.0; python_full_version >= \"3.10.2\" and python_full_version < \"3.11.0\" and \
                   (os_name == 'nt' or extra == 'a')"],
            ),
            (
                r#"x = [{version = "<2", python = "<3.11"}, {version = "^2.1", python = "^3.11"}]"#,
                &[
                    "x<2; python_version < \"3.11\"",
                    "x>=2.1,<3.0; python_version >= \"3.11\" and python_version < \"4.0\"",
                ],
            ),
            (r#"x = {url = "https://example.org/x-1.0.tar.gz"}"#, &["x @ https://example.org/x-1.0.tar.gz "]),
            (r#"naptha-sdk = {git = "https://github.com/NapthaAI/naptha-sdk.git"}"#, &["naptha-sdk==1.0.5"]),
            (r#"naptha_sdk = {git = "x", tag = "v1.0.4"}"#, &["naptha-sdk==1.0.4"]),
            (r#"naptha-sdk = {git = "x", branch = "main", rev = "abc"}"#, &["naptha-sdk==1.0.5"]),
        ] {
            let expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(poetry(dependency), Ok(expected), "{dependency}");
        }
        let grouped =
            "[tool.poetry.dependencies]\nx = \"1.0\"\n[tool.poetry.group.dev.dependencies]\npytest = \"^8\"\n";
        assert_eq!(of(grouped), Ok(vec!["x==1.0".to_owned()]));
    }

    #[test]
    fn what_cannot_be_installed_says_why() {
        for (dependency, reason) in [
            (r#"x = {git = "https://github.com/a/x"}"#, "`x` is taken from git"),
            (r#"x = {path = "../x"}"#, "has a `path`"),
            (r#"x = {version = "1.0", source = "private"}"#, "has a `source`"),
            (r#"x = {url = "file:///etc/passwd"}"#, "not `https://`"),
            (r#"x = "^1.0 || ^2.0""#, "a choice of ranges"),
            (r#"x = "one""#, "constraint `one`"),
            (r#"x = "^*""#, "constraint `^*`"),
            (r#"x = "~=1""#, "constraint `~=1`"),
            (r#"x = "1.0; import os""#, "constraint `1.0; import os`"),
            (r#"x = """#, "constraint ``"),
            ("x = {}", "does not say its `version`"),
            ("x = 1", "must be a version or a table"),
            (r#"x = {version = "1", extras = "a"}"#, "`extras`"),
            (r#"x = {version = "1", markers = "a\nb"}"#, "one line"),
            (r#""--index-url" = "1""#, "not the name of a Python package"),
        ] {
            let message = poetry(dependency).expect_err(dependency);
            assert!(message.contains(reason), "{dependency}: {message}");
        }
    }

    #[test]
    fn the_project_table_goes_first() {
        let text = "[project]\ndependencies = [\"b>=1\", \"a\"]\n[tool.poetry.dependencies]\nc = \"1\"\n";
        assert_eq!(of(text), Ok(vec!["a".to_owned(), "b>=1".to_owned()]));
        let dynamic = "[project]\ndynamic = [\"dependencies\"]\n[tool.poetry.dependencies]\nc = \"1\"\n";
        assert_eq!(of(dynamic), Ok(vec!["c==1".to_owned()]));
        let git = "[project]\ndependencies = [\"naptha_sdk @ git+https://github.com/NapthaAI/naptha-sdk@v1.0.4\"]\n";
        assert_eq!(of(git), Ok(vec!["naptha-sdk==1.0.4".to_owned()]));
        assert!(of("[project]\ndependencies = [\"--index-url=x\"]\n").is_err());
        for elsewhere in ["x @ git+https://example.org/x", "x[a] @ file:///etc", "x@ssh://a"] {
            assert!(of(&format!("[project]\ndependencies = [{elsewhere:?}]\n")).is_err(), "{elsewhere}");
        }
        for table in ["tool.poetry.dependencies", "tool.uv.sources"] {
            let two = |entry: &str| {
                of(&format!("[project]\ndependencies = [\"Naptha_SDK\", \"x>=1\"]\n[{table}]\n{entry}\n"))
            };
            let sdk = |tag: &str| format!("naptha-sdk = {{ git = \"https://github.com/NapthaAI/naptha-sdk\"{tag} }}");
            assert_eq!(two(&sdk("")), Ok(vec!["naptha-sdk==1.0.5".to_owned(), "x>=1".to_owned()]));
            assert_eq!(two(&sdk(", tag = \"v1.0.4\"")), Ok(vec!["naptha-sdk==1.0.4".to_owned(), "x>=1".to_owned()]));
            assert!(two("x = { git = \"https://example.org/x\" }").is_err());
            assert!(two("X = { path = \"../x\" }").is_err());
        }
        assert_eq!(of("[build-system]\n"), Ok(vec![]));
        let table: Table = git.parse().expect("TOML");
        assert_eq!(python_requirements(&table, Some("~=1.0.2")), Ok(vec!["naptha-sdk~=1.0.2".to_owned()]));
        assert_eq!(python_requirements(&table, Some("1.0.3")), Ok(vec!["naptha-sdk==1.0.3".to_owned()]));
    }

    #[test]
    fn an_interpreter_is_one_that_the_project_runs_on() {
        let runs_on = |text: &str| {
            let table: Table = text.parse().expect("TOML");
            let needs = PythonNeeds { requirements: Vec::new(), lock: None, python: python_of(&table) };
            ["3.12.1", "3.11.7", "3.10.0"].into_iter().filter(|version| needs.runs_on(version)).collect::<Vec<_>>()
        };
        let project = |range: &str| runs_on(&format!("[project]\nrequires-python = {range:?}\n"));
        let poetry = |range: &str| runs_on(&format!("[tool.poetry.dependencies]\npython = {range:?}\n"));
        let all = ["3.12.1", "3.11.7", "3.10.0"];
        assert_eq!(runs_on(""), all);
        for (range, expected) in [
            (">=3.10,<3.13", &all[..]),
            (">=3.10, <3.12", &all[1..]),
            ("==3.11.*", &all[1..2]),
            ("!=3.12.*", &all[1..]),
            ("~=3.11", &all[..2]),
            (">3.11.7", &all[..1]),
            ("<=3.10", &all[2..]),
            ("===3.11.7", &all[1..2]),
            ("whatever", &all),
        ] {
            assert_eq!(project(range), expected, "{range}");
        }
        for (range, expected) in [("^3.10", &all[..]), ("~3.11", &all[1..2]), (">=3.10,<3.11", &all[2..]), ("*", &all)]
        {
            assert_eq!(poetry(range), expected, "{range}");
        }
    }

    /// Whether a specifier accepts a version, both of numbers alone.
    fn accepts(specifier: &str, version: &[u64]) -> bool {
        let padded = |text: &str| {
            let mut numbers: Vec<u64> = text.split('.').map(|part| part.parse().expect("a number")).collect();
            numbers.resize(3, 0);
            numbers
        };
        specifier.split(',').all(|clause| match clause.strip_prefix(">=") {
            Some(floor) => version >= padded(floor).as_slice(),
            None => version < padded(clause.strip_prefix('<').expect("a ceiling")).as_slice(),
        })
    }

    proptest! {
        /// As Poetry defines it: nothing left of the first number that is not zero may change.
        #[test]
        fn a_caret_keeps_what_is_left_of_the_first_change(
            given in prop::collection::vec(0u64..4, 1..=3),
            version in prop::collection::vec(0u64..6, 3),
        ) {
            let text: Vec<String> = given.iter().map(u64::to_string).collect();
            let fixed = caret(&given);
            let mut floor = given.clone();
            floor.resize(3, 0);
            let expected = version >= floor && version[..=fixed] == floor[..=fixed];
            let specifier = specifier("x", &format!("^{}", text.join("."))).expect("a range");
            prop_assert_eq!(accepts(&specifier, &version), expected, "{}", specifier);
        }

        #[test]
        fn a_tilde_keeps_the_first_two_numbers(
            given in prop::collection::vec(0u64..4, 1..=3),
            version in prop::collection::vec(0u64..6, 3),
        ) {
            let text: Vec<String> = given.iter().map(u64::to_string).collect();
            let kept = given.len().min(2);
            let mut floor = given.clone();
            floor.resize(3, 0);
            let expected = version >= floor && version[..kept] == floor[..kept];
            let specifier = specifier("x", &format!("~{}", text.join("."))).expect("a range");
            prop_assert_eq!(accepts(&specifier, &version), expected, "{}", specifier);
        }

        #[test]
        fn whatever_is_written_one_requirement_comes_out_or_a_reason(constraint in "[\\^~<>=!|, *.a-z0-9;\"-]{0,20}") {
            let table = Table::from_iter([("x".to_owned(), Value::String(constraint))]);
            if let Ok(requirements) = of_poetry(&table, None) {
                prop_assert_eq!(requirements.len(), 1);
                prop_assert!(requirements[0].starts_with('x'));
                prop_assert!(!requirements[0].contains([';', '"', '^', ' ', '|']), "{}", requirements[0]);
            }
        }
    }
}
