//! Python files, read by an error-tolerant parser: what stands at the top level of a file, and what is not Python.

use std::{ops::Range, path::Path, sync::Arc};

use tree_sitter::{Node, Parser, Tree};

use super::{SourceFile, SyntaxError};
use crate::check::diagnostic::Place;

/// A Python file and its tree.
#[derive(Debug)]
pub(in crate::check) struct Python {
    pub(in crate::check) source: Arc<SourceFile>,
    tree: Tree,
}

/// How a file comes by a name.
#[derive(Debug)]
pub(in crate::check) enum Entry {
    /// A function whose parameters are known.
    Function(Function),
    /// A class, an import or an assignment: it is there, and more cannot be told from here.
    Other,
}

/// A function's door.
#[derive(Debug)]
pub(in crate::check) struct Function {
    pub(in crate::check) name_span: Range<usize>,
    pub(in crate::check) parameters: Vec<Parameter>,
}

#[derive(Debug)]
pub(in crate::check) struct Parameter {
    pub(in crate::check) name: String,
    pub(in crate::check) kind: ParameterKind,
    pub(in crate::check) required: bool,
    pub(in crate::check) span: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) enum ParameterKind {
    /// Before a `/`.
    PositionOnly,
    Named,
    /// `*args`
    Rest,
    /// `**kwargs`
    KeywordRest,
}

impl Python {
    pub(in crate::check) fn read(path: &Path) -> std::io::Result<Self> {
        let source = Arc::new(SourceFile::read(path)?);
        let mut parser = Parser::new();
        parser
            .set_language(&tree_sitter_python::LANGUAGE.into())
            .expect("the grammar fits the parser it is built with");
        let tree = parser.parse(&source.text, None).expect("a parser with a language and no time limit always answers");
        Ok(Python { source, tree })
    }

    pub(in crate::check) fn at(&self, span: &Range<usize>) -> Place {
        Place { file: self.source.clone(), span: Some(span.clone()) }
    }

    pub(in crate::check) fn whole(&self) -> Place {
        Place { file: self.source.clone(), span: None }
    }

    fn text(&self, node: Node<'_>) -> &str {
        &self.source.text[node.byte_range()]
    }

    /// The first thing that is not Python 3; what follows it is often only its consequence.
    pub(in crate::check) fn syntax_error(&self) -> Option<SyntaxError> {
        let bytes = self.source.utf8_error();
        bytes
            .or_else(|| self.tree.root_node().has_error().then(|| self.first_error(self.tree.root_node())).flatten())
            .or_else(|| {
                let old =
                    find(self.tree.root_node(), &|node| matches!(node.kind(), "print_statement" | "exec_statement"))?;
                Some(SyntaxError {
                    span: old.byte_range(),
                    message: "this is Python 2".to_owned(),
                    help: Some("`print` and `exec` are functions: put what follows in parentheses".to_owned()),
                    surplus: None,
                })
            })
    }

    fn first_error(&self, root: Node<'_>) -> Option<SyntaxError> {
        let node = find(root, &|node| node.is_error() || node.is_missing())?;
        let mut span = node.byte_range();
        let message =
            if node.is_missing() { format!("`{}` is missing here", node.kind()) } else { "invalid syntax".to_owned() };
        // An error may swallow everything up to the end of the file: its first line is where it is.
        if let Some(length) = self.source.text[span.clone()].find('\n') {
            span.end = span.start + length;
        }
        Some(SyntaxError { span, message, help: None, surplus: None })
    }

    /// How the file defines `name` at its top level; `None` when it does not.
    pub(in crate::check) fn defines(&self, name: &str) -> Option<Entry> {
        self.in_block(self.tree.root_node(), name)
    }

    /// Names of the functions that are defined at the top level.
    pub(in crate::check) fn functions(&self) -> Vec<&str> {
        self.names_of("function_definition")
    }

    /// Names of the classes that are defined at the top level.
    pub(in crate::check) fn classes(&self) -> Vec<&str> {
        self.names_of("class_definition")
    }

