//! Accounts by name and password, as Naptha's clients have them.
//!
//! A sign-up proves no possession of the key that it is for, and cannot be made to. So it takes nothing from anybody who
//! proves: a key that has signed a challenge (`napt login`) cannot be signed up for, and as soon as a key does, the
//! password that somebody else may have chosen for it is not accepted any more.

use std::net::IpAddr;

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use jsonwebtoken::Header;
use napt_registry_client::PasswordRequest;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::frames::HubError;
use crate::{
    identity::PublicKey,
    registry::{
        Registry, rate,
        refusal::Refusal,
        store::{AccountKey, HubAccount, HubSignUp},
    },
};

/// The longest user name.
const MAX_USERNAME: usize = 64;
/// The longest password, in bytes.
const MAX_PASSWORD: usize = 1024;
/// How long a token says that it lasts. The connection's sign-in does not depend on it.
const TOKEN_LIFE: i64 = 3600;

/// A user name: it is part of file names at Naptha's clients.
fn checked_username(name: &str) -> Result<&str, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
    if name.is_empty() || name.len() > MAX_USERNAME || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(format!(
            "`username` must be 1 to {MAX_USERNAME} letters, digits and `._@+-` of ASCII, and not begin with `.`"
        ));
    }
    Ok(name)
}

fn checked_password(password: &str) -> Result<&str, String> {
    if password.is_empty() || password.len() > MAX_PASSWORD {
        return Err(format!("`password` must be 1 to {MAX_PASSWORD} bytes"));
    }
    Ok(password)
}

fn field<'a>(given: &'a Map<String, Value>, name: &str) -> Result<&'a str, HubError> {
    let what = || HubError::Params(format!("`{name}` must be a text"));
    given.get(name).and_then(Value::as_str).ok_or_else(what)
}

impl Registry {
    /// Makes the account of a key that nobody has proved.
    pub(super) async fn hub_sign_up(
        &self,
        address: IpAddr,
        given: &Map<String, Value>,
    ) -> Result<HubAccount, HubError> {
        let username = checked_username(field(given, "username")?).map_err(HubError::Params)?;
        let password = checked_password(field(given, "password")?).map_err(HubError::Params)?;
        let key: PublicKey =
            field(given, "public_key")?.parse().map_err(|error| HubError::Params(format!("`public_key`: {error}")))?;
        self.challenges.take(rate::client(address), self.now()).map_err(Refusal::TooMany)?;
        let account = HubAccount {
            user: key.user_id(),
            username: username.to_owned(),
            password: self.hash_password(password).await?,
            confirmed: false,
            proved: false,
        };
        match self.store.add_hub_account(&account, self.now()).await? {
            HubSignUp::Created => Ok(account),
            HubSignUp::NameTaken => Err(HubError::NameTaken(account.username)),
            HubSignUp::KeyTaken => Err(HubError::KeyTaken),
            HubSignUp::KeyProved => Err(HubError::KeyProved),
        }
    }

    /// The account that has this name and password.
    pub(super) async fn hub_sign_in(
        &self,
        address: IpAddr,
        given: &Map<String, Value>,
    ) -> Result<HubAccount, HubError> {
        if given.contains_key("user") {
            return Err(HubError::Params("there is no root here: sign in with `username` and `password`".to_owned()));
        }
        let (username, password) = (field(given, "username")?, field(given, "password")?);
        let address = rate::client(address);
        self.sign_ins.take(address, self.now()).map_err(Refusal::TooMany)?;
        let account = self.store.hub_account(AccountKey::Username(username)).await?;
        // Judged while no more than a few others are, so that attempts at the same time cannot outrun their limit.
        let permit = self.hub.hashing.acquire().await.map_err(internal)?;
        self.failed_logins.check(&address, self.now()).map_err(Refusal::TooMany)?;
        let is_right = match &account {
            Some(account) => is_right(account, password).await?,
            None => false,
        };
        let Some(account) = account.filter(|_| is_right) else {
            self.failed_logins.take(address, self.now()).map_err(Refusal::TooMany)?;
            return Err(HubError::WrongPassword);
        };
        drop(permit);
        if account.is_trusted() { Ok(account) } else { Err(HubError::Unconfirmed(account.username)) }
    }

    /// Whether the user's account has this name and password.
    pub(in crate::registry) async fn is_password_of(
        &self,
        user: &str,
        given: &PasswordRequest,
    ) -> Result<bool, Refusal> {
        let account = self.store.hub_account(AccountKey::User(user)).await?;
        match account.filter(|account| account.username.eq_ignore_ascii_case(&given.username)) {
            Some(account) => {
                let _permit = self.hub.hashing.acquire().await.map_err(internal)?;
                is_right(&account, &given.password).await
            }
            None => Ok(false),
        }
    }

    /// Sets name and password of an account whose key has been proved.
    pub(in crate::registry) async fn set_password(&self, user: &str, wanted: &PasswordRequest) -> Result<(), Refusal> {
        let username = checked_username(&wanted.username).map_err(Refusal::Request)?;
        let password = checked_password(&wanted.password).map_err(Refusal::Request)?;
        let password = self.hash_password(password).await?;
        if self.store.set_hub_account(user, username, &password).await? {
            Ok(())
        } else {
            Err(Refusal::UsernameTaken(username.to_owned()))
        }
    }

    async fn hash_password(&self, password: &str) -> Result<String, Refusal> {
        let _permit = self.hub.hashing.acquire().await.map_err(internal)?;
        let password = password.to_owned();
        let hash = blocking(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()));
        hash.await?.map_err(internal)
    }

    /// What Naptha's clients read the user's id from. They never send it back.
    pub(super) fn hub_token(&self, user: &str) -> Result<String, HubError> {
        let now = self.now().as_second();
        let claims = json!({
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_LIFE,
            "iss": "napt",
            "jti": Uuid::now_v7(),
            "NS": "naptha",
            "DB": "naptha",
            "AC": "user",
            "ID": user,
        });
        Ok(jsonwebtoken::encode(&Header::default(), &claims, &self.hub.key).map_err(internal)?)
    }
}

/// Whether this is the account's password. Whoever asks holds a permit to hash.
async fn is_right(account: &HubAccount, password: &str) -> Result<bool, Refusal> {
    if password.len() > MAX_PASSWORD {
        return Ok(false);
    }
    let (hash, password) = (account.password.clone(), password.to_owned());
    blocking(move || Argon2::default().verify_password(password.as_bytes(), hash.as_str()).is_ok()).await
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Refusal {
    Refusal::Internal(error.into())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(internal)
}
