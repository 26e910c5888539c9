//! secp256k1 keys in Naptha's encodings: 64 hex digits for a secret key, 128 for a public one (x‖y, no `04`),
//! 128 for a signature (r‖s).

use std::{fmt, str::FromStr};

use k256::ecdsa::{
    Signature, SigningKey, VerifyingKey,
    signature::hazmat::{PrehashSigner, PrehashVerifier},
};
use serde::{Deserialize, Deserializer, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::report::{Fault, Kind};

/// Why a text is not a key, or a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 64 hex digits of a valid scalar. The text itself is never shown.
    #[error("a private key is 64 hex digits (32 bytes) without `0x`")]
    Secret,
    /// Not 128 hex digits of a point on the curve.
    #[error("a public key is 128 hex digits (x and y, without a leading `04`)")]
    Public,
    /// Not 128 hex digits, or not made by this key for this message.
    #[error("the signature does not match")]
    Signature,
}

impl Fault for KeyError {
    fn kind(&self) -> Kind {
        match self {
            KeyError::Secret | KeyError::Public => Kind::Usage,
            KeyError::Signature => Kind::Auth,
        }
    }
}

/// A private key. It never shows itself.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes: [u8; 32] = hex::decode(text.trim()).ok().and_then(|b| b.try_into().ok()).ok_or(KeyError::Secret)?;
        SigningKey::from_slice(&bytes).map(SecretKey).map_err(|_| KeyError::Secret)
    }
}

/// A new scalar from the system's randomness.
fn random() -> k256::SecretKey {
    loop {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).expect("the operating system has randomness");
        // All but about 2⁻¹²⁸ of the candidates are valid scalars.
        if let Ok(key) = k256::SecretKey::from_slice(&bytes) {
            return key;
        }
    }
}

impl SecretKey {
    /// A new key from the system's randomness.
    pub fn generate() -> Self {
        SecretKey(SigningKey::from(random()))
    }

    /// The hex digits of a new key, without its public half, which takes long to compute.
    pub fn generate_hex() -> String {
        hex::encode(random().to_bytes())
    }

    /// The 64 hex digits, for a file of mode 0600.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }

    /// Naptha's consumer signature: ECDSA over the SHA-1 of the user id. Replayable by design, so never the only proof.
    pub fn sign_consumer(&self, consumer_id: &str) -> String {
        self.sign_prehash(&Sha1::digest(consumer_id))
    }

    /// ECDSA over SHA-256: what napt's own protocols use.
    pub fn sign(&self, message: &[u8]) -> String {
        self.sign_prehash(&Sha256::digest(message))
    }

    fn sign_prehash(&self, digest: &[u8]) -> String {
        let signature: Signature = self.0.sign_prehash(digest).expect("a digest of 20 or 32 bytes can be signed");
        hex::encode(signature.to_bytes())
    }
}

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Naptha's id of the user who has this key: `user:` and 128 hex digits.
    pub fn user_id(&self) -> String {
        format!("user:{self}")
    }

    /// Naptha's id of the node that has this key.
    pub fn node_id(&self) -> String {
        format!("node:{self}")
    }

    /// Reads the key from a user or node id.
    pub fn from_id(id: &str) -> Result<Self, KeyError> {
        id.split_once(':').filter(|(kind, _)| matches!(*kind, "user" | "node")).ok_or(KeyError::Public)?.1.parse()
    }

    /// Checks a consumer signature made by [`SecretKey::sign_consumer`] or by the Python SDK (high or low s).
    pub fn verify_consumer(&self, consumer_id: &str, signature: &str) -> Result<(), KeyError> {
        self.verify_prehash(&Sha1::digest(consumer_id), signature)
    }

    /// Checks a signature made by [`SecretKey::sign`].
    pub fn verify(&self, message: &[u8], signature: &str) -> Result<(), KeyError> {
        self.verify_prehash(&Sha256::digest(message), signature)
    }

    fn verify_prehash(&self, digest: &[u8], signature: &str) -> Result<(), KeyError> {
        let bytes = hex::decode(signature).map_err(|_| KeyError::Signature)?;
        let signature = Signature::from_slice(&bytes).map_err(|_| KeyError::Signature)?;
        // The Python library makes high-s signatures half of the time, and k256 refuses those.
        self.0.verify_prehash(digest, &signature.normalize_s()).map_err(|_| KeyError::Signature)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 65 bytes: `04`, then x and y.
        f.write_str(&hex::encode(&self.0.to_sec1_point(false).as_bytes()[1..]))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = hex::decode(text).map_err(|_| KeyError::Public)?;
        if bytes.len() != 64 {
            return Err(KeyError::Public);
        }
        let point: Vec<u8> = std::iter::once(4).chain(bytes).collect();
        VerifyingKey::from_sec1_bytes(&point).map(PublicKey).map_err(|_| KeyError::Public)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of `naptha-sdk` 1.0.5: one key, four signatures that its own library made or accepts.
    #[test]
    fn signatures_of_the_python_sdk_hold() {
        let key: SecretKey = "11".repeat(32).parse().expect("a key");
        let public = key.public();
        assert_eq!(
            public.to_string(),
            "4f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa\
             385b6b1b8ead809ca67454d9683fcf2ba03456d6fe2c4abe2b07f0fbdbb2f1c1"
        );
        for signature in [
            "b985b33cf64dc2c2d4a314ded2e4bca80c99c57a547a371a5d731dfca8da17aac1d0d0611ba91f6f8b6a7aae5fb0caa64db914fa1acec4d168f80d324fe027e7",
            "b985b33cf64dc2c2d4a314ded2e4bca80c99c57a547a371a5d731dfca8da17aa3e2f2f9ee456e09074958551a04f35586cf5c7ec9479db6a56da515a8056195a",
            "c6f2167227f5b32d8701c7aa13974fac4d4300dd1568c1065de4d2d05d196ac7f0012e94702c2f2bf15dc1192a6e33794b6d0133d97a7246123c5e1b75fe3bc0",
            "c6f2167227f5b32d8701c7aa13974fac4d4300dd1568c1065de4d2d05d196ac70ffed16b8fd3d0d40ea23ee6d591cc856f41dbb2d5ce2df5ad9600715a380581",
        ] {
            assert_eq!(public.verify_consumer(&public.user_id(), signature), Ok(()));
        }
        assert_eq!(
            public.verify_consumer("user:other", &key.sign_consumer(&public.user_id())),
            Err(KeyError::Signature)
        );
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let key = SecretKey::generate();
        assert!(!format!("{key:?}").contains(&key.to_hex()));
    }
}
