//! What is checked: files as text with places, and as trees whose every value knows its span.

mod json;
mod python;
pub(super) mod secret;
mod toml;
mod tree;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use toml_edit::DocumentMut;

pub(super) use python::{Entry, Parameter, ParameterKind, Python};
pub(super) use secret::is_secret_key;
pub(super) use tree::{Member, Node, Value};

use super::{
    diagnostic::{Edit, Place},
    shape::Problem,
};
use crate::secrets::{self, Found};

/// A file's text, with what is needed to show a part of it.
#[derive(Debug)]
pub struct SourceFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// Its text as excerpts show it: as many bytes, but `*` for those of secrets.
    pub shown: String,
    /// Where its secrets are, and what they look like.
    pub(super) secrets: Vec<Found>,
    /// Where a byte is that is not UTF-8; `text` has replacement characters from there on.
    not_utf8: Option<usize>,
}

/// A place in a text: line and column, both from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// From 0, in bytes of the file.
    pub offset: usize,
}

impl SourceFile {
    /// Reads a file. Bytes that are not UTF-8 are kept as a defect to report, since the rest of it is still worth checking.
    fn read(path: &Path) -> std::io::Result<Self> {
        let bytes = fs_err::read(path)?;
        let (text, not_utf8) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(at))
            }
        };
        let secrets = secrets::find(&text);
        let shown = secrets::mask(&text, &secrets);
        Ok(SourceFile { path: path.to_owned(), text, shown, secrets, not_utf8 })
    }

    /// Line and column of a byte.
    pub fn position(&self, offset: usize) -> Position {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let start_of_line = before.rfind('\n').map_or(0, |at| at + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[start_of_line..].chars().count() + 1,
            offset: end,
        }
    }

    /// Whether `text` is the file's, byte by byte.
    pub(super) fn is_utf8(&self) -> bool {
        self.not_utf8.is_none()
    }

    fn utf8_error(&self) -> Option<SyntaxError> {
        self.not_utf8.map(|at| SyntaxError {
            span: at..self.text[at..].chars().next().map_or(at, |c| at + c.len_utf8()),
            message: "the file is not UTF-8 from here on".to_owned(),
            help: Some("save it as UTF-8".to_owned()),
            surplus: None,
        })
    }
}

/// What a parser cannot read, and where.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// What may go, when it is right without that.
    pub(super) surplus: Option<Range<usize>>,
}

/// A TOML or JSON file: as much of its tree as could be read, and why the rest could not.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) source: Arc<SourceFile>,
    pub(super) root: Option<Node>,
    pub(super) errors: Vec<SyntaxError>,
    /// What does not fit its shape, once a rule has asked.
    pub(super) problems: OnceLock<Vec<Problem>>,
}

impl Document {
    pub(super) fn read_toml(path: &Path) -> std::io::Result<Self> {
        Ok(Self::parsed(SourceFile::read(path)?, toml::parse))
    }

    pub(super) fn read_json(path: &Path) -> std::io::Result<Self> {
        Ok(Self::parsed(SourceFile::read(path)?, json::parse))
    }

    fn parsed(mut source: SourceFile, parse: fn(&str) -> (Option<Node>, Vec<SyntaxError>)) -> Self {
        let (root, mut errors) = parse(&source.text);
        errors.splice(0..0, source.utf8_error());
        if let Some(root) = &root {
            secret::find_by_key(root, &mut source.secrets);
            source.shown = secrets::mask(&source.text, &source.secrets);
        }
        Document { source: Arc::new(source), root, errors, problems: OnceLock::new() }
    }

    /// A place in it.
    pub(super) fn at(&self, span: &Range<usize>) -> Place {
        Place { file: self.source.clone(), span: Some(span.clone()) }
    }

    /// A change of it.
    pub(super) fn edit(&self, span: &Range<usize>, text: impl Into<String>) -> Edit {
        Edit { file: self.source.clone(), span: span.clone(), text: text.into() }
    }

    /// A change of a TOML file that is made on its tree: what was not changed keeps its form.
    pub(super) fn edit_toml(&self, change: impl FnOnce(&mut DocumentMut) -> Option<()>) -> Option<Edit> {
        let old = &self.source.text;
        let mut tree: DocumentMut = old.parse().ok()?;
        change(&mut tree)?;
        let mut new = tree.to_string();
        if old.contains("\r\n") {
            new = new.replace("\r\n", "\n").replace('\n', "\r\n");
        }
        let common = |pairs: &mut dyn Iterator<Item = (char, char)>| -> usize {
            pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
        };
        let start = common(&mut old.chars().zip(new.chars()));
        let end = common(&mut old[start..].chars().rev().zip(new[start..].chars().rev()));
        Some(self.edit(&(start..old.len() - end), &new[start..new.len() - end]))
    }

    /// The file as such.
    pub(super) fn whole(&self) -> Place {
        Place { file: self.source.clone(), span: None }
    }

    /// The value under a path of keys.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self.root.as_ref()?, |node, key| node.get(key))
    }

    /// The file's name, for messages.
    pub(super) fn name(&self) -> std::borrow::Cow<'_, str> {
        self.source.path.file_name().unwrap_or_default().to_string_lossy()
    }
}
