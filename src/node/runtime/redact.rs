//! Takes a run's credential and its user's secrets out of what its module says, also where they are encoded as an
//! `Authorization` header has them.

use aho_corasick::AhoCorasick;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use crate::identity::Secret;

/// What is shorter is found everywhere: a port, `true`.
const MIN_VALUE: usize = 8;

/// Longer forms are found by anchors, since lines are cut; so many bytes, every so many.
const MAX_FORM: usize = 4096;
const ANCHOR: usize = 16;
const SPACING: usize = 1024;

/// How many different bytes an anchor has, so that no row of spaces is one.
const DIFFERENT: usize = 6;

/// Secrets in all the forms that modules write.
#[derive(Debug)]
pub(in crate::node) struct Redactor {
    credential: Vec<String>,
    values: Vec<String>,
    long: Long,
}

impl Redactor {
    /// For a run's credential, which is not empty, and the values of its user's secrets.
    pub(in crate::node) fn new(credential: &str, values: &[Secret]) -> Self {
        let mut found: Vec<String> = values.iter().flat_map(|value| forms_of_value(value.reveal())).collect();
        // What holds another goes before it.
        found.sort_by_key(|form| std::cmp::Reverse(form.len()));
        found.dedup();
        let short = found.split_off(found.partition_point(|form| form.len() > MAX_FORM));
        let credential = std::iter::once(credential.to_owned()).chain(in_base64(credential)).collect();
        Redactor { credential, values: short, long: Long::new(found) }
    }

    /// The text without any of them.
    pub(in crate::node) fn redact(&self, text: &str) -> String {
        self.redact_values(&replace(&self.credential, text))
    }

    /// The text without the user's secrets; for results, of which the run's credential may be a part.
    pub(in crate::node) fn redact_values(&self, text: &str) -> String {
        replace(&self.values, &self.long.redact(text))
    }
}

fn replace(forms: &[String], text: &str) -> String {
    forms.iter().fold(text.to_owned(), |text, form| if text.contains(form) { text.replace(form, "…") } else { text })
}

/// Long texts, of which any piece with an anchor in it is found as far as it goes.
#[derive(Debug)]
struct Long {
    texts: Vec<String>,
    /// Which text, and where in it, for each anchor.
    places: Vec<(usize, usize)>,
    /// None without anchors.
    anchors: Option<AhoCorasick>,
}

impl Long {
    fn new(texts: Vec<String>) -> Self {
        let all = texts.iter().enumerate().flat_map(|(index, text)| {
            (0..text.len() - ANCHOR).step_by(SPACING).map(move |at| ((index, at), &text.as_bytes()[at..at + ANCHOR]))
        });
        let telling = |bytes: &[u8]| bytes.iter().collect::<std::collections::HashSet<_>>().len() >= DIFFERENT;
        let (places, bytes): (Vec<_>, Vec<_>) = all.filter(|(_, bytes)| telling(bytes)).unzip();
        // So many that it cannot be built are more than a run's secrets may have.
        let anchors = if bytes.is_empty() { None } else { AhoCorasick::new(bytes).ok() };
        Long { texts, places, anchors }
    }

    fn redact(&self, text: &str) -> String {
        let Some(anchors) = &self.anchors else { return text.to_owned() };
        let (mut shown, mut from) = (String::new(), 0);
        for found in anchors.find_iter(text) {
            if found.start() < from {
                continue;
            }
            let (index, at) = self.places[found.pattern().as_usize()];
            let secret = self.texts[index].as_bytes();
            let before = text.as_bytes()[from..found.start()].iter().rev().zip(secret[..at].iter().rev());
            let start = found.start() - before.take_while(|(a, b)| a == b).count();
            let after = text.as_bytes()[found.end()..].iter().zip(&secret[at + ANCHOR..]);
            let end = found.end() + after.take_while(|(a, b)| a == b).count();
            shown.push_str(&text[from..text.floor_char_boundary(start).max(from)]);
            shown.push('…');
            from = text.ceil_char_boundary(end);
        }
        shown.push_str(&text[from..]);
        shown
    }
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

/// A value's lines, also as JSON has them, and the whole in base64.
fn forms_of_value(value: &str) -> Vec<String> {
    if value.len() < MIN_VALUE {
        return Vec::new();
    }
    let mut forms: Vec<String> = in_base64(value).collect();
    for line in value.lines().map(str::trim).filter(|line| line.len() >= MIN_VALUE) {
        let quoted = serde_json::Value::from(line).to_string();
        forms.extend([line, &quoted[1..quoted.len() - 1]].map(str::to_owned));
    }
    forms
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use sha2::Digest;

    use super::*;

    #[test]
    fn values_of_secrets_are_left_out_line_by_line_and_in_json() {
        let digest = |number: u32| hex::encode(sha2::Sha256::digest(number.to_le_bytes()));
        let long: String = (0..16_384).map(|number| format!("{}é", digest(number))).collect();
        let values = ["short", "a \"quoted\" value", "-----BEGIN-----\nfirst line of it\nsecond line\n", &long];
        let redactor = Redactor::new("credential", &values.map(Secret::new));
        let result = serde_json::json!({ "value": values[1], "other": "short" }).to_string();
        assert_eq!(redactor.redact_values(&result), r#"{"value":"…","other":"short"}"#);
        assert_eq!(redactor.redact("x first line of it, second line"), "x …, …");
        assert_eq!(redactor.redact_values("credential"), "credential");
        assert_eq!(redactor.redact(&format!("x {} y", &long[100..70_000])), "x … y");
        assert_eq!(redactor.redact(&STANDARD.encode(&long)[5000..70_000]), "…");
        let spaces = Secret::new(" ".repeat(10_000));
        assert_eq!(Redactor::new("credential", &[spaces]).redact(&" ".repeat(100)), " ".repeat(100));
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
