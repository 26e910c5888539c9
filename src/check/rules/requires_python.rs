use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::LintLevel;

pub(super) static RULE: Rule = Rule {
    name: "requires-python",
    level: LintLevel::Warn,
    summary: "the module accepts no Python that nodes have",
    docs: "Nodes run modules with Python 3.10, 3.11 or 3.12, as the SDK does.",
    fix: None,
    example: Example {
        bad: &[Part::File(
            "pyproject.toml",
            r#"[project]
name = "debate"
version = "0.1.0"
requires-python = ">=3.13""#,
        )],
        good: &[Part::File(
            "pyproject.toml",
            r#"[project]
name = "debate"
version = "0.1.0"
requires-python = ">=3.10,<3.13""#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let (Some(native), true) = (&module.native, module.runs_python()) else { return };
    let paths: [&[&str]; 2] = [&["project", "requires-python"], &["tool", "poetry", "dependencies", "python"]];
    let Some(node) = paths.into_iter().find_map(|path| native.get(path)) else { return };
    let Some(range) = node.as_str() else { return };
    let mut versions = (10..=12).flat_map(|minor| (0..=20).map(move |patch| [3, minor, patch]));
    // What cannot be read is left to the installer, which says it better.
    if !versions.any(|version| accepts(range, version).unwrap_or(true)) {
        let finding = findings.report(native.at(&node.span), "this module runs on none of Python 3.10, 3.11 and 3.12");
        finding.label("nodes have no such Python").help("write for example `>=3.10,<3.13`");
    }
}

/// Whether a range, as PEP 440 or Poetry writes it, accepts a version; `None` when it is neither.
fn accepts(range: &str, version: [u32; 3]) -> Option<bool> {
    range.split(',').try_fold(true, |all, part| Some(all & accepts_one(part.trim(), version)?))
}

fn accepts_one(part: &str, version: [u32; 3]) -> Option<bool> {
    let end = part.find(|c: char| c.is_ascii_digit() || c == '*').unwrap_or(part.len());
    let (operator, given) = (part[..end].trim(), part[end..].trim());
    if given == "*" || part.is_empty() {
        return Some(true);
    }
    let star = given.ends_with(".*");
    let numbers: Vec<u32> = given.trim_end_matches(".*").split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    let same = |count: usize| numbers.iter().zip(version).take(count).all(|(given, actual)| *given == actual);
    let mut floor = [0; 3];
    floor.iter_mut().zip(&numbers).for_each(|(to, from)| *to = *from);
    Some(match operator {
        ">=" => version >= floor,
        "<=" => version <= floor,
        ">" => version > floor,
        "<" => version < floor,
        "==" | "===" | "" | "=" if star => same(numbers.len()),
        "==" | "===" | "" | "=" => version == floor,
        "!=" if star => !same(numbers.len()),
        "!=" => version != floor,
        "~=" => version >= floor && same(numbers.len().saturating_sub(1)),
        "~" => version >= floor && same(numbers.len().min(2)),
        "^" => version >= floor && same(1),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_installers_read_them() {
        for (range, version, expected) in [
            (">=3.10,<3.13", [3, 12, 5], Some(true)),
            (">=3.10,<3.13", [3, 13, 0], Some(false)),
            ("^3.10", [3, 12, 0], Some(true)),
            ("~3.10", [3, 11, 0], Some(false)),
            ("~=3.10", [3, 11, 0], Some(true)),
            ("~=3.10.2", [3, 11, 0], Some(false)),
            ("==3.11.*", [3, 11, 9], Some(true)),
            ("!=3.11.*", [3, 11, 9], Some(false)),
            ("*", [3, 10, 0], Some(true)),
            ("three", [3, 10, 0], None),
        ] {
            assert_eq!(accepts(range, version), expected, "{range} {version:?}");
        }
    }
}
