//! Who is calling, and what they may do. Proofs are parsed by the doors and judged here.

use std::{collections::HashSet, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;

use super::{super::store::Store, Core, NodeError, Options, addresses::Target};
use crate::{
    identity::{Nonces, PublicKey, RequestSignature, SCHEME, Token, body_digest},
    wire::RunView,
};

/// Who calls an open node without saying who. What is deployed for them is from the registry: they cannot upload.
pub(super) const ANONYMOUS: &str = "user:anonymous";

/// What a request shows of its sender.
#[derive(Debug, Clone)]
pub(in crate::node) enum Proof {
    /// Nothing: no header, or the SDK's literal `Bearer None`.
    None,
    /// A token of this node.
    Token(Token),
    /// A run's credential from its address: run, target, secret.
    Run(String, String, String),
    /// A signature of this very request.
    Signature(Box<RequestSignature>),
}

impl Proof {
    /// Reads an `Authorization` header. What is there but makes no sense is refused, never ignored.
    pub(in crate::node) fn parse(header: Option<&str>) -> Result<Self, NodeError> {
        let Some(header) = header.map(str::trim) else { return Ok(Proof::None) };
        let malformed =
            || NodeError::Unauthorised("the `Authorization` header is not one that this node knows".to_owned());
        let (scheme, rest) = header.split_once(' ').ok_or_else(malformed)?;
        if scheme == SCHEME {
            let signature = header
                .parse()
                .map_err(|error: crate::identity::RequestSignatureError| NodeError::Unauthorised(error.to_string()))?;
            return Ok(Proof::Signature(Box::new(signature)));
        }
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" if rest == "None" => Ok(Proof::None),
            "bearer" => rest.parse().map(Proof::Token).map_err(|_| malformed()),
            "basic" => {
                let pair = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                let pair = pair.ok_or_else(malformed)?;
                let (user, secret) = pair.split_once(':').ok_or_else(malformed)?;
                match user.split_once('.') {
                    Some((run, target)) => Ok(Proof::Run(run.to_owned(), target.to_owned(), secret.to_owned())),
                    None => user.parse().map(Proof::Token).map_err(|_| malformed()),
                }
            }
            _ => Err(malformed()),
        }
    }
}

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) enum Caller {
    /// A user with a proof of their own.
    User(String),
    /// Somebody on this machine, let in by `--open`; whoever they say they are.
    Open,
    /// A run of this node, that addresses a node.
    Run {
        /// The run's id.
        run: String,
        /// Its root's consumer.
        consumer: String,
        /// The node that it means.
        target: Target,
    },
}

impl Caller {
    /// The user that the call is for; `claimed` counts only where the node is open.
    pub(in crate::node) fn consumer(&self, claimed: Option<&str>) -> Result<String, NodeError> {
        match (self, claimed) {
            (Caller::User(user), Some(claimed)) if claimed != user => Err(NodeError::Forbidden(
                "the request names another consumer than the one whose credential it carries".to_owned(),
            )),
            (Caller::User(user), _) => Ok(user.clone()),
            (Caller::Run { consumer, .. }, _) => Ok(consumer.clone()),
            (Caller::Open, Some(claimed)) => {
                PublicKey::from_id(claimed).map_err(|error| NodeError::Invalid(error.to_string()))?;
                Ok(claimed.to_owned())
            }
            (Caller::Open, None) => Ok(ANONYMOUS.to_owned()),
        }
    }
}

/// The node's rules of admission.
#[derive(Debug)]
pub(in crate::node) struct Access {
    users: HashSet<String>,
    open: bool,
    nonces: Nonces,
    store: Arc<dyn Store>,
}

impl Access {
    pub(super) fn new(options: &Options, store: Arc<dyn Store>) -> Self {
        Access { users: options.users.iter().cloned().collect(), open: options.open, nonces: Nonces::default(), store }
    }

    /// Whether a user with a proof may use this node.
    fn admits(&self, user: &str) -> bool {
        self.users.contains(user)
    }

    /// Whether a forwarded call's nonce is new.
    pub(super) fn nonce_is_new(&self, nonce: &str) -> bool {
        self.nonces.is_new(nonce, Timestamp::now().as_second())
    }
}

