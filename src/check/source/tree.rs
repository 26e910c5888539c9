//! One tree for TOML and JSON, so that rules need not know which they look at.

use std::ops::Range;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(in crate::check) struct Node {
    pub(in crate::check) span: Range<usize>,
    pub(in crate::check) value: Value,
}

#[derive(Debug, Clone)]
pub(in crate::check) enum Value {
    /// `null`, booleans and numbers.
    Scalar(serde_json::Value),
    String(String),
    Array(Vec<Node>),
    /// In the order of the file; a key may stand twice.
    Object(Vec<Member>),
}

#[derive(Debug, Clone)]
pub(in crate::check) struct Member {
    pub(in crate::check) key: String,
    pub(in crate::check) key_span: Range<usize>,
    pub(in crate::check) node: Node,
}

impl Node {
    pub(in crate::check) fn members(&self) -> &[Member] {
        match &self.value {
            Value::Object(members) => members,
            Value::Scalar(_) | Value::String(_) | Value::Array(_) => &[],
        }
    }

    pub(in crate::check) fn items(&self) -> &[Node] {
        match &self.value {
            Value::Array(items) => items,
            Value::Scalar(_) | Value::String(_) | Value::Object(_) => &[],
        }
    }

    /// The member of that key; the last one when it stands twice, as Python and serde read it.
    pub(in crate::check) fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().rev().find(|member| member.key == key)
    }

    pub(in crate::check) fn get(&self, key: &str) -> Option<&Node> {
        self.member(key).map(|member| &member.node)
    }

    pub(in crate::check) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            Value::Scalar(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The text under a key.
    pub(in crate::check) fn text(&self, key: &str) -> Option<(&str, &Range<usize>)> {
        let node = self.get(key)?;
        Some((node.as_str()?, &node.span))
    }

    /// The text of a member of an object of JSON, with the comma that goes with it.
    pub(in crate::check) fn surplus(&self, key_span: &Range<usize>) -> Option<Range<usize>> {
        let members = self.members();
        let at = members.iter().position(|member| member.key_span == *key_span)?;
        let end = members[at].node.span.end;
        Some(match (at.checked_sub(1).map(|before| &members[before]), members.get(at + 1)) {
            (_, Some(after)) => key_span.start..after.key_span.start,
            (Some(before), None) => before.node.span.end..end,
            (None, None) => key_span.start..end,
        })
    }

    /// What stands at a JSON pointer.
    pub(in crate::check) fn pointer(&self, pointer: &str) -> Option<&Node> {
        pointer.split('/').skip(1).try_fold(self, |node, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match &node.value {
                Value::Array(items) => items.get(token.parse::<usize>().ok()?),
                Value::Object(_) => node.get(&token),
                Value::Scalar(_) | Value::String(_) => None,
            }
        })
    }

    pub(in crate::check) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Scalar(value) => value.clone(),
            Value::String(text) => serde_json::Value::String(text.clone()),
            Value::Array(items) => items.iter().map(Node::to_json).collect(),
            Value::Object(members) => {
                members.iter().map(|member| (member.key.clone(), member.node.to_json())).collect()
            }
        }
    }
}
