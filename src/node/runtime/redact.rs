//! Takes a run's credential and its user's secrets out of what its module says, also where they are encoded as an
//! `Authorization` header has them.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use crate::identity::Secret;

/// What is shorter is found everywhere: a port, `true`.
const MIN_VALUE: usize = 8;

/// Longer values are looked for in blocks, since lines are cut.
const MAX_VALUE: usize = 4096;
const BLOCK: usize = 512;

/// Secrets in all the forms that modules write.
#[derive(Debug)]
pub(in crate::node) struct Redactor {
    credential: Vec<String>,
    values: Vec<String>,
}

impl Redactor {
    /// For a run's credential, which is not empty, and the values of its user's secrets.
    pub(in crate::node) fn new(credential: &str, values: &[Secret]) -> Self {
        let mut found: Vec<String> = values.iter().flat_map(|value| forms_of_value(value.reveal())).collect();
        // What holds another goes before it.
        found.sort_by_key(|form| std::cmp::Reverse(form.len()));
        found.dedup();
        let credential = std::iter::once(credential.to_owned()).chain(in_base64(credential)).collect();
        Redactor { credential, values: found }
    }

    /// The text without any of them.
    pub(in crate::node) fn redact(&self, text: &str) -> String {
        self.redact_values(&replace(&self.credential, text))
    }

    /// The text without the user's secrets; for results, of which the run's credential may be a part.
    pub(in crate::node) fn redact_values(&self, text: &str) -> String {
        replace(&self.values, text)
    }
}

fn replace(forms: &[String], text: &str) -> String {
    forms.iter().fold(text.to_owned(), |text, form| if text.contains(form) { text.replace(form, "…") } else { text })
}

/// A text at each of three offsets in base64, where it looks different. What depends on its neighbours too is left out.
fn in_base64(text: &str) -> impl Iterator<Item = String> {
    (0..3).map(move |offset| {
        let padded = [vec![0; offset], text.as_bytes().to_vec()].concat();
        let encoded = STANDARD_NO_PAD.encode(&padded);
        let (start, end) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
        encoded[start..end].to_owned()
    })
}

/// A value's lines, and the whole as JSON has it and in base64.
fn forms_of_value(value: &str) -> Vec<String> {
    if value.len() < MIN_VALUE {
        return Vec::new();
    }
    let mut forms = Vec::new();
    for line in value.lines().map(str::trim).filter(|line| line.len() >= MIN_VALUE) {
        let quoted = serde_json::Value::from(line).to_string();
        for form in [line, &quoted[1..quoted.len() - 1]] {
            forms.extend(if form.len() > MAX_VALUE { blocks(form) } else { vec![form.to_owned()] });
        }
    }
    if value.len() <= MAX_VALUE {
        forms.extend(in_base64(value));
    }
    forms
}

fn blocks(text: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (block, more) = rest.split_at(rest.floor_char_boundary(BLOCK));
        // A short end is no more than the beginning of a word.
        if block.len() >= MIN_VALUE {
            found.push(block.to_owned());
        }
        rest = more;
    }
    found
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    #[test]
    fn values_of_secrets_are_left_out_line_by_line_and_in_json() {
        let long = "0123456789abcdef".repeat(65_536);
        let values = ["short", "a \"quoted\" value", "-----BEGIN-----\nfirst line of it\nsecond line\n", &long];
        let redactor = Redactor::new("credential", &values.map(Secret::new));
        let result = serde_json::json!({ "value": values[1], "other": "short" }).to_string();
        assert_eq!(redactor.redact_values(&result), r#"{"value":"…","other":"short"}"#);
        assert_eq!(redactor.redact("x first line of it, second line"), "x …, …");
        assert_eq!(redactor.redact_values("credential"), "credential");
        let left = redactor.redact(&long[100..70_000]);
        assert!(left.len() < 3 * BLOCK + 1024, "{}", left.len());
        assert!(redactor.redact(&STANDARD.encode(values[1])).contains('…'));
    }

    #[test]
    fn no_form_of_the_secret_is_left() {
        let secret = crate::identity::random_hex(16);
        let redactor = Redactor::new(&secret, &[]);
        assert_eq!(redactor.redact(&format!("http://run.local:{secret}@h {secret}")), "http://run.local:…@h …");
        for before in ["", "a", "ab", "run.local:", "0190.0123456789abcdef:"] {
            for after in ["", "x", "xy"] {
                let text = format!("{before}{secret}{after}");
                for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                    let shown = redactor.redact(&format!("Basic {encoded}"));
                    assert!(shown.contains('…') && shown.len() < encoded.len() - 20, "{before} {after}: {shown}");
                }
            }
        }
    }
}
