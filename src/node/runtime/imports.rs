//! What a module's code imports from its environment: the part of it that does not change with every edit.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

use tree_sitter::{Node, Parser};

/// In the text of what is asynchronous.
const ASYNC: &[u8] = b"async def";

/// The modules that the files of the package in `folder` import at their top level and that are installed in the environment of the
/// interpreter `python`, sorted. What Python brings along is not among them, since a child imports that for itself, at
/// once; but for `asyncio` where something is asynchronous, which takes as long as all the rest of a run.
pub(in crate::node) fn imports_of(folder: &Path, package: &str, python: &Path) -> std::io::Result<Vec<String>> {
    let installed = installed_names(python)?;
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_python::LANGUAGE.into()).expect("the grammar fits the parser it is built with");
    let mut found = BTreeSet::new();
    let mut is_async = false;
    let mut folders = vec![folder.join(package)];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                if !path.file_name().is_some_and(|name| name == "tests" || name == "__pycache__") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|suffix| suffix == "py") {
                let text = fs_err::read(&path)?;
                let Some(tree) = parser.parse(&text, None) else { continue };
                collect(tree.root_node(), &text, &mut found);
                is_async |= text.windows(ASYNC.len()).any(|window| window == ASYNC);
            }
        }
    }
    // What the archive has itself goes first when a child imports.
    let is_own = |top: &str| folder.join(top).exists() || folder.join(format!("{top}.py")).exists();
    found.retain(|name| {
        let top = name.split('.').next().unwrap_or(name);
        installed.contains(top) && !is_own(top)
    });
    found.extend(is_async.then(|| "asyncio".to_owned()));
    Ok(found.into_iter().collect())
}

/// The names at the top level of an environment's `site-packages`.
fn installed_names(python: &Path) -> std::io::Result<HashSet<String>> {
    let mut names = HashSet::new();
    // `ENVIRONMENT/bin/python`, and `ENVIRONMENT/lib/python3.12/site-packages`.
    let Some(libraries) = python.ancestors().nth(2).map(|environment| environment.join("lib")) else {
        return Ok(names);
    };
    for library in fs_err::read_dir(libraries)? {
        let packages = library?.path().join("site-packages");
        if !packages.is_dir() {
            continue;
        }
        for entry in fs_err::read_dir(packages)? {
            let name = entry?.file_name();
            let top = name.to_str().and_then(|name| name.split('.').next());
            names.extend(top.map(str::to_owned));
        }
    }
    Ok(names)
}

/// The names in `import a.b` and `from a.b import c` of a file's top level.
fn collect(file: Node<'_>, text: &[u8], found: &mut BTreeSet<String>) {
    let mut add = |node: Node<'_>| found.extend(node.utf8_text(text).ok().map(str::to_owned));
    for statement in file.named_children(&mut file.walk()) {
        match statement.kind() {
            "import_statement" => {
                for name in statement.children_by_field_name("name", &mut statement.walk()) {
                    add(name.child_by_field_name("name").unwrap_or(name));
                }
            }
            "import_from_statement" => {
                let module = statement.child_by_field_name("module_name");
                module.into_iter().filter(|module| module.kind() == "dotted_name").for_each(&mut add);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_environment_has_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs_err::write(path, text).expect("a file");
        };
        for name in ["sdk/__init__.py", "yaml/__init__.py", "own/__init__.py", "six.py", "_c.cpython-312.so"] {
            write(&format!("env/lib/python3.12/site-packages/{name}"), "");
        }
        write(
            "m/m/run.py",
            "import os, six as s\nimport sdk.a.b\nfrom sdk.c import (\n    d,\n)\nfrom . import x\nfrom .y import z\n\
             from m.schemas import S\nimport own\nimport missing\nimport _c\n\ndef run():\n    import yaml\n",
        );
        write("m/m/sub/more.py", "from six import moves\nimport yaml as y\nbroken(\n");
        write("m/m/tests/test_run.py", "import sdk.tests\n");
        write("m/own.py", "");
        let python = folder.path().join("env").join("bin").join("python");
        let found = imports_of(&folder.path().join("m"), "m", &python).expect("readable");
        assert_eq!(found, ["_c", "sdk.a.b", "sdk.c", "six", "yaml"]);
        write("m/m/more.py", "async def run():\n    pass\n");
        let found = imports_of(&folder.path().join("m"), "m", &python).expect("readable");
        assert_eq!(found, ["_c", "asyncio", "sdk.a.b", "sdk.c", "six", "yaml"]);
    }
}
