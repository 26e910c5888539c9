//! Poetry's table of dependencies, translated to PEP 508 requirements.

use std::fmt::Write;

use toml::{Table, Value};

use super::requirements::{RequirementError, error, is_sdk, sdk_requirement};

pub(super) fn of_poetry(dependencies: &Table, sdk: Option<&str>) -> Result<Vec<String>, RequirementError> {
    let mut requirements = Vec::new();
    // `python` is the interpreter, which the node chooses.
    for (name, value) in dependencies.iter().filter(|(name, _)| *name != "python") {
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric());
        if !is_name {
            return Err(error(name, "is not the name of a Python package"));
        }
        match value {
            Value::Array(several) => {
                for value in several {
                    requirements.extend(requirement(name, value, sdk)?);
                }
            }
            value => requirements.extend(requirement(name, value, sdk)?),
        }
    }
    Ok(requirements)
}

/// A dependency as Poetry writes it; nothing for an optional one.
fn requirement(name: &str, value: &Value, sdk: Option<&str>) -> Result<Option<String>, RequirementError> {
    let table = match value {
        Value::String(constraint) => return Ok(Some(format!("{name}{}", specifier(name, constraint)?))),
        Value::Table(table) => table,
        _ => return Err(error(name, "must be a version or a table")),
    };
    let text = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if !text.contains(char::is_control) => Ok(Some(text.as_str())),
        Some(_) => Err(error(name, format!("has a `{key}` that is not one line of text"))),
    };
    if table.get("optional").and_then(Value::as_bool) == Some(true) {
        return Ok(None);
    }
    let mut result = name.to_owned();
    if let Some(extras) = table.get("extras") {
        let extras: Option<Vec<&str>> =
            extras.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).filter(|list: &Vec<&str>| {
                list.iter().all(|extra| extra.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)))
            });
        let extras = extras.ok_or_else(|| error(name, "has `extras` that are not a list of names"))?;
        if !extras.is_empty() {
            let _ = write!(result, "[{}]", extras.join(","));
        }
    }
    if text("git")?.is_some() {
        if !is_sdk(name) {
            return Err(error(
                name,
                "is taken from git, which a node does not install from; give a version of the package index",
            ));
        }
        result = sdk_requirement(sdk, text("tag")?);
    } else if let Some(url) = text("url")? {
        if !url.starts_with("https://") {
            return Err(error(name, "has a `url` that is not `https://`"));
        }
        let _ = write!(result, " @ {url} ");
    } else if let Some(key) = ["path", "file", "source"].into_iter().find(|key| table.contains_key(*key)) {
        return Err(error(
            name,
            format!("has a `{key}`, which only your machine knows; give a version of the package index"),
        ));
    } else {
        let constraint = text("version")?.ok_or_else(|| error(name, "does not say its `version`"))?;
        result.push_str(&specifier(name, constraint)?);
    }
    let mut markers = Vec::new();
    if let Some(range) = text("python")? {
        markers.extend(python_marker(name, range)?);
    }
    if let Some(platform) = text("platform")? {
        if platform.contains(['"', '\\']) {
            return Err(error(name, "has a `platform` that is not a name"));
        }
        markers.push(format!("sys_platform == \"{platform}\""));
    }
    if let Some(marker) = text("markers")? {
        markers.push(if marker.contains(" or ") && !markers.is_empty() {
            format!("({marker})")
        } else {
            marker.to_owned()
        });
    }
    if !markers.is_empty() {
        let _ = write!(result, "; {}", markers.join(" and "));
    }
    Ok(Some(result))
}

/// `python = ">=3.10,<3.12"` of a dependency, as conditions of a marker.
fn python_marker(name: &str, range: &str) -> Result<Vec<String>, RequirementError> {
    let clauses = specifier(name, range)?;
    let marker = |clause: &str| {
        let at = clause.find(|c: char| !"<>=!~".contains(c)).unwrap_or(clause.len());
        let (operator, version) = clause.split_at(at);
        let variable = if version.matches('.').count() > 1 && !version.ends_with(".*") {
            "python_full_version"
        } else {
            "python_version"
        };
        format!("{variable} {operator} \"{version}\"")
    };
    Ok(clauses.split(',').filter(|clause| !clause.is_empty()).map(marker).collect())
}

