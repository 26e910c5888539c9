//! Who calls, and what they may do. An account is a key; its holder proves it by signing a challenge.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use napt_registry_client::{
    Challenge, NewToken, PasswordAccount, SignUp, SignedUp, TokenInfo, TokenRequest, Verb, account_challenge_text,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Registry, rate,
    refusal::Refusal,
    store::{AccountKey, HubAccount, TokenRecord},
};
use crate::{
    identity::{PublicKey, Token, random_hex},
    module::ModuleId,
};

const CHALLENGE_LIFE: SignedDuration = SignedDuration::from_mins(5);
/// How long a login lasts.
const LOGIN_LIFE: SignedDuration = SignedDuration::from_hours(24 * 90);
/// How long a token may last that a user makes.
const MAX_TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(24 * 366);
/// How many tokens an account may have besides its logins.
const MAX_TOKENS: usize = 200;

/// A call's proven caller.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) user: String,
    pub(super) token: TokenInfo,
}

impl Caller {
    /// Fails unless the token has this verb.
    pub(super) fn may(&self, verb: Verb) -> Result<(), Refusal> {
        if self.token.verbs.contains(&verb) { Ok(()) } else { Err(Refusal::Scope(verb)) }
    }

    /// Fails unless the token has this verb for this module.
    pub(super) fn may_for(&self, verb: Verb, id: &ModuleId) -> Result<(), Refusal> {
        self.may(verb)?;
        if self.token.covers(&id.to_string()) {
            Ok(())
        } else {
            Err(Refusal::OtherModule { id: id.clone(), pattern: self.token.modules.clone() })
        }
    }
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn after(now: Timestamp, life: SignedDuration) -> Timestamp {
    now.saturating_add(life).unwrap_or(Timestamp::MAX)
}

impl Registry {
    /// A challenge for whoever asks.
    pub(super) async fn challenge(&self, address: IpAddr) -> Result<Challenge, Refusal> {
        let now = self.now();
        self.challenges.take(rate::client(address), now).map_err(Refusal::TooMany)?;
        let challenge = random_hex(32);
        let expires = after(now, CHALLENGE_LIFE);
        self.store.add_challenge(&hash(&challenge), expires, now).await?;
        Ok(Challenge { challenge, expires })
    }

    /// Makes the account of a proven key, or logs in to it.
    pub(super) async fn sign_up(&self, address: IpAddr, proof: &SignUp) -> Result<SignedUp, Refusal> {
        let now = self.now();
        let address = rate::client(address);
        self.failed_logins.check(&address, now).map_err(Refusal::TooMany)?;
        let user = match self.proven(proof, now).await {
            Ok(user) => user,
            Err(refusal) => {
                self.failed_logins.take(address, now).map_err(Refusal::TooMany)?;
                return Err(refusal);
            }
        };
        // Whoever has the key and knows the password is who signed up with both.
        let keeps = match &proof.password_account {
            Some(given) => self.is_password_of(&user, given).await?,
            None => false,
        };
        let created = self.store.ensure_user(&user, keeps, now).await?;
        let wanted = TokenRequest {
            name: "login".to_owned(),
            verbs: vec![Verb::Publish, Verb::Yank, Verb::Account],
            modules: "*".to_owned(),
            expires: after(now, LOGIN_LIFE),
        };
        let new = self.new_token(&user, wanted).await?;
        let account = self.store.hub_account(AccountKey::User(&user)).await?;
        let password_account =
            account.map(|HubAccount { username, confirmed, .. }| PasswordAccount { username, confirmed });
        Ok(SignedUp { user, created, token: new.token, expires: new.info.expires, password_account })
    }

    /// The id of the user whose key made the proof.
    async fn proven(&self, proof: &SignUp, now: Timestamp) -> Result<String, Refusal> {
        // Taken first: a challenge is good for one attempt, not for one success.
        if !self.store.take_challenge(&hash(&proof.challenge), now).await? {
            return Err(Refusal::Challenge);
        }
        let key: PublicKey =
            proof.public_key.parse().map_err(|error| Refusal::Request(format!("`public_key`: {error}")))?;
        let proves = |host: &String| {
            key.verify(account_challenge_text(host, &proof.challenge).as_bytes(), &proof.signature).is_ok()
        };
        if self.hosts.iter().any(proves) {
            Ok(key.user_id())
        } else {
            Err(Refusal::Proof(format!("napt-account-challenge-1\\n{}\\nCHALLENGE", self.hosts.join("|"))))
        }
    }

    async fn new_token(&self, user: &str, wanted: TokenRequest) -> Result<NewToken, Refusal> {
        let token = Token::generate();
        let TokenRequest { name, verbs, modules, expires } = wanted;
        let info = TokenInfo { id: Uuid::now_v7().to_string(), name, verbs, modules, created: self.now(), expires };
        let record = TokenRecord { user: user.to_owned(), info: info.clone() };
        self.store.add_token(&token.hash(), &record).await?;
        Ok(NewToken { token: token.reveal().to_owned(), info })
    }

    /// Makes a token with some of the account's rights.
    pub(super) async fn create_token(&self, caller: &Caller, mut wanted: TokenRequest) -> Result<NewToken, Refusal> {
        caller.may(Verb::Account)?;
        wanted.verbs.sort_unstable();
        wanted.verbs.dedup();
        let refuse = |text: &str| Err(Refusal::Request(text.to_owned()));
        if wanted.verbs.is_empty() || wanted.verbs.contains(&Verb::Account) {
            return refuse("`verbs` must be of `publish` and `yank`");
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:*".contains(c);
        if wanted.modules.is_empty() || wanted.modules.len() > 100 || !wanted.modules.chars().all(allowed) {
            return refuse("`modules` must be `type:name`, where `*` stands for anything");
        }
        if wanted.name.chars().count() > 100 || wanted.name.chars().any(char::is_control) {
            return refuse("`name` must be at most 100 characters");
        }
        if wanted.expires <= self.now() || wanted.expires > after(self.now(), MAX_TOKEN_LIFE) {
            return refuse("`expires` must be in the future, and at most 366 days away");
        }
        let now = self.now();
        // Logins end by themselves, and are not what one would revoke.
        let counts = |token: &&TokenInfo| token.expires > now && !token.verbs.contains(&Verb::Account);
        if self.store.tokens(&caller.user).await?.iter().filter(counts).count() >= MAX_TOKENS {
            return refuse("the account has too many tokens: revoke some");
        }
        self.new_token(&caller.user, wanted).await
    }

    /// Whose token an `Authorization` header holds.
    pub(super) async fn authenticate(&self, header: Option<&[u8]>) -> Result<Caller, Refusal> {
        let header = header.ok_or(Refusal::NoToken)?;
        let header = std::str::from_utf8(header).map_err(|_| Refusal::MalformedToken)?;
        let (scheme, token) = header.split_once(' ').ok_or(Refusal::MalformedToken)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::MalformedToken);
        }
        let token: Token = token.parse().map_err(|_| Refusal::MalformedToken)?;
        // Looked up by its hash, so that the time it takes says nothing about tokens that exist.
        let record = self.store.token(&token.hash()).await?.ok_or(Refusal::UnknownToken)?;
        if record.info.expires <= self.now() {
            return Err(Refusal::ExpiredToken(record.info.expires));
        }
        Ok(Caller { user: record.user, token: record.info })
    }
}
