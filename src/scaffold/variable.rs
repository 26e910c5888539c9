//! The variables of a template: their types, and who is asked for their values.

use serde::Deserialize;
use serde_json::Value;

use super::ScaffoldError;

/// Longest text, in characters.
const MAX_LENGTH: usize = 500;

/// Something that can be chosen when a project is made.
#[derive(Debug, Clone, Deserialize)]
pub struct Variable {
    /// As it is given and as templates refer to it.
    pub name: String,
    /// The question.
    pub prompt: String,
    /// What values it takes.
    #[serde(flatten)]
    pub kind: Kind,
}

/// The type of a variable, with its default.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Kind {
    /// One line of text.
    String {
        /// A template itself.
        default: String,
    },
    /// A whole number.
    Integer {
        /// Within the range.
        default: i64,
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// Yes or no.
    Bool {
        /// Either.
        default: bool,
    },
    /// One of a few words.
    Choice {
        /// One of them.
        default: String,
        /// All of them.
        choices: Vec<String>,
    },
}

impl Variable {
    /// The default as it would be typed.
    pub(super) fn default_text(&self) -> String {
        match &self.kind {
            Kind::String { default } | Kind::Choice { default, .. } => default.clone(),
            Kind::Integer { default, .. } => default.to_string(),
            Kind::Bool { default } => default.to_string(),
        }
    }

    /// The value that `text` stands for.
    pub fn parse(&self, text: &str) -> Result<Value, ScaffoldError> {
        let wrong =
            |reason: String| ScaffoldError::Value { variable: self.name.clone(), given: text.to_owned(), reason };
        match &self.kind {
            Kind::String { .. } if text.chars().any(char::is_control) => {
                Err(wrong("it must be one line, without control characters".to_owned()))
            }
            Kind::String { .. } if text.chars().count() > MAX_LENGTH => {
                Err(wrong(format!("it is longer than {MAX_LENGTH} characters")))
            }
            Kind::String { .. } => Ok(text.into()),
            Kind::Integer { min, max, .. } => match text.parse::<i64>() {
                Ok(number) if (*min..=*max).contains(&number) => Ok(number.into()),
                _ => Err(wrong(format!("it must be a whole number from {min} to {max}"))),
            },
            Kind::Bool { .. } => match text {
                "true" | "yes" => Ok(true.into()),
                "false" | "no" => Ok(false.into()),
                _ => Err(wrong("it must be `true` or `false`".to_owned())),
            },
            Kind::Choice { choices, .. } if choices.iter().any(|choice| choice == text) => Ok(text.into()),
            Kind::Choice { choices, .. } => Err(wrong(format!("it must be one of {}", choices.join(", ")))),
        }
    }
}

/// Who is asked for the value of a variable that was not given.
pub trait Ask {
    /// The answer, as it would be typed. `default` is what the template proposes.
    fn ask(&self, variable: &Variable, default: &str) -> std::io::Result<String>;
}

/// Asks nobody and takes the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Defaults;

impl Ask for Defaults {
    fn ask(&self, _variable: &Variable, default: &str) -> std::io::Result<String> {
        Ok(default.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: Kind, text: &str) -> Result<Value, String> {
        let variable = Variable { name: "v".to_owned(), prompt: "V".to_owned(), kind };
        variable.parse(text).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_of_the_variables_type() {
        let text = || Kind::String { default: String::new() };
        assert_eq!(parse(text(), "a \"b\""), Ok("a \"b\"".into()));
        assert!(parse(text(), "a\nb").is_err_and(|error| error.contains("one line")));
        assert!(parse(text(), &"a".repeat(501)).is_err_and(|error| error.contains("longer than 500")));

        let rounds = || Kind::Integer { default: 5, min: 1, max: 10 };
        assert_eq!(parse(rounds(), "7"), Ok(7.into()));
        for wrong in ["0", "11", "x", "1.0", "", "99999999999999999999"] {
            assert!(parse(rounds(), wrong).is_err_and(|error| error.contains("from 1 to 10")), "{wrong}");
        }

        let choice = || Kind::Bool { default: false };
        assert_eq!(parse(choice(), "yes"), Ok(true.into()));
        assert_eq!(parse(choice(), "false"), Ok(false.into()));
        assert!(parse(choice(), "maybe").is_err_and(|error| error.contains("`true` or `false`")));

        let model =
            || Kind::Choice { default: "echo".to_owned(), choices: vec!["echo".to_owned(), "ollama".to_owned()] };
        assert_eq!(parse(model(), "ollama"), Ok("ollama".into()));
        assert!(parse(model(), "gpt").is_err_and(|error| error.contains("one of echo, ollama")));
    }
}
