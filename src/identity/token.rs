//! Bearer tokens, and text that must not be shown.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::report::{Fault, Kind};

/// Text that hides itself wherever it is printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// `length` random bytes as lower-case hex.
pub fn random_hex(length: usize) -> String {
    let mut bytes = vec![0_u8; length];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    hex::encode(bytes)
}

/// A token of a registry or node: `napt_` and 48 hex digits, so that secret scanners know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(Secret);

/// A text that is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a token is `napt_` and 48 hex digits")]
pub struct TokenError;

impl Fault for TokenError {
    fn kind(&self) -> Kind {
        Kind::Auth
    }

    fn hint(&self) -> Option<String> {
        Some("`napt login` makes one".to_owned())
    }
}

impl Token {
    /// A new random token.
    pub fn generate() -> Self {
        Token(Secret::new(format!("napt_{}", random_hex(24))))
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// What a server stores instead of the token: its SHA-256 in hex.
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.reveal()))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let digits = text.trim().strip_prefix("napt_").ok_or(TokenError)?;
        if digits.len() == 48 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Token(Secret::new(text.trim())))
        } else {
            Err(TokenError)
        }
    }
}
