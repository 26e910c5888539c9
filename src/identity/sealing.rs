//! Values that only one node can read: JWE (RFC 7516) with RSA-OAEP-256 and A256GCM on the way, AES-256-GCM at rest.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    encoding::AsDer,
    rsa::{
        KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
        PublicEncryptingKey, PublicKeyComponents,
    },
    signature::{KeyPair, RsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Bytes of an AES-256 key.
const KEY_LEN: usize = 32;

/// Why a value cannot be sealed or opened. What was given is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not a key.
    #[error("it is no RSA key of 2048 bits or more")]
    Key,
    /// Not a sealed value.
    #[error("it is no sealed value")]
    Malformed,
    /// Sealed for another key, or changed on the way.
    #[error("it is sealed for another node, or damaged")]
    Foreign,
}

/// A public key as nodes tell it (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `RSA`.
    pub kty: String,
    /// Its thumbprint (RFC 7638).
    pub kid: String,
    /// `enc`: what it is for.
    #[serde(rename = "use")]
    pub purpose: String,
    /// `RSA-OAEP-256`.
    #[serde(default)]
    pub alg: String,
    /// Its modulus.
    pub n: String,
    /// Its exponent.
    pub e: String,
}

/// What `/.well-known/jwks.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Jwks {
    /// The node's keys.
    pub keys: Vec<Jwk>,
}

impl Jwk {
    /// Seals a value of any length so that only the owner of this key can open it.
    pub fn seal(&self, value: &[u8]) -> Result<String, SealError> {
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::Key);
        let (n, e) = (part(&self.n)?, part(&self.e)?);
        let key: PublicEncryptingKey =
            PublicKeyComponents { n, e }.try_into().map_err(|_: aws_lc_rs::error::Unspecified| SealError::Key)?;
        let key = OaepPublicEncryptingKey::new(key).map_err(|_| SealError::Key)?;
        let mut content_key = [0; KEY_LEN];
        let mut iv = [0; NONCE_LEN];
        fill(&mut content_key);
        fill(&mut iv);
        let mut room = vec![0; key.ciphertext_size()];
        let wrapped =
            key.encrypt(&OAEP_SHA256_MGF1SHA256, &content_key, &mut room, None).map_err(|_| SealError::Key)?;
        let header = json!({ "alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": self.kid }).to_string();
        let header = URL_SAFE_NO_PAD.encode(header);
        let mut sealed = value.to_vec();
        let tag = aes(&content_key)
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(iv), Aad::from(header.as_bytes()), &mut sealed)
            .map_err(|_| SealError::Malformed)?;
        let parts = [wrapped as &[u8], &iv, &sealed, tag.as_ref()].map(|part| URL_SAFE_NO_PAD.encode(part));
        Ok(format!("{header}.{}", parts.join(".")))
    }
}

/// A node's RSA key, by which values for it are sealed.
pub struct SealingKey {
    private: OaepPrivateDecryptingKey,
    jwk: Jwk,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.jwk.kid)
    }
}

impl SealingKey {
    /// A new key's PKCS#8, in PEM, for a file that only its owner may read.
    pub fn generate_pem() -> String {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).expect("the system has randomness and memory");
        let der = key.as_der().expect("a key that was just made can be written");
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    }

    /// Reads what [`SealingKey::generate_pem`] wrote.
    pub fn from_pem(pem: &str) -> Result<Self, SealError> {
        let text: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let der = STANDARD.decode(text).map_err(|_| SealError::Key)?;
        let private = PrivateDecryptingKey::from_pkcs8(&der).map_err(|_| SealError::Key)?;
        let pair = RsaKeyPair::from_pkcs8(&der).map_err(|_| SealError::Key)?;
        let public = pair.public_key();
        let n = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let e = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        let thumbprint = Sha256::digest(format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#));
        let jwk = Jwk {
            kty: "RSA".to_owned(),
            kid: URL_SAFE_NO_PAD.encode(thumbprint),
            purpose: "enc".to_owned(),
            alg: "RSA-OAEP-256".to_owned(),
            n,
            e,
        };
        Ok(SealingKey { private: OaepPrivateDecryptingKey::new(private).map_err(|_| SealError::Key)?, jwk })
    }

    /// The public half.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Opens what was encrypted with RSA-OAEP alone, as Naptha's SDK does.
    pub fn open_oaep(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        if sealed.len() != self.private.key_size_bytes() {
            return Err(SealError::Malformed);
        }
        let mut room = vec![0; self.private.min_output_size()];
        let opened = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, sealed, &mut room, None);
        opened.map(|value| value.to_vec()).map_err(|_| SealError::Foreign)
    }

    /// Opens what [`Jwk::seal`] sealed.
    pub fn open(&self, sealed: &str) -> Result<Vec<u8>, SealError> {
        let mut parts = sealed.split('.');
        let header = parts.next().unwrap_or_default();
        let decoded: Option<Vec<Vec<u8>>> = parts.map(|part| URL_SAFE_NO_PAD.decode(part).ok()).collect();
        let [wrapped, iv, mut value, tag]: [Vec<u8>; 4] =
            decoded.and_then(|parts| parts.try_into().ok()).ok_or(SealError::Malformed)?;
        let known: serde_json::Value = URL_SAFE_NO_PAD
            .decode(header)
            .ok()
            .and_then(|header| serde_json::from_slice(&header).ok())
            .ok_or(SealError::Malformed)?;
        if known["alg"] != "RSA-OAEP-256" || known["enc"] != "A256GCM" {
            return Err(SealError::Malformed);
        }
        let key: [u8; KEY_LEN] = self.open_oaep(&wrapped)?.try_into().map_err(|_| SealError::Foreign)?;
        let iv = Nonce::try_assume_unique_for_key(&iv).map_err(|_| SealError::Malformed)?;
        value.extend_from_slice(&tag);
        let opened = aes(&key).open_in_place(iv, Aad::from(header.as_bytes()), &mut value);
        opened.map(|value| value.to_vec()).map_err(|_| SealError::Foreign)
    }
}

