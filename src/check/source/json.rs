//! Strict JSON as a tree. What only some readers accept (comments, trailing commas) is an error here, since Naptha's
//! nodes read with Python's `json`; but it does not hide what else there is to say about the file.

use std::{collections::HashSet, ops::Range, str::FromStr};

use jsonc_parser::{
    CollectOptions, CommentCollectionStrategy, ParseOptions, ast,
    common::Ranged,
    parse_to_ast,
    tokens::{Token, TokenAndRange},
};
use serde_json::Number;

use super::{Member, Node, SyntaxError, Value};

pub(super) fn parse(text: &str) -> (Option<Node>, Vec<SyntaxError>) {
    let collect = CollectOptions { comments: CommentCollectionStrategy::AsTokens, tokens: true };
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = match parse_to_ast(text, &collect, &options) {
        Ok(parsed) => parsed,
        Err(error) => {
            let range = error.range();
            let message = decapitalised(&error.kind().to_string());
            return (None, vec![SyntaxError { span: range.start..range.end, message, help: None, surplus: None }]);
        }
    };
    let mut errors = leniencies(text, parsed.tokens.as_deref().unwrap_or_default());
    let Some(value) = &parsed.value else {
        let message = "the file holds no JSON value".to_owned();
        errors.push(SyntaxError { span: 0..0, message, help: None, surplus: None });
        return (None, errors);
    };
    let root = node(value);
    duplicates(&root, &mut errors);
    errors.sort_by_key(|error| error.span.start);
    (Some(root), errors)
}

/// Comments and trailing commas.
fn leniencies(text: &str, tokens: &[TokenAndRange<'_>]) -> Vec<SyntaxError> {
    let mut errors = Vec::new();
    let mut comma = None;
    for token in tokens {
        let span = token.range.start..token.range.end;
        match &token.token {
            Token::CommentLine(_) | Token::CommentBlock(_) => errors.push(SyntaxError {
                surplus: Some(with_its_space(text, &span)),
                span,
                message: "JSON has no comments".to_owned(),
                help: Some("remove it".to_owned()),
            }),
            Token::Comma => comma = Some(span),
            Token::CloseBrace | Token::CloseBracket => errors.extend(comma.take().map(|span| SyntaxError {
                surplus: Some(span.clone()),
                span,
                message: "JSON has no trailing commas".to_owned(),
                help: Some("remove the comma".to_owned()),
            })),
            _ => comma = None,
        }
    }
    errors
}

/// A comment with the space before it; with its line when it stands there alone.
fn with_its_space(text: &str, span: &Range<usize>) -> Range<usize> {
    let before = text[..span.start].trim_end_matches([' ', '\t']).len();
    let begins_line = before == 0 || text[..before].ends_with('\n');
    let rest = &text[span.end..];
    let line = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'));
    match line {
        Some(after) if begins_line => before..text.len() - after.len(),
        Some(_) => before..span.end,
        None if rest.is_empty() => before..span.end,
        // Something follows in the same line: the space between stays.
        None => span.clone(),
    }
}

fn duplicates(node: &Node, errors: &mut Vec<SyntaxError>) {
    let mut seen = HashSet::new();
    for member in node.members() {
        if !seen.insert(&member.key) {
            errors.push(SyntaxError {
                span: member.key_span.clone(),
                message: format!("the key `{}` stands twice in this object", member.key),
                help: Some("only the last one counts; remove the other".to_owned()),
                surplus: None,
            });
        }
        duplicates(&member.node, errors);
    }
    for item in node.items() {
        duplicates(item, errors);
    }
}

fn node(value: &ast::Value<'_>) -> Node {
    let range = value.range();
    let value = match value {
        ast::Value::StringLit(text) => Value::String(text.value.to_string()),
        ast::Value::NumberLit(number) => {
            let read = Number::from_str(number.value);
            Value::Scalar(read.map_or(serde_json::Value::Null, serde_json::Value::Number))
        }
        ast::Value::BooleanLit(value) => Value::Scalar(value.value.into()),
        ast::Value::NullKeyword(_) => Value::Scalar(serde_json::Value::Null),
        ast::Value::Array(array) => Value::Array(array.elements.iter().map(node).collect()),
        ast::Value::Object(object) => Value::Object(
            object
                .properties
                .iter()
                .map(|property| {
                    let range = property.name.range();
                    Member {
                        key: property.name.as_str().to_owned(),
                        key_span: range.start..range.end,
                        node: node(&property.value),
                    }
                })
                .collect(),
        ),
    };
    Node { span: range.start..range.end, value }
}

fn decapitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_errors_with_a_tree() {
        let text = "[ // all of them\n  {\"a\": 1, \"a\": [2,],},\n]";
        let (root, errors) = parse(text);
        assert!(root.is_some());
        let found: Vec<&str> = errors.iter().map(|error| &text[error.span.clone()]).collect();
        assert_eq!(found, ["// all of them", "\"a\"", ",", ",", ","]);
    }

    #[test]
    fn what_is_not_json_has_a_place() {
        for (text, at) in
            [("{\"a\" 1}", 5), ("[1 2]", 2), ("{'a': 1}", 1), ("[1", 0), ("", 0), ("[.5]", 1), ("[01]", 2)]
        {
            let (_, errors) = parse(text);
            assert_eq!(errors.first().map(|error| error.span.start), Some(at), "{text}: {errors:?}");
        }
    }
}