/// A constraint of Poetry as a PEP 440 specifier; nothing when any version will do.
pub(super) fn specifier(name: &str, constraint: &str) -> Result<String, RequirementError> {
    if constraint.contains('|') {
        return Err(error(
            name,
            format!("accepts `{constraint}`; a choice of ranges cannot be installed, so give the newer one"),
        ));
    }
    let wrong = || error(name, format!("has the constraint `{constraint}`, which is not a version or a range"));
    // An operator may stand apart from its version.
    let mut clauses: Vec<String> = Vec::new();
    for part in constraint.split([',', ' ']).filter(|part| !part.is_empty()) {
        match clauses.last_mut().filter(|last| last.ends_with(|c: char| "<>=!~^".contains(c))) {
            Some(operator) => operator.push_str(part),
            None => clauses.push(part.to_owned()),
        }
    }
    if clauses.is_empty() {
        return Err(wrong());
    }
    let translated: Option<Vec<String>> = clauses.iter().map(|part| clause(part)).collect();
    let mut translated = translated.ok_or_else(wrong)?;
    translated.retain(|clause| !clause.is_empty());
    Ok(translated.join(","))
}

fn clause(text: &str) -> Option<String> {
    let at = text.find(|c: char| !"<>=!~^".contains(c)).unwrap_or(text.len());
    let (operator, version) = text.split_at(at);
    if version == "*" {
        return matches!(operator, "" | "=" | "==" | ">=").then(String::new);
    }
    let (numbers, is_wild) = match version.strip_suffix(".*") {
        Some(numbers) => (numbers, true),
        None => (version, false),
    };
    let release = release(numbers)?;
    match (operator, is_wild) {
        ("^", false) => Some(format!(">={version},<{}", raised(&release, caret(&release)))),
        ("~", false) => Some(format!(">={version},<{}", raised(&release, usize::from(release.len() > 1)))),
        ("" | "=" | "==", false) => Some(format!("=={version}")),
        ("" | "=" | "==", true) if is_plain(numbers) => Some(format!("=={version}")),
        ("!=", true) if is_plain(numbers) => Some(text.to_owned()),
        (">=" | "<=" | ">" | "<" | "!=" | "===", false) => Some(text.to_owned()),
        ("~=", false) if release.len() > 1 => Some(text.to_owned()),
        _ => None,
    }
}

/// The numbers at the beginning of a version, which must look like one.
pub(super) fn release(version: &str) -> Option<Vec<u64>> {
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && version.chars().all(|c| c.is_ascii_alphanumeric() || ".+-_!".contains(c));
    if !is_version {
        return None;
    }
    let mut numbers = Vec::new();
    for part in version.split('.') {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        if digits == 0 {
            break;
        }
        numbers.push(part[..digits].parse().ok()?);
        // `0rc1`: what follows is not part of the release.
        if digits < part.len() {
            break;
        }
    }
    (!numbers.is_empty()).then_some(numbers)
}

fn is_plain(version: &str) -> bool {
    version.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Which number a caret lets nothing change: the first that is not zero, else the last one given.
pub(super) fn caret(release: &[u64]) -> usize {
    release.iter().position(|number| *number != 0).unwrap_or(release.len() - 1)
}

/// The first version whose number at `index` is higher, with as many numbers as were given.
fn raised(release: &[u64], index: usize) -> String {
    let numbers = release.iter().enumerate().map(|(at, number)| match at.cmp(&index) {
        std::cmp::Ordering::Less => *number,
        std::cmp::Ordering::Equal => number.saturating_add(1),
        std::cmp::Ordering::Greater => 0,
    });
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(".")
}