/// A key for values at rest.
pub struct StorageKey(LessSafeKey);

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StorageKey(…)")
    }
}

impl StorageKey {
    /// Of 64 hex digits.
    pub fn from_hex(text: &str) -> Result<Self, SealError> {
        let key: [u8; KEY_LEN] =
            hex::decode(text.trim()).ok().and_then(|key| key.try_into().ok()).ok_or(SealError::Key)?;
        Ok(StorageKey(aes(&key)))
    }

    /// Seals a value for one place: elsewhere it cannot be opened.
    pub fn seal(&self, place: &str, value: &[u8]) -> Vec<u8> {
        let mut iv = [0; NONCE_LEN];
        fill(&mut iv);
        let mut sealed = value.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(iv), Aad::from(place), &mut sealed)
            .expect("values are far smaller than what AES-GCM can seal");
        [&iv[..], &sealed].concat()
    }

    /// Opens a value of this place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (iv, value) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Malformed)?;
        let iv = Nonce::try_assume_unique_for_key(iv).map_err(|_| SealError::Malformed)?;
        let mut value = value.to_vec();
        let opened = self.0.open_in_place(iv, Aad::from(place), &mut value);
        opened.map(|value| value.to_vec()).map_err(|_| SealError::Foreign)
    }
}

fn aes(key: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has the length of AES-256's"))
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system has randomness");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_a_value_was_sealed_for_opens_it() {
        let key = SealingKey::from_pem(&SealingKey::generate_pem()).expect("a key");
        let other = SealingKey::from_pem(&SealingKey::generate_pem()).expect("a key");
        for value in [String::new(), "short".to_owned(), "é\n".repeat(1 << 19)] {
            let sealed = key.jwk().seal(value.as_bytes()).expect("sealed");
            assert!(value.is_empty() || !sealed.contains(&value));
            assert_eq!(key.open(&sealed).as_deref(), Ok(value.as_bytes()));
            assert_eq!(other.open(&sealed), Err(SealError::Foreign));
        }
        let sealed = key.jwk().seal(b"value").expect("sealed");
        assert_ne!(sealed, key.jwk().seal(b"value").expect("sealed"), "a new key each time");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(key.open(&String::from_utf8(changed).expect("ASCII")).is_err(), "{at}");
        }
        for bad in ["", ".", "....", "a.b.c.d.e", "e30.e30.e30.e30.e30", &sealed[1..], &format!("{sealed}.AAAA")] {
            assert!(key.open(bad).is_err(), "{bad}");
        }
        assert!(!format!("{key:?}").contains(&key.jwk().n));
    }

    #[test]
    fn a_value_at_rest_stays_at_its_place() {
        let key = StorageKey::from_hex(&"5f".repeat(32)).expect("a key");
        let sealed = key.seal("user:a/NAME", b"value");
        assert_eq!(key.open("user:a/NAME", &sealed).as_deref(), Ok(&b"value"[..]));
        assert_eq!(key.open("user:b/NAME", &sealed), Err(SealError::Foreign));
        assert_eq!(key.open("user:a/NAME", &sealed[..4]), Err(SealError::Malformed));
        assert_ne!(sealed, key.seal("user:a/NAME", b"value"));
        assert!(StorageKey::from_hex("5f").is_err());
    }
}
