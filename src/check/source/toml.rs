//! TOML as a tree. The parser goes on after an error, so all of a file's errors show at once.

use serde_json::Number;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Member, Node, SyntaxError, Value};

pub(super) fn parse(text: &str) -> (Option<Node>, Vec<SyntaxError>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let errors = errors
        .into_iter()
        .map(|error| SyntaxError {
            span: error.span().unwrap_or(0..0),
            message: error.message().replace('\n', ", "),
            help: None,
            surplus: None,
        })
        .collect();
    let span = table.span();
    (Some(Node { span, value: object(table.get_ref()) }), errors)
}

fn object(table: &DeTable<'_>) -> Value {
    let mut members: Vec<Member> = table
        .iter()
        .map(|(key, value)| Member { key: key.get_ref().to_string(), key_span: key.span(), node: node(value) })
        .collect();
    members.sort_by_key(|member| member.key_span.start);
    Value::Object(members)
}

fn node(value: &Spanned<DeValue<'_>>) -> Node {
    let scalar = |value: serde_json::Value| Value::Scalar(value);
    let value_of = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix()).map(Number::from);
            scalar(read.map_or(serde_json::Value::Null, serde_json::Value::Number))
        }
        DeValue::Float(number) => {
            let read = number.as_str().parse().ok().and_then(Number::from_f64);
            scalar(read.map_or(serde_json::Value::Null, serde_json::Value::Number))
        }
        DeValue::Boolean(value) => scalar((*value).into()),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(node).collect()),
        DeValue::Table(table) => object(table),
    };
    Node { span: value.span(), value: value_of }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_place_and_errors_do_not_stop_the_rest() {
        let text = "[module]\ntype = \"agent\"\nname = \nversion = \"1\n[limits]\ntimeout = \"1m\"\n";
        let (root, errors) = parse(text);
        let root = root.expect("a tree");
        assert_eq!(errors.len(), 2, "{errors:?}");
        let kind = root.get("module").and_then(|m| m.get("type")).expect("the type");
        assert_eq!(&text[kind.span.clone()], "\"agent\"");
        assert_eq!(root.pointer("/limits/timeout").and_then(Node::as_str), Some("1m"));
    }
}
