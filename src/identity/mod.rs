//! Keys, signatures and tokens, and where they are kept. A user or a node is a secp256k1 key, as in Naptha.

mod key;
mod private;
mod request;
mod sealing;
mod store;
mod token;

pub use key::{KeyError, PublicKey, SecretKey};
pub use private::read_private;
pub use request::{CLOCK_LEEWAY_SECONDS, Nonces, RequestSignature, RequestSignatureError, SCHEME, body_digest};
pub use sealing::{Jwk, Jwks, SealError, SealingKey, StorageKey};
pub use store::{CredentialStore, StoreError};
pub use token::{Secret, Token, TokenError, random_hex};
