//! Naptha's merge: what is given wins, what is absent, null or empty falls back to the default.

use serde_json::Value;

/// Whether a value says nothing: `null`, `{}` or `[]`.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(_) | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Merges `given` over `default`: recursive over objects; lists are replaced whole.
pub fn merge(given: &Value, default: &Value) -> Value {
    match (given, default) {
        (given, default) if says_nothing(given) => {
            if default.is_null() {
                given.clone()
            } else {
                default.clone()
            }
        }
        (Value::Object(given), Value::Object(default)) => {
            let mut merged = default.clone();
            for (key, value) in given {
                let below = default.get(key).unwrap_or(&Value::Null);
                merged.insert(key.clone(), merge(value, below));
            }
            Value::Object(merged)
        }
        (given, _) => given.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn given_wins_and_nothing_falls_back() {
        let merged = merge(
            &json!({"a": 1, "b": null, "c": {"x": 2}, "d": [], "e": [3], "new": true}),
            &json!({"a": 0, "b": 5, "c": {"x": 0, "y": 7}, "d": [1], "e": [1, 2]}),
        );
        assert_eq!(merged, json!({"a": 1, "b": 5, "c": {"x": 2, "y": 7}, "d": [1], "e": [3], "new": true}));
    }
}