    fn names_of(&self, kind: &str) -> Vec<&str> {
        let root = self.tree.root_node();
        let mut cursor = root.walk();
        let definitions = root.named_children(&mut cursor).map(undecorated).filter(|node| node.kind() == kind);
        definitions.filter_map(|node| node.child_by_field_name("name")).map(|node| self.text(node)).collect()
    }

    /// Looks through a block, and through what is run with it: `if`, `try`, `with`.
    fn in_block(&self, block: Node<'_>, name: &str) -> Option<Entry> {
        let mut cursor = block.walk();
        let mut found = None;
        for node in block.named_children(&mut cursor).map(undecorated) {
            let here = match node.kind() {
                "function_definition" => self.named(node, name).then(|| Entry::Function(self.function(node))),
                "class_definition" => self.named(node, name).then_some(Entry::Other),
                "import_from_statement" | "import_statement" => self.imports(node, name).then_some(Entry::Other),
                "expression_statement" => self.assigns(node, name).then_some(Entry::Other),
                "if_statement" | "elif_clause" | "else_clause" | "try_statement" | "except_clause"
                | "finally_clause" | "with_statement" | "block" => self.in_block(node, name),
                _ => None,
            };
            // The last definition is the one that counts.
            found = here.or(found);
        }
        found
    }

    fn named(&self, node: Node<'_>, name: &str) -> bool {
        node.child_by_field_name("name").is_some_and(|node| self.text(node) == name)
    }

    fn imports(&self, node: Node<'_>, name: &str) -> bool {
        let mut cursor = node.walk();
        node.named_children(&mut cursor).any(|child| child.kind() == "wildcard_import")
            || node.children_by_field_name("name", &mut node.walk()).any(|child| {
                let bound = child.child_by_field_name("alias").unwrap_or(child);
                self.text(bound) == name
            })
    }

    fn assigns(&self, statement: Node<'_>, name: &str) -> bool {
        let mut cursor = statement.walk();
        statement
            .named_children(&mut cursor)
            .filter(|node| node.kind() == "assignment")
            .filter_map(|node| node.child_by_field_name("left"))
            .any(|left| self.text(left) == name)
    }

    fn function(&self, node: Node<'_>) -> Function {
        let mut parameters = Vec::new();
        if let Some(list) = node.child_by_field_name("parameters") {
            let mut cursor = list.walk();
            for child in list.named_children(&mut cursor) {
                if child.kind() == "positional_separator" {
                    for parameter in &mut parameters {
                        let parameter: &mut Parameter = parameter;
                        parameter.kind = ParameterKind::PositionOnly;
                    }
                }
                parameters.extend(self.parameter(child));
            }
        }
        let name_span = node.child_by_field_name("name").unwrap_or(node).byte_range();
        Function { name_span, parameters }
    }

    fn parameter(&self, node: Node<'_>) -> Option<Parameter> {
        let (inner, required) = match node.kind() {
            "identifier" | "list_splat_pattern" | "dictionary_splat_pattern" => (node, true),
            "typed_parameter" => (node.named_child(0)?, true),
            "default_parameter" | "typed_default_parameter" => (node.child_by_field_name("name")?, false),
            _ => return None,
        };
        let kind = match inner.kind() {
            "list_splat_pattern" => ParameterKind::Rest,
            "dictionary_splat_pattern" => ParameterKind::KeywordRest,
            _ => ParameterKind::Named,
        };
        let name = self.text(inner).trim_start_matches('*').to_owned();
        Some(Parameter { name, kind, required, span: node.byte_range() })
    }
}

/// The definition under a decorator, or the node itself.
fn undecorated(node: Node<'_>) -> Node<'_> {
    if node.kind() == "decorated_definition" { node.child_by_field_name("definition").unwrap_or(node) } else { node }
}

/// The first node, in the order of the text, that `is` is true of.
fn find<'tree>(root: Node<'tree>, is: &dyn Fn(Node<'tree>) -> bool) -> Option<Node<'tree>> {
    let mut cursor = root.walk();
    loop {
        if is(cursor.node()) {
            return Some(cursor.node());
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return None;
            }
        }
    }
}
