//! What one node signs when it passes a module's call on to another: for whom, from which run, to which node.

use serde::{Deserialize, Serialize};

use crate::{
    identity::{PublicKey, SecretKey, body_digest, random_hex},
    report::{Fault, Kind},
};

/// How long an envelope is good for, in seconds.
const LIFETIME_SECONDS: i64 = 60;

/// The claims of a forwarded call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The node that signs.
    pub from: String,
    /// The node that it is for.
    pub to: String,
    /// What is asked for: a path of the receiving node.
    pub action: String,
    /// SHA-256 of the call's body.
    pub digest: String,
    /// The user on whose behalf the whole tree runs.
    pub consumer: String,
    /// The root run's id.
    pub root: String,
    /// The calling run's id.
    pub parent: String,
    /// Used once.
    pub nonce: String,
    /// Unix seconds.
    pub expires: i64,
}

/// An envelope with its node's signature, as it is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignedEnvelope {
    /// The claims as JSON text, exactly as signed.
    pub claims: String,
    /// ECDSA over SHA-256 of `claims`.
    pub signature: String,
}

/// Why an envelope is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not an envelope.
    #[error("the forwarding envelope is malformed")]
    Malformed,
    /// It was not signed by the node that it names.
    #[error("the forwarding envelope's signature does not match")]
    Signature,
    /// It is for another node.
    #[error("the forwarding envelope is for another node")]
    WrongNode,
    /// It is for another call.
    #[error("the forwarding envelope is for another call")]
    WrongCall,
    /// It is too old, or from the future.
    #[error("the forwarding envelope has expired")]
    Expired,
}

impl Fault for EnvelopeError {
    fn kind(&self) -> Kind {
        Kind::Auth
    }
}

impl Envelope {
    /// Signs a call. `now` is in Unix seconds.
    #[expect(clippy::too_many_arguments, reason = "each is one claim of the envelope")]
    pub fn sign(
        key: &SecretKey,
        to: &str,
        action: &str,
        body: &[u8],
        consumer: &str,
        root: &str,
        parent: &str,
        now: i64,
    ) -> SignedEnvelope {
        Self::sign_digest(key, to, action, body_digest(body), consumer, root, parent, now)
    }

    /// Signs a call whose body has this digest.
    #[expect(clippy::too_many_arguments, reason = "each is one claim of the envelope")]
    pub fn sign_digest(
        key: &SecretKey,
        to: &str,
        action: &str,
        digest: String,
        consumer: &str,
        root: &str,
        parent: &str,
        now: i64,
    ) -> SignedEnvelope {
        let envelope = Envelope {
            from: key.public().node_id(),
            to: to.to_owned(),
            action: action.to_owned(),
            digest,
            consumer: consumer.to_owned(),
            root: root.to_owned(),
            parent: parent.to_owned(),
            nonce: random_hex(16),
            expires: now + LIFETIME_SECONDS,
        };
        let claims = serde_json::to_string(&envelope).expect("text fields are always JSON");
        let signature = key.sign(claims.as_bytes());
        SignedEnvelope { claims, signature }
    }
}

impl SignedEnvelope {
    /// Checks everything but whether the sender is allowed, the nonce new, and the digest that of the body.
    pub fn open(&self, own_id: &str, action: &str, now: i64) -> Result<Envelope, EnvelopeError> {
        let envelope: Envelope = serde_json::from_str(&self.claims).map_err(|_| EnvelopeError::Malformed)?;
        let sender = PublicKey::from_id(&envelope.from).map_err(|_| EnvelopeError::Malformed)?;
        sender.verify(self.claims.as_bytes(), &self.signature).map_err(|_| EnvelopeError::Signature)?;
        if envelope.to != own_id {
            return Err(EnvelopeError::WrongNode);
        }
        if envelope.action != action {
            return Err(EnvelopeError::WrongCall);
        }
        if envelope.expires < now || envelope.expires > now + 2 * LIFETIME_SECONDS {
            return Err(EnvelopeError::Expired);
        }
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_for_one_node_and_one_call() {
        let key = SecretKey::generate();
        let signed = Envelope::sign(&key, "node:b", "/x", b"body", "user:u", "root", "parent", 100);
        let opened = signed.open("node:b", "/x", 120).expect("its own envelope");
        assert_eq!((opened.from, opened.digest), (key.public().node_id(), body_digest(b"body")));
        assert_eq!(signed.open("node:c", "/x", 120), Err(EnvelopeError::WrongNode));
        assert_eq!(signed.open("node:b", "/y", 120), Err(EnvelopeError::WrongCall));
        assert_eq!(signed.open("node:b", "/x", 161), Err(EnvelopeError::Expired));
        let forged = SignedEnvelope { claims: signed.claims.replace("user:u", "user:v"), ..signed };
        assert_eq!(forged.open("node:b", "/x", 120), Err(EnvelopeError::Signature));
    }
}
