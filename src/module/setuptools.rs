//! What `setup.cfg` and `setup.py` say of a project. They are read, never run: what a program computes is not known.

use std::{collections::BTreeMap, path::Path};

use tree_sitter::{Node, Parser};

/// What a project says in the files of older setuptools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setuptools {
    /// The project's name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// One sentence.
    pub description: Option<String>,
    pub(super) requires: Requires,
}

/// `install_requires`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Requires {
    /// It is not there.
    #[default]
    Unsaid,
    /// A list.
    Listed(Vec<String>),
    /// The program computes it.
    Computed,
}

/// Longest file that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// A file of a project; nothing when there is none, or nothing that can be read.
pub(super) fn read(root: &Path, name: &str) -> Option<String> {
    let path = root.join(name);
    let metadata = fs_err::metadata(&path).ok()?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return None;
    }
    fs_err::read_to_string(path).ok()
}

impl Setuptools {
    /// What both files say; `setup.cfg` goes first, as it does for setuptools' own declarative fields.
    pub fn read(root: &Path) -> Option<Self> {
        let cfg = read(root, "setup.cfg").map(|text| of_cfg(&text));
        let program = read(root, "setup.py").map(|text| of_program(&text));
        match (cfg, program) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(one),
            (Some(cfg), Some(program)) => Some(Setuptools {
                name: cfg.name.or(program.name),
                version: cfg.version.or(program.version),
                description: cfg.description.or(program.description),
                requires: if cfg.requires == Requires::Unsaid { program.requires } else { cfg.requires },
            }),
        }
    }
}

/// `setup.cfg`: sections, keys, and values that go on in indented lines.
fn of_cfg(text: &str) -> Setuptools {
    let mut values: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let (mut section, mut key) = (String::new(), None::<String>);
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            if let Some(key) = &key {
                values.entry((section.clone(), key.clone())).or_default().push(trimmed.to_owned());
            }
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            (section, key) = (name.trim().to_owned(), None);
            continue;
        }
        let at = trimmed.find(['=', ':']).unwrap_or(trimmed.len());
        let (name, value) = trimmed.split_at(at);
        let name = name.trim().to_lowercase().replace('-', "_");
        let value = value.get(1..).unwrap_or_default().trim();
        let lines = values.entry((section.clone(), name.clone())).or_default();
        if !value.is_empty() {
            lines.push(value.to_owned());
        }
        key = Some(name);
    }
    let get = |section: &str, key: &str| values.get(&(section.to_owned(), key.to_owned()));
    // `attr:` and `file:` are computed.
    let is_plain = |text: &&String| !text.starts_with("attr:") && !text.starts_with("file:");
    let one = |key: &str| get("metadata", key).and_then(|lines| lines.first()).filter(is_plain).cloned();
    Setuptools {
        name: one("name"),
        version: one("version"),
        description: one("description"),
        requires: match get("options", "install_requires") {
            None => Requires::Unsaid,
            Some(lines) if !lines.iter().all(|line| is_plain(&line)) => Requires::Computed,
            Some(lines) => {
                // On one line they are separated by semicolons, which also begin markers on lines of their own.
                let split = lines.len() == 1 && !lines[0].contains("; ");
                let parts: Vec<&str> = match split {
                    true => lines[0].split(';').collect(),
                    false => lines.iter().map(String::as_str).collect(),
                };
                Requires::Listed(parts.into_iter().map(|part| part.trim().to_owned()).collect())
            }
        },
    }
}

/// `setup.py`: the arguments of `setup(…)` that are texts, and lists of them, there or in a variable.
fn of_program(text: &str) -> Setuptools {
    let mut parser = Parser::new();
    let is_ready = parser.set_language(&tree_sitter_python::LANGUAGE.into()).is_ok();
    let Some(tree) = is_ready.then(|| parser.parse(text, None)).flatten() else { return Setuptools::default() };
    let program = Program { text, root: tree.root_node() };
    let Some(call) = find(program.root, &|node| program.is_setup(node)) else { return Setuptools::default() };
    let mut found = Setuptools::default();
    let Some(arguments) = call.child_by_field_name("arguments") else { return found };
    for argument in children(arguments).into_iter().filter(|node| node.kind() == "keyword_argument") {
        let (Some(name), Some(value)) = (argument.child_by_field_name("name"), argument.child_by_field_name("value"))
        else {
            continue;
        };
        match program.of(name) {
            "name" => found.name = program.string(value),
            "version" => found.version = program.string(value),
            "description" => found.description = program.string(value),
            "install_requires" => {
                found.requires = program.list(value).map_or(Requires::Computed, Requires::Listed);
            }
            _ => {}
        }
    }
    found
}

struct Program<'a> {
    text: &'a str,
    root: Node<'a>,
}

