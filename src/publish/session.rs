//! Signing in to a registry, and out of it.

use jiff::Timestamp;
use napt_registry_client::{
    ClientError, PasswordAccount, PasswordRequest, RegistryClient, SignUp, account_challenge_text,
};
use url::Url;

use crate::{
    identity::{CredentialStore, StoreError, Token},
    report::{Fault, Kind},
};

/// Why signing in or out failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The registry refuses or fails.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The key or the token cannot be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry's token is not one.
    #[error("the registry at `{0}` answered with something that is not a token")]
    NotAToken(String),
}

impl Fault for SessionError {
    fn kind(&self) -> Kind {
        match self {
            SessionError::Client(error) => error.kind(),
            SessionError::Store(error) => error.kind(),
            SessionError::NotAToken(_) => Kind::Network,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SessionError::Client(error) => error.hint(),
            SessionError::Store(error) => error.hint(),
            SessionError::NotAToken(_) => Some("check that the address is that of a napt registry".to_owned()),
        }
    }
}

/// A session that has begun.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// The user's id.
    pub user: String,
    /// Whether the account is new.
    pub created: bool,
    /// When it ends.
    pub expires: Timestamp,
    /// The account's name and password for Naptha's clients, if it has one.
    pub password_account: Option<PasswordAccount>,
}

/// Proves the user's key to the registry at `url` (making a key when there is none) and keeps the token. What was
/// registered with a name and a password before the key was proved stays if these are `password_account`.
pub async fn login(
    client: &RegistryClient,
    url: &str,
    credentials: &CredentialStore,
    password_account: Option<PasswordRequest>,
) -> Result<LoggedIn, SessionError> {
    let key = credentials.key_or_create()?;
    let challenge = client.challenge().await?.challenge;
    let text = account_challenge_text(&client.host(), &challenge);
    let (public_key, signature) = (key.public().to_string(), key.sign(text.as_bytes()));
    let proof = SignUp { public_key, signature, challenge, password_account };
    let answer = client.sign_up(&proof).await?;
    let token: Token = answer.token.parse().map_err(|_| SessionError::NotAToken(url.to_owned()))?;
    credentials.set_registry_token(url, Some(&token))?;
    Ok(LoggedIn {
        user: answer.user,
        created: answer.created,
        expires: answer.expires,
        password_account: answer.password_account,
    })
}

/// Sets the name and password by which Naptha's clients sign in to the registry at `url`, where the user has logged in.
pub async fn set_password(
    url: &Url,
    http: reqwest::Client,
    credentials: &CredentialStore,
    wanted: &PasswordRequest,
) -> Result<PasswordAccount, SessionError> {
    let token = credentials.registry_token(url.as_str())?.map(|token| token.reveal().to_owned());
    let client = RegistryClient::new(url.clone(), http, token);
    Ok(client.set_password(wanted).await?)
}

/// Forgets the token of the registry at `url`, and ends it there. False when there was none.
pub async fn logout(url: &Url, http: reqwest::Client, credentials: &CredentialStore) -> Result<bool, SessionError> {
    let Some(token) = credentials.registry_token(url.as_str())? else { return Ok(false) };
    let client = RegistryClient::new(url.clone(), http, Some(token.reveal().to_owned()));
    match client.revoke_token("current").await {
        // It has ended already.
        Ok(()) | Err(ClientError::Status { status: 401, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    credentials.set_registry_token(url.as_str(), None)?;
    Ok(true)
}
