//! The signature of one request to a node: method, target, host, body, time and nonce, under the header
//! `Authorization: Napt key=…,time=…,nonce=…,signature=…`.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

use super::{
    key::{KeyError, PublicKey, SecretKey},
    token::random_hex,
};
use crate::report::{Fault, Kind};

/// The scheme's name in the `Authorization` header.
pub const SCHEME: &str = "Napt";

/// How far the clocks of client and server may be apart; also how long a server remembers nonces.
pub const CLOCK_LEEWAY_SECONDS: i64 = 300;

/// The proof that the holder of a key made this one request.
#[derive(Debug, Clone)]
pub struct RequestSignature {
    /// Who signed.
    pub key: PublicKey,
    /// When, in Unix seconds.
    pub time: i64,
    /// 32 hex digits, used once.
    pub nonce: String,
    signature: String,
}

/// Why a signed request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestSignatureError {
    /// The header cannot be parsed.
    #[error("the `Authorization: {SCHEME}` header is malformed")]
    Malformed,
    /// The signature is not of this request.
    #[error("the request's signature does not match its method, path, host and body")]
    Mismatch(#[from] KeyError),
    /// The time is too far off.
    #[error(
        "the request was signed {0} seconds away from the server's clock (at most {CLOCK_LEEWAY_SECONDS} are allowed)"
    )]
    Time(i64),
}

impl Fault for RequestSignatureError {
    fn kind(&self) -> Kind {
        Kind::Auth
    }

    fn hint(&self) -> Option<String> {
        match self {
            RequestSignatureError::Time(_) => Some("set the clocks of both machines".to_owned()),
            RequestSignatureError::Malformed | RequestSignatureError::Mismatch(_) => None,
        }
    }
}

/// Nonces that were used lately, with the time after which they cannot be used anyway.
#[derive(Debug, Default)]
pub struct Nonces(Mutex<HashMap<String, i64>>);

impl Nonces {
    /// True for the first who brings it. `now` is in Unix seconds.
    pub fn is_new(&self, nonce: &str, now: i64) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() > 10_000 {
            seen.retain(|_, until| *until >= now);
        }
        seen.insert(nonce.to_owned(), now + 2 * CLOCK_LEEWAY_SECONDS).is_none_or(|until| until < now)
    }
}

/// The lower-case hex SHA-256 of a request's body.
pub fn body_digest(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

fn message(method: &str, host: &str, target: &str, digest: &str, time: i64, nonce: &str) -> String {
    format!("napt-request-1\n{method}\n{host}\n{target}\n{digest}\n{time}\n{nonce}")
}

impl RequestSignature {
    /// Signs a request. `target` is path and query, `host` the authority as the client dials it, `now` Unix seconds.
    pub fn sign(key: &SecretKey, method: &str, host: &str, target: &str, digest: &str, now: i64) -> Self {
        let nonce = random_hex(16);
        let signature = key.sign(message(method, host, target, digest, now, &nonce).as_bytes());
        RequestSignature { key: key.public(), time: now, nonce, signature }
    }

    /// Checks signature and time. That the nonce is new is for the server to check.
    pub fn verify(
        &self,
        method: &str,
        host: &str,
        target: &str,
        digest: &str,
        now: i64,
    ) -> Result<(), RequestSignatureError> {
        let text = message(method, host, target, digest, self.time, &self.nonce);
        self.key.verify(text.as_bytes(), &self.signature)?;
        let away = now.saturating_sub(self.time);
        if away.saturating_abs() > CLOCK_LEEWAY_SECONDS { Err(RequestSignatureError::Time(away)) } else { Ok(()) }
    }
}

impl fmt::Display for RequestSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RequestSignature { key, time, nonce, signature } = self;
        write!(f, "{SCHEME} key={key},time={time},nonce={nonce},signature={signature}")
    }
}

impl FromStr for RequestSignature {
    type Err = RequestSignatureError;

    fn from_str(header: &str) -> Result<Self, RequestSignatureError> {
        let malformed = || RequestSignatureError::Malformed;
        let fields = header.strip_prefix(SCHEME).and_then(|rest| rest.strip_prefix(' ')).ok_or_else(malformed)?;
        let field = |name: &str| {
            fields.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).ok_or_else(malformed)
        };
        let nonce = field("nonce")?;
        if nonce.len() != 32 || !nonce.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        Ok(RequestSignature {
            key: field("key")?.parse().map_err(|_| malformed())?,
            time: field("time")?.parse().map_err(|_| malformed())?,
            nonce: nonce.to_owned(),
            signature: field("signature")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_request_passes() {
        let key = SecretKey::generate();
        let digest = body_digest(b"{}");
        let header = RequestSignature::sign(&key, "POST", "h:1", "/v1/runs", &digest, 1000).to_string();
        let read: RequestSignature = header.parse().expect("its own header");
        assert_eq!(read.verify("POST", "h:1", "/v1/runs", &digest, 1100), Ok(()));
        for (method, host, target, digest, now) in [
            ("PUT", "h:1", "/v1/runs", digest.clone(), 1000),
            ("POST", "other:1", "/v1/runs", digest.clone(), 1000),
            ("POST", "h:1", "/v1/runs?x", digest.clone(), 1000),
            ("POST", "h:1", "/v1/runs", body_digest(b"[]"), 1000),
            ("POST", "h:1", "/v1/runs", digest.clone(), 2000),
        ] {
            assert!(read.verify(method, host, target, &digest, now).is_err());
        }
        assert!("Napt key=1,time=2".parse::<RequestSignature>().is_err());
    }
}
