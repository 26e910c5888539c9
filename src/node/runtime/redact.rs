//! Takes a run's secret out of what its module says, also where it is encoded as an `Authorization` header has it.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

/// A run's secret in all the forms that its clients write.
#[derive(Debug)]
pub(in crate::node) struct Redactor(Vec<String>);

impl Redactor {
    /// For a secret that is not empty.
    pub(in crate::node) fn new(secret: &str) -> Self {
        let mut forms = vec![secret.to_owned()];
        // In base64 the secret looks different at each of three offsets. What depends on its neighbours too is left out.
        for offset in 0..3 {
            let padded = [vec![0; offset], secret.as_bytes().to_vec()].concat();
            let encoded = STANDARD_NO_PAD.encode(&padded);
            let (start, end) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
            forms.push(encoded[start..end].to_owned());
        }
        Redactor(forms)
    }

    /// The text without the secret.
    pub(in crate::node) fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, form| text.replace(form, "…"))
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    #[test]
    fn no_form_of_the_secret_is_left() {
        let secret = crate::identity::random_hex(16);
        let redactor = Redactor::new(&secret);
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