impl<'a> Program<'a> {
    fn of(&self, node: Node<'_>) -> &'a str {
        &self.text[node.byte_range()]
    }

    fn is_setup(&self, node: Node<'_>) -> bool {
        let is_called = |function: Node<'_>| matches!(self.of(function), "setup" | "setuptools.setup");
        node.kind() == "call" && node.child_by_field_name("function").is_some_and(is_called)
    }

    /// What a name was set to at the program's top.
    fn assigned(&self, name: &str) -> Option<Node<'a>> {
        let assignments = children(self.root).into_iter().filter_map(|statement| statement.named_child(0));
        let mut values = assignments.filter(|node| node.kind() == "assignment").filter_map(|node| {
            let left = node.child_by_field_name("left")?;
            (self.of(left) == name).then(|| node.child_by_field_name("right")).flatten()
        });
        // What is set twice is not known.
        let only = values.next();
        if values.next().is_some() { None } else { only }
    }

    fn string(&self, node: Node<'a>) -> Option<String> {
        match node.kind() {
            "identifier" => {
                let value = self.assigned(self.of(node))?;
                (value.kind() == "string").then(|| self.string(value)).flatten()
            }
            "string" => {
                let parts = children(node);
                let start = self.of(*parts.first()?);
                let is_plain = !start.contains(['f', 'F', 'b', 'B'])
                    && parts.iter().all(|part| matches!(part.kind(), "string_start" | "string_content" | "string_end"))
                    && parts.iter().all(|part| part.kind() != "string_content" || part.named_child_count() == 0);
                let content = parts.iter().filter(|part| part.kind() == "string_content").map(|part| self.of(*part));
                is_plain.then(|| content.collect())
            }
            _ => None,
        }
    }

    fn list(&self, node: Node<'a>) -> Option<Vec<String>> {
        match node.kind() {
            "identifier" => {
                let value = self.assigned(self.of(node))?;
                matches!(value.kind(), "list" | "tuple").then(|| self.list(value)).flatten()
            }
            "list" | "tuple" => {
                let elements = children(node).into_iter().filter(|node| node.is_named() && node.kind() != "comment");
                elements.map(|element| self.string(element)).collect()
            }
            _ => None,
        }
    }
}

fn children(node: Node<'_>) -> Vec<Node<'_>> {
    node.children(&mut node.walk()).collect()
}

/// The first node that fits, in the order of the text.
fn find<'a>(root: Node<'a>, fits: &dyn Fn(Node<'a>) -> bool) -> Option<Node<'a>> {
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        if fits(node) {
            return Some(node);
        }
        open.extend(children(node).into_iter().rev());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(all: &[&str]) -> Requires {
        Requires::Listed(all.iter().map(|one| (*one).to_owned()).collect())
    }

    #[test]
    fn what_is_written_is_read_and_what_is_computed_is_not() {
        for (text, expected) in [
            ("setup(install_requires=['a>=1', \"b\"])", listed(&["a>=1", "b"])),
            (
                "import setuptools\nneeds = [\n  'a',  # why\n  'b',\n]\nsetuptools.setup(install_requires=needs)",
                listed(&["a", "b"]),
            ),
            ("if True:\n    setup(install_requires=('a',))", listed(&["a"])),
            ("setup(install_requires=[])", listed(&[])),
            ("setup(install_requires=open('requirements.txt').read().split())", Requires::Computed),
            ("needs = ['a']\nneeds = ['b']\nsetup(install_requires=needs)", Requires::Computed),
            ("setup(install_requires=['a' + x])", Requires::Computed),
            ("setup(install_requires=[f'a{x}'])", Requires::Computed),
            ("setup(install_requires=['a\\n--index-url=x'])", Requires::Computed),
            ("setup(name='a')", Requires::Unsaid),
            ("def setup(:", Requires::Unsaid),
        ] {
            assert_eq!(of_program(text).requires, expected, "{text}");
        }
        let said = of_program("NAME = 'weather'\nsetup(name=NAME, version='0.2', description=\"Rain\")");
        assert_eq!((said.name.as_deref(), said.version.as_deref()), (Some("weather"), Some("0.2")));
        assert_eq!(said.description.as_deref(), Some("Rain"));
    }

    #[test]
    fn a_setup_cfg_is_read() {
        let text = "[metadata]\nname = weather\nversion = attr: weather.VERSION\ndescription: Rain\n\n[options]\n# why\n\
                    install_requires =\n    a>=1\n    b; python_version < '3.11'\npackages = find:\n";
        let said = of_cfg(text);
        assert_eq!(said.name.as_deref(), Some("weather"));
        assert_eq!((said.version, said.description.as_deref()), (None, Some("Rain")));
        assert_eq!(said.requires, listed(&["a>=1", "b; python_version < '3.11'"]));
        assert_eq!(of_cfg("[options]\ninstall-requires = a;b\n").requires, listed(&["a", "b"]));
        assert_eq!(of_cfg("[options]\ninstall_requires = file: x.txt\n").requires, Requires::Computed);
    }
}
