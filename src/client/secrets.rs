//! A user's secrets on a node.

use reqwest::Method;

use super::{ClientError, NodeClient};
use crate::{
    identity::{Jwks, Secret},
    module::ModuleId,
    wire::{NewSecret, SecretView},
};

impl NodeClient {
    /// The names of the user's secrets.
    pub async fn secrets(&self) -> Result<Vec<SecretView>, ClientError> {
        self.json(Method::GET, "/v1/secrets", Vec::new()).await
    }

    /// Gives the node a secret, sealed for it alone. `module`: whose runs alone get it; `nodes`: whose forwarded calls do
    /// too.
    pub async fn set_secret(
        &self,
        name: &str,
        value: &Secret,
        module: Option<&ModuleId>,
        nodes: &[String],
    ) -> Result<(), ClientError> {
        let keys: Jwks = self.json(Method::GET, "/.well-known/jwks.json", Vec::new()).await?;
        let key = keys.keys.first().ok_or_else(|| self.garbage("it has no key for secrets".to_owned()))?;
        let sealed = key
            .seal(value.reveal().as_bytes())
            .map_err(|error| self.garbage(format!("its key for secrets is of no use: {error}")))?;
        let new = NewSecret { name: name.to_owned(), module: module.cloned(), sealed, nodes: nodes.to_owned() };
        self.send(Method::PUT, "/v1/secrets", self.encode(&new)?).await
    }

    /// Has the node forget a secret.
    pub async fn remove_secret(&self, name: &str, module: Option<&ModuleId>) -> Result<(), ClientError> {
        let module = module.map(|module| format!("?module={}", Self::segment(&module.to_string()))).unwrap_or_default();
        self.send(Method::DELETE, &format!("/v1/secrets/{}{module}", Self::segment(name)), Vec::new()).await
    }
}