impl Core {
    /// Judges a proof. `request` is method, host and target, `digest` the body's, for signatures.
    pub(in crate::node) async fn authenticate(
        &self,
        proof: Proof,
        request: (&str, &str, &str),
        digest: &str,
    ) -> Result<Caller, NodeError> {
        match proof {
            Proof::None if self.access.open => Ok(Caller::Open),
            Proof::None => Err(NodeError::Unauthorised(
                "this node needs a credential: sign the request, or put a token into the node's URL \
                 (`http://napt_…@host:port`)"
                    .to_owned(),
            )),
            Proof::Token(token) => {
                let user = self
                    .access
                    .store
                    .token_user(&token.hash(), Timestamp::now())
                    .await
                    .map_err(NodeError::internal("look up a token"))?
                    .ok_or_else(|| NodeError::Unauthorised("the token is unknown or has expired".to_owned()))?;
                self.admit(user)
            }
            Proof::Run(run, target, secret) => {
                let wrong =
                    || NodeError::Unauthorised("the run's credential is wrong, or the run has ended".to_owned());
                let active = self.active(&run).ok_or_else(wrong)?;
                // Both are random hex of one length; comparing digests takes the timing out of it.
                if body_digest(active.secret.as_bytes()) != body_digest(secret.as_bytes()) {
                    return Err(wrong());
                }
                let target = self.peers.target(&target).await.ok_or_else(wrong)?;
                Ok(Caller::Run { run, consumer: active.consumer.clone(), target })
            }
            Proof::Signature(signature) => {
                let (method, host, target) = request;
                let now = Timestamp::now().as_second();
                signature
                    .verify(method, host, target, digest, now)
                    .map_err(|error| NodeError::Unauthorised(error.to_string()))?;
                // Strangers are refused first: what they send is not worth remembering.
                let caller = self.admit(signature.key.user_id())?;
                if !self.access.nonces.is_new(&signature.nonce, now) {
                    return Err(NodeError::Unauthorised("the signed request was sent before".to_owned()));
                }
                Ok(caller)
            }
        }
    }

    /// Whether a user is the one who runs this node.
    pub(super) fn is_operator(&self, user: &str) -> bool {
        self.options.users.first().is_some_and(|operator| operator == user)
    }

    /// Refuses strangers' signed requests before their bodies are read.
    pub(in crate::node) fn admits_signer(&self, signature: &RequestSignature) -> Result<(), NodeError> {
        self.admit(signature.key.user_id()).map(drop)
    }

    fn admit(&self, user: String) -> Result<Caller, NodeError> {
        if self.access.admits(&user) {
            Ok(Caller::User(user))
        } else {
            Err(NodeError::Forbidden(format!(
                "`{user}` is not a user of this node; its operator can admit them with `napt node --user {user}`"
            )))
        }
    }

    /// Whether it is a user's run that has not ended: then they may see it, and nothing has to be read to know.
    pub(in crate::node) fn is_active_of(&self, caller: &Caller, id: &str) -> bool {
        matches!(caller, Caller::User(user) if self.active(id).is_some_and(|run| run.consumer == *user))
    }

    /// Whether a run may be seen, followed and cancelled: by its user, and by a module if it is its own run or one that
    /// it called for. On an open node an id is enough, as on Naptha's.
    pub(in crate::node) async fn may_see(&self, caller: &Caller, view: &RunView) -> Result<bool, NodeError> {
        let run = match caller {
            Caller::Open => return Ok(true),
            Caller::User(user) => return Ok(view.consumer == *user),
            Caller::Run { run, .. } => run,
        };
        let (mut id, mut parent) = (view.id.clone(), view.parent.clone());
        loop {
            if id == *run {
                return Ok(true);
            }
            let Some(above) = parent else { return Ok(false) };
            // A parent on another node is none of this node's runs.
            let stored = self.store.run(&above).await.map_err(NodeError::internal("read a run"))?;
            (id, parent) = (above, stored.and_then(|run| run.view.parent));
        }
    }

    /// Checks Naptha's consumer signature, which is replayable and so never the only proof.
    pub(in crate::node) fn check_consumer_signature(
        &self,
        consumer: &str,
        signature: Option<&str>,
    ) -> Result<(), NodeError> {
        let signature =
            signature.ok_or_else(|| NodeError::Unauthorised("the run input has no `signature`".to_owned()))?;
        PublicKey::from_id(consumer)
            .and_then(|key| key.verify_consumer(consumer, signature))
            .map_err(|error| NodeError::Unauthorised(format!("Unauthorized: Invalid signature ({error})")))
    }
}
